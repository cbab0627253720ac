//! Reaching an upstream.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use rustix::io::Errno;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::stream::Stream;
use super::wire::Wire;
use crate::config::{Address, Scheme, Upstream};
use crate::shared::trust::{self, TrustError};

/// What `connect` and `socket` say when descriptors, ports or memory have run out on this side.
const OUR_LIMITS: [Errno; 5] = [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM];

/// Opens connections to one upstream.
#[derive(Clone)]
pub(super) struct Connector {
    tls: Option<TlsConnector>,
    /// Shared by all workers, so that each worsening is told once.
    pub(super) told: Told,
}

/// What is wrong with an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Trouble {
    /// Nothing.
    None,
    /// It gives no answer to relay.
    NoAnswer,
    /// It is spoken to with TLS, or without, and speaks the other.
    Scheme,
}

/// What of it is in the log.
#[derive(Clone, Debug, Default)]
pub(super) struct Told(Arc<AtomicU8>);

impl Told {
    /// Whether it is news.
    pub(super) fn change_to(&self, trouble: Trouble) -> bool {
        let trouble = trouble as u8;
        // Mostly it is not, and then the workers write to nothing that they share.
        self.0.load(Ordering::Relaxed) != trouble && self.0.swap(trouble, Ordering::Relaxed) != trouble
    }
}

/// Why an upstream was not reached.
#[derive(Debug, Error)]
pub(super) enum ConnectError {
    /// The name of its host has no address.
    #[error("the upstream's host name could not be looked up")]
    Lookup(#[source] io::Error),
    /// The connection was refused or failed.
    #[error("the upstream could not be connected to")]
    Connect(#[source] io::Error),
    /// TLS with it failed.
    #[error("the TLS handshake with the upstream failed; is it https, and its certificate the expected one?")]
    Handshake(#[source] io::Error),
    /// Its host cannot be named in TLS.
    #[error("the upstream's host is no name that TLS knows")]
    ServerName(#[from] rustls::pki_types::InvalidDnsNameError),
    /// `connect_timeout` was over.
    #[error("the upstream did not accept the connection in time")]
    TimedOut,
}

impl ConnectError {
    /// Nobody listens there, for now.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Connect(error) => {
                matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
            }
            Self::Lookup(_) | Self::Handshake(_) | Self::ServerName(_) | Self::TimedOut => false,
        }
    }

    /// This process or machine has no descriptor or no port left for the connection; the upstream may be well.
    pub(super) fn is_our_limit(&self) -> bool {
        match self {
            Self::Connect(error) | Self::Lookup(error) => {
                Errno::from_io_error(error).is_some_and(|errno| OUR_LIMITS.contains(&errno))
            }
            Self::Handshake(_) | Self::ServerName(_) | Self::TimedOut => false,
        }
    }

    /// Plain HTTP, or something else that is no TLS, is spoken there.
    pub(super) fn is_without_tls(&self) -> bool {
        match self {
            Self::Handshake(error) => {
                let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
                matches!(cause, Some(rustls::Error::InvalidMessage(_)))
            }
            Self::Lookup(_) | Self::Connect(_) | Self::ServerName(_) | Self::TimedOut => false,
        }
    }

    /// Silence, as opposed to a refusal.
    pub(super) fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut)
    }
}

impl Connector {
    /// Reads what the scheme needs.
    ///
    /// # Errors
    /// A CA file that cannot be used.
    pub(super) fn new(scheme: &Scheme) -> Result<Self, TrustError> {
        let tls = match scheme {
            Scheme::Http => None,
            Scheme::Https(trust) => Some(TlsConnector::from(Arc::new(trust::client_config(trust)?))),
        };
        Ok(Self { tls, told: Told::default() })
    }

    /// A connection that is ready for a request.
    pub(super) async fn connect(&self, upstream: &Upstream) -> Result<Stream, ConnectError> {
        tokio::time::timeout(upstream.connect_timeout, self.stream(&upstream.address))
            .await
            .unwrap_or(Err(ConnectError::TimedOut))
    }

    async fn stream(&self, address: &Address) -> Result<Stream, ConnectError> {
        match address {
            Address::Unix(path) => unix(path).await,
            Address::Tcp { host, port } => {
                let tcp = tcp(host, *port).await?;
                match &self.tls {
                    None => Ok(Stream::Tcp(tcp.into())),
                    Some(tls) => {
                        let name = ServerName::try_from(host.clone())?;
                        let stream = tls
                            .connect(name, Wire::new(tcp, Bytes::new()))
                            .await
                            .map_err(ConnectError::Handshake)?;
                        Ok(Stream::TlsClient(Box::new(stream)))
                    }
                }
            }
        }
    }
}

async fn unix(path: &PathBuf) -> Result<Stream, ConnectError> {
    Ok(Stream::Unix(UnixStream::connect(path).await.map_err(ConnectError::Connect)?))
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let tcp = match host.parse::<IpAddr>() {
        Ok(address) => TcpStream::connect(SocketAddr::new(address, port)).await,
        Err(_) => {
            let found = tokio::net::lookup_host((host, port)).await.map_err(ConnectError::Lookup)?;
            TcpStream::connect(&found.collect::<Vec<_>>()[..]).await
        }
    }
    .map_err(ConnectError::Connect)?;
    // Small pieces go out at once; a socket that cannot be told so still works.
    let _ = tcp.set_nodelay(true);
    Ok(tcp)
}
