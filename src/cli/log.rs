//! Where the log goes: standard error, for journald or a terminal.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

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
        // journald has the time already.
        LogFormat::Text if std::env::var_os("JOURNAL_STREAM").is_some() => {
            builder.with_ansi(false).without_time().init();
        }
        LogFormat::Text => builder.with_ansi(super::colours(&io::stderr())).init(),
    }
}
