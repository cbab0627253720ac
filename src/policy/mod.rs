//! Decisions, and nothing but: no task, no socket, no file, no clock, no randomness.

pub mod address;
pub mod alert;
pub mod content;
pub mod failure;
pub mod finding;
pub mod head;
pub mod headers;
pub mod letters;
pub mod lifecycle;
pub mod occupant;
pub mod preface;
pub mod renewal_info;
pub mod route;
pub mod schedule;
pub mod sentence;
pub mod xray;
