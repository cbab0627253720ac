//! Nobody is reset when a listener goes: before that, new connections are sent to the one that stays, and those that
//! wait in the queue of the other are given time to be taken.
//!
//! The kernel spreads new connections over all listeners of a port, and a program that any of them attaches decides
//! instead (`SO_ATTACH_REUSEPORT_CBPF`, socket(7)). Attached to a socket of Xray's it would need its descriptor, and is
//! refused by those of MPTCP, which Go's listeners are; so a socket of our own joins them for that moment. It takes no
//! connection: what arrives before the program is there is dropped, and comes again a second later. Only a process of
//! the same user may join; everybody else needs `net.ipv4.tcp_migrate_req`.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use nix::libc::{BPF_K, BPF_RET, sock_fprog};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::AttachReusePortCbpf;
use rustix::process::geteuid;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::machine::sockets::{self, Listening};

/// For handshakes that have begun, each of which takes a round trip, and for Xray to take what waits.
const MOST_WAITING: Duration = Duration::from_secs(1);

/// Between two looks at what waits.
const LOOK: Duration = Duration::from_millis(10);

/// For a connection to a neighbour. If it takes longer, our socket is in the way, and leaves.
const CONNECTION: Duration = Duration::from_millis(300);

/// In the order in which they began to listen; the second listener of a port is the one that stays.
const THE_NEWER: u32 = 1;

/// A member that there is not: the kernel chooses as it would without a program.
const NOBODY: u32 = u32::MAX;

/// The listeners of this machine before a second one was added beside one of them.
pub(super) struct Before(Vec<Listening>);

/// As long as it lives new connections go to the newer of two listeners.
#[derive(Default)]
pub(super) struct Steering(Vec<Socket>);

/// What listens now.
pub(super) async fn before() -> Before {
    Before(listening().await)
}

impl Before {
    /// Sends new connections to what was added since, and waits until nobody waits for what was there before; as far as
    /// that can be done.
    pub(super) async fn steer(self) -> Steering {
        let pairs = pairs(&self.0, &listening().await, geteuid().as_raw());
        let mut steering = Steering::default();
        let mut older = Vec::new();
        for (inode, address) in pairs {
            let joined = join(address);
            if joined.is_ok() && is_reached(address).await {
                steering.0.extend(joined);
                older.push((inode, address));
            } else {
                let error = joined.err();
                tracing::debug!(%address, ?error, "new connections cannot be sent to the newer listener");
                break; // nor could those of the other ports, and each try takes time
            }
        }
        if !older.is_empty() {
            nobody_waits(&older).await;
        }
        steering
    }
}

impl Drop for Steering {
    fn drop(&mut self) {
        // The program stays with the others when our socket goes.
        for socket in &self.0 {
            let _ = attach(socket, NOBODY); // they were let in by the same kernel a moment ago
        }
    }
}

async fn listening() -> Vec<Listening> {
    tokio::task::spawn_blocking(sockets::listening).await.ok().and_then(Result::ok).unwrap_or_default()
}

/// Addresses at which one listener of this user joined another since, with the older one's inode. Those with more
/// listeners are left alone: who is who among them cannot be seen.
fn pairs(before: &[Listening], now: &[Listening], uid: u32) -> Vec<(u64, SocketAddr)> {
    let is_old = |socket: &Listening| before.iter().any(|it| it.inode == socket.inode);
    let added = now.iter().filter(|socket| !is_old(socket));
    added
        .filter_map(|added| {
            let mut others = now.iter().filter(|it| it.address == added.address && it.inode != added.inode);
            let old = others.next().filter(|old| is_old(old))?;
            let same_user = added.uid == uid && old.uid == uid;
            (same_user && others.next().is_none()).then_some((old.inode, old.address))
        })
        .collect()
}

/// A socket among the listeners of this address, which sends new connections to the newer.
fn join(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_port(true)?;
    socket.attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)])?; // 0 bytes of a packet: it is dropped
    if address.is_ipv6() {
        socket.set_only_v6(false)?; // as Go listens
    }
    socket.bind(&address.into())?;
    socket.listen(1)?;
    attach(&socket, THE_NEWER)?;
    Ok(socket)
}

/// <linux/bpf_common.h>: return a constant. Both numbers are small.
#[expect(clippy::cast_possible_truncation, reason = "0x06")]
const RETURN: u16 = (BPF_RET | BPF_K) as u16;

