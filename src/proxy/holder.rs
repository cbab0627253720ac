//! Who has a port that we want.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use procfs::net::{TcpNetEntry, TcpState, tcp, tcp6};
use procfs::process::{FDTarget, Process, all_processes};

use crate::shared::listeners::Holder;

/// The program that listens on `address`, as far as it may be known: another user's processes show their sockets to root
/// only. `None` when nobody listens there.
pub(super) fn of(address: SocketAddr) -> Option<Holder> {
    let sockets = sockets(address);
    if sockets.is_empty() {
        return None;
    }
    let unknown = Holder { pid: None, program: None, unit: None };
    let Ok(mut processes) = all_processes() else {
        return Some(unknown);
    };
    let holder = processes.find_map(|process| process.ok().filter(|process| has_one_of(process, &sockets)));
    Some(holder.map_or(unknown, |process| Holder {
        pid: Some(process.pid()),
        program: process.stat().ok().map(|stat| stat.comm),
        unit: unit(&process),
    }))
}

/// The inodes of the sockets that listen where `address` would.
fn sockets(address: SocketAddr) -> HashSet<u64> {
    // One of the tables is missing where the kernel lacks that family.
    let entries = tcp().unwrap_or_default().into_iter().chain(tcp6().unwrap_or_default());
    entries
        .filter(|entry| entry.state == TcpState::Listen && is_in_the_way(entry, address))
        .map(|entry| entry.inode)
        .collect()
}

/// A wildcard is in everybody's way; an IPv6 wildcard may take IPv4 too.
fn is_in_the_way(entry: &TcpNetEntry, address: SocketAddr) -> bool {
    let (theirs, ours) = (entry.local_address.ip(), address.ip());
    let comparable = match (theirs, ours) {
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_) | IpAddr::V4(_)) => true,
        (IpAddr::V4(_), IpAddr::V6(_)) => false,
    };
    let same = theirs.to_canonical() == ours.to_canonical();
    entry.local_address.port() == address.port()
        && comparable
        && (same || theirs.is_unspecified() || ours.is_unspecified())
}

fn has_one_of(process: &Process, sockets: &HashSet<u64>) -> bool {
    let Ok(descriptors) = process.fd() else {
        return false; // not ours to look at
    };
    descriptors
        .flatten()
        .any(|descriptor| matches!(descriptor.target, FDTarget::Socket(inode) if sockets.contains(&inode)))
}

/// The systemd unit, from the control group's name.
fn unit(process: &Process) -> Option<String> {
    let groups = process.cgroups().ok()?;
    groups.into_iter().find_map(|group| {
        let name =
            group.pathname.rsplit('/').find(|name| name.ends_with(".service") || name.ends_with(".scope"))?;
        Some(name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_holder_of_a_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let holder = of(address).unwrap();
        assert_eq!(holder.pid, Some(i32::try_from(std::process::id()).unwrap()));
        assert!(holder.program.is_some());
        let wildcard = SocketAddr::new("0.0.0.0".parse().unwrap(), address.port());
        assert_eq!(of(wildcard), Some(holder));
        drop(listener);
        assert_eq!(of(address), None);
    }
}
