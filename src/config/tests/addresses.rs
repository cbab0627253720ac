use std::net::IpAddr;
use std::time::Duration;

use crate::config::parse::address::{host_port, listen, network, overlap, socket_path};
use crate::config::parse::duration::{duration, written};
use crate::config::parse::ip::{identifier, reserved};
use crate::config::parse::url::Url;
use crate::config::settings::Address;

#[test]
fn durations_are_sums_of_units() {
    for (text, millis) in
        [("500ms", 500), ("30s", 30_000), ("2m", 120_000), ("1h30m", 5_400_000), ("1d", 86_400_000)]
    {
        assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "s", "30", "1.5s", "-1s", "30 s", "99999999999999999999s", "1w", "１s"] {
        assert!(duration(text).is_err(), "{text}");
    }
    for text in ["500ms", "90s", "2m", "3h", "1d", "0ms"] {
        assert_eq!(written(duration(text).unwrap()), text);
    }
}

#[test]
fn listeners_collide_within_their_family_only() {
    let overlap = |a: &str, b: &str| overlap(listen(a).unwrap(), listen(b).unwrap());
    assert!(overlap("0.0.0.0:80", "1.2.3.4:80"));
    assert!(overlap("1.2.3.4:80", "1.2.3.4:80"));
    assert!(overlap("[::1]:80", "[::]:80"));
    assert!(!overlap("0.0.0.0:80", "[::]:80"));
    assert!(!overlap("1.2.3.4:80", "1.2.3.5:80"));
    assert!(!overlap("0.0.0.0:0", "0.0.0.0:0"));
}

#[test]
fn reserved_ranges_end_where_they_should() {
    let reserved = |text: &str| reserved(text.parse::<IpAddr>().unwrap());
    for text in [
        "10.255.255.255",
        "172.31.255.255",
        "192.168.0.1",
        "100.127.255.255",
        "198.19.0.1",
        "240.0.0.1",
        "::1",
    ] {
        assert!(reserved(text).is_some(), "{text}");
    }
    for text in
        ["fe80::1", "fd12::1", "2001:db8:ffff::", "2002::1", "64:ff9b::1", "::ffff:10.0.0.1", "3fff:fff::1"]
    {
        assert!(reserved(text).is_some(), "{text}");
    }
    for text in
        ["9.255.255.255", "11.0.0.0", "172.32.0.0", "100.128.0.0", "198.20.0.0", "8.8.8.8", "192.0.1.1"]
    {
        assert_eq!(reserved(text), None, "{text}");
    }
    for text in ["2606:4700::1111", "2001:4860:4860::8888", "2a01:4f8::1", "2001:200::1"] {
        assert_eq!(reserved(text), None, "{text}");
    }
    assert_eq!(identifier("[::ffff:9.9.9.9]"), Ok("9.9.9.9".parse().unwrap()));
}

#[test]
fn hosts_and_networks_are_read_as_written() {
    let tcp = |host: &str, port| Ok(Address::Tcp { host: host.into(), port });
    assert_eq!(host_port("[::1]:443"), tcp("::1", 443));
    assert_eq!(host_port("acme_sh.lan:8402"), tcp("acme_sh.lan", 8402));
    for text in ["::1:443", "a:0", "a:+1", "a b:1", "999.1.1.1:1", "[::1]443", ":1", ""] {
        assert!(host_port(text).is_err(), "{text}");
    }
    let (network, cleared) = network("2001:db8::1/32").unwrap();
    assert_eq!((network.address.to_string().as_str(), network.prefix, cleared), ("2001:db8::", 32, true));
    assert!(socket_path(&format!("/{}", "a".repeat(107))).is_err());
    assert_eq!(socket_path("///run/a.sock").unwrap().to_str(), Some("/run/a.sock"));
}

#[test]
fn urls_come_apart() {
    let url = Url::parse("HTTPS://user:p@ss@[2001:db8::1]:8443/dir?x=1").unwrap();
    assert_eq!((url.origin().as_str(), url.path.as_str()), ("https://[2001:db8::1]:8443", "/dir?x=1"));
    assert!(url.credentials);
    for text in
        ["", "://a", "http://", "http://a b", "http://a/ b", "http://a#b", "http://a:99999", "http:/a"]
    {
        assert_eq!(Url::parse(text), None, "{text}");
    }
    let public = |text: &str| Url::parse(text).unwrap().is_public();
    assert!(public("https://ca.example.com/") && public("https://9.9.9.9"));
    assert!(!public("https://localhost/") && !public("https://CA.Local") && !public("https://192.168.1.1"));
}
