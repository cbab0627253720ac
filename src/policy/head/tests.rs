use super::*;

fn read(answer: &str) -> Head {
    Head::read(answer.as_bytes()).unwrap().unwrap()
}

fn refused(answer: &str) -> bool {
    Head::read(answer.as_bytes()).is_err()
}

fn ending(answer: &str) -> Result<Ending, Malformed> {
    read(&format!("HTTP/1.1 {answer}\r\n\r\n")).ending(&Method::GET)
}

#[test]
fn a_head_is_read_with_its_fields_in_their_order() {
    let head = read("HTTP/1.1 200 OK\r\nB: 1\r\nA:  2 \r\nB: 3\r\nEmpty:\r\n\r\nrest");
    assert_eq!((head.status, head.version, head.reason), (StatusCode::OK, Version::HTTP_11, None));
    assert_eq!(head.length, 47);
    let fields: Vec<_> = head.fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(fields, [("b", &b"1"[..]), ("b", b"3"), ("a", b"2"), ("empty", b"")]);
}

#[test]
fn half_a_head_is_none_yet() {
    let whole = "HTTP/1.1 404 No such thing\r\nServer: x\r\n\r\n";
    for length in 0..whole.len() {
        assert!(Head::read(&whole.as_bytes()[..length]).unwrap().is_none(), "{length}");
    }
    assert_eq!(read(whole).reason.as_deref(), Some(&b"No such thing"[..]));
}

#[test]
fn what_is_no_head_is_refused() {
    assert!(refused("nonsense\r\n\r\n"));
    assert!(refused("HTTP/2.0 200 OK\r\n\r\n"));
    assert!(refused("HTTP/1.1 20 OK\r\n\r\n"));
    assert!(refused("HTTP/1.1 099 Low\r\n\r\n"));
    assert!(refused("HTTP/1.1 200 OK\r\nA : 1\r\n\r\n"));
    assert!(refused("HTTP/1.1 200 OK\r\nA: 1\r\n 2\r\n\r\n"));
    assert!(refused("HTTP/1.1 200 OK\r\nA: \0\r\n\r\n"));
    assert!(refused(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: 1\r\n".repeat(MAX_FIELDS + 1))));
    assert!(!refused(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: 1\r\n".repeat(MAX_FIELDS))));
}

#[test]
fn a_head_has_a_limit_whole_or_not() {
    let head = |value: usize| format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(value));
    let most = MAX_BYTES - head(0).len();
    assert!(!refused(&head(most)));
    assert!(refused(&head(most + 1)));
    assert!(refused(&head(2 * MAX_BYTES)[..MAX_BYTES]));
}

#[test]
fn names_that_are_not_in_the_usual_letters_are_told() {
    assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Type: x\r\n\r\n").unusual, None);
    for (answer, names) in [
        ("ETag: 1\r\nServer: x", "ETag:Server:"),
        ("server: x", "server:"),
        ("Server: x\r\nX-Empty:", "Server:X-Empty:"),
    ] {
        let head = read(&format!("HTTP/1.1 200 OK\r\n{answer}\r\n\r\n"));
        assert_eq!(head.unusual.as_deref(), Some(names.as_bytes()), "{answer}");
    }
}

#[test]
fn content_ends_where_the_head_says() {
    assert_eq!(ending("200 OK\r\nContent-Length: 5"), Ok(Ending::Length(5)));
    assert_eq!(ending("200 OK\r\nTransfer-Encoding: Chunked"), Ok(Ending::Chunked));
    assert_eq!(ending("200 OK"), Ok(Ending::Close));
    assert_eq!(ending("204 No Content\r\nContent-Length: 5"), Ok(Ending::Length(0)));
    assert_eq!(ending("304 Not Modified\r\nTransfer-Encoding: chunked"), Ok(Ending::Length(0)));
    assert_eq!(ending("101 Switching Protocols\r\nContent-Length: 5"), Ok(Ending::Length(0)));
    let head = read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(head.ending(&Method::HEAD), Ok(Ending::Length(0)));
}

#[test]
fn a_length_that_is_none_is_refused() {
    for length in ["", "+5", "-5", "5,5", "0x5", "5 5", "18446744073709551616"] {
        assert_eq!(
            ending(&format!("200 OK\r\nContent-Length: {length}")),
            Err(Malformed::Framing),
            "{length}"
        );
    }
    let old = read("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(old.ending(&Method::GET), Err(Malformed::Framing));
}

#[test]
fn a_connection_persists_unless_either_version_or_field_says_otherwise() {
    assert!(read("HTTP/1.1 200 OK\r\n\r\n").persists());
    assert!(!read("HTTP/1.1 200 OK\r\nConnection: keep-alive, Close\r\n\r\n").persists());
    assert!(!read("HTTP/1.1 200 OK\r\nConnection: x\r\nConnection: close\r\n\r\n").persists());
    assert!(!read("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n").persists());
    assert!(!read("HTTP/1.1 101 Switching Protocols\r\n\r\n").persists());
}

#[test]
fn an_interim_answer_is_not_the_last_one() {
    let interim = |status: &str| read(&format!("HTTP/1.1 {status} x\r\n\r\n")).is_interim();
    assert!(interim("100") && interim("103") && interim("199"));
    assert!(!interim("101") && !interim("200"));
}

#[test]
fn a_request_line_has_a_target_in_origin_form() {
    for (target, path) in [("*", "*"), ("?a", "/?a"), ("/a?b=%20", "/a?b=%20")] {
        let mut written = Vec::new();
        write_request_line(&mut written, &Method::OPTIONS, target);
        assert_eq!(written, format!("OPTIONS {path} HTTP/1.1\r\n").as_bytes());
    }
}

#[test]
fn a_field_is_written_with_its_name_as_it_was_spelled_or_in_the_usual_letters() {
    for (name, spelled, value, line) in [
        ("host", None, &b"h"[..], &b"Host: h\r\n"[..]),
        ("x-9a--b", None, b"\xff", b"X-9a--B: \xff\r\n"),
        ("a", None, b"", b"A: \r\n"),
        ("a", Some(&b"a"[..]), b"", b"a:\r\n"),
        ("dnt", Some(&b"DNT"[..]), b"1", b"DNT: 1\r\n"),
    ] {
        let mut written = Vec::new();
        let value = HeaderValue::from_bytes(value).unwrap();
        write_field(&mut written, &HeaderName::from_static(name), spelled, &value);
        assert_eq!(written, line);
    }
}
