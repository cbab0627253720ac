//! Claiming a port: for all workers at once, and for good.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Why a port is not ours.
#[derive(Debug, Error)]
pub(super) enum ClaimError {
    /// Another program listens there.
    #[error("another program has it")]
    Taken,
    /// Ports below 1024 need a privilege.
    #[error("not allowed; run as root or give the service CAP_NET_BIND_SERVICE")]
    NotAllowed,
    /// The machine has no such address.
    #[error("this machine does not have that address")]
    NotHere,
    /// Something else.
    #[error("it cannot be bound")]
    Bind(#[source] io::Error),
}

impl From<io::Error> for ClaimError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::AddrInUse {
            Self::Taken
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            Self::NotAllowed
        } else if error.kind() == io::ErrorKind::AddrNotAvailable {
            Self::NotHere
        } else {
            Self::Bind(error)
        }
    }
}

/// One listening socket a worker, all on `address` and in one SO_REUSEPORT group.
///
/// A program that listens there, in whatever way, is noticed first: an exclusive bind fails on it, where ours with
/// SO_REUSEPORT might silently share the port with it.
pub(super) fn claim(address: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, ClaimError> {
    if address.port() != 0 {
        let probe = socket(address)?;
        probe.bind(&address.into())?;
    }
    let first = member(address)?;
    let address = first.local_addr()?.as_socket().unwrap_or(address);
    let mut group = vec![first];
    for _ in 1..workers {
        group.push(member(address)?);
    }
    group
        .into_iter()
        .map(|socket| {
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        })
        .collect()
}

/// A bound member of the group. Without SO_REUSEADDR a port with connections in TIME_WAIT would look taken.
fn member(address: SocketAddr) -> io::Result<Socket> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?; // IPv4 and IPv6 are claimed each for itself
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &str = "127.0.0.1:0";

    #[test]
    fn a_free_port_is_claimed_by_as_many_sockets_as_there_are_workers() {
        let group = claim(LOOPBACK.parse().unwrap(), 3).unwrap();
        let address = group[0].local_addr().unwrap();
        assert_eq!(group.len(), 3);
        assert!(group.iter().all(|member| member.local_addr().unwrap() == address));
        drop(group);
        assert_eq!(claim(address, 2).unwrap().len(), 2, "it is free again at once");
    }

    #[test]
    fn a_port_that_another_listens_on_is_taken_even_if_it_would_share() {
        let exclusive = TcpListener::bind(LOOPBACK).unwrap();
        let address = exclusive.local_addr().unwrap();
        assert!(matches!(claim(address, 2), Err(ClaimError::Taken)));
        let sharing = claim(LOOPBACK.parse().unwrap(), 1).unwrap();
        let address = sharing[0].local_addr().unwrap();
        assert!(matches!(claim(address, 1), Err(ClaimError::Taken)));
    }

    #[test]
    fn both_families_are_claimed_each_for_itself() {
        let v4 = claim("0.0.0.0:0".parse().unwrap(), 1).unwrap();
        let port = v4[0].local_addr().unwrap().port();
        let v6 = claim(SocketAddr::new("::".parse().unwrap(), port), 1).unwrap();
        assert_eq!(v6[0].local_addr().unwrap().port(), port);
    }

    #[test]
    fn an_address_of_another_machine_is_said_to_be_that() {
        assert!(matches!(claim("192.0.2.1:0".parse().unwrap(), 1), Err(ClaimError::NotHere)));
    }
}
