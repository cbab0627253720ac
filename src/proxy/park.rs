//! Idle connections are taken back from hyper.
//!
//! Between two requests a connection needs nothing of what hyper keeps for it, which is some 14 KB. One that has been
//! idle for a moment is parked: its task keeps the socket and waits for the next byte, as it did before the first one.
//! Who sends requests at short intervals never notices; no request arms a timer for it.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

use super::activity::Activity;
use super::memory;
use super::now;
use super::stream::Stream;
use crate::shared::stats::Counter;

/// Most of a request that is read before hyper is there to read the rest; most requests are smaller.
const FIRST_BYTES: usize = 4096;

/// How often the connections that hyper has are looked through. One is parked that was idle for as long, so after twice
/// that at the latest.
const MOMENT: Duration = Duration::from_millis(100);

/// What the allocator keeps of so many connections is worth asking for while others go on.
const MANY: usize = 32;

/// Between two times that it is asked.
const PAUSE: Duration = Duration::from_secs(1);

/// How often it is asked for the same: what it finds free only when it is asked, it returns the next time.
const ROUNDS: u32 = 3;

thread_local! {
    static ROOM: RefCell<[u8; FIRST_BYTES]> = const { RefCell::new([0; FIRST_BYTES]) };
}

/// The connections of a worker that hyper has.
#[derive(Default)]
pub(super) struct Awake {
    connections: RefCell<Vec<Rc<Activity>>>,
    first: Notify,
}

impl Awake {
    /// Looks after a connection until it is parked or gone.
    pub(super) fn watch(&self, activity: &Rc<Activity>) {
        if activity.is_watched() {
            return;
        }
        activity.set_watched(true);
        let mut connections = self.connections.borrow_mut();
        if connections.is_empty() {
            self.first.notify_one();
        }
        connections.push(Rc::clone(activity));
    }

    /// Wakes those that may be parked and those that nobody listens to, for ever, and gives back what they have left. Nothing
    /// runs while there is nothing to do.
    pub(super) async fn look_after(&self) {
        let mut leavings = Leavings::new();
        loop {
            if self.count() == 0 && leavings.are_returned() {
                self.first.notified().await;
            }
            sleep(MOMENT).await;
            now::tick();
            if leavings.are_due(self.count()) && memory::give_back() {
                leavings.were_returned();
            }
            leavings.add(self.look());
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.connections.borrow().len()
    }

    /// How many need not be looked through any more.
    fn look(&self) -> usize {
        let mut connections = self.connections.borrow_mut();
        let before = connections.len();
        connections.retain(|activity| {
            let idle = is_due(activity);
            activity.set_watched(!idle);
            if idle || activity.hearing().begin() {
                activity.wake();
            }
            !idle && Rc::strong_count(activity) > 1
        });
        let room = connections.len() * 2;
        connections.shrink_to(room);
        before - connections.len()
    }
}

/// What connections have left behind in the allocator.
struct Leavings {
    /// Most that were awake since it was asked last.
    most: usize,
    /// Those that left since. Counted by these, because a slow stream of them is never many at a time, and leaves as
    /// much.
    left: usize,
    /// Times that it is still to be asked.
    rounds: u32,
    asked: now::Instant,
}

impl Leavings {
    fn new() -> Self {
        Self { most: 0, left: 0, rounds: 0, asked: now::now() }
    }

    fn add(&mut self, left: usize) {
        self.left += left;
    }

    fn are_returned(&self) -> bool {
        self.left == 0 && self.rounds == 0
    }

    /// Whether the allocator is to be asked now, while so many connections are awake.
    fn are_due(&mut self, awake: usize) -> bool {
        self.most = self.most.max(awake);
        if now::since(self.asked) < PAUSE {
            return false;
        }
        let fewer = self.left >= MANY && awake <= self.most / 2;
        let last = self.left > 0 && awake == 0;
        if fewer || last {
            (self.most, self.left, self.rounds) = (awake, 0, ROUNDS);
        }
        self.rounds > 0
    }

    fn were_returned(&mut self) {
        self.rounds -= 1;
        self.asked = now::now();
    }
}

/// Whether a connection has been idle for so long that it is parked.
pub(super) fn is_due(activity: &Activity) -> bool {
    activity.idle_time().is_some_and(|idle| idle >= MOMENT)
}

/// Waits for what the client says first, or next. It is read here because to look without reading would be one more system
/// call, and the memory of hyper and TLS must not be there before it. `None`: the client left or said nothing for too long,
/// or the worker drains.
pub(super) async fn first_bytes(
    stream: &mut Stream,
    activity: &Activity,
    mut deadline: Pin<&mut Sleep>,
    parked: &Counter,
) -> Option<Bytes> {
    let _parked = Counted::new(parked);
    poll_fn(|cx| {
        now::tick();
        if activity.is_draining(cx) {
            return Poll::Ready(None);
        }
        ROOM.with_borrow_mut(|room| {
            let mut first = ReadBuf::new(room);
            match stream.poll_first(cx, &mut first) {
                Poll::Ready(Ok(())) if !first.filled().is_empty() => {
                    Poll::Ready(Some(Bytes::copy_from_slice(first.filled())))
                }
                Poll::Ready(_) => Poll::Ready(None),
                Poll::Pending if is_over(activity, deadline.as_mut(), cx) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
    })
    .await
}

/// Closes a connection that has no request. With TLS the client hears it; nothing is waited for.
pub(super) async fn say_goodbye(mut stream: Stream) {
    poll_fn(|cx| {
        let _ = Pin::new(&mut stream).poll_shutdown(cx); // it is closed in any case
        Poll::Ready(())
    })
    .await;
}

/// Whether the connection's time is over. A deadline that moved back is looked up when the timer fires; one that moved
/// forward, now.
pub(super) fn is_over(activity: &Activity, mut deadline: Pin<&mut Sleep>, cx: &mut Context<'_>) -> bool {
    if activity.deadline() < deadline.deadline() {
        deadline.as_mut().reset(activity.deadline());
    } else if activity.has_alarm() && !deadline.is_elapsed() {
        return false; // it will wake this task
    }
    while deadline.as_mut().poll(cx).is_ready() {
        now::look();
        if activity.is_overdue() {
            return true;
        }
        deadline.as_mut().reset(activity.deadline());
    }
    activity.set_alarm();
    false
}

/// Counts a connection in a gauge.
pub(super) struct Counted<'a>(&'a Counter);

impl<'a> Counted<'a> {
    pub(super) fn new(gauge: &'a Counter) -> Self {
        gauge.increment();
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.decrement();
    }
}
