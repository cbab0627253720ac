//! Which ports are ours: the data plane says it, status and the renewal read it.

use std::net::SocketAddr;

use serde::Serialize;

/// One listener, as `status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listener {
    /// The address bound, with the real port where 0 was configured.
    pub address: SocketAddr,
    /// What it serves.
    pub kind: Kind,
    /// Whether it is ours.
    pub state: State,
    /// Who has the port while it is not ours; what of it may be known.
    pub holder: Option<Holder>,
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
    /// Another program has the port; we go on trying.
    Waiting,
}

/// Who holds a port that we want.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Process id.
    pub pid: Option<i32>,
    /// Program name.
    pub program: Option<String>,
    /// systemd unit.
    pub unit: Option<String>,
}
