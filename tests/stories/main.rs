//! The product's stories, told with the real binary and real peers. A name reads as a sentence: what an administrator,
//! a panel or a visitor can rely on. Those of the module `acme` need Pebble, which `tests/run` installs.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

#[path = "../support/mod.rs"]
mod support;

mod acme;
mod challenges;
mod commands;
mod forwarding;
mod https;
mod limits;
mod peers;
mod ports;
mod settings;
mod streams;
mod upstreams;
mod wire;
