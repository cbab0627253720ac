//! What the stories are told with: the real binary, a real CA, and peers that do exactly what a story needs.

pub mod client;
pub mod doorman;
pub mod fault_proxy;
pub mod frames;
pub mod network;
pub mod pebble;
pub mod peer;
pub mod process;
pub mod recorder;
pub mod stall;
pub mod telegram;
pub mod tls;
pub mod upstream;
pub mod xray;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How often a state is looked at while a story waits for it.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Waits until `look` finds what the story waits for; fails with `what` after `limit`.
pub async fn until<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < limit, "waited {limit:?} in vain until {what}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// A port that is free on both loopback addresses.
///
/// Taken from below the range that the kernel gives to outgoing connections, and never twice in one process, so that
/// nothing but another run on the same machine can take it before its owner does.
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const SPAN: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % u32::from(SPAN)).unwrap();
    for _ in 0..SPAN {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start.wrapping_add(step)) % SPAN;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("::1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

/// Bytes that are different at every offset a test may confuse, made as fast as they are read.
pub fn pattern(length: usize) -> Vec<u8> {
    (0u32..).flat_map(|word| word.wrapping_mul(0x9E37_79B1).to_le_bytes()).take(length).collect()
}
