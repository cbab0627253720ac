//! How much is read at once where the head of an answer is waited for. The last answer over the connection tells what the
//! next one is likely to be.

use super::splice;

/// Most that is read at once where a head is waited for, of which most answers need no more. It is read into memory that
/// the worker has for all its connections, and only what is left after the head is kept.
pub(super) const ROOM_BYTES: usize = 16 * 1024;

/// Content that is no larger comes with its head.
const SMALL_BYTES: u64 = ROOM_BYTES as u64;

/// What is read where the head of a large answer is waited for: its head, and not much more.
const HEAD_BYTES: usize = 1024;

/// What may become of a large content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Use {
    /// It is read.
    #[default]
    Read,
    /// It is moved from socket to socket.
    Moved,
}

/// How large an answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Size {
    /// No larger than the room for heads.
    #[default]
    Small,
    /// Larger, or nobody knows.
    Large,
    /// So large that it is worth being moved.
    WorthMoving,
}

/// How the next answer over a connection is to be read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    last: Size,
    large: Use,
}

impl Reading {
    /// Somebody asked who can make such use of it if it is large.
    pub(super) fn asked_for(&mut self, large: Use) {
        self.large = large;
    }

    /// An answer of this length has begun.
    pub(super) fn came(&mut self, length: Option<u64>) {
        self.last = match length {
            Some(..=SMALL_BYTES) => Size::Small,
            Some(splice::WORTH_BYTES..) => Size::WorthMoving,
            Some(_) | None => Size::Large,
        };
    }

    /// Whether the content, if it is like the last one, is to be read with its head.
    pub(super) fn is_at_once(&self) -> bool {
        self.last != Size::Small && !self.leaves_it()
    }

    /// What is read at once otherwise.
    pub(super) fn room_bytes(&self) -> usize {
        if self.leaves_it() { HEAD_BYTES } else { ROOM_BYTES }
    }

    /// Whether the content, if it is like the last one, is to stay where it can be moved from.
    fn leaves_it(&self) -> bool {
        self.last == Size::WorthMoving && self.large == Use::Moved
    }
}
