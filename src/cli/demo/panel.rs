//! The sample panel: one page, and a clock that never stops talking.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::{Interval, interval};
use tokio_util::sync::CancellationToken;

/// Where the clock is.
pub(super) const CLOCK: &str = "/clock";

/// Between two words of the clock.
pub(super) const TICK: Duration = Duration::from_millis(500);

const PAGE: &str = include_str!("panel.html");

/// Starts the panel on a free loopback port, in a thread of its own that ends with `shutdown`.
pub(super) fn start(shutdown: CancellationToken) -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("sample-panel".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = serve(listener) => {}
            }
        });
    })?;
    Ok(address)
}

async fn serve(listener: std::net::TcpListener) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((socket, _)) = listener.accept() => {
                let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service_fn(answer));
                connections.spawn(async move { connection.await.is_ok() });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Page>, Infallible> {
    let (status, kind, page) = match request.uri().path() {
        "/" => (
            StatusCode::OK,
            "text/html; charset=utf-8",
            Page::Whole(Some(Bytes::from_static(PAGE.as_bytes()))),
        ),
        CLOCK => (StatusCode::OK, "text/event-stream", Page::Clock { ticks: 0, interval: interval(TICK) }),
        _ => (StatusCode::NOT_FOUND, "text/plain", Page::Whole(Some(Bytes::from_static(b"not here\n")))),
    };
    let mut response = Response::new(page);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

/// What the panel answers.
enum Page {
    Whole(Option<Bytes>),
    /// Server-sent events, one a tick, without end.
    Clock {
        ticks: u64,
        interval: Interval,
    },
}

impl Body for Page {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Clock { ticks, interval } => interval.poll_tick(cx).map(|_| {
                *ticks += 1;
                Some(Ok(Frame::data(Bytes::from(format!("data: {ticks}\n\n")))))
            }),
        }
    }
}
