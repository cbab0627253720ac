//! What a client connection is doing, and until when it may.
//!
//! One deadline a connection, moved by what happens on it; no request arms a timer of its own.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use super::hearing::Hearing;
use super::now::{self, Instant};
use super::relay::Relay;
use super::spelled::Spelled;
use crate::config::Limits;

/// Where a connection stands; each phase has its own time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Between requests: `idle_timeout`.
    Idle,
    /// A request head has begun: `header_timeout` for the whole of it.
    Head,
    /// A request body is coming: `body_timeout` between two pieces.
    Upload,
    /// The request has been sent on: the upstream's `response_timeout`.
    Waiting,
    /// The response is being written: `body_timeout` between two pieces.
    Download,
    /// The response is complete, but not all of it has left.
    Flushing,
}

/// The state of one client connection, shared by its socket, its requests and the task that drives it.
#[derive(Debug)]
pub(super) struct Activity {
    phase: Cell<Phase>,
    deadline: Cell<Instant>,
    limits: Rc<Limits>,
    /// The task, to be woken when the worker drains.
    task: RefCell<Option<Waker>>,
    draining: Cell<bool>,
    /// The end of the connection is the only end that the response in progress has.
    close_delimited: Cell<bool>,
    /// Requests of an HTTP/2 connection: open, and those of them without a response head yet.
    streams: Cell<(u32, u32)>,
    /// Bytes of HTTP/2 that came in while responses were on their way, less those written since.
    owed: Cell<usize>,
    /// Something was read since the request's end: the head of the next one has begun.
    ahead: Cell<bool>,
    hearing: Hearing,
    /// What is left of the body of the last request is read by nobody.
    unread: Cell<bool>,
    /// Times that everything written so far had left.
    flushes: Cell<u64>,
    /// The rest of a response waits until what was written has left.
    held_up: Cell<bool>,
    /// It is looked at now and then, whether it is idle.
    watched: Cell<bool>,
    /// Its timer knows which task to wake.
    alarm: Cell<bool>,
    /// hyper is asked to let go of it, and must not close it on that occasion.
    parking: Cell<bool>,
    /// How the names of the request that was read last were written.
    spelled: Spelled,
    /// Something came in that hyper, as it was made for this connection, must not read.
    withheld: Cell<bool>,
    /// What is written goes out as it is.
    plain: Cell<bool>,
    /// What goes out in place of the stand-ins that hyper writes.
    relay: RefCell<Option<Box<Relay>>>,
}

/// A request of an HTTP/2 connection, from its head to the end of its response.
#[derive(Debug)]
pub(super) struct OpenStream {
    activity: Rc<Activity>,
    answered: bool,
}

impl Activity {
    /// A connection that has just been accepted.
    pub(super) fn new(limits: Rc<Limits>) -> Rc<Self> {
        let deadline = Cell::new(now::now() + limits.idle_timeout);
        Rc::new(Self {
            phase: Cell::new(Phase::Idle),
            deadline,
            limits,
            task: RefCell::new(None),
            draining: Cell::new(false),
            close_delimited: Cell::new(false),
            streams: Cell::new((0, 0)),
            owed: Cell::new(0),
            ahead: Cell::new(false),
            hearing: Hearing::default(),
            unread: Cell::new(false),
            flushes: Cell::new(0),
            held_up: Cell::new(false),
            watched: Cell::new(false),
            alarm: Cell::new(false),
            parking: Cell::new(false),
            spelled: Spelled::default(),
            withheld: Cell::new(false),
            plain: Cell::default(),
            relay: RefCell::default(),
        })
    }

    /// One more request on an HTTP/2 connection.
    pub(super) fn open_stream(self: &Rc<Self>) -> OpenStream {
        let (open, unanswered) = self.streams.get();
        self.set_streams(open + 1, unanswered + 1);
        OpenStream { activity: Rc::clone(self), answered: false }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline.get()
    }

    pub(super) fn is_overdue(&self) -> bool {
        self.deadline.get() <= now::now()
    }

    /// Puts off listening to a client that can only tell that it leaves, as the answer may be sooner; says whether it does.
    pub(super) fn puts_off_hearing(&self) -> bool {
        let (open, _) = self.streams.get();
        open == 0 && self.is_busy() && self.hearing.put_off()
    }

