//! Where the log goes: standard error, for journald, a terminal, or a program that reads JSON.

use std::fmt;
use std::io;

use rustix::fs::fstat;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber, error, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt};

use super::args::LogFormat;

/// What is logged without `RUST_LOG`: INFO and above. h2 warns of frames that any visitor may send at will.
fn usual() -> Targets {
    Targets::new().with_default(LevelFilter::INFO).with_target("h2", LevelFilter::ERROR)
}

/// Starts the log. `RUST_LOG` says how much.
pub(super) fn start(format: LogFormat) {
    let wanted =
        std::env::var("RUST_LOG").ok().filter(|said| !said.is_empty()).map(|said| said.parse::<Targets>());
    let (filter, misunderstood) = match wanted {
        None => (usual(), None),
        Some(Ok(wanted)) => (wanted, None),
        Some(Err(error)) => (usual(), Some(error)),
    };
    tracing_subscriber::registry().with(lines(format)).with(filter).init();
    if let Some(error) = misunderstood {
        warn!(%error, "RUST_LOG is not understood: write for example RUST_LOG=debug or RUST_LOG=info,doorman=trace");
    }
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        error!(what = panic.payload_as_str(), at, "a fault of doorman: a part of it panicked");
    }));
}

/// What a line looks like.
fn lines(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let lines = tracing_subscriber::fmt::layer().with_target(false).with_writer(io::stderr);
    match format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text if goes_to_the_journal() => lines.event_format(Journal::new()).boxed(),
        LogFormat::Text => lines.with_ansi(super::colours(&io::stderr())).boxed(),
    }
}

/// Whether journald reads standard error: systemd says in `JOURNAL_STREAM` which file that is, for the variable is
/// inherited by programs whose output goes elsewhere.
fn goes_to_the_journal() -> bool {
    let (Ok(stream), Ok(stderr)) = (std::env::var("JOURNAL_STREAM"), fstat(io::stderr())) else {
        return false;
    };
    stream == format!("{}:{}", stderr.st_dev, stderr.st_ino)
}

/// Lines for journald, which stamps them itself. Each begins with its priority as sd-daemon(3) has it, so that
/// `journalctl -p warning` finds what is worth reading; journald takes it off. The word stays, for `journalctl` shows no
/// priority.
struct Journal(Format<Full, ()>);

impl Journal {
    fn new() -> Self {
        Self(Format::default().without_time().with_target(false).with_ansi(false))
    }
}

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        self.0.format_event(context, Writer::new(&mut text), event)?;
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        // Of a text with several lines journald makes as many entries.
        text.lines().try_for_each(|line| writeln!(writer, "<{priority}>{}", line.trim_start()))
    }
}
