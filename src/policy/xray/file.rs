//! Xray's configuration file: where its API listens, and, while that does not answer, which inbounds there may be.

use serde_json::Value;
use thiserror::Error;

use super::inbound::{Certificate, Form, Inbound, Listen, Tls, Transport, Usage};
use super::leaf::Leaf;
use crate::config::Address;

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// Where the API listens; `None` where it is off.
    pub api: Option<Address>,
    /// The inbounds, as far as they can be understood.
    pub inbounds: Vec<Inbound>,
}

/// Why it says nothing.
#[derive(Debug, Error)]
#[error("it is not JSON")]
pub struct FileError(#[from] serde_json::Error);

/// Reads the file. What is strange in it is left out.
///
/// # Errors
/// It is no JSON at all.
pub fn read(text: &str) -> Result<File, FileError> {
    let file: Value = serde_json::from_str(text)?;
    let inbounds = list(&file["inbounds"]);
    Ok(File { api: api(&file), inbounds: inbounds.iter().map(inbound).collect() })
}

/// `api.listen`, or the inbound from which a rule, or its tag, leads to the API.
fn api(file: &Value) -> Option<Address> {
    let api = file["api"].as_object()?;
    if let Some(listen) = api.get("listen").and_then(Value::as_str).filter(|listen| !listen.is_empty()) {
        return address(listen);
    }
    let tag = api.get("tag")?.as_str()?;
    let rules = list(&file["routing"]["rules"]);
    let leads = rules.iter().filter(|rule| rule["outboundTag"] == tag);
    let leading: Vec<&str> =
        leads.flat_map(|rule| list(&rule["inboundTag"])).filter_map(Value::as_str).collect();
    let inbounds = list(&file["inbounds"]);
    let tagged = |wanted: &str| inbounds.iter().find(|it| it["tag"] == wanted);
    let entrance = leading.iter().find_map(|tag| tagged(tag)).or_else(|| tagged(tag))?;
    let entrance = inbound(entrance);
    let (port, _) = *entrance.ports.first()?;
    let host = match entrance.listen {
        Listen::Ip(Some(ip)) if !ip.is_unspecified() => ip.to_string(),
        Listen::Ip(Some(std::net::IpAddr::V6(_))) => "::1".to_owned(),
        Listen::Ip(_) => "127.0.0.1".to_owned(),
        Listen::Name(name) => name,
        Listen::Unix(path) => return unix(&path),
    };
    Some(Address::Tcp { host, port })
}

fn address(listen: &str) -> Option<Address> {
    if listen.starts_with(['/', '@']) {
        return unix(listen);
    }
    let (host, port) = listen.rsplit_once(':')?;
    let host = match host.trim_start_matches('[').trim_end_matches(']') {
        "" | "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    Some(Address::Tcp { host: host.to_owned(), port: port.parse().ok()? })
}

/// Xray may write the mode of a socket file behind a comma.
fn unix(path: &str) -> Option<Address> {
    let path = path.split(',').next()?;
    Some(Address::Unix(path.into()))
}

fn inbound(value: &Value) -> Inbound {
    let stream = &value["streamSettings"];
    let transport = Transport::named(text(&stream["network"]));
    let own = match &transport {
        Transport::Tcp if !stream["rawSettings"].is_null() => &stream["rawSettings"],
        Transport::Tcp => &stream["tcpSettings"],
        Transport::WebSocket => &stream["wsSettings"],
        Transport::HttpUpgrade => &stream["httpupgradeSettings"],
        Transport::Grpc | Transport::Xhttp | Transport::Kcp | Transport::Hysteria | Transport::Other(_) => {
            &Value::Null
        }
    };
    let says = |settings: &Value| settings["acceptProxyProtocol"] == true;
    Inbound {
        tag: text(&value["tag"]).to_owned(),
        listen: Listen::written(text(&value["listen"])),
        ports: ports(&value["port"]),
        proxy_protocol: says(&stream["sockopt"]) || says(own),
        transport,
        tls: (stream["security"] == "tls").then(|| tls(&stream["tlsSettings"])),
    }
}

fn tls(settings: &Value) -> Tls {
    Tls {
        certificates: list(&settings["certificates"]).iter().map(certificate).collect(),
        server_name: text(&settings["serverName"]).to_owned(),
        alpn: list(&settings["alpn"]).iter().map(|name| text(name).to_owned()).collect(),
        reject_unknown_sni: settings["rejectUnknownSni"] == true,
    }
}

fn certificate(value: &Value) -> Certificate {
    let (path, key) = (text(&value["certificateFile"]), text(&value["keyFile"]));
    let inline = path.is_empty() && key.is_empty();
    let lines: Vec<_> = list(&value["certificate"]).iter().map(text).collect();
    Certificate {
        form: if inline {
            Form::Inline
        } else {
            Form::File { certificate: path.to_owned(), key: key.to_owned() }
        },
        leaf: Leaf::read(lines.join("\n").as_bytes()).filter(|_| inline),
        usage: match text(&value["usage"]).to_lowercase().as_str() {
            "verify" => Usage::Verify,
            "issue" => Usage::Issue,
            _ => Usage::Encipherment,
        },
        ocsp_stapling: value["ocspStapling"].as_u64().unwrap_or_default(),
        one_time_loading: inline || value["oneTimeLoading"] == true,
    }
}

/// `443`, `"443"`, `"443-445,500"`.
fn ports(value: &Value) -> Vec<(u16, u16)> {
    if let Some(port) = value.as_u64().and_then(|port| u16::try_from(port).ok()) {
        return vec![(port, port)];
    }
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
    };
    text(value).split(',').filter_map(range).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A list, or the one thing that stands where a list may.
fn list(value: &Value) -> &[Value] {
    match value {
        Value::Array(list) => list,
        Value::Null => &[],
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            std::slice::from_ref(value)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn api_of(file: &Value) -> Option<Address> {
        read(&file.to_string()).unwrap().api
    }

    #[test]
    fn the_api_is_found_as_the_panels_write_it_and_where_it_has_a_listener_of_its_own() {
        let panel = json!({
            "api": {"tag": "api", "services": ["HandlerService"]},
            "inbounds": [
                {"tag": "inbound-443", "port": 443, "protocol": "vless"},
                {"tag": "api", "listen": "127.0.0.1", "port": 62789, "protocol": "tunnel"},
            ],
            "routing": {"rules": [{"type": "field", "inboundTag": ["api"], "outboundTag": "api"}]},
        });
        let tcp = |host: &str, port| Some(Address::Tcp { host: host.into(), port });
        assert_eq!(api_of(&panel), tcp("127.0.0.1", 62789));
        let other = json!({
            "api": {"tag": "steer"}, "inbounds": [{"tag": "door", "port": "10085"}],
            "routing": {"rules": [{"inboundTag": "door", "outboundTag": "steer"}]},
        });
        assert_eq!(api_of(&other), tcp("127.0.0.1", 10085));
        assert_eq!(api_of(&json!({"api": {"tag": "api", "listen": "[::]:8080"}})), tcp("::1", 8080));
        let socket = json!({"api": {"tag": "api", "listen": "/run/xray.sock,0660"}});
        assert_eq!(api_of(&socket), Some(Address::Unix("/run/xray.sock".into())));
        assert_eq!(api_of(&json!({"inbounds": [{"tag": "api", "port": 1}]})), None, "it is off");
    }

    #[test]
    fn inbounds_are_read_and_what_is_strange_is_left_out() {
        let file = read(
            &json!({"inbounds": [
                {
                    "tag": "a", "listen": "::", "port": "443-445,500",
                    "streamSettings": {
                        "network": "ws", "security": "tls", "wsSettings": {"acceptProxyProtocol": true},
                        "tlsSettings": {"rejectUnknownSni": true, "serverName": "a.example", "alpn": "h3", "certificates": [
                            {"certificateFile": "/c", "keyFile": "/k", "ocspStapling": 60, "usage": "issue"},
                            {"certificate": ["-----BEGIN"], "key": ["x"]},
                        ]},
                    },
                },
                {"tag": 7, "port": {"strange": true}, "streamSettings": "odd"},
                "not even an object",
            ]})
            .to_string(),
        )
        .unwrap();
        let [first, second, third] = file.inbounds.as_slice() else { panic!("{file:?}") };
        assert_eq!((first.address().as_str(), first.port_count()), ("[::]:443-445,500", 4));
        assert!(first.proxy_protocol && first.transport == Transport::WebSocket);
        let tls = first.tls.as_ref().unwrap();
        assert!(tls.reject_unknown_sni && tls.server_name == "a.example" && tls.alpn == ["h3"]);
        assert!(
            first.is_over_tcp() && !Inbound { transport: Transport::Xhttp, ..first.clone() }.is_over_tcp()
        );
        assert_eq!((tls.certificates[0].interval(), tls.certificates[0].usage), (60, Usage::Issue));
        assert_eq!(tls.certificates[1].form, Form::Inline);
        assert!(tls.certificates[1].one_time_loading);
        assert!(second.tls.is_none() && third.ports.is_empty());
        assert!(read("// comments are Xray's own invention\n{}").is_err());
    }
}
