//! What a worker sends goes out together.
//!
//! Small pieces are not sent where they are made, but once everything that was ready has been read. Then the `send`s
//! follow one another so closely that a peer on the same machine which the first of them woke is still awake for the
//! others, and the code of each stage runs once for all requests that came together.

use std::cell::RefCell;
use std::io::IoSlice;
use std::mem;
use std::rc::Rc;

use tokio::sync::Notify;

use super::line::Line;

/// Up to here a message is copied together and waits for the others: one `send` of a small response costs less than
/// `writev`. Above, the copy would be dearer.
pub(super) const MOST_PIECE_BYTES: usize = 16 * 1024;

/// When so much waits, it is sent at once.
const MOST_BYTES: usize = 256 * 1024;

thread_local! {
    static OUTBOX: Rc<Outbox> = Rc::default();
}

#[derive(Default)]
struct Outbox {
    pieces: RefCell<Pieces>,
    filled: Notify,
}

/// What waits, in its order.
#[derive(Default)]
struct Pieces {
    bytes: Vec<u8>,
    /// Whose it is, and where it ends.
    ends: Vec<(Line, usize)>,
}

/// Sends what this thread puts in, for ever.
pub(super) async fn run() {
    let outbox = OUTBOX.with(Rc::clone);
    loop {
        outbox.filled.notified().await;
        outbox.send();
    }
}

/// Puts in a message for `line`.
pub(super) fn put(line: &Line, message: &[IoSlice<'_>]) {
    OUTBOX.with(|outbox| outbox.put(line, message));
}

/// Sends what is there now.
pub(super) fn send() {
    OUTBOX.with(|outbox| outbox.send());
}

impl Outbox {
    fn put(&self, line: &Line, message: &[IoSlice<'_>]) {
        let mut pieces = self.pieces.borrow_mut();
        if pieces.ends.is_empty() {
            self.filled.notify_one();
        }
        message.iter().for_each(|part| pieces.bytes.extend_from_slice(part));
        let end = pieces.bytes.len();
        pieces.ends.push((line.clone(), end));
        if end >= MOST_BYTES {
            drop(pieces);
            self.send();
        }
    }

    fn send(&self) {
        let mut pieces = mem::take(&mut *self.pieces.borrow_mut());
        let mut start = 0;
        for (line, end) in pieces.ends.drain(..) {
            line.send(&pieces.bytes[start..end]);
            start = end;
        }
        pieces.bytes.clear();
        self.pieces.replace(pieces);
    }
}
