//! What has yet to be told, and to whom: one queue, in which every channel has a place of its own. Pure; it is kept on
//! the disk by `control::notify`.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Notice;

/// Alerts that are kept for a channel that cannot be reached: a whole outage has about ten.
pub const MOST: usize = 64;

/// Between two tries to deliver; the last repeats for ever.
pub const PAUSES: [Duration; 8] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(40),
    Duration::from_secs(60),
    LONGEST_PAUSE,
];

/// The last of them; it is also the pause after a refusal that only somebody's hand can change.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// The longest `retry_after` that is believed: what is critical is said again after a day in any case.
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A clock that is set back by less is only being adjusted.
const CLOCK_JITTER: Duration = Duration::from_secs(60);

/// Longest sentence that is kept of an error, in bytes of each language: the whole outbox stays below a megabyte.
const LONGEST_ERROR: usize = 3000;

/// Where alerts go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A chat, by its number.
    Telegram(i64),
    /// The webhook.
    Webhook,
}

/// Everything that has yet to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outbox {
    /// The number of the last one that was put in.
    last: u64,
    queue: VecDeque<Queued>,
    lanes: Vec<Lane>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// Greater than that of any before, over restarts too.
    pub id: u64,
    /// What is told.
    #[serde(flatten)]
    pub notice: Notice,
}

/// How far one channel is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Lane {
    channel: Channel,
    /// The last one that it has heard, or never will.
    done: u64,
    /// Pieces that are left of the next, when some of them have been sent.
    #[serde(default)]
    rest: Vec<String>,
    /// Alerts that were dropped unheard since the last one that was delivered.
    #[serde(default)]
    dropped: u32,
    /// Where the chat has moved to.
    #[serde(default)]
    moved_to: Option<i64>,
    /// The other side's wish.
    #[serde(default)]
    wait: Option<Wait>,
    /// A pause of our own, not worth keeping over a restart.
    #[serde(skip)]
    pause: Option<Wait>,
    #[serde(skip)]
    misses: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Wait {
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    until: OffsetDateTime,
}

/// What a channel has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing, until something is put in.
    Nothing,
    /// Nothing, for so long.
    In(Duration),
    /// Send this.
    Now(Box<Parcel>),
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The alert.
    pub queued: Queued,
    /// The chat's present number, where it has moved.
    pub moved_to: Option<i64>,
    /// What is left to send of it; empty: everything.
    pub rest: Vec<String>,
    /// Older ones that this channel will never hear.
    pub dropped: u32,
}

/// How a try to deliver ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is there, but for these pieces.
    Sent {
        /// What is left of it.
        rest: Vec<String>,
    },
    /// It may work by itself next time.
    Missed,
    /// The other side wants to be left alone for so long.
    Wait(Duration),
    /// Only somebody's hand can change it; it is tried again all the same, seldom.
    Refused,
    /// The chat has another number now.
    Moved(i64),
    /// This one will never be taken, whoever sends it.
    Unsendable,
}

impl Outbox {
    /// Takes over the channels of the configuration. A new one hears what the others have not heard either.
    pub fn configure(&mut self, channels: &[Channel]) {
        self.lanes.retain(|lane| channels.contains(&lane.channel));
        if !self.lanes.is_empty() {
            self.prune();
        }
        let done = self.queue.front().map_or(self.last, |oldest| oldest.id - 1);
        for channel in channels {
            if self.lane(*channel).is_none() {
                self.lanes.push(Lane {
                    channel: *channel,
                    done,
                    rest: Vec::new(),
                    dropped: 0,
                    moved_to: None,
                    wait: None,
                    pause: None,
                    misses: 0,
                });
            }
        }
        self.prune();
    }

    /// Puts an alert in for every channel. Says whether the oldest had to go for it.
    pub fn put(&mut self, now: OffsetDateTime, mut notice: Notice) -> bool {
        if self.lanes.is_empty() {
            return false;
        }
        for text in [&mut notice.error, &mut notice.detail].into_iter().flatten() {
            *text = std::mem::take(text).map(shortened);
        }
        let milliseconds = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        self.last = milliseconds.max(self.last + 1);
        self.queue.push_back(Queued { id: self.last, notice });
        if self.queue.len() <= MOST {
            return false;
        }
        if let Some(oldest) = self.queue.pop_front() {
            for lane in self.lanes.iter_mut().filter(|lane| lane.done < oldest.id) {
                lane.done = oldest.id;
                lane.rest.clear();
                lane.dropped = lane.dropped.saturating_add(1);
            }
        }
        true
    }

