//! Xray: finds the inbounds that use our pair, looks at what they present, and helps those that do not follow by
//! themselves, the gentlest way first. Decisions are in `policy::xray`.

mod api;
mod change;
mod climb;
mod entry;
mod examine;
mod learn;
mod look;
mod process;
mod steer;
mod subject;
mod unrest;
mod watch;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch as cell};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::api::Api;
use self::change::Job;
pub(crate) use self::entry::{Entry, Serves};
pub(crate) use self::examine::examine;
use self::learn::{Learned, OurPair, learn};
use self::look::{Verdict, look, unseen};
use self::subject::Subject;
use self::unrest::Unrest;
use self::watch::Watch;
use super::Context;
use super::board::{Board, Stage};
use super::driver::Ask;
use super::pair::Pair;
use super::store::{Store, XrayJournal};
use crate::policy::sentence::Sentence;
use crate::shared::clock;

/// Between two questions to Xray's API, and two looks at its file: what the panel adds is seen within ten seconds.
const ASKING: Duration = Duration::from_secs(8);

/// The shortest pause between two rounds.
const LEAST_PAUSE: Duration = Duration::from_millis(50);

/// Leaves remembered as ours: four years of renewals.
const MOST_ISSUED: usize = 400;

/// The pair in the files, whenever it has changed.
pub(crate) type Installed = cell::Receiver<Option<Arc<Pair>>>;

