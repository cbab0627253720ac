//! Addresses as text.

use std::net::IpAddr;

/// An address, one of IPv4 as such, as the standard library writes it, which looks after width and padding first: for each
/// new connection that would be one instruction in 30.
#[must_use]
pub fn text(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => dotted(address.octets()),
        IpAddr::V6(address) => address.to_string(),
    }
}

fn dotted(octets: [u8; 4]) -> String {
    let mut text = String::with_capacity("255.255.255.255".len());
    for octet in octets {
        if !text.is_empty() {
            text.push('.');
        }
        for unit in [100, 10, 1] {
            if octet >= unit || unit == 1 {
                text.push(char::from(b'0' + octet / unit % 10));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn every_octet_is_written_as_the_standard_library_writes_it() {
        for octet in 0..=u8::MAX {
            let address = Ipv4Addr::new(octet, 0, 255 - octet, octet);
            assert_eq!(text(address.into()), address.to_string());
        }
    }

    #[test]
    fn ipv4_in_ipv6_is_ipv4() {
        assert_eq!(text("::ffff:192.0.2.10".parse().unwrap()), "192.0.2.10");
        assert_eq!(text("2001:db8::1".parse().unwrap()), "2001:db8::1");
    }
}
