//! The commands: one file each, with what it prints and returns.

pub mod check;
mod daemon;
pub mod renew;
pub mod status;

use std::fmt;

/// How a command ends, as sysexits.h has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// The command line is wrong.
    Usage = 64,
    /// The daemon, or something it needs, is not there or says no.
    Unavailable = 69,
    /// A fault of our own.
    Software = 70,
    /// Reading or writing failed.
    Io = 74,
    /// Not allowed.
    NoPermission = 77,
    /// The configuration is wrong.
    Config = 78,
}

/// Why a command did not do what it was asked: what happened, and what to do about it, one sentence each.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What happened.
    pub happened: String,
    /// What to do.
    pub remedy: String,
}

impl Failure {
    /// A failure with its two sentences.
    pub fn new(exit: Exit, happened: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { exit, happened: happened.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.happened, self.remedy)
    }
}
