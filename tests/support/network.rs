//! A network of a story's own, with addresses that are not loopback. Only root can make one.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;

use super::client::Connection;
use super::process::Process;

/// Where the door listens in a network of its own.
pub const DOOR: [&str; 2] = ["192.0.2.1:80", "[2001:db8::1]:80"];

/// Makes a network for the program that follows. All addresses of the two documentation networks are there.
pub const LAUNCHER: [&str; 6] = [
    "unshare",
    "--net",
    "sh",
    "-ec",
    "ip link set lo up
    ip address add 192.0.2.1/24 dev lo
    ip -6 address add 2001:db8::1/64 dev lo nodad
    ip -6 route add local 2001:db8::/64 dev lo
    exec \"$@\"",
    "sh",
];

/// A connection from an address of the network that `process` lives in.
pub async fn connect(process: &Process, from: IpAddr, to: SocketAddr) -> Connection<TcpStream> {
    let network = format!("/proc/{}/ns/net", process.id());
    let inside = move || {
        let network = std::fs::File::open(network).unwrap();
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP)).unwrap();
        if from.is_ipv6() {
            socket.set_freebind_v6(true).unwrap();
        }
        socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        socket.connect(&to.into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.into()
    };
    // A thread of its own: it never comes back from that network.
    let joined = std::thread::spawn(inside).join();
    Connection::over(TcpStream::from_std(joined.expect("a connection")).unwrap())
}