/// Has the kernel send each new connection to this member of the socket's group.
fn attach(socket: &Socket, member: u32) -> io::Result<()> {
    let mut program = [SockFilter::new(RETURN, 0, 0, member)];
    // The kernel copies the program while the call lasts; it keeps no pointer to it.
    let program = sock_fprog { len: 1, filter: program.as_mut_ptr().cast() };
    Ok(setsockopt(socket, AttachReusePortCbpf, &program)?)
}

/// Whether a listener is reached. If our socket had formed a group of its own, as beside one that is bound to a device,
/// some connections would end at it.
async fn is_reached(address: SocketAddr) -> bool {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let tries = TcpStream::connect((ip, address.port()));
    matches!(tokio::time::timeout(CONNECTION, tries).await, Ok(Ok(_)))
}

/// Waits until those who have begun a handshake have ended it, and nobody is in the queues of these listeners.
async fn nobody_waits(older: &[(u64, SocketAddr)]) {
    let ports: Vec<u16> = older.iter().map(|(_, address)| address.port()).collect();
    let began = Instant::now();
    let mut begun = shaking_hands(&ports).await;
    let is_older = |it: &Listening| older.iter().any(|(inode, _)| *inode == it.inode);
    while began.elapsed() < MOST_WAITING {
        let waits = listening().await.iter().any(|it| is_older(it) && it.waiting > 0);
        if begun.is_empty() && !waits {
            return;
        }
        tokio::time::sleep(LOOK).await;
        let now = shaking_hands(&ports).await;
        begun.retain(|peer| now.contains(peer));
    }
}

async fn shaking_hands(ports: &[u16]) -> HashSet<SocketAddr> {
    let ports = ports.to_vec();
    let read = tokio::task::spawn_blocking(move || sockets::shaking_hands(&ports)).await;
    read.ok().and_then(Result::ok).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn socket(address: &str, inode: u64, uid: u32) -> Listening {
        Listening { address: address.parse().unwrap(), inode, uid, waiting: 0 }
    }

    #[test]
    fn only_where_one_listener_of_our_user_joined_one_other_is_it_known_who_is_the_newer() {
        let old = [socket("0.0.0.0:443", 1, 7), socket("192.0.2.1:443", 2, 7), socket("192.0.2.1:443", 3, 7)];
        let with = |more: &[Listening]| [&old[..], more].concat();
        let added = socket("0.0.0.0:443", 4, 7);
        let expected = [(1, added.address)];
        assert_eq!(pairs(&old, &with(&[added]), 7), expected);
        assert_eq!(pairs(&old, &with(&[added]), 8), [], "another user's program may not join them");
        assert_eq!(pairs(&old, &with(&[]), 7), [], "others share a port, too");
        assert_eq!(pairs(&old, &with(&[added, socket("0.0.0.0:443", 5, 7)]), 7), []);
        assert_eq!(pairs(&old, &with(&[socket("192.0.2.1:443", 4, 7)]), 7), []);
        assert_eq!(pairs(&old, &with(&[socket("192.0.2.2:443", 4, 7)]), 7), [], "it is alone there");
    }

    fn listener(address: SocketAddr) -> TcpListener {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&address.into()).unwrap();
        socket.listen(128).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.into()
    }

    fn taken(listener: &TcpListener) -> usize {
        std::iter::from_fn(|| listener.accept().ok()).count()
    }

    #[tokio::test]
    async fn new_connections_go_to_the_newer_listener_and_who_waits_at_the_older_is_waited_for() {
        for address in ["127.0.0.1:0", "[::]:0"] {
            let older = listener(address.parse().unwrap());
            let address = older.local_addr().unwrap();
            let first = std::net::TcpStream::connect(address).unwrap();
            let before = before().await;
            let newer = listener(address);
            let steered = tokio::spawn(before.steer());
            while !steered.is_finished() && taken(&newer) == 0 {
                tokio::task::yield_now().await;
            }
            assert!(!steered.is_finished(), "somebody waits at the older");
            assert_eq!(taken(&older), 1);
            let steering = steered.await.unwrap();
            let many = || (0..40).map(|_| std::net::TcpStream::connect(address).unwrap()).collect::<Vec<_>>();
            let connected = many();
            assert_eq!((taken(&older), taken(&newer)), (0, 40));
            drop(older);
            drop(many());
            assert_eq!(taken(&newer), 40, "whoever is left has them all");

            // What is left of it when it goes is in nobody's way.
            let older = listener(address);
            drop(steering);
            drop((many(), first, connected));
            let (one, other) = (taken(&older), taken(&newer));
            assert!(one > 0 && other > 0 && one + other == 40, "{one} and {other}");
        }
    }
}
