//! The product's stories, told with the real binary and real peers. A name reads as a sentence: what an administrator,
//! a panel or a visitor can rely on. Those of the modules `acme`, `kills` and `store` need Pebble, which `tests/run`
//! installs.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

#[path = "../support/mod.rs"]
mod support;

mod acme;
mod alerts;
mod at_once;
mod challenges;
mod commands;
mod doctor;
mod forwarding;
mod forwards;
mod https;
mod kills;
mod large;
mod limits;
mod looking;
mod loopback;
mod paths;
mod peers;
mod ports;
mod restarts;
mod settings;
mod store;
mod streams;
mod tunnels;
mod upstreams;
mod wire;
mod xray;