/// Runs until the daemon ends.
pub(crate) async fn run(
    context: &Rc<Context>,
    board: &Rc<Board>,
    mut installed: Installed,
    asks: mpsc::Sender<Ask>,
) {
    let mut watch = Watch::of(&context.config.xray.config);
    let mut xray = Xray::start(context, board, asks).await;
    xray.hand_over().await;
    loop {
        watch.begin();
        let pair = installed.borrow_and_update().clone();
        let pause = match pair {
            Some(pair) => xray.round(pair).await,
            None => ASKING, // there is nothing that Xray could present
        };
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            Ok(()) = installed.changed() => {}
            () = watch.changed() => xray.asked_at = None,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// What is known of Xray.
struct Xray {
    context: Rc<Context>,
    board: Rc<Board>,
    store: Store,
    asks: mpsc::Sender<Ask>,
    unrest: Unrest,
    api: Option<Api>,
    journal: XrayJournal,
    learned: Option<Learned>,
    asked_at: Option<Instant>,
    subjects: Vec<Subject>,
    /// The leaf that is to be presented, SHA-256 in hex.
    fingerprint: String,
}

impl Xray {
    async fn start(context: &Rc<Context>, board: &Rc<Board>, asks: mpsc::Sender<Ask>) -> Self {
        let store = Store::new(&context.config.store);
        let read = store.off_thread(|store| Ok((store.xray_journal()?, store.issued_leaves()?))).await;
        let (mut journal, issued) = read.unwrap_or_else(|error| {
            tracing::warn!(%error, "what was written down about Xray could not be read");
            Default::default()
        });
        for leaf in issued.into_iter().filter(|leaf| !journal.issued.contains(leaf)).collect::<Vec<_>>() {
            journal.issued.push(leaf);
        }
        Self {
            context: Rc::clone(context),
            board: Rc::clone(board),
            store,
            asks,
            unrest: Unrest::start(),
            api: None,
            journal,
            learned: None,
            asked_at: None,
            subjects: Vec::new(),
            fingerprint: String::new(),
        }
    }

    /// Learns, looks, and does what is due. Returns how long nothing is.
    async fn round(&mut self, pair: Arc<Pair>) -> Duration {
        if self.fingerprint != pair.facts.fingerprint_sha256 {
            self.begin(&pair).await;
        }
        if self.asked_at.is_none_or(|at| at.elapsed() >= ASKING) {
            self.learn().await;
            self.resume().await;
        }
        self.look().await;
        self.climb(&pair).await;
        self.publish();
        let looks = self.subjects.iter().filter(|it| it.targets.is_ok()).map(Subject::rests).min();
        let asks = self.asked_at.map_or(Duration::ZERO, |at| ASKING.saturating_sub(at.elapsed()));
        looks.map_or(asks, |looks| looks.min(asks)).max(LEAST_PAUSE)
    }

    /// There is a new certificate in the files.
    async fn begin(&mut self, pair: &Pair) {
        self.fingerprint.clone_from(&pair.facts.fingerprint_sha256);
        if !self.journal.issued.contains(&self.fingerprint) {
            self.journal.issued.push(self.fingerprint.clone());
            let excess = self.journal.issued.len().saturating_sub(MOST_ISSUED);
            self.journal.issued.drain(..excess);
            self.save().await;
        }
        let now = clock::now();
        for subject in &mut self.subjects {
            subject.begin(now);
        }
        self.publish();
        self.asked_at = None;
    }

    /// Asks what runs, and notices what has changed.
    async fn learn(&mut self) {
        let restarted = self.api.as_ref().is_some_and(|api| !api.is_connected());
        let ours = self.ours();
        let learned = learn(&self.context.config.xray, &ours, &mut self.api).await;
        self.asked_at = Some(Instant::now());
        if restarted {
            self.subjects.iter_mut().for_each(Subject::look_soon);
        }
        if self.learned.as_ref() == Some(&learned) {
            return;
        }
        let before = self.learned.as_ref().and_then(|it| it.note.clone());
        if let Some(note) = learned.note.as_ref().filter(|note| before.as_ref() != Some(*note)) {
            tracing::warn!("{note}");
        }
        let now = clock::now();
        let mut old = std::mem::take(&mut self.subjects);
        let inbounds = learned.known.iter().map(|known| Subject::inbound(known.clone(), now));
        let probes = self.context.config.xray.probe.iter().map(|address| Subject::probed(address, now));
        for mut subject in inbounds.chain(probes).collect::<Vec<_>>() {
            match old.iter().position(|it| it.tag == subject.tag && it.address == subject.address) {
                Some(at) => {
                    let before = old.swap_remove(at);
                    let known = subject.known.as_ref().zip(before.known.as_ref());
                    let changed = known.is_some_and(|(now, before)| !now.says_the_same_as(before));
                    subject.goes_on_from(before);
                    if changed {
                        say(&subject);
                    }
                }
                None => say(&subject),
            }
            self.subjects.push(subject);
        }
        for gone in old.iter().filter(|subject| subject.known.is_some()) {
            tracing::info!(tag = gone.tag, address = gone.address, "this inbound of Xray is gone");
        }
        self.learned = Some(learned);
    }

    /// Completes or undoes a change that was cut off.
    async fn resume(&mut self) {
        let process = self.process();
        let Some(api) = self.api.as_mut().filter(|_| self.journal.change.is_some()) else { return };
        let mut job = Job { api, store: &self.store, journal: &mut self.journal, process };
        match job.resume().await {
            Ok(_) => self.subjects.iter_mut().for_each(Subject::look_soon),
            Err(error) => tracing::warn!(%error, "a change of an inbound could not be completed yet"),
        }
    }

    /// Looks at every inbound whose turn it is.
    async fn look(&mut self) {
        let (mut looks, mut blind) = (JoinSet::new(), Vec::new());
        let due = self.subjects.iter().enumerate().filter(|(_, subject)| subject.rests().is_zero());
        for (index, subject) in due {
            let times = subject.looks();
            let fingerprint = self.fingerprint.clone();
            match subject.targets.clone() {
                Ok(targets) => {
                    looks.spawn_local(async move { (index, look(&targets, times, &fingerprint).await) });
                }
                Err(why) => blind.push((index, unseen(&why, subject.held(), &fingerprint))),
            }
        }
        for (index, verdict) in blind {
            self.seen(index, verdict);
        }
        while let Some(looked) = looks.join_next().await {
            if let Ok((index, verdict)) = looked {
                self.seen(index, verdict);
            }
        }
    }

    fn seen(&mut self, index: usize, verdict: Verdict) {
        let Some(subject) = self.subjects.get_mut(index) else { return };
        let before = subject.verdict.take();
        let news = before.as_ref().map(|it| it.serves) != Some(verdict.serves);
        let current = verdict.serves == Serves::Current;
        subject.seen(verdict, clock::now());
        let took = if current { subject.turned_current() } else { None };
        let (tag, address, transport) = (&subject.tag, &subject.address, subject.transport());
        if let Some(took) = took {
            let after = format!("{tag} on {address} ({transport}), after {took:.1} s");
            self.board.step(Stage::InboundCurrent, after);
        } else if news {
            let detail = subject.verdict.as_ref().map(|it| it.detail.english());
            tracing::info!(tag, address, transport, serves = subject.serves().as_str(), detail, "inbound");
        }
    }

    fn publish(&self) {
        let entries = self.subjects.iter().map(|subject| subject.entry(&self.fingerprint)).collect();
        let note = self.learned.as_ref().and_then(|it| it.note.clone());
        let told_at = self.journal.told_at;
        self.board
            .write(|notes| (notes.xray, notes.xray_note, notes.xray_told_at) = (entries, note, told_at));
    }

    fn ours(&self) -> OurPair {
        OurPair::of(&self.context.config, &self.journal.issued)
    }

    /// The process behind the inbounds, as far as it may be known.
    fn process(&self) -> Option<String> {
        let known = self.subjects.iter().filter_map(|subject| subject.known.as_ref());
        known.filter_map(|known| known.process.as_ref()).map(process::Owner::identity).next()
    }

    async fn save(&self) {
        let journal = self.journal.clone();
        if let Err(error) = self.store.off_thread(move |store| store.save_xray_journal(&journal)).await {
            tracing::warn!(%error, "what is known of Xray could not be written down");
        }
    }
}

/// The audit, once for each inbound and change of its settings.
fn say(subject: &Subject) {
    let Some(known) = &subject.known else { return };
    let (tag, address, transport) = (&subject.tag, &subject.address, subject.transport());
    let follows = known.audit.sentence();
    let remedy = known.audit.remedy();
    let (follows, remedy) = (follows.english(), remedy.as_ref().map(Sentence::english));
    if let Some(sharing) = &known.sharing {
        tracing::warn!(tag, "{sharing}");
    }
    tracing::info!(tag, address, transport, follows, remedy, "this inbound of Xray uses our certificate");
}
