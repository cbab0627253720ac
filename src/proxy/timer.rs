//! The time limit of one exchange with the upstream.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use tokio::time::Sleep;

use super::activity::Activity;

/// Who watches the clock while the upstream thinks.
pub(super) enum Timer {
    /// The connection's one deadline: with HTTP/1.1 there is one exchange at a time.
    Connection(Rc<Activity>),
    /// A timer of its own: with HTTP/2 there are many.
    Own(RefCell<Pin<Box<Sleep>>>),
}

impl Timer {
    /// Ends in `limit`, whatever else happens on the connection.
    pub(super) fn own(limit: Duration) -> Self {
        Self::Own(RefCell::new(Box::pin(tokio::time::sleep(limit))))
    }

    /// Whether time is up; if not, the task is woken when it is.
    pub(super) fn is_over(&self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Connection(activity) => activity.is_overdue(),
            Self::Own(sleep) => sleep.borrow_mut().as_mut().poll(cx).is_ready(),
        }
    }
}
