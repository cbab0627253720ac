//! Counters: each worker adds to its own, the control plane reads the sum.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What one worker counts. All are monotonic but the gauges, which say so.
#[derive(Debug, Default)]
#[repr(align(128))] // a cache line pair of its own: workers never share one
pub struct Counters {
    /// Requests answered, by class of status: index 1 is 1xx … 5 is 5xx.
    pub responses: [Counter; 6],
    /// Challenges answered from memory.
    pub challenges: Counter,
    /// Connections accepted.
    pub accepted: Counter,
    /// Connections refused for a limit.
    pub refused: Counter,
    /// `accept` that failed.
    pub accept_errors: Counter,
    /// TLS handshakes that failed.
    pub handshake_errors: Counter,
    /// PROXY headers that were none.
    pub preface_errors: Counter,
    /// Requests for which the upstream gave no usable answer.
    pub upstream_errors: Counter,
    /// Gauge: connections open now.
    pub connections: Counter,
    /// Gauge: of these, the ones that wait for a request and keep no buffers.
    pub parked: Counter,
    /// Gauge: tunnels open now.
    pub tunnels: Counter,
}

/// A number that its owner changes and everybody may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One fewer, for gauges.
    pub fn decrement(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All workers' counters, for reading.
#[derive(Clone, Debug)]
pub struct Stats(Arc<[Arc<Counters>]>);

impl Stats {
    /// Of these workers.
    #[must_use]
    pub fn new(workers: impl IntoIterator<Item = Arc<Counters>>) -> Self {
        Self(workers.into_iter().collect())
    }

    /// The sum of one counter over all workers.
    #[must_use]
    pub fn sum(&self, counter: impl Fn(&Counters) -> &Counter) -> u64 {
        self.0.iter().map(|worker| counter(worker).get()).sum()
    }
}
