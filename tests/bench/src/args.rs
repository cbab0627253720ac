//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::proxies::Proxy;
use crate::rows::{ROWS, Row};

/// What `--help` says.
pub(crate) const USAGE: &str = "\
tests/bench/run [--rows a,b] [--rounds N] [--seconds S] [--proxies a,b] [--doorman PATH]
  --rows      which rows, by key (default: all; --rows list names them)
  --rounds    how often each proxy has its turn in a row (default 5)
  --seconds   how long one turn is measured, after a warm-up of a quarter of that (default 1)
  --proxies   doorman,nginx,nginx-tuned,haproxy,caddy,relay (default: all)
  --doorman   the binary (default target/release/doorman)
";

/// What to measure.
#[derive(Debug)]
pub(crate) struct Args {
    /// In the order of the table.
    pub(crate) rows: Vec<&'static Row>,
    /// Turns of each proxy in each row.
    pub(crate) rounds: usize,
    /// The length of one turn.
    pub(crate) turn: Duration,
    /// In the order of their turns.
    pub(crate) proxies: Vec<Proxy>,
    /// doorman's binary.
    pub(crate) doorman: PathBuf,
}

impl Args {
    /// Reads the command line; `None` when help was asked for.
    ///
    /// # Errors
    /// An option, row or proxy that does not exist.
    pub(crate) fn from_command_line() -> anyhow::Result<Option<Self>> {
        let mut args = Self {
            rows: ROWS.iter().collect(),
            rounds: 5,
            turn: Duration::from_secs(1),
            proxies: Proxy::ALL.to_vec(),
            doorman: PathBuf::from("target/release/doorman"),
        };
        let mut words = std::env::args().skip(1);
        while let Some(option) = words.next() {
            if matches!(option.as_str(), "-h" | "--help") {
                return Ok(None);
            }
            let value = words.next().with_context(|| format!("{option} needs a value\n{USAGE}"))?;
            args.set(&option, &value)?;
        }
        Ok(Some(args))
    }

    fn set(&mut self, option: &str, value: &str) -> anyhow::Result<()> {
        match option {
            "--rows" => self.rows = value.split(',').map(row).collect::<Result<_, _>>()?,
            "--rounds" => self.rounds = value.parse().context("--rounds is a number")?,
            "--seconds" => {
                let seconds = value.parse().context("--seconds is a number")?;
                self.turn = Duration::try_from_secs_f64(seconds).context("--seconds is a length of time")?;
            }
            "--proxies" => self.proxies = value.split(',').map(proxy).collect::<Result<_, _>>()?,
            "--doorman" => self.doorman = value.into(),
            _ => bail!("{option} is not an option\n{USAGE}"),
        }
        Ok(())
    }
}

fn row(key: &str) -> anyhow::Result<&'static Row> {
    let keys = || ROWS.iter().map(|row| row.key).collect::<Vec<_>>().join(",");
    ROWS.iter().find(|row| row.key == key).with_context(|| format!("the rows are {}", keys()))
}

fn proxy(name: &str) -> anyhow::Result<Proxy> {
    let names = || Proxy::ALL.map(Proxy::name).join(",");
    Proxy::ALL
        .into_iter()
        .find(|proxy| proxy.name() == name)
        .with_context(|| format!("the proxies are {}", names()))
}
