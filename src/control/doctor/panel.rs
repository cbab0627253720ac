//! Whether the panel answers, and whether it speaks what the configuration says.

use std::io;
use std::os::unix::net::UnixStream;

use super::{Machine, web};
use crate::config::{Address, Scheme, Upstream, UpstreamTrust};
use crate::machine::words::foreign;
use crate::policy::finding::{About, Finding};
use crate::policy::sentence::Sentence;

/// What Go's servers say to plain HTTP when they want TLS.
const TO_AN_HTTPS_SERVER: &str = "HTTP request to an HTTPS server";

pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    let Some(config) = machine.config() else {
        return Vec::new();
    };
    let forwards = config.forwards.iter().map(|forward| ("forward.upstream", &forward.upstream));
    std::iter::once(("panel.upstream", &config.panel))
        .chain(forwards)
        .map(|(key, it)| about(key, it))
        .collect()
}

fn about(key: &str, upstream: &Upstream) -> Finding {
    match &upstream.address {
        Address::Unix(path) => match UnixStream::connect(path) {
            Ok(_) => {
                let place = path.display();
                fine(format!("{key}: somebody listens at {place}"), format!("{key}：{place} 有程序在监听"))
            }
            Err(error) => unreachable(key, &path.display().to_string(), &error),
        },
        Address::Tcp { host, port } => over_tcp(key, upstream, host, *port),
    }
}

fn over_tcp(key: &str, upstream: &Upstream, host: &str, port: u16) -> Finding {
    let place = format!("{host}:{port}");
    let connect = || web::connect(host, port);
    let speaks_tls =
        || connect().and_then(|stream| web::handshake(stream, host, &UpstreamTrust::Anything)).is_ok();
    if let Err(error) = connect() {
        return unreachable(key, &place, &error);
    }
    match &upstream.scheme {
        Scheme::Http => {
            let answer = connect().and_then(|stream| web::get(stream, &place, "/")).unwrap_or_default();
            match web::code(&answer).filter(|_| !answer.contains(TO_AN_HTTPS_SERVER)) {
                Some(code) => fine(
                    format!("{key}: {place} answers over HTTP, with {code}"),
                    format!("{key}：{place} 以 HTTP 应答，状态码 {code}"),
                ),
                None if speaks_tls() => Finding::broken(
                    About::Panel,
                    Sentence::new(
                        format!("{key}: {place} speaks HTTPS"),
                        format!("{key}：{place} 使用的是 HTTPS"),
                    ),
                    Sentence::new(
                        format!("set {key} = \"https://{place}\""),
                        format!("请设置 {key} = \"https://{place}\""),
                    ),
                ),
                None => Finding::broken(
                    About::Panel,
                    Sentence::new(
                        format!("{key}: {place} speaks neither HTTP nor HTTPS"),
                        format!("{key}：{place} 既不是 HTTP 也不是 HTTPS"),
                    ),
                    Sentence::new(
                        format!("set {key} to the address that the panel listens on"),
                        format!("请把 {key} 设为面板监听的地址"),
                    ),
                ),
            }
        }
        Scheme::Https(trusted) if speaks_tls() => trusts(key, host, port, trusted),
        Scheme::Https(_) => Finding::broken(
            About::Panel,
            Sentence::new(
                format!("{key}: {place} does not speak HTTPS"),
                format!("{key}：{place} 使用的不是 HTTPS"),
            ),
            Sentence::new(
                format!("set {key} = \"http://{place}\", if it is the panel that listens there"),
                format!("如果在那里监听的确实是面板，请设置 {key} = \"http://{place}\""),
            ),
        ),
    }
}

/// Whether its certificate is one that the configuration accepts.
fn trusts(key: &str, host: &str, port: u16, trusted: &UpstreamTrust) -> Finding {
    let seen = web::connect(host, port).and_then(|stream| web::handshake(stream, host, trusted));
    match seen {
        Ok(_) => fine(
            format!("{key}: {host}:{port} answers over HTTPS"),
            format!("{key}：{host}:{port} 以 HTTPS 应答"),
        ),
        Err(error) => Finding::broken(
            About::Panel,
            Sentence::new(
                format!("{key}: the certificate of {host}:{port} is not accepted: {error}"),
                format!("{key}：不接受 {host}:{port} 的证书：{}", foreign(&error)),
            ),
            Sentence::new(
                "set ca_file or pin_sha256 beside it to what the panel presents",
                "请按面板实际出示的证书设置同一节中的 ca_file 或 pin_sha256",
            ),
        ),
    }
}

fn unreachable(key: &str, place: &str, error: &io::Error) -> Finding {
    Finding::broken(
        About::Panel,
        Sentence::new(
            format!("{key}: nobody answers at {place}: {error}"),
            format!("{key}：{place} 无应答：{}", foreign(error)),
        ),
        Sentence::new(
            format!("start the panel, or set {key} to the address that it listens on"),
            format!("请启动面板，或把 {key} 设为它监听的地址"),
        ),
    )
}

fn fine(en: String, zh_cn: String) -> Finding {
    Finding::fine(About::Panel, Sentence::new(en, zh_cn))
}
