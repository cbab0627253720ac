//! The sockets that listen, and whose they are: told by the kernel when it is asked for those, else read in its tables.
//! Either way no privilege is needed.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};

use procfs::net::{TcpNetEntries, TcpState};
use procfs::{FromBufReadSI, current_system_info};

use super::sock_diag;

/// One for each family; one is missing where the kernel lacks that family.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// The states `LISTEN` and `SYN_RECV` in its fourth column.
const LISTEN: &str = "0A";
const SHAKING_HANDS: &str = "03";

/// A socket that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listening {
    /// Where.
    pub(crate) address: SocketAddr,
    /// By which its owner is found.
    pub(crate) inode: u64,
    /// Whose it is.
    pub(crate) uid: u32,
    /// Connections that its owner has yet to take.
    pub(crate) waiting: u32,
}

/// All of them in this network.
///
/// # Errors
/// The kernel does not tell, and neither table can be read.
pub(crate) fn listening() -> io::Result<Vec<Listening>> {
    sock_diag::listening().or_else(|error| {
        tracing::debug!(%error, "the kernel is not to be asked for its sockets; its tables are read");
        in_the_tables()
    })
}

fn in_the_tables() -> io::Result<Vec<Listening>> {
    let mut found = Vec::new();
    let mut failure = None;
    for table in TABLES {
        match read(table) {
            Ok(sockets) => found.extend(sockets),
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) if found.is_empty() => Err(error),
        Some(_) | None => Ok(found),
    }
}

/// Peers whose handshake with one of these ports has begun and not ended. That reads the whole table, a line at a time.
///
/// # Errors
/// A table cannot be read.
pub(crate) fn shaking_hands(ports: &[u16]) -> io::Result<HashSet<SocketAddr>> {
    let mut peers = HashSet::new();
    for table in TABLES {
        let mut file = BufReader::new(File::open(table)?);
        let (mut head, mut line) = (String::new(), String::new());
        file.read_line(&mut head)?;
        while file.read_line(&mut line)? > 0 {
            if line.split_ascii_whitespace().nth(3) == Some(SHAKING_HANDS) {
                let begun = parse(&format!("{head}{line}"))?;
                let begun = begun.0.iter().filter(|it| ports.contains(&it.local_address.port()));
                peers.extend(begun.map(|entry| entry.remote_address));
            }
            line.clear();
        }
    }
    Ok(peers)
}

fn parse(text: &str) -> io::Result<TcpNetEntries> {
    TcpNetEntries::from_buf_read(text.as_bytes(), current_system_info()).map_err(io::Error::other)
}

/// Those that keep others from listening on `address`: the same one, or every address of its family. One for every
/// IPv6 address is in the way of IPv4 only if it takes that too, which the table does not say, so it counts when
/// nothing else explains why the port is taken.
pub(crate) fn in_the_way<'a>(all: &'a [Listening], address: SocketAddr) -> Vec<&'a Listening> {
    let of_the_family: Vec<_> = all.iter().filter(|socket| overlaps(socket.address, address)).collect();
    if !of_the_family.is_empty() || address.is_ipv6() {
        return of_the_family;
    }
    let any = |socket: &&'a Listening| {
        let theirs = socket.address;
        theirs.port() == address.port() && theirs.is_ipv6() && theirs.ip().is_unspecified()
    };
    all.iter().filter(any).collect()
}

/// Whether what arrives for one may go to the other.
pub(crate) fn overlaps(theirs: SocketAddr, ours: SocketAddr) -> bool {
    let (their_ip, our_ip) = (theirs.ip().to_canonical(), ours.ip().to_canonical());
    let same_family =
        matches!((their_ip, our_ip), (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)));
    let same = their_ip == our_ip || their_ip.is_unspecified() || our_ip.is_unspecified();
    theirs.port() == ours.port() && same_family && same
}

/// The kernel puts the sockets that listen before all others, so a machine with many connections costs no more.
fn read(table: &str) -> io::Result<Vec<Listening>> {
    let mut lines = BufReader::new(File::open(table)?).lines();
    let mut text = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        let line = line?;
        if line.split_ascii_whitespace().nth(3) != Some(LISTEN) {
            break;
        }
        text.push('\n');
        text.push_str(&line);
    }
    let listening = parse(&text)?.0.into_iter().filter(|entry| entry.state == TcpState::Listen);
    Ok(listening
        .map(|entry| Listening {
            address: entry.local_address,
            inode: entry.inode,
            uid: entry.uid,
            waiting: entry.rx_queue,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn who_listens_is_found_beside_connections_and_with_its_owner() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let _connections: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
        let inode = rustix::fs::fstat(&listener).unwrap().st_ino;
        let uid = rustix::process::getuid().as_raw();
        let expected = Listening { address, inode, uid, waiting: 20 };
        for all in [listening().unwrap(), in_the_tables().unwrap(), sock_diag::listening().unwrap()] {
            assert_eq!(in_the_way(&all, address), [&expected], "both ways tell the same");
        }
    }

    #[test]
    fn a_wildcard_is_in_everybodys_way_and_the_other_family_only_if_nothing_else_is() {
        let socket = |text: &str| Listening { address: text.parse().unwrap(), inode: 1, uid: 0, waiting: 0 };
        let found = |all: &[Listening], at: &str| in_the_way(all, at.parse().unwrap()).len();
        assert_eq!(found(&[socket("0.0.0.0:80")], "192.0.2.1:80"), 1);
        assert_eq!(found(&[socket("192.0.2.1:80")], "0.0.0.0:80"), 1);
        assert_eq!(found(&[socket("192.0.2.1:80")], "192.0.2.2:80"), 0);
        assert_eq!(found(&[socket("0.0.0.0:81")], "0.0.0.0:80"), 0);
        assert_eq!(found(&[socket("0.0.0.0:80")], "[::]:80"), 0);
        assert_eq!(found(&[socket("[::]:80")], "0.0.0.0:80"), 1);
        assert_eq!(found(&[socket("[::ffff:192.0.2.1]:80")], "0.0.0.0:80"), 1);
        assert_eq!(found(&[socket("[::]:80"), socket("127.0.0.1:80")], "0.0.0.0:80"), 1);
    }
}
