//! Which process listens on a port, and what its user may read.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use procfs::process::{FDTarget, Process, all_processes};

use crate::machine::sockets::{self, Listening};

/// How the kernel shortens the names of the panels' builds.
const NAME: &str = "xray";

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) pid: i32,
    pub(super) program: String,
    /// With the pid it tells one process from the next.
    started: u64,
    uid: u32,
    groups: Vec<u32>,
}

/// Who is behind a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Behind {
    /// As far as they may be known.
    pub(super) owners: Vec<Owner>,
    /// How many listeners joined each other at one address.
    pub(super) joined: usize,
}

/// Who listens on these ports beside us, who may be steering their connections. Without root those of other users are
/// found by their name only.
pub(super) fn listening(ports: &[u16]) -> BTreeMap<u16, Behind> {
    let mut sockets: BTreeMap<u16, Vec<Listening>> = BTreeMap::new();
    let all = sockets::listening().unwrap_or_default();
    let ours = Process::myself().ok().and_then(|myself| inodes(&myself)).unwrap_or_default();
    let others = all.into_iter().filter(|socket| !ours.contains(&socket.inode));
    for socket in others.filter(|socket| ports.contains(&socket.address.port())) {
        sockets.entry(socket.address.port()).or_default().push(socket);
    }
    let mut found: BTreeMap<u16, Behind> = BTreeMap::new();
    let mut named = Vec::new();
    for process in all_processes().into_iter().flatten().flatten() {
        let Some(owner) = Owner::of(&process) else { continue };
        let Some(inodes) = inodes(&process) else {
            named.extend(owner.program.starts_with(NAME).then_some(owner));
            continue;
        };
        for (port, _) in sockets.iter().filter(|(_, its)| its.iter().any(|it| inodes.contains(&it.inode))) {
            found.entry(*port).or_default().owners.push(owner.clone());
        }
    }
    for (port, sockets) in &sockets {
        let behind = found.entry(*port).or_default();
        behind.joined = joined(sockets);
        if behind.owners.is_empty() {
            behind.owners = of_that_name(sockets, &named);
        }
    }
    found
}

/// The sockets of a process, if it shows them.
fn inodes(process: &Process) -> Option<HashSet<u64>> {
    let sockets = process.fd().ok()?.flatten().filter_map(|descriptor| {
        let FDTarget::Socket(inode) = descriptor.target else { return None };
        Some(inode)
    });
    Some(sockets.collect())
}

fn joined(sockets: &[Listening]) -> usize {
    let there = |socket: &Listening| sockets.iter().filter(|it| it.address == socket.address).count();
    sockets.iter().map(there).max().unwrap_or_default()
}

/// Who is behind these sockets of one port, of those that show nobody theirs: by the user, and only if there are no more
/// of them than may have joined each other at one address.
fn of_that_name(sockets: &[Listening], named: &[Owner]) -> Vec<Owner> {
    let candidates = named.iter().filter(|owner| sockets.iter().any(|socket| socket.uid == owner.uid));
    let owners: Vec<_> = candidates.cloned().collect();
    if owners.len() <= joined(sockets) { owners } else { Vec::new() }
}

impl Owner {
    fn of(process: &Process) -> Option<Self> {
        let (stat, status) = (process.stat().ok()?, process.status().ok()?);
        Some(Self {
            pid: stat.pid,
            program: stat.comm,
            started: stat.starttime,
            uid: status.euid,
            groups: status.groups.iter().copied().chain([status.egid]).collect(),
        })
    }

    /// What tells this process from one that is started later.
    pub(super) fn identity(&self) -> String {
        format!("{}:{}", self.pid, self.started)
    }

    /// Whether it may open this file; `None` if the file cannot be looked at.
    pub(super) fn may_read(&self, path: &Path) -> Option<bool> {
        let path = fs::canonicalize(path).ok()?;
        let mut allowed = self.may(&path, 4)?;
        for directory in path.ancestors().skip(1) {
            allowed &= self.may(directory, 1)?;
        }
        Some(allowed)
    }

    fn may(&self, path: &Path, wanted: u32) -> Option<bool> {
        if self.uid == 0 {
            return Some(true);
        }
        let there = fs::metadata(path).ok()?;
        let mode = there.permissions().mode();
        let bits = match (there.uid() == self.uid, self.groups.contains(&there.gid())) {
            (true, _) => mode >> 6,
            (false, true) => mode >> 3,
            (false, false) => mode,
        };
        Some(bits & wanted == wanted)
    }

    /// Whether SIGHUP would end it. Programs in Go, as Xray is, always catch it and then die of it unless they ask for
    /// it, which cannot be seen from outside; so they count as those that die.
    pub(super) fn dies_of_sighup(&self) -> bool {
        const SIGHUP: u64 = 1; // signal 1 is bit 0
        let status = Process::new(self.pid).and_then(|process| process.status());
        let handled = status.is_ok_and(|status| (status.sigcgt | status.sigign) & SIGHUP != 0);
        !handled || self.is_in_go()
    }

    fn is_in_go(&self) -> bool {
        const MARK: &[u8] = b"\xff Go buildinf:";
        let Ok(program) = fs::read(format!("/proc/{}/exe", self.pid)) else {
            return true; // what cannot be seen is not tried
        };
        program.windows(MARK.len()).any(|window| window == MARK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_of_ours_beside_those_of_xray_is_nobody_who_shares_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listening(&[listener.local_addr().unwrap().port()]), BTreeMap::new());
    }

    #[test]
    fn without_root_as_many_of_one_name_are_named_as_listeners_joined_each_other() {
        let socket =
            |address: &str, inode| Listening { address: address.parse().unwrap(), inode, uid: 7, waiting: 0 };
        let owner = |pid, uid| Owner { pid, program: "xray".into(), started: 1, uid, groups: Vec::new() };
        let (alone, two) = ([owner(1, 7)], [owner(1, 7), owner(2, 7), owner(3, 8)]);
        let one_listener = [socket("0.0.0.0:443", 1), socket("[::]:443", 2)];
        let joined = [socket("0.0.0.0:443", 1), socket("0.0.0.0:443", 2)];
        assert_eq!(of_that_name(&one_listener, &alone), alone);
        assert_eq!(of_that_name(&joined, &alone), alone, "both may be its own");
        assert_eq!(of_that_name(&one_listener, &two), [], "it is one of them, and nobody knows which");
        assert_eq!(of_that_name(&joined, &two), two[..2]);
        assert_eq!(of_that_name(&joined, &[]), []);
    }
}
