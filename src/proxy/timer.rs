//! The time limits of one exchange with the upstream.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Sleep, sleep_until};

use super::activity::{Activity, Phase};
use super::now::{self, Instant};

/// Who watches the clock while a request is sent and the upstream thinks.
#[derive(Clone)]
pub(super) enum Timer {
    /// The connection's one deadline: with HTTP/1.1 there is one exchange at a time.
    Connection {
        /// The connection.
        activity: Rc<Activity>,
        /// For the answer, once the request is complete.
        response: Duration,
    },
    /// A timer of its own: with HTTP/2 there are many exchanges.
    Own(Rc<Own>),
}

/// The time limits of an exchange that has its connection not for itself.
pub(super) struct Own {
    activity: Rc<Activity>,
    /// Between two pieces of the request body.
    body: Duration,
    /// For the answer, once the request is complete.
    response: Duration,
    uploading: Cell<bool>,
    deadline: Cell<Instant>,
    alarm: RefCell<Pin<Box<Sleep>>>,
}

impl Timer {
    /// For one of many exchanges on a connection; the request has yet to be sent.
    pub(super) fn own(activity: Rc<Activity>, body: Duration, response: Duration) -> Self {
        let deadline = now::now() + body;
        Self::Own(Rc::new(Own {
            activity,
            body,
            response,
            uploading: Cell::new(true),
            deadline: Cell::new(deadline),
            alarm: RefCell::new(Box::pin(sleep_until(deadline))),
        }))
    }

    /// A piece of the request body went on.
    pub(super) fn moved(&self) {
        match self {
            Self::Connection { .. } => {} // its socket has told it already
            Self::Own(own) => {
                own.deadline.set(now::now() + own.body);
                own.activity.moved();
            }
        }
    }

    /// The upstream has the whole request, or is asked whether it wants the rest.
    pub(super) fn sent(&self) {
        match self {
            Self::Connection { activity, response } => activity.request_sent(*response),
            Self::Own(own) => {
                own.uploading.set(false);
                own.deadline.set(now::now() + own.response);
            }
        }
    }

    /// The upstream wants the rest.
    pub(super) fn resumed(&self) {
        match self {
            Self::Connection { activity, .. } => activity.upload_resumed(),
            Self::Own(own) => {
                own.uploading.set(true);
                own.deadline.set(now::now() + own.body);
            }
        }
    }

    /// Whether the client is still sending its request.
    pub(super) fn is_uploading(&self) -> bool {
        match self {
            Self::Connection { activity, .. } => activity.phase() == Phase::Upload,
            Self::Own(own) => own.uploading.get(),
        }
    }

    /// Whether time is up; if not, the task is woken when it is.
    pub(super) fn is_over(&self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Connection { activity, .. } => activity.is_overdue(),
            Self::Own(own) => own.is_over(cx),
        }
    }
}

impl Own {
    fn is_over(&self, cx: &mut Context<'_>) -> bool {
        let mut alarm = self.alarm.borrow_mut();
        if self.deadline.get() < alarm.deadline() {
            alarm.as_mut().reset(self.deadline.get());
        }
        while alarm.as_mut().poll(cx).is_ready() {
            if self.deadline.get() <= Instant::now() {
                return true;
            }
            alarm.as_mut().reset(self.deadline.get());
        }
        false
    }
}
