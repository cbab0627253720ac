//! Tells people: every alert goes through an outbox on the disk to each chat and to the webhook.
//!
//! Every channel is a task of its own on the control thread, so none waits for another, and no renewal for any of them.

mod client;
mod commands;
mod error;
mod reach;
mod telegram;
mod webhook;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use self::client::REQUEST_LIMIT;
use self::error::SendError;
pub(crate) use self::reach::reach_telegram;
use super::Context;
use super::board::{Board, Told, Trouble};
use super::chain::Chain;
use super::driver::Ask;
use super::store::{Store, StoreError};
use super::zh_cn::InWords;
use crate::config::{Config, Fallback, Language};
use crate::policy::alert::outbox::{Channel, Due, Outbox, Outcome, Parcel};
use crate::policy::alert::split::{LONGEST, split};
use crate::policy::alert::text::{self, Place};
use crate::policy::alert::{Kind, Notice};
use crate::shared::clock;

/// Between two tries to write the outbox down, and before a channel whose task panicked goes on.
const PAUSE: Duration = Duration::from_secs(30);

/// The longest sleep at a stretch: a machine that was suspended, or whose clock was stepped, costs this much.
const LONGEST_SLEEP: Duration = Duration::from_secs(120);

/// For a test message; who asks for one gives up after 20 s.
const TEST_LIMIT: Duration = Duration::from_secs(18);

/// Everybody who is to be told.
pub(crate) struct Notifier {
    place: Place,
    language: Language,
    successes: bool,
    lanes: Vec<Lane>,
    store: Store,
    board: Rc<Board>,
    outbox: RefCell<Outbox>,
    /// Whether the outbox of earlier runs was read; until then nothing is sent or written, and what comes in waits here.
    open: Cell<bool>,
    early: RefCell<Vec<Notice>>,
    unsaved: Notify,
    /// Each state of the outbox has a number; the greatest that is on the disk is not overwritten by a lesser.
    state: Cell<u64>,
    saved: Arc<AtomicU64>,
}

/// One channel.
struct Lane {
    channel: Channel,
    way: Way,
    wake: Notify,
}

/// How a channel is reached.
enum Way {
    Telegram(Rc<telegram::Sender>, i64),
    Webhook(Box<webhook::Poster>),
}

/// What became of a test message.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Tested {
    /// Where it went.
    pub(crate) channel: String,
    /// Why it did not arrive.
    pub(crate) error: Option<String>,
}

/// Sends the test message without a daemon.
pub(crate) async fn test(config: &Config) -> Vec<Tested> {
    Notifier::new(config, &Rc::default(), &Store::new(&config.store)).test().await
}

impl Notifier {
    /// With the channels of the configuration. One that cannot be made is said in the log and left out.
    pub(crate) fn new(config: &Config, board: &Rc<Board>, store: &Store) -> Rc<Self> {
        let lanes = lanes(config);
        let told =
            |lane: &Lane| Told { channel: lane.channel, pending: 0, last_error: None, sent: 0, failed: 0 };
        board.write(|notes| notes.channels = lanes.iter().map(told).collect());
        Rc::new(Self {
            place: place(config),
            language: config.telegram.as_ref().map_or(Language::Chinese, |telegram| telegram.language),
            successes: config.telegram.as_ref().is_some_and(|telegram| telegram.notify_success),
            lanes,
            store: store.clone(),
            board: Rc::clone(board),
            outbox: RefCell::default(),
            open: Cell::new(false),
            early: RefCell::default(),
            unsaved: Notify::new(),
            state: Cell::new(0),
            saved: Arc::default(),
        })
    }

    /// Takes up what earlier runs could not deliver.
    pub(crate) async fn open(&self) {
        if !self.lanes.is_empty() {
            let kept = self.store.off_thread(Store::outbox).await.unwrap_or_else(|error| {
                warn!(%error, "the alerts that earlier runs could not deliver are not known");
                Outbox::default()
            });
            *self.outbox.borrow_mut() = kept;
            let channels: Vec<_> = self.lanes.iter().map(|lane| lane.channel).collect();
            self.outbox.borrow_mut().configure(&channels);
        }
        self.open.set(true);
        self.early.take().into_iter().for_each(|notice| self.put(notice));
        self.changed();
        self.unsaved.notify_one();
    }

