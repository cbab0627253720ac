//! The commands: one file each, with what it prints and returns.

mod alert;
mod args;
mod check;
mod daemon;
mod demo;
mod doctor;
mod log;
mod man;
mod renew;
mod run;
mod status;
mod words;

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::args::{Alert, Cli, Command, LogFormat};

/// Runs the command line of this process, and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refused) => {
            // --help and --version arrive here too; nothing is left to do if the terminal is gone.
            let _ = refused.print();
            let exit = if refused.use_stderr() { Exit::Usage } else { Exit::Ok };
            return exit.into();
        }
    };
    let logs_json = matches!(&cli.command, Command::Run(args) if args.log == LogFormat::Json);
    match dispatch(cli.command) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if logs_json {
                tracing::error!(remedy = failure.remedy, exit = failure.exit as u8, "{}", failure.happened);
            } else {
                let _ = writeln!(io::stderr(), "{failure}"); // as above
            }
            failure.exit.into()
        }
    }
}

fn dispatch(command: Command) -> Result<Exit, Failure> {
    let mut out = io::stdout();
    let done = match command {
        Command::Doctor(args) => return doctor::run(&args, &mut out),
        Command::Run(args) => run::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Check(file) => check::run(file.config.as_deref(), &mut out),
        Command::Status(args) => status::run(&args.daemon.locate()?, args.json, &mut out),
        Command::Renew(args) => renew::run(&args.daemon.locate()?, args.force, &mut out),
        Command::Alert { what: Alert::Test(daemon) } => alert::test(&daemon, &mut out),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "doorman", &mut out);
            Ok(())
        }
        Command::Man => man::write(Cli::command(), &mut out).map_err(|error| cannot_print(&error)),
    };
    done.map(|()| Exit::Ok)
}

/// Whether to colour what goes there: on a terminal, unless `NO_COLOR` is set.
fn colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Standard output went away.
pub(crate) fn cannot_print(error: &io::Error) -> Failure {
    Failure::new(
        Exit::Io,
        format!("The output could not be written: {error}."),
        "Look at where it was sent to.",
    )
}

/// How a command ends, as sysexits.h has it; 1 and 2 are the doctor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// It works, and something should be looked at.
    Warnings = 1,
    /// Something is broken.
    Broken = 2,
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

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
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
