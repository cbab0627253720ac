//! The answer to `GET /status`.

use std::collections::BTreeMap;

use serde::Serialize;
use time::OffsetDateTime;

use crate::config::Language;
use crate::control::Context;
use crate::control::board::{Board, Notes, Renewal, Told, Trouble};
use crate::control::history::Past;
use crate::control::pair::Facts;
use crate::control::when;
use crate::control::xray::{Entry, Serves};
use crate::policy::alert::{self, Open, Severity};
use crate::policy::failure::Class;
use crate::policy::lifecycle::{Activity, Lifecycle, Milestones, Obstacle, Word};
use crate::policy::renewal_info::Window;
use crate::policy::sentence::Sentence;
use crate::shared::listeners::{Kind, Listener, State};

/// As docs describe it; fields are only ever added.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub(super) version: &'static str,
    pub(super) pid: u32,
    #[serde(serialize_with = "when::serialize")]
    pub(super) started_at: OffsetDateTime,
    #[serde(serialize_with = "word")]
    pub(super) state: Word,
    pub(super) certificate: Option<Facts>,
    #[serde(serialize_with = "when::serialize_option")]
    pub(super) next_renewal_at: Option<OffsetDateTime>,
    pub(super) failures: u32,
    pub(super) last_error: Option<String>,
    pub(super) last_error_words: Option<Sentence>,
    pub(super) last_error_class: Option<Class>,
    pub(super) local_ca_sha256: Option<String>,
    pub(super) listeners: Vec<Listener>,
    pub(super) xray: Vec<Entry>,
    pub(super) xray_note: Option<String>,
    pub(super) xray_note_words: Option<Sentence>,
    pub(super) renewal: Option<Renewal>,
    pub(super) life: Option<Life>,
    pub(super) open_alerts: Vec<OpenAlert>,
    pub(super) history: Vec<Renewed>,
    pub(super) troubles: Vec<Said>,
    pub(super) alerts: Alerts,
    #[serde(skip)]
    pub(super) renewals: u64,
    #[serde(skip)]
    pub(super) failed_renewals: BTreeMap<Class, u64>,
    #[serde(skip)]
    pub(super) now: OffsetDateTime,
}

/// What has yet to be told, and to whom.
#[derive(Debug, Serialize)]
pub(super) struct Alerts {
    /// Alerts that some channel has yet to hear.
    pub(super) pending: usize,
    pub(super) channels: Vec<Told>,
}

/// The moments of the certificate's life.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Life {
    #[serde(serialize_with = "when::serialize")]
    pub(super) issued_at: OffsetDateTime,
    /// The CA's window, when it is known.
    #[serde(serialize_with = "when::serialize_option")]
    pub(super) window_start: Option<OffsetDateTime>,
    #[serde(serialize_with = "when::serialize_option")]
    pub(super) window_end: Option<OffsetDateTime>,
    /// The next try.
    #[serde(serialize_with = "when::serialize_option")]
    pub(super) planned_at: Option<OffsetDateTime>,
    #[serde(serialize_with = "when::serialize")]
    pub(super) threshold_at: OffsetDateTime,
    #[serde(serialize_with = "when::serialize")]
    pub(super) critical_at: OffsetDateTime,
    #[serde(serialize_with = "when::serialize")]
    pub(super) expires_at: OffsetDateTime,
}

/// What the administrator was told, and is not over.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct OpenAlert {
    pub(super) alert: alert::Kind,
    pub(super) severity: &'static str,
    /// When it was told last.
    #[serde(serialize_with = "when::serialize")]
    pub(super) told_at: OffsetDateTime,
}

/// A renewal of the past.
#[derive(Debug, Serialize)]
pub(super) struct Renewed {
    #[serde(flatten)]
    pub(super) past: Past,
    error: Option<String>,
}

/// Something that is wrong besides the renewal.
#[derive(Debug, Serialize)]
pub(super) struct Said {
    pub(super) what: Trouble,
    pub(super) detail: String,
    pub(super) detail_words: Sentence,
}

