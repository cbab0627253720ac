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

    /// Puts it off where it can be, and says whether it is.
    pub(super) fn put_off(&self) -> bool {
        let can_be = !self.body.get() && !self.begun.get();
        self.put_off.set(can_be);
        can_be
    }

    /// Puts it off no longer, and says whether it was.
    pub(super) fn begin(&self) -> bool {
        let was = self.put_off.take();
        self.begun.set(self.begun.get() || was);
        was
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};
    use std::time::Duration;

    use super::super::activity::Activity;
    use crate::config::Limits;

    /// A task that counts how often it is woken.
    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn connection() -> (Rc<Activity>, Arc<Task>) {
        let (activity, task) = (Activity::new(Rc::new(Limits::default())), Arc::<Task>::default());
        activity.is_draining(&Context::from_waker(&Waker::from(Arc::clone(&task))));
        (activity, task)
    }

    #[test]
    fn the_next_request_is_listened_for_as_soon_as_the_answer_has_left() {
        let (activity, task) = connection();
        activity.head_began();
        assert!(!activity.puts_off_hearing(), "more of a head is waited for");
        activity.request_began(false);
        activity.request_sent(Duration::from_secs(1));
        assert!(activity.puts_off_hearing());
        activity.response_began(false);
        assert!(activity.puts_off_hearing());
        activity.response_ended();
        activity.flushed();
        assert_eq!(task.0.load(Ordering::Relaxed), 1, "it does not wait for the next look");
        assert!(!activity.puts_off_hearing());

        activity.request_began(false);
        assert!(!activity.puts_off_hearing(), "it is heard for good");
    }

    #[test]
    fn a_body_is_listened_for() {
        let (activity, task) = connection();
        activity.request_began(true);
        assert!(!activity.puts_off_hearing());
        activity.response_began(false);
        activity.response_ended();
        activity.flushed();
        assert_eq!(task.0.load(Ordering::Relaxed), 0);
    }
}
