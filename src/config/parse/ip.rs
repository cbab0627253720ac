//! Identifiers: which addresses a public CA can look at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::unbracketed;

/// What keeps an address from being reached from the Internet (IANA's special-purpose registries, RFC 6890).
const RESERVED_V4: &[(Ipv4Addr, u8, &str)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, "reserved"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "the provider's own (carrier-grade NAT)"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "for documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "reserved"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "for measurements"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// The same for IPv6, inside 2000::/3; all that lies outside is not on the Internet.
const RESERVED_V6: &[(Ipv6Addr, u8, &str)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "reserved"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "for documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "for documentation"),
];

/// An address that a certificate can be for; IPv6 with or without brackets, an IPv4-mapped one counts as IPv4.
pub(in crate::config) fn identifier(text: &str) -> Result<IpAddr, String> {
    let parsed = unbracketed(text).parse::<IpAddr>();
    let ip = parsed.map_err(|_| instead(text))?.to_canonical();
    if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err("\"203.0.113.7\" with this server's own public address".to_owned());
    }
    Ok(ip)
}

/// Why the Internet cannot reach `ip`, as an adjective; `None` if it can.
pub(in crate::config) fn reserved(ip: IpAddr) -> Option<&'static str> {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let within = |network: Ipv4Addr, prefix: u8| {
                (v4.to_bits() ^ network.to_bits()).leading_zeros() >= u32::from(prefix)
            };
            RESERVED_V4.iter().find(|(network, prefix, _)| within(*network, *prefix)).map(|(_, _, why)| *why)
        }
        IpAddr::V6(v6) if v6.is_loopback() => Some("loopback"),
        IpAddr::V6(v6) if v6.is_unique_local() => Some("private"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("link-local"),
        IpAddr::V6(v6) if v6.segments()[0] & 0xe000 != 0x2000 => Some("reserved"),
        IpAddr::V6(v6) => {
            let within = |network: Ipv6Addr, prefix: u8| {
                (v6.to_bits() ^ network.to_bits()).leading_zeros() >= u32::from(prefix)
            };
            RESERVED_V6.iter().find(|(network, prefix, _)| within(*network, *prefix)).map(|(_, _, why)| *why)
        }
    }
}

fn instead(text: &str) -> String {
    let pieces: Vec<&str> = text.split([',', ' ', ';']).filter(|piece| !piece.is_empty()).collect();
    if pieces.len() > 1 && pieces.iter().all(|piece| unbracketed(piece).parse::<IpAddr>().is_ok()) {
        return format!("{pieces:?}, a list");
    }
    let host = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = host.split_once('/').map_or(host, |(host, _)| host);
    let host =
        host.rsplit_once(':').filter(|(before, _)| !before.contains(':')).map_or(host, |(host, _)| host);
    if host.parse::<IpAddr>().is_ok() {
        return format!("\"{host}\", the address alone");
    }
    "\"203.0.113.7\" with this server's own address; the certificate is for addresses, not for names"
        .to_owned()
}