    /// What the channel has to do now.
    #[must_use]
    pub fn due(&self, channel: Channel, now: OffsetDateTime) -> Due {
        let Some(lane) = self.lane(channel) else {
            return Due::Nothing;
        };
        let Some(queued) = self.queue.iter().find(|queued| queued.id > lane.done) else {
            return Due::Nothing;
        };
        if let Some(left) = lane.wait.or(lane.pause).and_then(|wait| wait.left(now)) {
            return Due::In(left);
        }
        Due::Now(Box::new(Parcel {
            queued: queued.clone(),
            moved_to: lane.moved_to,
            rest: lane.rest.clone(),
            dropped: lane.dropped,
        }))
    }

    /// Takes in how the try with alert `id` ended.
    pub fn ended(&mut self, channel: Channel, id: u64, now: OffsetDateTime, outcome: Outcome) {
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.channel == channel) else {
            return;
        };
        lane.wait = None;
        let pause = match outcome {
            Outcome::Sent { rest } => {
                lane.sent(id, rest);
                None
            }
            Outcome::Unsendable => {
                lane.done = lane.done.max(id);
                lane.rest.clear();
                None
            }
            Outcome::Moved(chat) => {
                lane.moved_to = Some(chat);
                Some(PAUSES[0])
            }
            Outcome::Missed => {
                let pause = PAUSES[lane.misses.min(PAUSES.len() - 1)];
                lane.misses += 1;
                Some(pause)
            }
            Outcome::Wait(wait) => {
                lane.wait = Some(Wait { since: now, until: now + wait.clamp(PAUSES[0], LONGEST_WAIT) });
                None
            }
            Outcome::Refused => Some(LONGEST_PAUSE),
        };
        lane.pause = pause.map(|pause| Wait { since: now, until: now + pause });
        self.prune();
    }

    /// How many the channel has yet to hear.
    #[must_use]
    pub fn pending(&self, channel: Channel) -> usize {
        let Some(lane) = self.lane(channel) else {
            return 0;
        };
        self.queue.iter().filter(|queued| queued.id > lane.done).count()
    }

    fn lane(&self, channel: Channel) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.channel == channel)
    }

    /// Forgets what everybody has heard.
    fn prune(&mut self) {
        let heard = self.lanes.iter().map(|lane| lane.done).min().unwrap_or(u64::MAX);
        while self.queue.front().is_some_and(|oldest| oldest.id <= heard) {
            self.queue.pop_front();
        }
    }
}

impl Lane {
    fn sent(&mut self, id: u64, rest: Vec<String>) {
        self.misses = 0;
        if id <= self.done {
            // It was dropped while it was on its way, and has arrived after all.
            self.dropped = self.dropped.saturating_sub(u32::from(rest.is_empty()));
        } else if rest.is_empty() {
            self.done = id;
            self.dropped = 0;
            self.rest = rest;
        } else {
            self.rest = rest;
        }
    }
}

impl Wait {
    /// How long it still is. One that has not begun yet was made by a clock that was ahead, and means nothing.
    fn left(self, now: OffsetDateTime) -> Option<Duration> {
        let made_by_another_clock = now + CLOCK_JITTER < self.since;
        Duration::try_from(self.until - now).ok().filter(|left| !left.is_zero() && !made_by_another_clock)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Telegram(chat) => write!(f, "telegram {chat}"),
            Self::Webhook => f.write_str("webhook"),
        }
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > LONGEST_ERROR {
        let end = (0..=LONGEST_ERROR).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::policy::alert::{Alert, Edge, Kind};
    use crate::policy::sentence::Sentence;

    const NOW: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);
    const SECOND: Duration = Duration::from_secs(1);
    const A: Channel = Channel::Telegram(1);
    const B: Channel = Channel::Telegram(-1002);

