use super::*;

/// What of a content was data, its trailers, and what is left of what came.
type Taken = (Vec<u8>, Option<HeaderMap>, Vec<u8>);

/// All pieces of a content that comes so many bytes at a time.
fn taken(ending: Ending, bytes: &[u8], at_once: usize) -> Result<Taken, Malformed> {
    let (mut content, mut unread) = (Content::new(ending), BytesMut::new());
    let (mut data, mut coming) = (Vec::new(), bytes.chunks(at_once));
    loop {
        match content.take(&mut unread)? {
            Piece::Data(piece) => data.extend_from_slice(&piece),
            Piece::Trailers(fields) => return Ok((data, Some(fields), rest(&unread, coming))),
            Piece::End => return Ok((data, None, rest(&unread, coming))),
            Piece::Hungry => match coming.next() {
                Some(more) => unread.extend_from_slice(more),
                None if content.ends_here() => return Ok((data, None, Vec::new())),
                None => return Ok((data, None, b"(short)".to_vec())),
            },
        }
    }
}

fn rest<'a>(unread: &[u8], coming: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    [unread.to_vec(), coming.flatten().copied().collect()].concat()
}

fn chunks(bytes: &str) -> Result<(String, String), Malformed> {
    let mut results = (1..=bytes.len()).map(|at_once| taken(Ending::Chunked, bytes.as_bytes(), at_once));
    let first = results.next().expect("there is at least one way to cut it");
    for other in results {
        assert_eq!(first, other, "it matters how it is cut: {bytes:?}");
    }
    let (data, _, rest) = first?;
    Ok((String::from_utf8(data).unwrap(), String::from_utf8(rest).unwrap()))
}

#[test]
fn a_length_takes_no_more_than_it_says() {
    for at_once in 1..10 {
        let (data, _, rest) = taken(Ending::Length(5), b"hello more", at_once).unwrap();
        assert_eq!((&data[..], &rest[..]), (&b"hello"[..], &b" more"[..]));
    }
    assert_eq!(taken(Ending::Length(5), b"hell", 2).unwrap().2, b"(short)");
}

#[test]
fn without_a_length_it_ends_with_the_connection() {
    assert_eq!(taken(Ending::Close, b"hello", 2).unwrap(), (b"hello".to_vec(), None, Vec::new()));
}

#[test]
fn chunks_are_taken_however_they_come() {
    for (bytes, data, rest) in [
        ("0\r\n\r\n", "", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello", ""),
        ("2\r\nhe\r\n003\r\nllo\r\n000\r\n\r\nmore", "hello", "more"),
        ("a\r\n0123456789\r\nA;x=y;z\r\n0123456789\r\n0;q\r\n\r\n", "01234567890123456789", ""),
        ("5 \t\r\nhello\r\n0 ;x\r\n\r\n", "hello", ""),
        ("5\r\nhel", "hel", "(short)"),
        ("5\r\nhello\r\n0\r\n", "hello", "(short)"),
        ("5\r\nhello\r\n", "hello", "(short)"),
    ] {
        assert_eq!(chunks(bytes), Ok((data.to_owned(), rest.to_owned())), "{bytes:?}");
    }
}

#[test]
fn what_is_no_chunk_is_refused() {
    for bytes in [
        "x\r\n",
        "\r\nhello\r\n",
        "+5\r\nhello\r\n",
        "-5\r\nhello\r\n",
        "0x5\r\nhello\r\n",
        " 5\r\nhello\r\n",
        "1 0\r\nhello\r\n",
        "5 \x0c\r\nhello\r\n",
        "1_0\r\nhello\r\n",
        "5\nhello\r\n",
        "5\rhello\r\n",
        "5;a\nb\r\nhello\r\n",
        "5;a\rb\r\nhello\r\n",
        "10000000000000000\r\n",
        "3\r\nhello\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "0\r\nnonsense\r\n\r\n",
        "0\r\nX-A : 1\r\n\r\n",
        "0\r\nX-A: 1\nX-B: 1\r\n\r\n",
        "0\r\n\n",
        "0\r\nX-A: 1\0\r\n\r\n",
    ] {
        let refused =
            (1..=bytes.len()).all(|at_once| taken(Ending::Chunked, bytes.as_bytes(), at_once).is_err());
        assert!(refused, "{bytes:?}");
    }
}

#[test]
fn a_line_with_a_size_and_trailers_have_limits() {
    let size = |length: usize| format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(length)).into_bytes();
    assert!(taken(Ending::Chunked, &size(100), 7).is_ok());
    for at_once in [1000, 4 * MAX_SIZE_LINE_BYTES] {
        assert_eq!(taken(Ending::Chunked, &size(2 * MAX_SIZE_LINE_BYTES), at_once), Err(Malformed::Chunk));
    }
    let trailers = |length: usize| format!("0\r\nX: {}\r\n\r\n", "a".repeat(length)).into_bytes();
    assert!(taken(Ending::Chunked, &trailers(100), 7).is_ok());
    for at_once in [1000, 4 * MAX_TRAILER_BYTES] {
        let refused = taken(Ending::Chunked, &trailers(2 * MAX_TRAILER_BYTES), at_once);
        assert_eq!(refused, Err(Malformed::TooLarge));
    }
    let many = |count: usize| format!("0\r\n{}\r\n", "X: 1\r\n".repeat(count)).into_bytes();
    assert!(taken(Ending::Chunked, &many(MAX_FIELDS), 100).is_ok());
    assert!(taken(Ending::Chunked, &many(MAX_FIELDS + 1), 100).is_err());
}

#[test]
fn trailers_are_fields_in_their_order() {
    let (data, trailers, rest) =
        taken(Ending::Chunked, b"2\r\nok\r\n0\r\nX-Sum: 7\r\nA: 1\r\nX-Sum:8\r\n\r\nmore", 1).unwrap();
    assert_eq!((&data[..], &rest[..]), (&b"ok"[..], &b"more"[..]));
    let fields = trailers.unwrap();
    let shown: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(shown, [("x-sum", &b"7"[..]), ("x-sum", b"8"), ("a", b"1")]);
}

#[test]
fn what_was_moved_counts_as_taken() {
    let mut content = Content::new(Ending::Length(10));
    content.pass_over(7);
    assert_eq!((content.left(), content.is_over()), (Some(3), false));
    content.pass_over(3);
    assert!(content.is_over());
}