    pub(super) fn hearing(&self) -> &Hearing {
        &self.hearing
    }

    /// How long it has been waiting for a request, if it is.
    pub(super) fn idle_time(&self) -> Option<Duration> {
        let idle = self.phase.get() == Phase::Idle;
        idle.then(|| now::since(self.deadline.get() - self.limits.idle_timeout))
    }

    /// Whether the timer of its deadline wakes its task.
    pub(super) fn has_alarm(&self) -> bool {
        self.alarm.get()
    }

    pub(super) fn set_alarm(&self) {
        self.alarm.set(true);
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watched.get()
    }

    pub(super) fn set_watched(&self, watched: bool) {
        self.watched.set(watched);
    }

    pub(super) fn set_parking(&self, parking: bool) {
        self.parking.set(parking);
    }

    pub(super) fn is_parking(&self) -> bool {
        self.parking.get()
    }

    pub(super) fn spelled(&self) -> &Spelled {
        &self.spelled
    }

    pub(super) fn set_withheld(&self, withheld: bool) {
        self.withheld.set(withheld);
    }

    pub(super) fn is_withheld(&self) -> bool {
        self.withheld.get()
    }

    pub(super) fn set_plain(&self, plain: bool) {
        self.plain.set(plain);
    }

    /// Whether a body can be moved to the client's socket.
    pub(super) fn takes_relay(&self) -> bool {
        self.plain.get() && self.relay.borrow().is_none()
    }

