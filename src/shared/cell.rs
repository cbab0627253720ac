//! A value that one side replaces whole and the other side reads without waiting.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

/// Makes a cell that holds `initial`.
pub fn cell<T>(initial: T) -> (Writer<T>, Reader<T>) {
    let shared = Arc::new(ArcSwap::from_pointee(initial));
    (Writer(Arc::clone(&shared)), Reader(shared))
}

/// The side that publishes. It cannot be cloned.
#[derive(Debug)]
pub struct Writer<T>(Arc<ArcSwap<T>>);

impl<T> Writer<T> {
    /// Replaces the value; every read that begins after this returns sees `value`.
    pub fn publish(&self, value: T) {
        self.0.store(Arc::new(value));
    }

    /// Replaces the value with one made from it. `change` may run more than once when writers race.
    pub fn update(&self, mut change: impl FnMut(&T) -> T) {
        self.0.rcu(|current| change(current));
    }

    /// What was published last.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<T>> {
        self.0.load()
    }
}

/// The side that looks.
#[derive(Debug)]
pub struct Reader<T>(Arc<ArcSwap<T>>);

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Reader<T> {
    /// The value as it is now, without a lock; it stays what it is while the guard lives.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<T>> {
        self.0.load()
    }
}
