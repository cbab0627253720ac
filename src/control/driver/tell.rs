//! What the administrator is told: into the log, and to everybody who is configured.

use time::OffsetDateTime;
use tracing::{error, info, warn};

use super::{Driver, work};
use crate::policy::alert::{Alert, Kind, Notice, Severity};
use crate::policy::lifecycle::{Doors, Event};
use crate::policy::sentence::Sentence;
use crate::shared::clock;

impl Driver {
    /// Who is at our ports is told whether or not a certificate is kept.
    pub(super) async fn see(&mut self, doors: Doors) {
        let now = clock::now();
        let actions = self.board.write(|notes| Some(notes.watch.as_mut()?.see(now, &doors)));
        if let Some(actions) = actions {
            self.act(now, actions).await;
        } else {
            self.tell(Event::Doors(doors)).await;
        }
    }

    pub(super) fn alert(&self, now: OffsetDateTime, alert: Alert) {
        let mut notice = self.board.read_with(|notes| {
            let lifecycle = notes.lifecycle.as_ref();
            lifecycle.map_or_else(|| Notice::bare(alert, now), |it| it.notice(now, alert))
        });
        if matches!(alert.kind, Kind::PortTaken | Kind::PortMissing) {
            notice.detail = Some(work::why_not_ours(&self.context));
        }
        log_alert(&notice);
        self.notifier.put(notice);
    }
}

fn log_alert(notice: &Notice) {
    let (alert, last_error, detail) = (
        notice.alert,
        notice.error.as_ref().map(Sentence::english),
        notice.detail.as_ref().map(Sentence::english),
    );
    let (kind, edge, sentence) = (alert.kind.as_str(), alert.edge, alert.kind.sentence());
    if alert.kind == Kind::Renewed {
        return; // the log has it already
    }
    match alert.kind.severity() {
        Severity::Critical | Severity::Error => {
            error!(alert = kind, ?edge, last_error, detail, "{sentence}");
        }
        Severity::Warning => warn!(alert = kind, ?edge, last_error, detail, "{sentence}"),
        Severity::Info => info!(alert = kind, "{sentence}"),
    }
}
