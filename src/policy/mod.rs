//! Decisions, and nothing but: no task, no socket, no file, no clock, no randomness.

pub mod headers;
pub mod route;