impl Status {
    /// As things are now.
    pub(super) fn of(context: &Context, board: &Board, now: OffsetDateTime) -> Self {
        let listeners = Vec::clone(&context.listeners.load());
        let last_error = board.read_with(|notes| last_error(notes, &listeners));
        board.read_with(move |notes| Self {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            started_at: context.started_at,
            state: match (&context.config.ip_cert, &notes.lifecycle) {
                (None, _) => Word::Disabled,
                (Some(_), Some(lifecycle)) => lifecycle.word(now),
                (Some(_), None) => Word::Renewing, // the store is being read
            },
            certificate: notes.certificate.clone(),
            next_renewal_at: notes.lifecycle.as_ref().and_then(Lifecycle::next_renewal_at),
            failures: notes.lifecycle.as_ref().map_or(0, Lifecycle::failures),
            last_error_class: last_error_class(notes, last_error.as_ref()),
            last_error: last_error.as_ref().map(ToString::to_string),
            last_error_words: last_error,
            local_ca_sha256: notes.local_ca_sha256.clone(),
            xray: entries(notes),
            xray_note: notes.xray_note.as_ref().map(ToString::to_string),
            xray_note_words: notes.xray_note.clone(),
            renewal: notes.renewal.clone(),
            life: notes.lifecycle.as_ref().and_then(Lifecycle::milestones).map(Life::of),
            open_alerts: OpenAlert::all(notes),
            history: notes.history.newest_first().map(Renewed::of).collect(),
            troubles: notes
                .troubles
                .iter()
                .map(|(what, words)| Said {
                    what: *what,
                    detail: words.to_string(),
                    detail_words: words.clone(),
                })
                .collect(),
            alerts: Alerts {
                pending: notes.channels.iter().map(|told| told.pending).max().unwrap_or(0),
                channels: notes.channels.clone(),
            },
            renewals: notes.renewals,
            failed_renewals: notes.failures.clone(),
            now,
            listeners,
        })
    }
}

impl Renewed {
    pub(super) fn of(past: &Past) -> Self {
        Self { error: past.error.as_ref().map(ToString::to_string), past: past.clone() }
    }
}

impl Life {
    fn of(life: Milestones) -> Self {
        Self {
            issued_at: life.issued,
            window_start: life.window.map(Window::start),
            window_end: life.window.map(Window::end),
            planned_at: life.planned,
            threshold_at: life.threshold,
            critical_at: life.critical,
            expires_at: life.expiry,
        }
    }
}

impl OpenAlert {
    fn all(notes: &Notes) -> Vec<Self> {
        let told = notes.told().into_iter().flat_map(Open::told);
        let of_xray = notes.xray_told_at.map(|at| (alert::Kind::XrayStale, at));
        told.chain(of_xray)
            .map(|(alert, told_at)| Self {
                alert,
                severity: match alert.severity() {
                    Severity::Info => "info",
                    Severity::Warning => "warning",
                    Severity::Error => "error",
                    Severity::Critical => "critical",
                },
                told_at,
            })
            .collect()
    }
}

/// Whether anybody is served, and what is missing.
pub(super) fn readiness(listeners: &[Listener]) -> (bool, Vec<String>) {
    let ready = [Kind::Http, Kind::Https, Kind::Forward].into_iter().all(|kind| {
        let mut of_this_kind = listeners.iter().filter(|listener| listener.kind == kind).peekable();
        of_this_kind.peek().is_none() || of_this_kind.any(|listener| listener.state == State::Listening)
    });
    let mut reasons: Vec<_> =
        waiting(listeners).map(|address| format!("{address} is not ours yet")).collect();
    if listeners.is_empty() {
        reasons.push("no port is claimed yet".to_owned());
    }
    (ready && !listeners.is_empty(), reasons)
}

/// What Xray's inbounds present; nothing, while they have yet to be compared with the certificate of the moment.
fn entries(notes: &Notes) -> Vec<Entry> {
    let newest = notes.certificate.as_ref().map(|facts| facts.fingerprint_sha256.as_str());
    let mut entries = notes.xray.clone();
    for entry in entries.iter_mut().filter(|entry| Some(entry.compared_with.as_str()) != newest) {
        entry.serves = Serves::Unknown;
        entry.detail_words =
            Sentence::new("there is a new certificate; it is about to be looked at", "有了新证书，即将查看");
        entry.detail = entry.detail_words.to_string();
    }
    entries
}

