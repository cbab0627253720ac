//! A network of a story's own, with addresses that are not loopback. Only root can make one.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

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

/// A network of a story's own that several programs share, as long as this lives.
#[derive(Debug)]
pub struct Network(Process);

impl Network {
    /// With these addresses, besides loopback: `192.0.2.1/32`.
    pub async fn with(addresses: &[&str]) -> Self {
        let script = "ip link set lo up
            for address; do ip address add \"$address\" dev lo; done
            echo there
            exec sleep infinity";
        let mut command = Command::new("unshare");
        let process =
            Process::start("network", command.args(["--net", "sh", "-ec", script, "sh"]).args(addresses));
        process.says("there", Duration::from_secs(10)).await;
        Self(process)
    }

    /// A listener in it, for this process.
    pub fn listen(&self, at: SocketAddr) -> TcpListener {
        let listener = inside(&self.0, move || std::net::TcpListener::bind(at).unwrap());
        listener.set_nonblocking(true).unwrap();
        TcpListener::from_std(listener).unwrap()
    }

    /// What connects from this process to an address in it.
    pub fn dialer(
        &self,
        to: SocketAddr,
    ) -> impl Fn() -> std::io::Result<std::net::TcpStream> + Send + Sync + use<> {
        let network = file(&self.0);
        move || within(network.try_clone()?, move || std::net::TcpStream::connect(to))
    }

    /// The words that start a program in it.
    pub fn launcher(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net=/proc/{}/ns/net", self.0.id())]
    }
}

/// A connection from an address of the network that `process` lives in.
pub async fn connect(process: &Process, from: IpAddr, to: SocketAddr) -> Connection<TcpStream> {
    let connected = inside(process, move || {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP)).unwrap();
        if from.is_ipv6() {
            socket.set_freebind_v6(true).unwrap();
        }
        socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        socket.connect(&to.into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.into()
    });
    Connection::over(TcpStream::from_std(connected).unwrap())
}

/// Does something in the network that `process` lives in.
fn inside<T: Send + 'static>(process: &Process, act: impl FnOnce() -> T + Send + 'static) -> T {
    within(file(process), act)
}

fn file(process: &Process) -> File {
    File::open(format!("/proc/{}/ns/net", process.id())).unwrap()
}

/// On a thread of its own: it never comes back from that network.
fn within<T: Send + 'static>(network: File, act: impl FnOnce() -> T + Send + 'static) -> T {
    let there = move || {
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        act()
    };
    std::thread::spawn(there).join().expect("what is done there")
}
