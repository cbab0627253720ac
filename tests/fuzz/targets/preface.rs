//! The first bytes of a connection, as they come.

use doorman::policy::preface::{Header, MAX_BYTES, Start, start};

/// What is decided stays so whatever follows, and is decided in time.
pub(super) fn check(bytes: &[u8]) {
    let whole = start(bytes);
    for length in 0..bytes.len() {
        let sooner = start(&bytes[..length]);
        assert!(sooner == Start::Undecided || sooner == whole, "{sooner:?} after {length}, then {whole:?}");
        assert!(length < MAX_BYTES || sooner != Start::Undecided, "undecided after {length}");
    }
    if let Start::Proxied(Header { length, .. }) = whole {
        assert!(length <= bytes.len() && length <= MAX_BYTES);
        assert_eq!(start(&bytes[..length - 1]), Start::Undecided, "a byte less would do");
    }
}