/// What the last try said; else why none is made.
fn last_error(notes: &Notes, listeners: &[Listener]) -> Option<Sentence> {
    let lifecycle = notes.lifecycle.as_ref();
    let blocked = lifecycle.map(Lifecycle::activity).and_then(|activity| match activity {
        Activity::Blocked { by: Obstacle::Port } => {
            let missing = listeners.iter().filter(|it| it.state == State::Waiting).map(why);
            Some(match missing.reduce(|told, one| told.and(&one)) {
                None => Sentence::new(
                    "no order is made: [http] has no listener that the CA could reach",
                    "不会申请证书：[http] 没有 CA 能访问到的监听地址",
                ),
                Some(missing) => Sentence::new(
                    format!("no order is made: {missing}"),
                    format!("不会申请证书：{}", missing.in_language(Language::Chinese)),
                ),
            })
        }
        Activity::Blocked { by: Obstacle::Governor { until } } => Some(Sentence::new(
            format!("four certificates were issued lately, so no order is made before {}", when::text(until)),
            format!("近期已签发四张证书，在 {} 之前不会再申请", when::text(until)),
        )),
        Activity::Blocked { by: Obstacle::Refusal { .. } }
        | Activity::Waiting { .. }
        | Activity::Renewing { .. }
        | Activity::BackingOff { .. } => None,
    });
    blocked.or_else(|| lifecycle?.last_error().cloned()).or_else(|| notes.troubles.values().next().cloned())
}

/// Where to look, if it is a failed try that is said, and not what stands in the way of the next.
fn last_error_class(notes: &Notes, said: Option<&Sentence>) -> Option<Class> {
    let lifecycle = notes.lifecycle.as_ref()?;
    lifecycle.last_error_class().filter(|_| lifecycle.last_error() == said)
}

/// Why a listener is not ours, and what to do.
fn why(listener: &Listener) -> Sentence {
    let address = listener.address;
    match (&listener.holder, &listener.detail_words) {
        (Some(holder), _) => {
            let who = holder.in_words();
            let held = Sentence::new(
                format!("{address} is held by {who}"),
                format!("{address} 被 {} 占用", who.in_language(Language::Chinese)),
            );
            held.and(&holder.remedy(address.port()))
        }
        (None, Some(detail)) => Sentence::new(
            format!("{address} is not ours: {detail}"),
            format!("未能取得 {address}：{}", detail.in_language(Language::Chinese)),
        ),
        (None, None) => Sentence::new(format!("{address} is not ours yet"), format!("尚未取得 {address}")),
    }
}

fn waiting(listeners: &[Listener]) -> impl Iterator<Item = String> + '_ {
    listeners
        .iter()
        .filter(|listener| listener.state == State::Waiting)
        .map(|listener| listener.address.to_string())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn word<S: serde::Serializer>(word: &Word, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(word.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(kind: Kind, state: State) -> Listener {
        Listener {
            address: "127.0.0.1:80".parse().unwrap(),
            kind,
            state,
            detail: None,
            detail_words: None,
            holder: None,
            joined: None,
            remedy: None,
            remedy_words: None,
        }
    }

    #[test]
    fn ready_is_one_listener_of_each_kind_that_is_configured() {
        let (up, down) = (State::Listening, State::Waiting);
        let ready = |listeners: &[Listener]| readiness(listeners).0;
        assert!(!ready(&[]));
        assert!(ready(&[listener(Kind::Http, up), listener(Kind::Http, down)]));
        assert!(!ready(&[listener(Kind::Http, down), listener(Kind::Https, up)]));
        let (_, reasons) = readiness(&[listener(Kind::Http, down)]);
        assert_eq!(reasons, ["127.0.0.1:80 is not ours yet"]);
    }
}
