//! The first bytes of a connection.

use doorman::policy::preface::{Header, MAX_BYTES, Start, start};
use proptest::collection::vec;
use proptest::prelude::*;

/// Whole ones, to be cut, joined and spoilt.
const SEEDS: [&[u8]; 8] = [
    b"PROXY TCP4 198.51.100.7 192.0.2.1 50000 80\r\n",
    b"PROXY TCP6 2001:db8::7 ::1 0 65535\r\n",
    b"PROXY UNKNOWN\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x50\0\x50",
    b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"\x16\x03\x01\x02\0",
];

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => (0..SEEDS.len(), any::<prop::sample::Index>()).prop_map(|(seed, end)| {
            let whole = SEEDS[seed];
            whole[..=end.index(whole.len())].to_vec()
        }),
        1 => vec(any::<u8>(), 0..40),
        1 => "[0-9a-f:. +]{0,60}\r?\n?".prop_map(String::into_bytes),
    ];
    let spoilt = vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (vec(piece, 0..4), spoilt).prop_map(|(pieces, spoilt)| {
        let mut bytes = pieces.concat();
        for (at, byte) in spoilt {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes
    })
}

#[test]
fn what_is_decided_stays_so_whatever_follows() {
    super::holds("preface", &(bytes(), vec(any::<u8>(), 0..50)), |(bytes, more)| {
        let decided = start(&bytes);
        if decided != Start::Undecided {
            prop_assert_eq!(start(&[&bytes[..], &more].concat()), decided);
        }
        Ok(())
    });
}

#[test]
fn a_header_is_within_what_has_been_seen_and_the_limit() {
    super::holds("header", &bytes(), |bytes| {
        if let Start::Proxied(Header { length, .. }) = start(&bytes) {
            prop_assert!(length <= bytes.len() && length <= MAX_BYTES);
            // Not a byte less would do.
            prop_assert_eq!(start(&bytes[..length - 1]), Start::Undecided);
        }
        if bytes.len() >= MAX_BYTES {
            prop_assert_ne!(start(&bytes), Start::Undecided);
        }
        Ok(())
    });
}
