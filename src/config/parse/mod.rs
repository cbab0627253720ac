//! The words of a configuration: addresses, URLs, durations. Each function's error is what to write instead.

pub(super) mod address;
pub(super) mod duration;
pub(super) mod ip;
pub(super) mod url;
