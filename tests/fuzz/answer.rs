//! An upstream's answer.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::targets::answer::check;

fn answer() -> impl Strategy<Value = Vec<u8>> {
    let status = prop_oneof![
        4 => Just("HTTP/1.1 200 OK\r\n".to_owned()),
        1 => "HTTP/1\\.[0-2] [0-9]{3} ?[ -~]{0,6}\r?\n",
        1 => Just("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n".to_owned()),
        1 => Just("HTTP/1.0 200 OK\r\n".to_owned()),
    ];
    let field = prop_oneof![
        2 => "Content-Length: ?[0-9]{1,2}\r\n",
        3 => Just("Transfer-Encoding: chunked\r\n".to_owned()),
        1 => "(transfer-encoding|content-length|Connection): ?(chunked|gzip|close|keep-alive|5|,| ){0,3}\r\n",
        3 => "[A-Za-z-]{1,4}: ?[ -~]{0,6}\r\n",
        1 => "[ -~]{0,12}\r?\n",
    ];
    let chunk = prop_oneof![
        4 => "[a-z]{1,15}".prop_map(|data| format!("{:x}\r\n{data}\r\n", data.len())),
        1 => "[a-z]{1,15}".prop_map(|data| format!("0{:X} ;x=\"y\"\r\n{data}\r\n", data.len())),
        1 => "[0-9a-fA-F]{0,17}[ \t;x]{0,2}\r?\n?[a-z]{0,6}\r?\n?",
    ];
    let end = prop_oneof![
        3 => Just("0\r\n\r\n".to_owned()),
        1 => "0\r\n([A-Z][a-z]{0,3}: ?[ -~]{0,5}\r\n){0,3}\r\n",
        1 => "0?\r?\n?[ -~]{0,6}",
    ];
    let spoilt = vec((any::<prop::sample::Index>(), any::<u8>()), 0..2);
    (any::<u8>(), status, vec(field, 0..4), vec(chunk, 0..4), end, spoilt).prop_map(
        |(how, status, fields, chunks, end, spoilt)| {
            let mut bytes = [vec![how], status.into_bytes(), fields.concat().into_bytes()].concat();
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(chunks.concat().as_bytes());
            bytes.extend_from_slice(end.as_bytes());
            for (at, byte) in spoilt {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        },
    )
}

#[test]
fn it_means_the_same_however_it_is_cut_and_what_hyper_takes_it_for() {
    super::holds("answer", &answer(), |bytes| {
        check(&bytes);
        Ok(())
    });
}
