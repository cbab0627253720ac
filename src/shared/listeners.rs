//! Which ports are ours: the data plane says it, status and the renewal read it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::Guard;
use serde::Serialize;
use tokio::sync::Notify;

use super::cell::{self, Reader, Writer};
use crate::policy::occupant::Occupant;
use crate::policy::sentence::Sentence;

/// An empty list.
#[must_use]
pub fn board() -> (Teller, Listeners) {
    let (writer, reader) = cell::cell(Vec::new());
    let changed = Arc::new(Notify::new());
    (Teller { writer, changed: Arc::clone(&changed) }, Listeners { reader, changed })
}

/// The data plane's side.
#[derive(Debug)]
pub struct Teller {
    writer: Writer<Vec<Listener>>,
    changed: Arc<Notify>,
}

impl Teller {
    /// Tells how it is now.
    pub fn publish(&self, listeners: Vec<Listener>) {
        self.writer.publish(listeners);
        self.changed.notify_one();
    }

    /// What was told last.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Vec<Listener>>> {
        self.writer.load()
    }
}

/// The control plane's side.
#[derive(Clone, Debug)]
pub struct Listeners {
    reader: Reader<Vec<Listener>>,
    changed: Arc<Notify>,
}

impl Listeners {
    /// As it is now.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Vec<Listener>>> {
        self.reader.load()
    }

    /// Waits until something was told since the last wait. Only one may wait.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// One listener, as `status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listener {
    /// The address bound, with the real port where 0 was configured.
    pub address: SocketAddr,
    /// What it serves.
    pub kind: Kind,
    /// Whether it is ours.
    pub state: State,
    /// Why it is not ours.
    pub detail: Option<String>,
    /// The same in each language.
    pub detail_words: Option<Sentence>,
    /// Who has the port while it is not ours; what of it may be known.
    pub holder: Option<Holder>,
    /// Who else listens there while it is ours.
    pub joined: Option<Holder>,
    /// What to do about whoever that is.
    pub remedy: Option<String>,
    /// The same in each language.
    pub remedy_words: Option<Sentence>,
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Plain HTTP: challenges and the panel.
    Http,
    /// HTTPS with the managed certificate.
    Https,
    /// A `[[forward]]`.
    Forward,
}

/// Whether a listener is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Bound and accepting.
    Listening,
    /// Not ours, for whatever reason; we go on trying.
    Waiting,
}

/// A program that has a port of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Process id.
    pub pid: Option<i32>,
    /// Program name.
    pub program: Option<String>,
    /// The paths of the program and of the script that it runs; never what follows them on its command line.
    pub command: Option<String>,
    /// systemd unit.
    pub unit: Option<String>,
    /// Whose it is: known even where the program is not.
    pub user: Option<String>,
    /// What it is.
    pub kind: Occupant,
}

impl Holder {
    /// What to do, so that `port` becomes ours.
    #[must_use]
    pub fn remedy(&self, port: u16) -> Sentence {
        self.kind.remedy(self.unit.as_deref(), port)
    }

    /// Who it is, in each language.
    #[must_use]
    pub fn in_words(&self) -> Sentence {
        let pid = self.pid.map(|pid| format!("pid {pid}"));
        let known = |user: Option<String>| [pid.clone(), self.unit.clone(), user].into_iter().flatten();
        let english: Vec<_> = known(self.user.as_ref().map(|user| format!("of {user}"))).collect();
        let chinese: Vec<_> = known(self.user.as_ref().map(|user| format!("用户 {user}"))).collect();
        let program = self.program.as_deref();
        let (mut en, mut zh_cn) =
            (program.unwrap_or("a program").to_owned(), program.unwrap_or("某个程序").to_owned());
        if !english.is_empty() {
            en.push_str(&format!(" ({})", english.join(", ")));
            zh_cn.push_str(&format!("（{}）", chinese.join("，")));
        }
        Sentence::new(en, zh_cn)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.in_words().fmt(f)
    }
}
