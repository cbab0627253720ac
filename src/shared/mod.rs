//! The corridor between the planes: cells with one writer and many readers, counters, the clock.
//!
//! Nothing here decides anything and nothing here runs. [`crate::run`] makes the cells and hands the writers out, so
//! that the data plane cannot publish and the control plane cannot count.

pub mod cell;
pub mod challenges;
pub mod clock;
pub mod listeners;
pub mod stats;
pub mod tls;
pub mod trust;
