//! Somebody who comes again and again while an inbound is made anew.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::support::tls;

/// Makes one handshake after the other.
pub(super) struct Visitor {
    over: Arc<AtomicBool>,
    task: JoinHandle<(usize, Vec<String>)>,
}

impl Visitor {
    pub(super) fn of(address: SocketAddr) -> Self {
        Self::that_rests(address, Duration::from_millis(20))
    }

    /// With these pauses in between.
    pub(super) fn that_rests(address: SocketAddr, pause: Duration) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let task = tokio::spawn(async move {
            let (mut made, mut refused) = (0, Vec::new());
            while !until.load(Ordering::Relaxed) {
                let shaken = match TcpStream::connect(address).await {
                    Ok(_) => tls::connect(address, &tls::trusting_anybody(&[])).await.map(drop),
                    Err(error) => Err(error),
                };
                made += 1;
                refused.extend(shaken.err().map(|error| format!("handshake {made} with {address}: {error}")));
                tokio::time::sleep(pause).await;
            }
            (made, refused)
        });
        Self { over, task }
    }

    /// What was in the accept queue when a listener goes is reset by the kernel, unless `net.ipv4.tcp_migrate_req` is 1
    /// or doorman had time to send newcomers elsewhere before, which it has not where it is killed. Nothing else may
    /// happen.
    pub(super) async fn was_never_refused(self, most_resets: usize) {
        let handed_over = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_migrate_req");
        let most_resets = if handed_over.is_ok_and(|it| it.trim() == "1") { 0 } else { most_resets };
        self.over.store(true, Ordering::Relaxed);
        let (made, failed) = self.task.await.unwrap();
        let (reset, refused): (Vec<_>, Vec<_>) =
            failed.into_iter().partition(|it| it.contains("reset by peer"));
        assert!(made > 10, "only {made} handshakes");
        assert_eq!(refused, [""; 0], "of {made} handshakes");
        assert!(reset.len() <= most_resets, "of {made} handshakes: {reset:?}");
        println!("{made} handshakes, {} reset", reset.len());
    }
}