    /// What goes out in place of stand-ins, if hyper writes such.
    pub(super) fn relay(&self) -> RefMut<'_, Option<Box<Relay>>> {
        self.relay.borrow_mut()
    }

    /// Whether something waits to be read until hyper is made anew, and that can be now: no request is under way.
    pub(super) fn wants_another_reader(&self) -> bool {
        self.withheld.get() && !self.is_busy()
    }

    /// Whether a request is under way.
    pub(super) fn is_busy(&self) -> bool {
        !matches!(self.phase.get(), Phase::Idle | Phase::Head)
    }

    /// Something came that belongs to the first request, or goes before it.
    pub(super) fn head_began(&self) {
        if self.phase.get() == Phase::Idle {
            self.enter(Phase::Head, self.limits.header_timeout);
        }
    }

    /// What went before the first request is complete.
    pub(super) fn begin_anew(&self) {
        self.enter(Phase::Idle, self.limits.idle_timeout);
    }

    /// A request head was read; `body` says whether more of it comes.
    pub(super) fn request_began(&self, body: bool) {
        self.close_delimited.set(false);
        self.ahead.set(false);
        self.unread.set(false);
        self.hearing.request_began(body);
        if body {
            self.enter(Phase::Upload, self.limits.body_timeout);
        } else {
            self.phase.set(Phase::Upload); // the deadline follows at once, in `request_sent`
        }
    }

    /// The upstream has the whole request, and `limit` for its answer.
    pub(super) fn request_sent(&self, limit: Duration) {
        if self.phase.get() == Phase::Upload {
            self.enter(Phase::Waiting, limit);
        }
    }

    /// The upstream wants the body that it was asked about.
    pub(super) fn upload_resumed(&self) {
        if self.phase.get() == Phase::Waiting {
            self.enter(Phase::Upload, self.limits.body_timeout);
        }
    }

    /// The response head is on its way.
    pub(super) fn response_began(&self, close_delimited: bool) {
        self.close_delimited.set(close_delimited);
        self.enter(Phase::Download, self.limits.body_timeout);
    }

    /// A piece of a body of an HTTP/2 connection went on, either way.
    pub(super) fn moved(&self) {
        if self.phase.get() == Phase::Download {
            self.owed.set(0);
            self.enter(Phase::Download, self.limits.body_timeout);
        }
    }

    /// The last piece of the response was handed to the socket.
    pub(super) fn response_ended(&self) {
        self.phase.set(Phase::Flushing);
    }

    /// Nobody wants the rest of the request body.
    pub(super) fn left_unread(&self) {
        self.unread.set(true);
    }

    /// Whether the client may still be sending what nobody wants.
    pub(super) fn has_unread(&self) -> bool {
        self.unread.get()
    }

    /// Changes whenever everything written so far has left.
    pub(super) fn flushes(&self) -> u64 {
        self.flushes.get()
    }

    /// Whether the rest of a response has to wait.
    pub(super) fn is_held_up(&self) -> bool {
        self.held_up.get()
    }

    /// Whether closing now would pass a truncated response off as a whole one.
    pub(super) fn would_look_complete(&self) -> bool {
        self.close_delimited.get() && self.phase.get() == Phase::Download
    }

    /// Remembers the task that drives the connection, and says whether it should come to an end.
    pub(super) fn is_draining(&self, cx: &Context<'_>) -> bool {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
        self.draining.get()
    }

    /// Asks the connection to end after the request that is under way.
    pub(super) fn drain(&self) {
        self.draining.set(true);
        self.wake();
    }

    /// Lets the task run that drives the connection.
    pub(super) fn wake(&self) {
        if let Some(task) = self.task.borrow().as_ref() {
            task.wake_by_ref();
        }
    }

    /// While an upstream thinks, its own time limit counts and not the connection's.
    fn set_streams(&self, open: u32, unanswered: u32) {
        self.streams.set((open, unanswered));
        match (open, unanswered) {
            (0, _) => {
                self.owed.set(0);
                self.enter(Phase::Idle, self.limits.idle_timeout);
            }
            (_, 0) => {
                self.enter(Phase::Download, self.limits.body_timeout);
                self.wake(); // a connection whose socket is full hears of a response from nobody else
            }
            (_, _) => self.phase.set(Phase::Waiting),
        }
    }

    fn enter(&self, phase: Phase, limit: Duration) {
        self.phase.set(phase);
        self.deadline.set(now::now() + limit);
    }

    /// Something came in.
    pub(super) fn read_some(&self, bytes: usize) {
        match self.phase.get() {
            Phase::Idle => self.head_began(),
            Phase::Upload => self.enter(Phase::Upload, self.limits.body_timeout),
            Phase::Download if self.streams.get().0 > 0 => {
                self.owed.set(self.owed.get().saturating_add(bytes));
            }
            Phase::Waiting | Phase::Download | Phase::Flushing => self.ahead.set(true),
            Phase::Head => {}
        }
    }

    /// With HTTP/2, what answers a client's PING or SETTINGS is no progress of a download: it has no more bytes than
    /// what it answers.
    pub(super) fn wrote_some(&self, bytes: usize) {
        let owed = self.owed.get();
        self.owed.set(owed.saturating_sub(bytes));
        if bytes <= owed {
            return;
        }
        match self.phase.get() {
            phase @ (Phase::Download | Phase::Flushing) => self.enter(phase, self.limits.body_timeout),
            Phase::Idle | Phase::Head | Phase::Upload | Phase::Waiting => {}
        }
    }

    /// No more of a response is to be read before what was written has left: it is much, or was not taken at once.
    pub(super) fn hold_up(&self) {
        self.held_up.set(true);
        if self.phase.get() == Phase::Idle {
            self.enter(Phase::Flushing, self.limits.body_timeout);
        }
    }

    /// Everything that was written has left, or is about to.
    pub(super) fn flushed(&self) {
        self.flushes.set(self.flushes.get().wrapping_add(1));
        // The body waits for it, or hyper waits for a word of the client that nobody listens to.
        if self.held_up.take() || self.phase.get() == Phase::Flushing && self.hearing.begin() {
            self.wake();
        }
        match self.phase.get() {
            Phase::Flushing if self.ahead.get() => self.enter(Phase::Head, self.limits.header_timeout),
            Phase::Flushing => self.enter(Phase::Idle, self.limits.idle_timeout),
            Phase::Idle | Phase::Head | Phase::Upload | Phase::Waiting | Phase::Download => {}
        }
    }
}

impl OpenStream {
    /// Its response head is on its way.
    pub(super) fn answered(&mut self) {
        self.answered = true;
        let (open, unanswered) = self.activity.streams.get();
        self.activity.set_streams(open, unanswered - 1);
    }

    /// A piece of its response went on.
    pub(super) fn moved(&self) {
        self.activity.moved();
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let (open, unanswered) = self.activity.streams.get();
        self.activity.set_streams(open - 1, unanswered - u32::from(!self.answered));
    }
}
