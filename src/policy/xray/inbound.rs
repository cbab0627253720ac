//! An inbound as Xray's API describes it, as far as its certificate is concerned.
//!
//! Field numbers are those of Xray's `.proto` files, named beside each. Every message that holds a key stays bytes.

use super::leaf::Leaf;
use super::wire::{Message, WireError};

pub(super) const TLS: &str = "xray.transport.internet.tls.Config";

/// An inbound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// Unique in one Xray; may be empty.
    pub tag: String,
    /// Where.
    pub listen: Listen,
    /// First and last of each range.
    pub ports: Vec<(u16, u16)>,
    /// How bytes travel.
    pub transport: Transport,
    /// The TLS settings; `None` with REALITY and without TLS, which have no certificate.
    pub tls: Option<Tls>,
    /// Every connection must begin with a PROXY header.
    pub proxy_protocol: bool,
}

/// An address of an inbound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `None` is every address.
    Ip(Option<std::net::IpAddr>),
    /// A name that is looked up.
    Name(String),
    /// A socket file, or an abstract socket with `@` before its name.
    Unix(String),
}

/// Xray's transports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `raw`, once called `tcp`.
    Tcp,
    /// `ws`.
    WebSocket,
    /// `httpupgrade`.
    HttpUpgrade,
    /// `grpc`.
    Grpc,
    /// `xhttp`, once called `splithttp`.
    Xhttp,
    /// `kcp`.
    Kcp,
    /// `hysteria`.
    Hysteria,
    /// One that this version does not know.
    Other(String),
}

/// The TLS settings of an inbound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// In the order in which Xray looks through them.
    pub certificates: Vec<Certificate>,
    /// The name that clients are to ask for; may be empty.
    pub server_name: String,
    /// The protocols on offer; empty are Xray's own.
    pub alpn: Vec<String>,
    /// Handshakes for other names than those of the certificates are refused.
    pub reject_unknown_sni: bool,
}

/// One certificate of an inbound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Where it comes from.
    pub form: Form,
    /// Its leaf as Xray has it; `None` if that is not known, as where only a path is.
    pub leaf: Option<Leaf>,
    /// What it is for.
    pub usage: Usage,
    /// `ocspStapling`: seconds between two looks at the files; 0 means [`Certificate::DEFAULT_INTERVAL`].
    pub ocsp_stapling: u64,
    /// The files are never read again.
    pub one_time_loading: bool,
}

/// Where a certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Two files.
    File {
        /// The chain's path.
        certificate: String,
        /// The key's path.
        key: String,
    },
    /// It stands in the settings.
    Inline,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// To be presented.
    Encipherment,
    /// To verify others with.
    Verify,
    /// To sign certificates with, one for each name.
    Issue,
}

impl Certificate {
    /// Seconds between two looks when the settings do not say.
    pub const DEFAULT_INTERVAL: u64 = 3600;

    /// Seconds between two looks at the files.
    #[must_use]
    pub fn interval(&self) -> u64 {
        if self.ocsp_stapling == 0 { Self::DEFAULT_INTERVAL } else { self.ocsp_stapling }
    }

    /// Reads `transport.internet.tls.Certificate`.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, WireError> {
        let certificate = Message::read(bytes)?;
        let (path, key) = (certificate.text(5), certificate.text(6));
        Ok(Self {
            form: if path.is_empty() && key.is_empty() {
                Form::Inline
            } else {
                Form::File { certificate: path, key }
            },
            leaf: Leaf::read(certificate.bytes(1).unwrap_or_default()),
            usage: match certificate.number(3) {
                1 => Usage::Verify,
                2 => Usage::Issue,
                _ => Usage::Encipherment,
            },
            ocsp_stapling: certificate.number(4),
            one_time_loading: certificate.number(7) != 0,
        })
    }
}

impl Inbound {
    /// Reads `core.InboundHandlerConfig`.
    ///
    /// # Errors
    /// The bytes are no message.
    pub fn read(bytes: &[u8]) -> Result<Self, WireError> {
        let inbound = Message::read(bytes)?;
        // TypedMessage.value of receiver_settings: app.proxyman.ReceiverConfig
        let receiver = inbound.message(2)?.message(2)?;
        let stream = receiver.message(3)?; // transport.internet.StreamConfig
        let socket = stream.message(6)?;
        let transport = Transport::named(&stream.text(5));
        let tls = match stream.text(3).as_str() {
            TLS => Some(Tls::read(stream.message(4)?.bytes(2).unwrap_or_default())?),
            _ => None,
        };
        Ok(Self {
            tag: inbound.text(1),
            listen: Listen::read(&receiver.message(2)?),
            ports: ports(&receiver.message(1)?)?,
            proxy_protocol: socket.number(7) != 0 || transport.wants_proxy_header(&stream)?,
            transport,
            tls,
        })
    }

