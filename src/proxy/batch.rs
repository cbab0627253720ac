//! What a worker sends goes out together.
//!
//! Small messages are not sent where they are made, but once everything that was ready has been read. Then the `send`s
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
pub(super) const SMALL_BYTES: usize = 16 * 1024;

/// When so many messages wait, or so much of them, they are sent at once: nobody waits for more than that.
const MOST_MESSAGES: usize = 64;
const MOST_BYTES: usize = 256 * 1024;

thread_local! {
    static BATCH: Rc<Batch> = Rc::default();
}

#[derive(Default)]
struct Batch {
    messages: RefCell<Messages>,
    filled: Notify,
}

/// Messages that wait, in their order.
#[derive(Default)]
struct Messages {
    bytes: Vec<u8>,
    /// Whose it is, and where it ends.
    ends: Vec<(Line, usize)>,
}

/// Sends what this thread puts in, for ever.
pub(super) async fn run() {
    let batch = BATCH.with(Rc::clone);
    loop {
        batch.filled.notified().await;
        batch.send();
    }
}

/// Puts in a message for `line`.
pub(super) fn put(line: &Line, message: &[IoSlice<'_>]) {
    BATCH.with(|batch| batch.put(line, message));
}

/// Sends what is there now.
pub(super) fn send() {
    BATCH.with(|batch| batch.send());
}

impl Batch {
    fn put(&self, line: &Line, message: &[IoSlice<'_>]) {
        let mut messages = self.messages.borrow_mut();
        if messages.ends.is_empty() {
            self.filled.notify_one();
        }
        message.iter().for_each(|part| messages.bytes.extend_from_slice(part));
        let end = messages.bytes.len();
        match messages.ends.last_mut() {
            Some((last, its_end)) if last.is_same(line) => *its_end = end,
            Some(_) | None => messages.ends.push((line.clone(), end)),
        }
        if messages.ends.len() >= MOST_MESSAGES || end >= MOST_BYTES {
            drop(messages);
            self.send();
        }
    }

    fn send(&self) {
        let mut messages = mem::take(&mut *self.messages.borrow_mut());
        let mut start = 0;
        for (line, end) in messages.ends.drain(..) {
            line.send(&messages.bytes[start..end]);
            start = end;
        }
        messages.bytes.clear();
        self.messages.replace(messages);
    }
}
