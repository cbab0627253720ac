//! doorman owns port 80 of a small server: it answers ACME challenges, forwards everything else to a panel, and keeps
//! a short-lived certificate for the server's IP address fresh.

pub mod cli;
pub mod config;
pub mod control;
pub mod policy;
pub mod proxy;
pub mod shared;