    fn notice(failures: u32) -> Notice {
        let alert = Alert { kind: Kind::Critical, edge: Edge::News };
        Notice { failures, ..Notice::bare(alert, NOW) }
    }

    fn outbox(count: u32) -> Outbox {
        let mut outbox = Outbox::default();
        outbox.configure(&[A, B]);
        for number in 1..=count {
            outbox.put(NOW, notice(number));
        }
        outbox
    }

    fn parcel(outbox: &Outbox, channel: Channel, now: OffsetDateTime) -> Parcel {
        match outbox.due(channel, now) {
            Due::Now(parcel) => *parcel,
            other @ (Due::Nothing | Due::In(_)) => panic!("{other:?}"),
        }
    }

    fn send(outbox: &mut Outbox, channel: Channel, now: OffsetDateTime) -> u32 {
        let parcel = parcel(outbox, channel, now);
        outbox.ended(channel, parcel.queued.id, now, Outcome::Sent { rest: Vec::new() });
        parcel.queued.notice.failures
    }

    fn ended(outbox: &mut Outbox, channel: Channel, now: OffsetDateTime, outcome: Outcome) -> Due {
        let id = parcel(outbox, channel, now).queued.id;
        outbox.ended(channel, id, now, outcome);
        outbox.due(channel, now)
    }

    #[test]
    fn each_channel_hears_everything_in_order_at_its_own_pace() {
        let mut outbox = outbox(3);
        assert_eq!((send(&mut outbox, A, NOW), send(&mut outbox, A, NOW)), (1, 2));
        assert_eq!(send(&mut outbox, B, NOW), 1);
        assert_eq!((outbox.pending(A), outbox.pending(B)), (1, 2));
        assert_eq!(send(&mut outbox, A, NOW), 3);
        assert_eq!(outbox.due(A, NOW), Due::Nothing);
        assert_eq!((send(&mut outbox, B, NOW), send(&mut outbox, B, NOW)), (2, 3));
        assert_eq!(outbox.queue.len(), 0, "what everybody has heard is forgotten");
    }

    #[test]
    fn pauses_grow_to_two_minutes_and_go_on_for_ever() {
        let mut outbox = outbox(1);
        let mut now = NOW;
        let mut pauses = Vec::new();
        for _ in 0..500 {
            let Due::In(pause) = ended(&mut outbox, A, now, Outcome::Missed) else { panic!("no pause") };
            pauses.push(pause.as_secs());
            now += pause;
        }
        assert_eq!(pauses[..9], [1, 2, 5, 10, 20, 40, 60, 120, 120]);
        assert!(pauses[8..].iter().all(|pause| *pause == 120));
        assert_eq!(send(&mut outbox, A, now), 1, "it is not lost after sixteen hours");
        outbox.put(now, notice(2));
        assert_eq!(ended(&mut outbox, A, now, Outcome::Missed), Due::In(SECOND), "the next begins anew");
    }

    #[test]
    fn a_wait_that_is_asked_for_is_kept_over_a_restart_unless_the_clock_lied() {
        let mut outbox = outbox(1);
        let asked = Outcome::Wait(SECOND * 600);
        assert_eq!(ended(&mut outbox, A, NOW, asked), Due::In(SECOND * 600));
        assert_eq!(ended(&mut outbox, B, NOW, Outcome::Missed), Due::In(SECOND));
        let kept = serde_json::to_string(&outbox).unwrap();
        let again: Outbox = serde_json::from_str::<Outbox>(&kept).unwrap();
        assert_eq!(again.due(A, NOW + SECOND), Due::In(SECOND * 599));
        assert!(matches!(again.due(A, NOW + SECOND * 600), Due::Now(_)));
        assert!(matches!(again.due(B, NOW), Due::Now(_)), "our own pauses are not worth keeping");
        assert!(matches!(again.due(A, NOW - SECOND * 3600), Due::Now(_)), "the clock was ahead");
        let mut greedy = outbox.clone();
        greedy.ended(A, outbox.last, NOW, Outcome::Wait(SECOND * 9_999_999));
        assert_eq!(greedy.due(A, NOW), Due::In(LONGEST_WAIT));
        greedy.ended(A, outbox.last, NOW, Outcome::Wait(Duration::ZERO));
        assert_eq!(greedy.due(A, NOW), Due::In(SECOND), "nobody is asked without a pause");
    }

