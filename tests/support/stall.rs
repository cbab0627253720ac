//! A wire to Xray's API that can be made to stall at a chosen call, so that whoever calls is killed exactly there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Each call begins with a frame of this type (RFC 9113 section 6.2).
const HEADERS: u8 = 1;

/// Of a connection's first bytes.
const PREFACE: usize = 24;

/// Where a call is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Xray never hears of it.
    Request,
    /// Xray does it, and its answer is lost.
    Answer,
}

/// The wire.
#[derive(Debug)]
pub struct Wire {
    /// Its near end.
    pub address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    /// Calls that still pass; negative when none is stopped.
    left: AtomicI64,
    at_answer: AtomicBool,
    stalled: AtomicBool,
}

impl Wire {
    /// One that lets everything through.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { left: AtomicI64::new(-1), ..State::default() });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let ((from, back), (answers, to)) = (near.into_split(), far.into_split());
                tokio::spawn(calls(from, to, Arc::clone(&shared)));
                tokio::spawn(replies(answers, back, Arc::clone(&shared)));
            }
        });
        Self { address, state, task }
    }

    /// Stops the call after the next `passing` ones.
    pub fn stall_after(&self, passing: u32, at: At) {
        self.state.stalled.store(false, Ordering::SeqCst);
        self.state.at_answer.store(at == At::Answer, Ordering::SeqCst);
        self.state.left.store(i64::from(passing), Ordering::SeqCst);
    }

    /// Lets everything through again.
    pub fn flow(&self) {
        self.state.left.store(-1, Ordering::SeqCst);
        self.state.stalled.store(false, Ordering::SeqCst);
    }

    /// Whether a call was stopped.
    pub fn is_stalled(&self) -> bool {
        self.state.stalled.load(Ordering::SeqCst)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Frame by frame, so that a call is stopped as a whole.
async fn calls(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<State>) -> Option<()> {
    let mut preface = [0; PREFACE];
    from.read_exact(&mut preface).await.ok()?;
    to.write_all(&preface).await.ok()?;
    loop {
        let mut head = [0; 9];
        from.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        from.read_exact(&mut frame).await.ok()?;
        if head[3] == HEADERS
            && state.left.load(Ordering::SeqCst) >= 0
            && state.left.fetch_sub(1, Ordering::SeqCst) == 0
        {
            state.stalled.store(true, Ordering::SeqCst);
        }
        if state.stalled.load(Ordering::SeqCst) && !state.at_answer.load(Ordering::SeqCst) {
            continue; // swallowed
        }
        to.write_all(&head).await.ok()?;
        to.write_all(&frame).await.ok()?;
    }
}

async fn replies(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<State>) -> Option<()> {
    let mut bytes = [0; 4096];
    loop {
        let read = from.read(&mut bytes).await.ok().filter(|read| *read > 0)?;
        if !state.stalled.load(Ordering::SeqCst) {
            to.write_all(&bytes[..read]).await.ok()?;
        }
    }
}
