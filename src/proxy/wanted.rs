//! A port that should be ours: claimed once, held for good, and looked at now and then.

use std::collections::HashSet;
use std::net::SocketAddr;

use tracing::{error, info, warn};

use super::listen::{self, ClaimError, Claimed};
use super::tls::Terminator;
use super::worker::Assignment;
use super::{Worker, upstreams};
use crate::config::Config;
use crate::machine::holder;
use crate::machine::sockets::{self, Listening};
use crate::policy::sentence::Sentence;
use crate::shared::listeners::{Holder, Kind, Listener, State};

/// A port that should be ours, and what it serves.
pub(super) struct Wanted {
    address: SocketAddr,
    kind: Kind,
    tls: Option<Terminator>,
    upstream: usize,
    redirect: bool,
    standing: Standing,
}

/// How it stands.
enum Standing {
    /// Not ours, for the reason that the last try found.
    Waiting { detail: Option<Sentence>, by: Others },
    /// Ours, with these sockets, and who else listens there.
    Ours { inodes: HashSet<u64>, beside: Others },
}

/// Sockets of others, and whose they are. Looked up again only when the sockets are others.
#[derive(Default)]
struct Others {
    sockets: Vec<Listening>,
    holder: Option<Holder>,
}

impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Wanted {
    /// Everything that the configuration wants.
    pub(super) fn all(config: &Config, terminator: &Terminator) -> Vec<Self> {
        let http = config.http.listen.iter().map(|address| (*address, Kind::Http, false, upstreams::PANEL));
        let https = config.https.listen.iter().map(|address| (*address, Kind::Https, true, upstreams::PANEL));
        let forwards = config.forwards.iter().enumerate().flat_map(|(index, forward)| {
            let upstream = upstreams::of_forward(index);
            forward.listen.iter().map(move |address| (*address, Kind::Forward, forward.tls, upstream))
        });
        http.chain(https)
            .chain(forwards)
            .map(|(address, kind, tls, upstream)| Self {
                address,
                kind,
                tls: tls.then(|| terminator.clone()),
                upstream,
                redirect: kind == Kind::Http && config.http.redirect_to_https,
                standing: Standing::Waiting { detail: None, by: Others::default() },
            })
            .collect()
    }

    pub(super) fn is_ours(&self) -> bool {
        matches!(self.standing, Standing::Ours { .. })
    }

    /// Tries to make it ours.
    pub(super) fn claim(&mut self, workers: &[Worker]) {
        match listen::claim(self.address, workers.len()) {
            Ok(claimed) => self.won(claimed, workers),
            Err(error) => self.missed(&error),
        }
    }

    /// Sees whether another program listens there too.
    pub(super) fn look(&mut self) {
        let address = self.address;
        let Standing::Ours { inodes, beside } = &mut self.standing else {
            return;
        };
        if !beside.update(listen::strangers(address, inodes)) {
            return;
        }
        match &beside.holder {
            Some(holder) => warn!(
                %address,
                pid = holder.pid,
                program = holder.program,
                command = holder.command,
                unit = holder.unit,
                user = holder.user,
                remedy = %holder.remedy(address.port()),
                "another program listens on a port of ours too"
            ),
            None => info!(%address, "no other program listens on this port any more"),
        }
    }

    /// As it is told to others.
    pub(super) fn listener(&self) -> Listener {
        let (state, detail, holder, joined) = match &self.standing {
            Standing::Waiting { detail, by } => (State::Waiting, detail.clone(), by.holder.clone(), None),
            Standing::Ours { beside, .. } => (State::Listening, None, None, beside.holder.clone()),
        };
        let remedy = holder.as_ref().or(joined.as_ref()).map(|other| other.remedy(self.address.port()));
        Listener {
            address: self.address,
            kind: self.kind,
            state,
            detail: detail.as_ref().map(ToString::to_string),
            detail_words: detail,
            holder,
            joined,
            remedy: remedy.as_ref().map(ToString::to_string),
            remedy_words: remedy,
        }
    }

    fn won(&mut self, claimed: Claimed, workers: &[Worker]) {
        self.address = claimed.address;
        info!(address = %self.address, kind = ?self.kind, "listening");
        if let Some(error) = claimed.unsteered {
            warn!(
                address = %self.address,
                %error,
                "the kernel does not let us steer connections: a program of our own user that joins would get some"
            );
        }
        for (socket, worker) in claimed.sockets.into_iter().zip(workers) {
            let assignment = Assignment {
                socket,
                tls: self.tls.clone(),
                upstream: self.upstream,
                redirect: self.redirect,
            };
            if worker.assignments.send(assignment).is_err() {
                error!("a worker is gone"); // `hold` ends the process
            }
        }
        self.standing = Standing::Ours { inodes: claimed.inodes, beside: Others::default() };
    }

    /// Finds out who has it, and says it when that is news.
    fn missed(&mut self, error: &ClaimError) {
        let Standing::Waiting { detail, by } = &mut self.standing else {
            return;
        };
        let sockets = match error {
            ClaimError::Taken => {
                let all = sockets::listening().unwrap_or_default();
                sockets::in_the_way(&all, self.address).into_iter().copied().collect()
            }
            ClaimError::Lingering
            | ClaimError::NotAllowed
            | ClaimError::NotHere
            | ClaimError::Bind(_)
            | ClaimError::Group(_) => Vec::new(),
        };
        let another = by.update(sockets);
        let said = detail.replace(error.in_words());
        if !another && said == *detail {
            return;
        }
        let holder = by.holder.as_ref();
        warn!(
            address = %self.address,
            %error,
            pid = holder.and_then(|holder| holder.pid),
            program = holder.and_then(|holder| holder.program.as_deref()),
            command = holder.and_then(|holder| holder.command.as_deref()),
            unit = holder.and_then(|holder| holder.unit.as_deref()),
            user = holder.and_then(|holder| holder.user.as_deref()),
            remedy = holder.map(|holder| holder.remedy(self.address.port()).to_string()),
            "this port is not ours yet; trying again until it is"
        );
    }
}

impl Others {
    /// Takes in what is seen now; whether it is something else than before.
    fn update(&mut self, mut sockets: Vec<Listening>) -> bool {
        sockets.sort_unstable();
        if sockets == self.sockets {
            return false;
        }
        self.holder = holder::of_sockets(&sockets);
        self.sockets = sockets;
        true
    }
}
