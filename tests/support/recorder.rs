//! A panel that says nothing of its own: it keeps every byte that reaches it and counts the connections.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::tls::Pair;
use super::upstream::Stream;

type Connection = Box<dyn Stream>;

/// What happened on one of its connections.
enum Event {
    Opened(WriteHalf<Connection>),
    Received(Vec<u8>),
    /// The door ended its half, or the connection failed.
    Ended,
}

/// A listening panel; dropped, it is gone.
pub struct Recorder {
    /// Where it listens, for `panel.upstream`.
    pub url: String,
    /// Connections so far.
    pub opened: usize,
    /// Received, and not yet looked at.
    pub received: Vec<u8>,
    ended: Vec<usize>,
    /// The connection that spoke last.
    current: usize,
    writers: HashMap<usize, WriteHalf<Connection>>,
    events: mpsc::UnboundedReceiver<(usize, Event)>,
    acceptor: JoinHandle<()>,
    _files: Option<TempDir>,
}

impl Recorder {
    /// On a port that the kernel chooses.
    pub async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self::on(url, Listener::Tcp(listener), None, None)
    }

    /// The same, speaking TLS with a certificate that nobody knows.
    pub async fn with_tls() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let acceptor = Pair::for_names(&["panel.test"]).acceptor();
        Self::on(url, Listener::Tcp(listener), Some(acceptor), None)
    }

    /// Behind a socket file.
    pub fn on_socket() -> Self {
        let files = TempDir::new().unwrap();
        let path = files.path().join("panel.sock");
        let listener = UnixListener::bind(&path).unwrap();
        Self::on(format!("unix:{}", path.display()), Listener::Unix(listener), None, Some(files))
    }

    fn on(url: String, listener: Listener, tls: Option<TlsAcceptor>, files: Option<TempDir>) -> Self {
        let (tell, events) = mpsc::unbounded_channel();
        let acceptor = tokio::spawn(accept(listener, tls, tell));
        Self {
            url,
            opened: 0,
            received: Vec::new(),
            ended: Vec::new(),
            current: 0,
            writers: HashMap::new(),
            events,
            acceptor,
            _files: files,
        }
    }

    /// Waits until `length` bytes are there to be looked at, and takes them; fewer if no more come before `limit`.
    pub async fn take(&mut self, length: usize, limit: Duration) -> Vec<u8> {
        let enough = async {
            while self.received.len() < length {
                let Some(event) = self.events.recv().await else { return };
                self.note(event);
            }
        };
        let _ = tokio::time::timeout(limit, enough).await;
        self.received.drain(..length.min(self.received.len())).collect()
    }

    /// Sends to the connection that spoke last. `false` if it is gone.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        match self.writers.get_mut(&self.current) {
            Some(writer) => writer.write_all(bytes).await.is_ok() && writer.flush().await.is_ok(),
            None => false,
        }
    }

    /// Ends the half of the connection that spoke last.
    pub async fn end(&mut self) {
        if let Some(mut writer) = self.writers.remove(&self.current) {
            let _ = writer.shutdown().await;
        }
    }

    /// Waits until the connection that spoke last was ended by the door.
    pub async fn is_ended(&mut self, limit: Duration) -> bool {
        let ended = async {
            while !self.ended.contains(&self.current) {
                let Some(event) = self.events.recv().await else { return };
                self.note(event);
            }
        };
        tokio::time::timeout(limit, ended).await.is_ok()
    }

    /// Looks at everything that has happened by now.
    pub fn catch_up(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            self.note(event);
        }
    }

    fn note(&mut self, (connection, event): (usize, Event)) {
        match event {
            Event::Opened(writer) => {
                self.opened += 1;
                self.writers.insert(connection, writer);
            }
            Event::Received(bytes) => {
                self.current = connection;
                self.received.extend(bytes);
            }
            Event::Ended => self.ended.push(connection),
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<Connection> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

async fn accept(listener: Listener, tls: Option<TlsAcceptor>, tell: mpsc::UnboundedSender<(usize, Event)>) {
    let mut connections = tokio::task::JoinSet::new();
    for number in 0.. {
        let Ok(stream) = listener.accept().await else { return };
        let (tls, tell) = (tls.clone(), tell.clone());
        connections.spawn(async move {
            let stream: Connection = match tls {
                None => stream,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => Box::new(stream),
                    Err(_) => return,
                },
            };
            let (reader, writer) = tokio::io::split(stream);
            let _ = tell.send((number, Event::Opened(writer)));
            record(reader, number, tell).await;
        });
    }
}

async fn record(
    mut reader: ReadHalf<Connection>,
    number: usize,
    tell: mpsc::UnboundedSender<(usize, Event)>,
) {
    loop {
        let mut piece = Vec::with_capacity(64 * 1024);
        let event = match reader.read_buf(&mut piece).await {
            Ok(length) if length > 0 => Event::Received(piece),
            Ok(_) | Err(_) => Event::Ended,
        };
        let last = matches!(event, Event::Ended);
        if tell.send((number, event)).is_err() || last {
            return;
        }
    }
}