    /// How many ports it listens on.
    #[must_use]
    pub fn port_count(&self) -> usize {
        self.ports.iter().map(|(first, last)| usize::from(last.saturating_sub(*first)) + 1).sum()
    }

    /// A TLS handshake over TCP says what it presents.
    #[must_use]
    pub fn is_over_tcp(&self) -> bool {
        match self.transport {
            Transport::Tcp
            | Transport::WebSocket
            | Transport::HttpUpgrade
            | Transport::Grpc
            | Transport::Other(_) => true,
            // With nothing but HTTP/3 on offer it listens for QUIC.
            Transport::Xhttp => self.tls.as_ref().is_none_or(|tls| tls.alpn != ["h3"]),
            Transport::Kcp | Transport::Hysteria => false,
        }
    }

    /// Xray never closes the socket of XHTTP over QUIC: of an inbound that was removed it stays open, and whose packets
    /// the kernel gives to it wait for ever.
    #[must_use]
    pub fn keeps_its_socket(&self) -> bool {
        self.transport == Transport::Xhttp && !self.is_over_tcp()
    }

    /// Whether only the leaves differ, which are others after each renewal.
    #[must_use]
    pub fn is_set_like(&self, other: &Self) -> bool {
        self.without_leaves() == other.without_leaves()
    }

    fn without_leaves(&self) -> Self {
        let mut bare = self.clone();
        bare.tls.iter_mut().flat_map(|tls| &mut tls.certificates).for_each(|it| it.leaf = None);
        bare
    }

    /// Its address as people write it: `0.0.0.0:443`, `[::]:443-445,500`, `/run/x.sock`.
    #[must_use]
    pub fn address(&self) -> String {
        let ports: Vec<_> = self
            .ports
            .iter()
            .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
            .collect();
        let ports = ports.join(",");
        match &self.listen {
            Listen::Ip(None) => format!("0.0.0.0:{ports}"),
            Listen::Ip(Some(std::net::IpAddr::V6(ip))) => format!("[{ip}]:{ports}"),
            Listen::Ip(Some(ip)) => format!("{ip}:{ports}"),
            Listen::Name(name) => format!("{name}:{ports}"),
            Listen::Unix(path) => path.clone(),
        }
    }
}

impl Listen {
    /// A written address.
    #[must_use]
    pub fn written(text: &str) -> Self {
        match text.parse() {
            Ok(ip) => Self::Ip(Some(ip)),
            Err(_) if text.is_empty() => Self::Ip(None),
            Err(_) if text.starts_with(['/', '@']) => Self::Unix(text.to_owned()),
            Err(_) => Self::Name(text.to_owned()),
        }
    }

    /// Reads `common.net.IPOrDomain`.
    fn read(listen: &Message<'_>) -> Self {
        let ip = listen.bytes(1).unwrap_or_default();
        match (<[u8; 4]>::try_from(ip), <[u8; 16]>::try_from(ip)) {
            (Ok(v4), _) => Self::Ip(Some(v4.into())),
            (_, Ok(v6)) => Self::Ip(Some(v6.into())),
            (Err(_), Err(_)) => Self::written(&listen.text(2)),
        }
    }
}

