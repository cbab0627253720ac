//! Addresses: where we listen, and where others do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;

use crate::config::settings::{Address, AdminAddress};
use crate::config::values::Network;

/// The longest path of a socket file: `sun_path` holds 108 bytes with its closing zero (unix(7)).
const SOCKET_PATH: usize = 107;

/// An address and a port to listen on; port 0 lets the system choose.
pub(in crate::config) fn listen(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| instead_of_listen(text))?;
    if address.ip().is_multicast() {
        return Err(format!("\"0.0.0.0:{}\", or an address of this machine", address.port()));
    }
    // IPv6 listeners take no IPv4, so the mapped form would never hear anything.
    let ip = address.ip().to_canonical();
    if ip != address.ip() {
        return Err(format!("\"{}\"", SocketAddr::new(ip, address.port())));
    }
    Ok(address)
}

/// `host:port`, the port not 0.
pub(in crate::config) fn host_port(text: &str) -> Result<Address, String> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest).trim_end_matches('/');
    if bare != text {
        return Err(match split(bare) {
            Some((_, Some(_))) => format!("\"{bare}\", without scheme and path"),
            Some((_, None)) | None => "\"127.0.0.1:8402\": host and port, without scheme and path".to_owned(),
        });
    }
    match split(text) {
        Some((host, Some(port))) => Ok(Address::Tcp { host, port }),
        Some((host, None)) => Err(format!("\"{}:8402\", with the right port", bracketed(&host))),
        None => Err("\"127.0.0.1:8402\": host and port, an IPv6 address in brackets".to_owned()),
    }
}

/// `host:port` or `unix:/path`.
pub(in crate::config) fn host_port_or_unix(text: &str) -> Result<Address, String> {
    match text.strip_prefix("unix:") {
        Some(path) => socket_path(path).map(Address::Unix),
        None if text.starts_with('/') => Err(format!("\"unix:{text}\"")),
        None => host_port(text),
    }
}

/// The path of a socket file, without `unix:`; `//` before it, as in a URL, is taken away.
pub(in crate::config) fn socket_path(text: &str) -> Result<PathBuf, String> {
    let path = match text.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(_) | None => text,
    };
    if !path.starts_with('/') || path.ends_with('/') {
        return Err("\"unix:/run/panel.sock\": a path from the root".to_owned());
    }
    if path.len() > SOCKET_PATH {
        return Err(format!(
            "a path of at most {SOCKET_PATH} bytes, the most that the system takes for a socket"
        ));
    }
    Ok(PathBuf::from(path))
}

/// A socket file's path, or a loopback address and port.
pub(in crate::config) fn admin(text: &str) -> Result<AdminAddress, String> {
    if text.starts_with('/') || text.starts_with("unix:") {
        let path = text.strip_prefix("unix:").unwrap_or(text);
        return socket_path(path)
            .map(AdminAddress::Unix)
            .map_err(|write| write.replace("unix:/run/panel", "/run/doorman/admin"));
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(AdminAddress::Tcp(address)),
        Ok(address) => Err(format!(
            "\"127.0.0.1:{}\" or a socket file, \"/run/doorman/admin.sock\": this interface is never open to others",
            address.port()
        )),
        Err(_) => Err(match split(text) {
            Some((host, Some(port))) if host == "localhost" => format!("\"127.0.0.1:{port}\""),
            Some(_) | None => "\"/run/doorman/admin.sock\" or \"127.0.0.1:9180\"".to_owned(),
        }),
    }
}

/// A network, and whether bits behind its prefix had to be cleared.
pub(in crate::config) fn network(text: &str) -> Result<(Network, bool), String> {
    let instead = || "\"10.0.0.0/8\", or a single address: \"192.0.2.7\"".to_owned();
    let (address, prefix) =
        text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = unbracketed(address).parse().map_err(|_| instead())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => longest,
        Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= longest).ok_or_else(instead)?,
    };
    let cleared = match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    };
    Ok((Network { address: cleared, prefix }, cleared != address))
}

/// Host (without brackets) and port of an authority; `None` if it is neither a name nor an address, or the port is 0
/// or none.
pub(in crate::config) fn split(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if !text.starts_with('[') && !is_host(host) {
        return None;
    }
    match port {
        None => Some((host.to_owned(), None)),
        Some(port) => number(port).filter(|port| *port != 0).map(|port| (host.to_owned(), Some(port))),
    }
}

/// A host as it stands in an authority.
pub(in crate::config) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// An address without the brackets that URLs put around IPv6.
pub(in crate::config) fn unbracketed(text: &str) -> &str {
    text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text)
}

/// Whether two listeners would claim the same port of the same address. IPv6 listeners take no IPv4.
pub(in crate::config) fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let same_address = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && a.is_ipv4() == b.is_ipv4() && same_address
}

/// Letters, digits, `.`, `-` and `_`; an IPv4 address is among them.
fn is_host(host: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let numeric = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let right = if numeric { host.parse::<Ipv4Addr>().is_ok() } else { host.bytes().all(allowed) };
    right && !host.is_empty() && host.len() <= 253 && !host.starts_with(['.', '-'])
}

/// Digits alone: `parse` would take a sign as well.
fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn instead_of_listen(text: &str) -> String {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.trim_end_matches('/').replacen('*', "0.0.0.0", 1);
    let bare = bare.replacen("localhost", "127.0.0.1", 1);
    if bare.parse::<SocketAddr>().is_ok() {
        return format!("\"{bare}\"");
    }
    if let Ok(ip) = unbracketed(&bare).parse::<IpAddr>() {
        return format!("\"{}\", with the right port", SocketAddr::new(ip, 80));
    }
    let (host, port) = bare.rsplit_once(':').unwrap_or(("", &bare));
    match (host.parse::<Ipv6Addr>(), number(port)) {
        (Ok(ip), Some(port)) => format!("\"{}\"", SocketAddrV6::new(ip, port, 0, 0)),
        (Err(_), Some(port)) if host.is_empty() => {
            format!("\"0.0.0.0:{port}\", and \"[::]:{port}\" for IPv6")
        }
        (Ok(_) | Err(_), _) => {
            "\"0.0.0.0:80\": an address of this machine and a port from 0 to 65535".to_owned()
        }
    }
}
