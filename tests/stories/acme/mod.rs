//! The certificate's life with a real CA, Pebble, from the first order to a CA that is gone.

mod accounts;
mod debians_pebble;
mod faults;
mod issuing;
pub(crate) mod life;
mod limits;
mod refusals;
mod rehearsal;
mod restarts;
mod swap;
mod tls_alpn;
mod window;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinHandle;

use crate::support::client::get;
use crate::support::doorman::Settings;
use crate::support::pebble::Pebble;
use crate::support::until;
use crate::support::upstream::Upstream;

/// An order with Pebble takes two or three seconds; a busy machine may need more.
const ORDER: Duration = Duration::from_secs(30);

fn with_certificate(panel: &Upstream, pebble: &Pebble, port: u16) -> Settings {
    Settings::panel(panel.url()).certificate(pebble, &["127.0.0.1"]).set(
        "http",
        "listen",
        vec![format!("127.0.0.1:{port}")],
    )
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A time as `status` says it; long ago if it says none.
fn moment(value: &Value) -> OffsetDateTime {
    value.as_str().map_or(OffsetDateTime::UNIX_EPOCH, |text| OffsetDateTime::parse(text, &Rfc3339).unwrap())
}

/// As many visits at least.
const OFTEN: usize = 50;

/// Someone who asks for the panel's page again and again, each time anew.
struct Visitor {
    ended: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Visitor {
    fn of(http: SocketAddr) -> Self {
        let (ended, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (end, count) = (Arc::clone(&ended), Arc::clone(&answered));
        let task = tokio::spawn(async move {
            while !end.load(Ordering::Relaxed) {
                let answer = get(http, "/page").await;
                assert_eq!((answer.status(), answer.text()), (200, "the panel: GET /page HTTP/1.1"));
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await; // the pace, not a wait
            }
        });
        Self { ended, answered, task }
    }

    /// Waits until there were enough visits, in a story that may be over before.
    async fn has_come_often(&self) {
        until("enough visits", ORDER, async || {
            let often = self.answered.load(Ordering::Relaxed) > OFTEN;
            (often || self.task.is_finished()).then_some(())
        })
        .await;
    }

    async fn was_always_answered(self) {
        self.ended.store(true, Ordering::Relaxed);
        self.task.await.expect("every visit was answered");
        let answered = self.answered.load(Ordering::Relaxed);
        assert!(answered > OFTEN, "only {answered} visits");
    }
}
