//! Claiming a port: for all workers at once, and for good.

use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, TcpListener};

use rustix::fs::fstat;
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use super::steer;
use crate::machine::sockets;
use crate::machine::words::foreign;
use crate::policy::sentence::Sentence;

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Why a port is not ours.
#[derive(Debug, Error)]
pub(super) enum ClaimError {
    /// Another program listens there.
    #[error("another program has it")]
    Taken,
    /// Nobody does, and yet it cannot be had: the program before took no SO_REUSEADDR, and its last connections are in
    /// TIME_WAIT; or another has bound it without listening.
    #[error(
        "nobody listens there, but the kernel keeps it for connections that have ended, for a minute at most"
    )]
    Lingering,
    /// Ports below 1024 need a privilege.
    #[error("not allowed; run as root or give the service CAP_NET_BIND_SERVICE")]
    NotAllowed,
    /// The machine has no such address.
    #[error("this machine does not have that address")]
    NotHere,
    /// Something else.
    #[error("it cannot be bound: {0}")]
    Bind(#[source] io::Error),
    /// It was free, and the other workers got no socket there.
    #[error("it cannot be shared among the workers: {0}")]
    Group(#[source] io::Error),
}

impl ClaimError {
    /// In each language.
    pub(super) fn in_words(&self) -> Sentence {
        let chinese = match self {
            Self::Taken => "被另一个程序占用".to_owned(),
            Self::Lingering => "没有程序在监听，但内核仍为已结束的连接保留着它，最多一分钟".to_owned(),
            Self::NotAllowed => "没有权限：请以 root 运行，或为服务授予 CAP_NET_BIND_SERVICE".to_owned(),
            Self::NotHere => "本机没有该地址".to_owned(),
            Self::Bind(error) => format!("无法绑定：{}", foreign(error)),
            Self::Group(error) => format!("无法由各工作线程共享：{}", foreign(error)),
        };
        Sentence::new(self.to_string(), chinese)
    }
}

/// A port that is ours.
#[derive(Debug)]
pub(super) struct Claimed {
    /// One for each worker.
    pub(super) sockets: Vec<TcpListener>,
    /// Where; the kernel chose the port if it was 0.
    pub(super) address: SocketAddr,
    /// By which the kernel's tables name our sockets.
    pub(super) inodes: HashSet<u64>,
    /// Why the kernel does not keep connections from who joins later, if it does not.
    pub(super) unsteered: Option<io::Error>,
}

/// One listening socket a worker, all on `address` and in one SO_REUSEPORT group.
///
/// The first one binds and listens without SO_REUSEPORT, so whoever listens there, in whatever way, makes it fail, and
/// nobody can come between: from then on the port is ours. Only then is it opened for the others, whose place in the
/// group is their turn. Who slips in between these few calls would have such a place, so the group is looked at when it
/// is complete and steered, and given up if it is not ours alone; nothing has been served by it. With one worker it is
/// never opened, and nobody can join.
pub(super) fn claim(address: SocketAddr, workers: usize) -> Result<Claimed, ClaimError> {
    let first = socket(address).map_err(ClaimError::Bind)?;
    bound(&first, address).map_err(|error| not_ours(error, address))?;
    let address = first.local_addr().map_err(ClaimError::Bind)?.as_socket().unwrap_or(address);
    let (group, unsteered) = group(first, address, workers).map_err(ClaimError::Group)?;
    let inodes = group.iter().map(|member| Ok(fstat(member)?.st_ino)).collect::<io::Result<_>>();
    let inodes = inodes.map_err(ClaimError::Group)?;
    if !strangers(address, &inodes).is_empty() {
        return Err(ClaimError::Taken);
    }
    Ok(Claimed { sockets: group.into_iter().map(Into::into).collect(), address, inodes, unsteered })
}

/// Opens the port for the other workers' sockets, and has the kernel choose among ours.
fn group(first: Socket, address: SocketAddr, workers: usize) -> io::Result<(Vec<Socket>, Option<io::Error>)> {
    let mut group = vec![first];
    if workers <= 1 {
        return Ok((group, None));
    }
    group[0].set_reuse_port(true)?;
    for _ in 1..workers {
        let member = socket(address)?;
        member.set_reuse_port(true)?;
        bound(&member, address)?;
        group.push(member);
    }
    let unsteered = steer::to_the_first(workers, &group[0]).err();
    Ok((group, unsteered))
}

/// Sockets that listen where `address` does and are not among `ours`: they were put there by a program of our own user,
/// for the kernel lets no other join.
pub(super) fn strangers(address: SocketAddr, ours: &HashSet<u64>) -> Vec<sockets::Listening> {
    let all = sockets::listening().unwrap_or_default(); // without the tables nothing can be seen
    all.into_iter()
        .filter(|socket| sockets::overlaps(socket.address, address) && !ours.contains(&socket.inode))
        .collect()
}

fn bound(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)
}

/// Why a bind failed; whether somebody is there, or only seems to be.
fn not_ours(error: io::Error, address: SocketAddr) -> ClaimError {
    if error.kind() == io::ErrorKind::AddrInUse {
        let seen = sockets::listening();
        let nobody = seen.is_ok_and(|all| sockets::in_the_way(&all, address).is_empty());
        if nobody { ClaimError::Lingering } else { ClaimError::Taken }
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        ClaimError::NotAllowed
    } else if error.kind() == io::ErrorKind::AddrNotAvailable {
        ClaimError::NotHere
    } else {
        ClaimError::Bind(error)
    }
}

