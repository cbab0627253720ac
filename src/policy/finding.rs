//! What a look at the machine found.

use super::sentence::Sentence;

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub about: About,
    /// How good it is.
    pub level: Level,
    /// What was found.
    pub finding: Sentence,
    /// What to do, where there is something to do.
    pub remedy: Option<Sentence>,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// The configuration.
    Config,
    /// The running daemon.
    Daemon,
    /// Who has our ports.
    Port,
    /// The panel, and other upstreams.
    Panel,
    /// The addresses of the certificate.
    Address,
    /// The CA.
    Ca,
    /// The clock.
    Clock,
    /// The store.
    Store,
    /// Xray's inbounds.
    Xray,
    /// Other ACME clients.
    AcmeClient,
    /// The way to Telegram.
    Telegram,
}

/// How good it is, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Fine,
    /// It works, and something should be looked at.
    Warning,
    /// It does not work.
    Broken,
}

impl Finding {
    /// Nothing is to be done.
    #[must_use]
    pub fn fine(about: About, finding: Sentence) -> Self {
        Self { about, level: Level::Fine, finding, remedy: None }
    }

    /// It works for now.
    #[must_use]
    pub fn warning(about: About, finding: Sentence, remedy: Sentence) -> Self {
        Self { about, level: Level::Warning, finding, remedy: Some(remedy) }
    }

    /// It does not work.
    #[must_use]
    pub fn broken(about: About, finding: Sentence, remedy: Sentence) -> Self {
        Self { about, level: Level::Broken, finding, remedy: Some(remedy) }
    }
}

impl About {
    /// In one word, or two.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Daemon => "daemon",
            Self::Port => "port",
            Self::Panel => "panel",
            Self::Address => "address",
            Self::Ca => "ca",
            Self::Clock => "clock",
            Self::Store => "store",
            Self::Xray => "xray",
            Self::AcmeClient => "acme client",
            Self::Telegram => "telegram",
        }
    }
}

impl Level {
    /// In one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Warning => "warning",
            Self::Broken => "broken",
        }
    }
}

/// How bad the worst of them is.
#[must_use]
pub fn verdict(findings: &[Finding]) -> Level {
    findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Fine)
}
