//! The floor: a program that only carries bytes between each client and an upstream connection of its own, and knows no
//! HTTP. What it costs, nobody who reads and writes can go below.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

use anyhow::Context as _;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// What it is called, on the command line as well.
pub(crate) const NAME: &str = "relay";

/// Most that is read at once, as doorman reads of few connections.
const PIECE_BYTES: usize = 256 * 1024;
/// Sockets that the kernel tells of at once.
const EVENTS: usize = 256;

/// One direction's source, and where its bytes go.
struct Side {
    socket: TcpStream,
    other: RawFd,
    /// Of the last piece, what this side has not taken yet; meanwhile nothing is read from the other one.
    unsent: Vec<u8>,
}

/// Carries bytes for ever; `words` are where to listen and where the upstream is.
///
/// # Errors
/// Addresses that are none, or that cannot be had.
pub(crate) fn run(mut words: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let mut address = || -> anyhow::Result<SocketAddr> { Ok(words.next().context("an address")?.parse()?) };
    let listener = TcpListener::bind(address()?)?;
    let upstream = address()?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let door = listener.as_raw_fd();
    epoll.add(&listener, interest(door, EpollFlags::EPOLLIN))?;
    let mut sides: HashMap<RawFd, Side> = HashMap::new();
    let mut room = vec![0; PIECE_BYTES];
    let mut events = [EpollEvent::empty(); EVENTS];
    loop {
        let count = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..count] {
            let socket = RawFd::try_from(event.data()).context("a descriptor")?;
            if socket == door {
                meet(&listener, upstream, &epoll, &mut sides)?;
            } else if serve(socket, event.events(), &mut sides, &epoll, &mut room).is_err()
                && let Some(side) = sides.remove(&socket)
            {
                sides.remove(&side.other); // both are closed
            }
        }
    }
}

/// Accepts a client and connects to the upstream for it.
fn meet(
    listener: &TcpListener,
    upstream: SocketAddr,
    epoll: &Epoll,
    sides: &mut HashMap<RawFd, Side>,
) -> anyhow::Result<()> {
    let (client, upstream) = (listener.accept()?.0, TcpStream::connect(upstream)?);
    let ends = [client.as_raw_fd(), upstream.as_raw_fd()];
    for (socket, other) in [(client, ends[1]), (upstream, ends[0])] {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        epoll.add(&socket, interest(socket.as_raw_fd(), EpollFlags::EPOLLIN))?;
        sides.insert(socket.as_raw_fd(), Side { socket, other, unsent: Vec::new() });
    }
    Ok(())
}

fn interest(socket: RawFd, events: EpollFlags) -> EpollEvent {
    EpollEvent::new(events, u64::try_from(socket).unwrap_or_default())
}

/// Does what one socket is ready for; an error or an end is the end of the pair.
fn serve(
    socket: RawFd,
    ready: EpollFlags,
    sides: &mut HashMap<RawFd, Side>,
    epoll: &Epoll,
    room: &mut [u8],
) -> io::Result<()> {
    let Some(side) = sides.get_mut(&socket) else { return Ok(()) }; // closed a moment ago
    let other = side.other;
    if !side.unsent.is_empty() {
        let taken = taken(side.socket.write(&side.unsent))?;
        side.unsent.drain(..taken);
        if side.unsent.is_empty() {
            epoll.modify(&side.socket, &mut interest(socket, EpollFlags::EPOLLIN))?;
            let source = sides.get(&other).ok_or(ErrorKind::NotConnected)?;
            epoll.modify(&source.socket, &mut interest(other, EpollFlags::EPOLLIN))?;
        }
        return Ok(());
    }
    if !ready.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
        return Ok(());
    }
    let length = match side.socket.read(room) {
        Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
        read => read?,
    };
    let sink = sides.get_mut(&other).ok_or(ErrorKind::NotConnected)?;
    let taken = taken(sink.socket.write(&room[..length]))?;
    if taken < length {
        sink.unsent.extend_from_slice(&room[taken..length]);
        epoll.modify(&sink.socket, &mut interest(other, EpollFlags::EPOLLOUT))?;
        let source = sides.get(&socket).ok_or(ErrorKind::NotConnected)?;
        epoll.modify(&source.socket, &mut interest(socket, EpollFlags::empty()))?;
    }
    Ok(())
}

/// How much a write took, nothing if the socket was full.
fn taken(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        written => written,
    }
}