    /// Puts an alert in for everybody, who hear it in their turn. It must be written down before it is forgotten
    /// elsewhere: see [`Self::keeping`].
    pub(crate) fn put(&self, notice: Notice) {
        if notice.alert.kind == Kind::Renewed && !self.successes {
            return;
        }
        if !self.open.get() {
            return self.early.borrow_mut().push(notice);
        }
        if self.outbox.borrow_mut().put(clock::now(), notice) {
            warn!("nobody can be reached: the oldest alert was dropped, and the next message will say so");
        }
        self.changed();
        self.unsaved.notify_one();
    }

    /// Work for the store that writes the outbox down as it is now; `None` while there is nothing to write.
    pub(crate) fn keeping(
        &self,
    ) -> Option<impl FnOnce(&Store) -> Result<(), StoreError> + Send + 'static + use<>> {
        let state = self.state.get();
        if !self.open.get() || self.lanes.is_empty() || self.saved.load(Ordering::Relaxed) >= state {
            return None;
        }
        let (outbox, saved) = (self.outbox.borrow().clone(), Arc::clone(&self.saved));
        Some(move |store: &Store| {
            // The store has one worker at a time, but not in the order in which they were sent.
            if saved.load(Ordering::Relaxed) < state {
                store.save_outbox(&outbox)?;
                saved.store(state, Ordering::Relaxed);
            }
            Ok(())
        })
    }

    /// Delivers, for ever.
    pub(crate) async fn run(self: &Rc<Self>, context: &Rc<Context>, asks: &mpsc::Sender<Ask>) {
        let mut tasks = JoinSet::new();
        if let Some(telegram) = context.config.telegram.as_ref().filter(|telegram| telegram.commands) {
            match commands::Ears::new(telegram, &self.place, &self.board, (context, asks)) {
                Ok(ears) => drop(tasks.spawn_local(ears.listen())),
                Err(error) => error!(error = %Chain(&error), "commands cannot be fetched"),
            }
        }
        for index in 0..self.lanes.len() {
            tasks.spawn_local(Rc::clone(self).lane(index));
        }
        loop {
            self.unsaved.notified().await;
            if !self.save().await {
                tokio::time::sleep(PAUSE).await;
                self.unsaved.notify_one();
            }
        }
    }

    /// Writes the outbox down, if it has changed; whether it is on the disk now.
    pub(crate) async fn save(&self) -> bool {
        let Some(keeping) = self.keeping() else { return true };
        let saved = self.store.off_thread(keeping).await;
        if let Err(error) = &saved {
            self.board.trouble(Trouble::Store, Some(error.in_words()));
        }
        saved.is_ok()
    }

    /// Sends the test message through every channel, once, and past the outbox.
    pub(crate) async fn test(self: &Rc<Self>) -> Vec<Tested> {
        let mut tests = JoinSet::new();
        for index in 0..self.lanes.len() {
            let notifier = Rc::clone(self);
            tests.spawn_local(async move {
                let lane = &notifier.lanes[index];
                let tested = notifier.test_within(lane).await;
                info!(channel = %lane.channel, error = tested.as_deref(), "a test message was sent");
                (index, Tested { channel: lane.channel.to_string(), error: tested })
            });
        }
        let mut tested: Vec<_> = tests.join_all().await;
        tested.sort_by_key(|(index, _)| *index);
        tested.into_iter().map(|(_, tested)| tested).collect()
    }

    async fn test_one(&self, lane: &Lane) -> Option<String> {
        let sent = match &lane.way {
            Way::Telegram(sender, chat) => {
                sender.send(*chat, &text::test_html(&self.place, self.language)).await
            }
            Way::Webhook(poster) => poster.test(&self.place, clock::now()).await,
        };
        sent.err().map(|error| error.to_string())
    }

    /// The same within a limit: whoever asked waits for it.
    async fn test_within(&self, lane: &Lane) -> Option<String> {
        let tested = tokio::time::timeout(TEST_LIMIT, self.test_one(lane)).await;
        tested.unwrap_or_else(|_| Some(format!("no answer within {} s", TEST_LIMIT.as_secs())))
    }

    /// One channel; a fault of ours in it pauses it, and nothing else.
    async fn lane(self: Rc<Self>, index: usize) {
        loop {
            let mut one = JoinSet::new();
            one.spawn_local(Rc::clone(&self).deliver_all(index));
            if let Some(Err(panicked)) = one.join_next().await {
                error!(channel = %self.lanes[index].channel, %panicked, "the delivery of alerts broke off; going on");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn deliver_all(self: Rc<Self>, index: usize) {
        let lane = &self.lanes[index];
        loop {
            let due = if self.open.get() {
                self.outbox.borrow().due(lane.channel, clock::now())
            } else {
                Due::Nothing
            };
            match due {
                Due::Nothing => lane.wake.notified().await,
                Due::In(pause) => tokio::time::sleep(pause.min(LONGEST_SLEEP)).await,
                Due::Now(parcel) => self.deliver(lane, *parcel).await,
            }
        }
    }

    async fn deliver(&self, lane: &Lane, parcel: Parcel) {
        let id = parcel.queued.id;
        let sent = match &lane.way {
            Way::Telegram(sender, chat) => {
                let mut pieces = if parcel.rest.is_empty() { self.pieces(&parcel) } else { parcel.rest };
                let rest = pieces.split_off(1.min(pieces.len()));
                let piece = pieces.first().map_or("", String::as_str);
                sender.send(parcel.moved_to.unwrap_or(*chat), piece).await.map(|()| rest)
            }
            Way::Webhook(poster) => {
                let sent = poster.send(&parcel.queued, &self.place, clock::now(), parcel.dropped).await;
                sent.map(|()| Vec::new())
            }
        };
        self.note(lane, &sent);
        let outcome = sent.map_or_else(|error| error.outcome(), |rest| Outcome::Sent { rest });
        self.outbox.borrow_mut().ended(lane.channel, id, clock::now(), outcome);
        self.changed();
        // Before the next is sent: a crash repeats the last one, and no more. A broken disk keeps nothing back.
        if !self.save().await {
            self.unsaved.notify_one();
        }
    }

    fn pieces(&self, parcel: &Parcel) -> Vec<String> {
        let html = parcel.queued.notice.html(&self.place, self.language, clock::now(), parcel.dropped);
        split(&html, LONGEST)
    }

    /// Says it once, and on the board.
    fn note(&self, lane: &Lane, sent: &Result<Vec<String>, SendError>) {
        let channel = lane.channel;
        let error = sent.as_ref().err().map(ToString::to_string);
        let before = self.board.write(|notes| {
            let told = notes.channels.iter_mut().find(|told| told.channel == channel)?;
            match error {
                None => told.sent += 1,
                Some(_) => told.failed += 1,
            }
            std::mem::replace(&mut told.last_error, error.clone())
        });
        match (sent, error) {
            (Err(_), error) if error == before => debug!(%channel, error, "an alert could not be delivered"),
            (Err(SendError::Refused { .. } | SendError::Unsendable { .. }), error) => {
                error!(%channel, error, "an alert is refused");
            }
            (Err(_), error) => warn!(%channel, error, "an alert could not be delivered; trying again"),
            (Ok(_), _) if before.is_some() => info!(%channel, "alerts are delivered again"),
            (Ok(_), _) => debug!(%channel, "an alert was delivered"),
        }
    }

    /// The outbox has changed: it is to be shown, and whoever waits may have something to do.
    fn changed(&self) {
        self.state.set(self.state.get() + 1);
        let outbox = self.outbox.borrow();
        self.board.write(|notes| {
            for told in &mut notes.channels {
                told.pending = outbox.pending(told.channel);
            }
        });
        self.lanes.iter().for_each(|lane| lane.wake.notify_one());
    }
}

fn lanes(config: &Config) -> Vec<Lane> {
    let mut lanes = Vec::new();
    if let Some(telegram) = &config.telegram {
        match telegram::Sender::new(telegram, REQUEST_LIMIT) {
            Ok(sender) => {
                let sender = Rc::new(sender);
                let mut chats = telegram.chat_ids.clone();
                chats.sort_unstable();
                chats.dedup();
                lanes.extend(chats.iter().map(|chat| Lane {
                    channel: Channel::Telegram(*chat),
                    way: Way::Telegram(Rc::clone(&sender), *chat),
                    wake: Notify::new(),
                }));
            }
            Err(error) => error!(error = %Chain(&error), "Telegram cannot be used"),
        }
    }
    if let Some(webhook) = &config.webhook {
        match webhook::Poster::new(webhook) {
            Ok(poster) => {
                let way = Way::Webhook(Box::new(poster));
                lanes.push(Lane { channel: Channel::Webhook, way, wake: Notify::new() });
            }

            Err(error) => error!(error = %Chain(&error), "the webhook cannot be used"),
        }
    }
    lanes
}

fn place(config: &Config) -> Place {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let cert = config.ip_cert.as_ref();
    Place {
        host: host.trim().to_owned(),
        addresses: cert.map_or_else(Vec::new, |cert| cert.ips.iter().map(ToString::to_string).collect()),
        stands_in: cert.is_some_and(|cert| cert.fallback == Fallback::SelfSigned),
    }
}
