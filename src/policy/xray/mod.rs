//! Xray: what its inbounds are like, whether each can follow a new certificate, and what is done if not.

pub mod audit;
pub mod change;
pub mod file;
pub mod inbound;
pub mod ladder;
pub mod leaf;
pub mod messages;
pub mod patch;
pub mod ticks;
pub mod wire;
