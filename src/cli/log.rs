//! Where the log goes: standard error, for journald, a terminal, or a program that reads JSON.

use std::fmt;
use std::io;

use rustix::fs::fstat;
use tracing::{Event, Level, Subscriber, error};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{FmtSpan, Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::args::LogFormat;

/// What is logged without `RUST_LOG`: INFO and above. h2 warns of frames that any visitor may send at will.
const DEFAULT: &str = "info,h2=error";

/// Starts the log. `RUST_LOG` says how much.
pub(super) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        .with_target(false)
        .with_writer(io::stderr);
    match format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Text if goes_to_the_journal() => builder.event_format(Journal::new()).init(),
        LogFormat::Text => builder.with_ansi(super::colours(&io::stderr())).init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        error!(what = panic.payload_as_str(), at, "a fault of doorman: a part of it panicked");
    }));
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
