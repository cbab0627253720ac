//! The sockets that listen, as the kernel tells who asks for those alone (`sock_diag(7)`): every user is told every
//! socket's owner, and a machine with many connections does not have to walk through them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags};
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

use super::sockets::Listening;

/// The kernel answers at once; what does not come then, does not come.
const PATIENCE: Duration = Duration::from_secs(2);

/// The kernel fills no larger piece of a dump.
const PIECE: usize = 32 * 1024;

/// All of both families in this network.
///
/// # Errors
/// The kernel does not answer that: it was built without, or a sandbox forbids netlink sockets.
pub(super) fn listening() -> io::Result<Vec<Listening>> {
    let mut found = Vec::new();
    for (family, any) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        dump(&request(family, any), &mut found)?;
    }
    Ok(found)
}

fn request(family: u8, any: SocketId) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let wanted = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::LISTEN,
        socket_id: any,
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(wanted).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn dump(request: &[u8], found: &mut Vec<Listening>) -> io::Result<()> {
    let socket = open()?;
    sendto(&socket, request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut piece = vec![0; PIECE];
    loop {
        let (length, _) = recv(&socket, piece.as_mut_slice(), RecvFlags::empty())?;
        if take_in(&piece[..length], found)? == Dump::Over {
            return Ok(());
        }
    }
}

fn open() -> io::Result<OwnedFd> {
    let (family, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
    let socket = socket_with(family, SocketType::DGRAM, flags, Some(SOCK_DIAG))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    Ok(socket)
}

/// Whether there is more to come.
#[derive(Debug, PartialEq, Eq)]
enum Dump {
    GoesOn,
    Over,
}

/// Reads one piece, which holds several messages.
fn take_in(piece: &[u8], found: &mut Vec<Listening>) -> io::Result<Dump> {
    let mut rest = piece;
    while !rest.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest).map_err(io::Error::other)?;
        match message.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(answer)) => {
                found.push(listens(&answer.header));
            }
            NetlinkPayload::Done(_) => return Ok(Dump::Over),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            NetlinkPayload::Overrun(_) => {
                return Err(io::Error::other("the kernel lost a part of its answer"));
            }
            NetlinkPayload::InnerMessage(_) | NetlinkPayload::Noop | _ => {}
        }
        let length = usize::try_from(message.header.length).unwrap_or(usize::MAX).max(1);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Dump::GoesOn)
}

fn listens(answer: &InetResponseHeader) -> Listening {
    Listening {
        address: SocketAddr::new(answer.socket_id.source_address, answer.socket_id.source_port),
        inode: answer.inode.into(),
        uid: answer.uid,
        waiting: answer.recv_queue,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn each_family_is_told_with_owner_and_inode() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let address = listener.local_addr().unwrap();
            let inode = rustix::fs::fstat(&listener).unwrap().st_ino;
            let uid = rustix::process::getuid().as_raw();
            let expected = Listening { address, inode, uid, waiting: 0 };
            assert!(listening().unwrap().contains(&expected), "{address}");
        }
    }

    #[test]
    fn many_are_told_in_several_pieces() {
        let listeners: Vec<_> = (0..600).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let all = listening().unwrap();
        for listener in &listeners {
            let address = listener.local_addr().unwrap();
            assert_eq!(all.iter().filter(|it| it.address == address).count(), 1);
        }
    }

    #[test]
    fn what_the_kernel_refuses_is_an_error_and_what_is_cut_off_too() {
        let mut found = Vec::new();
        let mut piece = vec![0; 36]; // NLMSG_ERROR: what went wrong, and the header that it is about
        piece[0] = 36;
        piece[4] = 2;
        piece[16..20].copy_from_slice(&(-1_i32).to_ne_bytes());
        assert_eq!(take_in(&piece, &mut found).unwrap_err().raw_os_error(), Some(1));
        assert!(take_in(&piece[..20], &mut found).is_err());
        assert_eq!(found, []);
    }
}
