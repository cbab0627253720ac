//! A panel made of a socket: it answers with exactly the bytes that a story scripts, and remembers what it was asked.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinHandle;

use super::client::{Connection, Message};
use super::tls::Pair;

/// Any transport a panel may be reached over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One accepted connection.
pub type Accepted = Connection<Box<dyn Stream>>;

/// A listening panel; dropped, it refuses connections, and those it had are cut.
#[derive(Debug)]
pub struct Upstream {
    /// Where it listens; meaningless for a socket file.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Message>>>,
    task: JoinHandle<()>,
}

impl Upstream {
    /// A panel that says which request it got.
    pub async fn panel() -> Self {
        Self::answering(|request| plain(200, &format!("the panel: {}", request.start))).await
    }

    /// Answers each request with the bytes `script` makes of it.
    pub async fn answering(script: impl Fn(&Message) -> Vec<u8> + Clone + Send + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let behaviour = scripted(script, Arc::clone(&seen));
        let mut upstream = Self::with(behaviour).await;
        upstream.seen = seen;
        upstream
    }

    /// The same at a chosen address, which must be free.
    pub async fn panel_at(address: SocketAddr) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script = |request: &Message| plain(200, &format!("the panel: {}", request.start));
        let listener = TcpListener::bind(address).await.unwrap();
        Self::on(listener, scripted(script, Arc::clone(&seen)), seen)
    }

    /// Does with each connection whatever `behaviour` does.
    pub async fn with<F>(behaviour: impl Fn(Accepted) -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), behaviour, Arc::default())
    }

    /// A panel that speaks TLS with `pair`.
    pub async fn with_tls(pair: &Pair) -> Self {
        let acceptor = pair.acceptor();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let behaviour =
            scripted(|request| plain(200, &format!("the panel: {}", request.start)), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, behaviour) = (acceptor.clone(), behaviour.clone());
                connections.spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        behaviour(Connection::over(Box::new(stream) as Box<dyn Stream>)).await;
                    }
                });
            }
        });
        Self { address, seen, task }
    }

    /// A panel behind a socket file.
    pub fn on_socket(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let behaviour =
            scripted(|request| plain(200, &format!("the panel: {}", request.start)), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(behaviour(Connection::over(Box::new(stream) as Box<dyn Stream>)));
            }
        });
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { address, seen, task }
    }

    /// Its URL, for `panel.upstream`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Message> {
        self.seen.lock().unwrap().clone()
    }

    /// The only request so far.
    pub fn only(&self) -> Message {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen.remove(0)
    }

    fn on<F>(
        listener: TcpListener,
        behaviour: impl Fn(Accepted) -> F + Clone + Send + 'static,
        seen: Arc<Mutex<Vec<Message>>>,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                connections.spawn(behaviour(boxed(stream)));
            }
        });
        Self { address, seen, task }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A small answer that keeps the connection.
pub fn plain(status: u16, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} Scripted\r\nContent-Length: {}\r\nContent-Type: text/plain\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn boxed(stream: TcpStream) -> Accepted {
    Connection::over(Box::new(stream))
}

fn scripted(
    script: impl Fn(&Message) -> Vec<u8> + Clone + Send + 'static,
    seen: Arc<Mutex<Vec<Message>>>,
) -> impl Fn(Accepted) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Clone + Send + 'static {
    move |mut connection| {
        let (script, seen) = (script.clone(), Arc::clone(&seen));
        Box::pin(async move {
            use tokio::io::AsyncWriteExt;
            while let Some(request) = connection.request().await {
                let answer = script(&request);
                let last =
                    request.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
                seen.lock().unwrap().push(request);
                if connection.stream.write_all(&answer).await.is_err() || last {
                    return;
                }
            }
        })
    }
}
