//! Whether the addresses of the certificate are this machine's.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;

use super::Machine;
use crate::config::Language;
use crate::machine::words::foreign;
use crate::policy::finding::{About, Finding};
use crate::policy::sentence::Sentence;

pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    let Some(cert) = machine.config().and_then(|config| config.ip_cert.as_ref()) else {
        return Vec::new();
    };
    let ours = match getifaddrs() {
        Ok(interfaces) => interfaces.filter_map(|interface| ip(&interface)).collect::<BTreeSet<_>>(),
        Err(error) => {
            let finding = Sentence::new(
                format!("this machine's addresses cannot be listed: {error}"),
                format!("无法列出本机地址：{}", foreign(&error)),
            );
            let remedy = Sentence::new(
                "compare ip_cert.ip with what ip address says",
                "请把 ip_cert.ip 与 ip address 的输出对照",
            );
            return vec![Finding::warning(About::Address, finding, remedy)];
        }
    };
    cert.ips.iter().map(|ip| about(*ip, &ours)).collect()
}

fn about(ip: IpAddr, ours: &BTreeSet<IpAddr>) -> Finding {
    if ours.contains(&ip) || ip.is_loopback() {
        let finding =
            Sentence::new(format!("{ip} is an address of this machine"), format!("{ip} 是本机地址"));
        return Finding::fine(About::Address, finding);
    }
    let family = ours.iter().filter(|it| it.is_ipv4() == ip.is_ipv4() && !it.is_loopback());
    let family: Vec<_> = family.map(ToString::to_string).collect();
    let has = if family.is_empty() {
        Sentence::new("none of that family", "没有同类地址")
    } else {
        Sentence::same(family.join(", "))
    };
    Finding::warning(
        About::Address,
        Sentence::new(
            format!("{ip} is on no interface of this machine, which has {has}"),
            format!("{ip} 不在本机任何网卡上，本机有：{}", has.in_language(Language::Chinese)),
        ),
        Sentence::new(
            "nothing, if the provider translates it to this machine (NAT); otherwise correct ip_cert.ip",
            "如果服务商通过 NAT 把它转到本机，则无需处理；否则请更正 ip_cert.ip",
        ),
    )
}

fn ip(interface: &nix::ifaddrs::InterfaceAddress) -> Option<IpAddr> {
    let address = interface.address.as_ref()?;
    let v4 = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::finding::Level;

    #[test]
    fn an_address_of_another_machine_is_a_warning_that_names_ours() {
        let ours = ["10.0.0.5", "127.0.0.1"].map(|ip| ip.parse().unwrap()).into();
        assert_eq!(about("10.0.0.5".parse().unwrap(), &ours).level, Level::Fine);
        let other = about("203.0.113.7".parse().unwrap(), &ours);
        assert_eq!(other.level, Level::Warning);
        assert!(other.finding.english().ends_with("which has 10.0.0.5"), "{other:?}");
        let v6 = about("2001:db8::1".parse().unwrap(), &ours);
        assert!(v6.finding.english().ends_with("none of that family"), "{v6:?}");
    }
}
