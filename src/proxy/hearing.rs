//! Whether somebody listens to a client while its request is under way.
//!
//! All that it can say then is that it leaves. The selector need not know of its socket for that at once: nearly every answer
//! is there before the next look at the connections that are awake, and then the client is heard without it.

use std::cell::Cell;

/// What is known about that of one connection.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// More of the request comes than its head.
    body: Cell<bool>,
    /// It was put off.
    put_off: Cell<bool>,
    /// It has begun, for good.
    begun: Cell<bool>,
}

impl Hearing {
    /// A request head was read; `body` says whether more of it comes.
    pub(super) fn request_began(&self, body: bool) {
        self.body.set(body);
    }

    /// Whether to listen can be put off; it is then.
    pub(super) fn is_put_off(&self) -> bool {
        self.put_off.set(!self.body.get() && !self.begun.get());
        self.put_off.get()
    }

    /// Puts it off no longer, and says whether it was.
    pub(super) fn begin(&self) -> bool {
        let was = self.put_off.take();
        self.begun.set(self.begun.get() || was);
        was
    }
}