impl Transport {
    /// By the name that Xray or its configuration file has for it; none is `raw`.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "" | "tcp" | "raw" => Self::Tcp,
            "ws" | "websocket" => Self::WebSocket,
            "httpupgrade" => Self::HttpUpgrade,
            "grpc" | "gun" => Self::Grpc,
            "xhttp" | "splithttp" => Self::Xhttp,
            "kcp" | "mkcp" => Self::Kcp,
            "hysteria" => Self::Hysteria,
            other => Self::Other(other.to_owned()),
        }
    }

    /// As the panels call it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tcp => "tcp",
            Self::WebSocket => "ws",
            Self::HttpUpgrade => "httpupgrade",
            Self::Grpc => "grpc",
            Self::Xhttp => "xhttp",
            Self::Kcp => "kcp",
            Self::Hysteria => "hysteria",
            Self::Other(name) => name,
        }
    }

    /// Established connections go on when the inbound that accepted them is removed.
    #[must_use]
    pub fn outlives_its_inbound(&self) -> bool {
        match self {
            Self::Tcp | Self::WebSocket | Self::HttpUpgrade => true,
            Self::Grpc | Self::Xhttp | Self::Kcp | Self::Hysteria | Self::Other(_) => false,
        }
    }

    /// `accept_proxy_protocol` of the transport's own settings.
    fn wants_proxy_header(&self, stream: &Message<'_>) -> Result<bool, WireError> {
        let number = match self {
            Self::Tcp => 3,
            Self::WebSocket | Self::HttpUpgrade => 4,
            Self::Grpc | Self::Xhttp | Self::Kcp | Self::Hysteria | Self::Other(_) => return Ok(false),
        };
        for settings in stream.all(2) {
            let settings = Message::read(settings)?;
            if Self::named(&settings.text(3)) == *self && settings.message(2)?.message(2)?.number(number) != 0
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Tls {
    /// Reads `transport.internet.tls.Config`.
    fn read(bytes: &[u8]) -> Result<Self, WireError> {
        let config = Message::read(bytes)?;
        Ok(Self {
            certificates: config.all(2).map(Certificate::read).collect::<Result<_, _>>()?,
            server_name: config.text(3),
            alpn: config.all(4).map(|name| String::from_utf8_lossy(name).into_owned()).collect(),
            reject_unknown_sni: config.number(12) != 0,
        })
    }

    /// Those that are presented, in order.
    pub fn presented(&self) -> impl Iterator<Item = &Certificate> {
        self.certificates.iter().filter(|it| it.usage == Usage::Encipherment)
    }

    /// The configured name, if whoever asks for it is given the first certificate, as whoever asks for none: not where
    /// another one bears the name, or may bear it, and not where other names are refused, for ours bears none.
    #[must_use]
    pub fn name_of_the_first(&self) -> Option<&str> {
        let name = Some(self.server_name.as_str()).filter(|name| !name.is_empty())?;
        let others = || self.presented().skip(1);
        let borne = others().any(|it| it.leaf.as_ref().is_none_or(|leaf| leaf.answers(name)));
        (!self.reject_unknown_sni && !borne).then_some(name)
    }
}

/// Reads `common.net.PortList`.
fn ports(list: &Message<'_>) -> Result<Vec<(u16, u16)>, WireError> {
    let port = |number| u16::try_from(number).map_err(|_| WireError);
    list.all(1)
        .map(|range| {
            let range = Message::read(range)?;
            Ok((port(range.number(1))?, port(range.number(2))?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::leaf::Leaf;
    use super::*;

    fn certificate(names: Option<&[&str]>) -> Certificate {
        let pem = names.map(|names| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let params = rcgen::CertificateParams::new(names).unwrap();
            params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
        });
        Certificate {
            form: Form::Inline,
            leaf: pem.and_then(|pem| Leaf::read(pem.as_bytes())),
            usage: Usage::Encipherment,
            ocsp_stapling: 0,
            one_time_loading: true,
        }
    }

    #[test]
    fn the_configured_name_is_tried_unless_another_certificate_bears_it_or_may_bear_it() {
        let ours = || certificate(Some(&["192.0.2.1"]));
        let tls = |others: Vec<Certificate>| Tls {
            certificates: std::iter::once(ours()).chain(others).collect(),
            server_name: "www.example".into(),
            alpn: Vec::new(),
            reject_unknown_sni: false,
        };
        let verifying = Certificate { usage: Usage::Verify, ..certificate(Some(&["www.example"])) };
        for others in [vec![], vec![certificate(Some(&["other.example"]))], vec![verifying]] {
            assert_eq!(tls(others).name_of_the_first(), Some("www.example"));
        }
        for other in [Some(["www.example"]), Some(["*.example"]), None] {
            let others =
                vec![certificate(Some(&["a.example"])), certificate(other.as_ref().map(|it| &it[..]))];
            assert_eq!(tls(others).name_of_the_first(), None, "{other:?}");
        }
        assert_eq!(Tls { reject_unknown_sni: true, ..tls(vec![]) }.name_of_the_first(), None);
        assert_eq!(Tls { server_name: String::new(), ..tls(vec![]) }.name_of_the_first(), None);
    }
}