    #[test]
    fn a_refusal_neither_spins_nor_holds_up_the_others() {
        let mut outbox = outbox(2);
        assert_eq!(ended(&mut outbox, A, NOW, Outcome::Refused), Due::In(SECOND * 120));
        assert_eq!((send(&mut outbox, B, NOW), send(&mut outbox, B, NOW)), (1, 2));
        assert_eq!(send(&mut outbox, A, NOW + SECOND * 120), 1, "and it is told when the chat is there");
    }

    #[test]
    fn the_oldest_goes_when_it_is_full_and_the_next_says_so() {
        let mut outbox = outbox(u32::try_from(MOST).unwrap());
        assert_eq!(send(&mut outbox, A, NOW), 1);
        assert!(outbox.put(NOW, notice(100)) && outbox.put(NOW, notice(101)));
        assert_eq!(outbox.queue.len(), MOST);
        let (a, b) = (parcel(&outbox, A, NOW), parcel(&outbox, B, NOW));
        assert_eq!((a.queued.notice.failures, a.dropped), (3, 1), "it had heard the first");
        assert_eq!((b.queued.notice.failures, b.dropped), (3, 2));
        send(&mut outbox, B, NOW);
        assert_eq!(parcel(&outbox, B, NOW).dropped, 0, "it is said once");
    }

    #[test]
    fn what_was_dropped_on_its_way_and_arrived_was_not_dropped() {
        let mut outbox = outbox(u32::try_from(MOST).unwrap());
        let first = parcel(&outbox, A, NOW).queued.id;
        outbox.put(NOW, notice(100));
        outbox.ended(A, first, NOW, Outcome::Sent { rest: Vec::new() });
        let next = parcel(&outbox, A, NOW);
        assert_eq!((next.queued.notice.failures, next.dropped), (2, 0));
    }

    #[test]
    fn pieces_go_on_where_they_ended_over_a_restart_too() {
        let mut outbox = outbox(1);
        let rest = vec!["two".to_owned(), "three".to_owned()];
        ended(&mut outbox, A, NOW, Outcome::Sent { rest: rest.clone() });
        let kept = serde_json::to_string(&outbox).unwrap();
        let again: Outbox = serde_json::from_str(&kept).unwrap();
        assert_eq!(parcel(&again, A, NOW).rest, rest);
        assert_eq!(again.pending(A), 1);
    }

    #[test]
    fn a_channel_that_is_new_hears_what_is_waiting_and_one_that_is_gone_holds_up_nobody() {
        let mut outbox = outbox(2);
        send(&mut outbox, A, NOW);
        outbox.configure(&[A, Channel::Webhook]);
        assert_eq!(outbox.pending(B), 0);
        assert_eq!(outbox.pending(Channel::Webhook), 1, "the one that nobody was left to hear is gone");
        outbox.configure(&[]);
        assert!(!outbox.put(NOW, notice(3)) && outbox.queue.is_empty());
    }

    #[test]
    fn a_chat_that_moved_is_followed_and_what_nobody_takes_is_passed_over() {
        let mut outbox = outbox(2);
        ended(&mut outbox, A, NOW, Outcome::Moved(-100_777));
        assert_eq!(parcel(&outbox, A, NOW + SECOND).moved_to, Some(-100_777));
        outbox.ended(A, parcel(&outbox, A, NOW + SECOND).queued.id, NOW, Outcome::Unsendable);
        assert_eq!(parcel(&outbox, A, NOW).queued.notice.failures, 2);
    }

    #[test]
    fn a_full_outbox_fits_into_a_file_of_the_store() {
        let mut outbox = Outbox::default();
        outbox.configure(&[A, B]);
        let long = Some(Sentence::quoted("字\"".repeat(50_000)));
        for number in 0..200 {
            outbox.put(NOW, Notice { error: long.clone(), detail: long.clone(), ..notice(number) });
        }
        let size = serde_json::to_vec_pretty(&outbox).unwrap().len();
        assert!(size < 1 << 20, "{size} bytes");
    }
}