/// Without SO_REUSEADDR a port with connections in TIME_WAIT would look taken. Its connections have TCP_NODELAY from it.
fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    let _ = socket.set_tcp_nodelay(true); // a socket that cannot be told so still works
    if address.is_ipv6() {
        socket.set_only_v6(true)?; // IPv4 and IPv6 are claimed each for itself
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;

    use super::*;

    const LOOPBACK: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

    #[test]
    fn a_free_port_is_claimed_by_as_many_sockets_as_there_are_workers() {
        for loopback in LOOPBACK {
            let claimed = claim(loopback.parse().unwrap(), 3).unwrap();
            let address = claimed.address;
            assert_eq!((claimed.sockets.len(), claimed.inodes.len()), (3, 3));
            assert!(claimed.sockets.iter().all(|member| member.local_addr().unwrap() == address));
            drop(claimed);
            assert_eq!(claim(address, 2).unwrap().sockets.len(), 2, "it is free again at once");
        }
    }

    #[test]
    fn a_port_that_another_listens_on_is_taken_even_if_it_would_share() {
        let exclusive = TcpListener::bind(LOOPBACK[0]).unwrap();
        assert!(matches!(claim(exclusive.local_addr().unwrap(), 2), Err(ClaimError::Taken)));
        let sharing = claim(LOOPBACK[0].parse().unwrap(), 2).unwrap();
        for workers in [1, 2] {
            assert!(matches!(claim(sharing.address, workers), Err(ClaimError::Taken)));
        }
    }

    #[test]
    fn a_port_with_connections_in_time_wait_is_free() {
        for loopback in LOOPBACK {
            let before = claim(loopback.parse().unwrap(), 1).unwrap();
            wind_up(&before.sockets[0]);
            let address = before.address;
            drop(before);
            assert!(in_time_wait(address) > 0, "the story needs one");
            assert_eq!(claim(address, 2).unwrap().address, address);
        }
    }

    #[test]
    fn a_port_that_only_the_kernel_keeps_is_not_called_taken() {
        let before = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap(); // without SO_REUSEADDR
        bound(&before, LOOPBACK[0].parse().unwrap()).unwrap();
        let before = TcpListener::from(before);
        wind_up(&before);
        let address = before.local_addr().unwrap();
        drop(before);
        assert!(in_time_wait(address) > 0, "the story needs one");
        assert!(matches!(claim(address, 2), Err(ClaimError::Lingering)));
    }

    #[test]
    fn who_joins_later_gets_no_connection_and_is_seen() {
        for loopback in LOOPBACK {
            let ours = claim(loopback.parse().unwrap(), 2).unwrap();
            assert!(ours.unsteered.is_none(), "{:?}", ours.unsteered);
            assert_eq!(strangers(ours.address, &ours.inodes), []);
            let joiner = join(ours.address).unwrap();
            assert_eq!(strangers(ours.address, &ours.inodes).len(), 1);

            let clients: Vec<_> = (0..120).map(|_| TcpStream::connect(ours.address).unwrap()).collect();

            let shares: Vec<_> = ours.sockets.iter().map(accepted).collect();
            assert_eq!(shares.iter().sum::<usize>(), clients.len(), "{shares:?}");
            assert!(shares.iter().all(|share| *share > 20), "{shares:?}");
            assert_eq!(accepted(&joiner), 0);
        }
    }

    #[test]
    fn nobody_can_join_a_single_worker() {
        let ours = claim(LOOPBACK[0].parse().unwrap(), 1).unwrap();
        assert_eq!(join(ours.address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn both_families_are_claimed_each_for_itself() {
        let v4 = claim("0.0.0.0:0".parse().unwrap(), 2).unwrap();
        let v6 = claim(SocketAddr::new("::".parse().unwrap(), v4.address.port()), 2).unwrap();
        assert_eq!(v6.address.port(), v4.address.port());
        assert_eq!(strangers(v4.address, &v4.inodes), [], "the other family is no stranger");
    }

    #[test]
    fn what_is_written_to_a_connection_goes_out_at_once() {
        let ours = claim("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let _client = TcpStream::connect(ours.address).unwrap();
        let accepted = ours.sockets.iter().find_map(|member| member.accept().ok());
        assert!(accepted.unwrap().0.nodelay().unwrap());
    }

    #[test]
    fn an_address_of_another_machine_is_said_to_be_that() {
        assert!(matches!(claim("192.0.2.1:0".parse().unwrap(), 1), Err(ClaimError::NotHere)));
    }

    /// Lets a connection end from the listener's side, which then has it in TIME_WAIT.
    fn wind_up(listener: &TcpListener) {
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
        drop(listener.accept().unwrap());
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }

    fn in_time_wait(address: SocketAddr) -> usize {
        let all = procfs::net::tcp().unwrap().into_iter().chain(procfs::net::tcp6().unwrap());
        all.filter(|entry| entry.local_address == address && entry.state == procfs::net::TcpState::TimeWait)
            .count()
    }

    fn join(address: SocketAddr) -> io::Result<TcpListener> {
        let joiner = socket(address)?;
        joiner.set_reuse_port(true)?;
        bound(&joiner, address)?;
        Ok(joiner.into())
    }

    fn accepted(listener: &TcpListener) -> usize {
        std::iter::from_fn(|| listener.accept().ok()).count()
    }
}
