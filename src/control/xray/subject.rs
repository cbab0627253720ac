//! An inbound that is to present the newest certificate, and how far it has come.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use super::entry::{Entry, Said, Serves};
use super::learn::Known;
use super::look::{Target, Verdict, probe, targets};
use crate::config::Address;
use crate::policy::sentence::Sentence;
use crate::policy::xray::audit::saving_it;
use crate::policy::xray::ladder::{Course, Standing, Step};
use crate::policy::xray::leaf::Leaf;
use crate::shared::clock;

/// After something was done: how long an inbound that has yet to follow is looked at how often.
const PACE: [(Duration, Duration); 2] = [
    (Duration::from_secs(20), Duration::from_millis(250)),
    (Duration::from_secs(180), Duration::from_secs(1)),
];
const SLOW: Duration = Duration::from_secs(10);

/// Between two looks where nothing is expected to change.
const AT_REST: Duration = Duration::from_secs(300);
/// One that was not there is often only being started.
const UNSEEN: Duration = Duration::from_secs(8);

/// Looks at each port where two processes share it, so that both are met.
const LOOKS_WHERE_SHARED: usize = 12;

/// An inbound, or an address of `xray.probe`.
pub(super) struct Subject {
    /// `None` of an address that is only probed.
    pub(super) known: Option<Known>,
    pub(super) tag: String,
    pub(super) address: String,
    pub(super) targets: Result<Vec<Target>, Sentence>,
    pub(super) course: Course,
    pub(super) verdict: Option<Verdict>,
    pub(super) step: Option<Step>,
    /// The files are unsteady for it.
    pub(super) touched: bool,
    looked: Option<(Instant, OffsetDateTime)>,
    /// When something was last done that may change the verdict.
    stirred: Instant,
    seconds_to_served: Option<f64>,
    /// Since when the newest pair is in the files; `None` if this inbound was not known then.
    since: Option<Instant>,
    /// It was said that it presents this certificate.
    announced: bool,
}

impl Subject {
    pub(super) fn inbound(known: Known, now: OffsetDateTime) -> Self {
        let (tag, address) = (known.inbound.tag.clone(), known.inbound.address());
        let targets = targets(&known.inbound);
        Self::new(Some(known), tag, address, targets, now)
    }

    pub(super) fn probed(address: &Address, now: OffsetDateTime) -> Self {
        let target = probe(address);
        let shown = target.shown().to_owned();
        Self::new(None, "xray.probe".to_owned(), shown, Ok(vec![target]), now)
    }

    fn new(
        known: Option<Known>,
        tag: String,
        address: String,
        targets: Result<Vec<Target>, Sentence>,
        now: OffsetDateTime,
    ) -> Self {
        Self {
            known,
            tag,
            address,
            targets,
            course: Course::begun(now),
            verdict: None,
            step: None,
            touched: false,
            looked: None,
            stirred: Instant::now(),
            since: None,
            seconds_to_served: None,
            announced: false,
        }
    }

    /// There is a new certificate.
    pub(super) fn begin(&mut self, now: OffsetDateTime) {
        self.course = Course::begun(now);
        self.since = Some(Instant::now());
        (self.announced, self.touched, self.seconds_to_served) = (false, false, None);
        self.look_soon();
    }

    /// Something was done, or seen, after which it may present another one.
    pub(super) fn look_soon(&mut self) {
        (self.verdict, self.step, self.looked, self.stirred) = (None, None, None, Instant::now());
    }

    /// Something was done that takes effect with time.
    pub(super) fn stir(&mut self) {
        self.stirred = Instant::now();
    }

    /// What is said of an inbound stays with it when only its settings were read anew.
    pub(super) fn goes_on_from(&mut self, before: Self) {
        (self.course, self.since, self.touched) = (before.course, before.since, before.touched);
        (self.announced, self.seconds_to_served) = (before.announced, before.seconds_to_served);
        if self.known.as_ref().map(|it| &it.inbound) == before.known.as_ref().map(|it| &it.inbound) {
            (self.verdict, self.step) = (before.verdict, before.step);
            (self.looked, self.stirred) = (before.looked, before.stirred);
        }
    }

    pub(super) fn serves(&self) -> Serves {
        self.verdict.as_ref().map_or(Serves::Unknown, |verdict| verdict.serves)
    }

    /// What its settings hold, where that is what it presents.
    pub(super) fn held(&self) -> Option<&Leaf> {
        self.known.as_ref().and_then(|known| known.audit.held(&known.inbound))
    }

    /// It was seen to present another certificate, or cannot but do so.
    pub(super) fn is_behind(&self) -> bool {
        let blind = || self.targets.is_err() && self.verdict.as_ref().is_some_and(|it| it.old_ends.is_some());
        self.serves() == Serves::Stale || blind()
    }

    /// Only a change of its settings could help.
    pub(super) fn is_hopeless(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.audit.is_hopeless())
    }

    pub(super) fn looks(&self) -> usize {
        let shared = self.known.as_ref().is_some_and(|known| known.sharing.is_some());
        if shared { LOOKS_WHERE_SHARED } else { 1 }
    }

    /// How long until it is looked at again.
    pub(super) fn rests(&self) -> Duration {
        let Some((looked, _)) = self.looked else { return Duration::ZERO };
        let between = match self.serves() {
            Serves::Current => AT_REST,
            Serves::Unknown => UNSEEN,
            Serves::Stale if self.is_hopeless() => AT_REST,
            Serves::Stale => {
                let age = self.stirred.elapsed();
                PACE.iter().find(|(until, _)| age < *until).map_or(SLOW, |(_, pace)| *pace)
            }
        };
        between.saturating_sub(looked.elapsed())
    }

    pub(super) fn seen(&mut self, verdict: Verdict, now: OffsetDateTime) {
        self.verdict = Some(verdict);
        self.looked = Some((Instant::now(), now));
    }

    /// How long it took from the files to this handshake, the first time that it presents the certificate.
    pub(super) fn turned_current(&mut self) -> Option<f64> {
        if std::mem::replace(&mut self.announced, true) {
            return None;
        }
        let seconds = self.since?.elapsed().as_secs_f64();
        self.seconds_to_served = Some((seconds * 1000.0).round() / 1000.0);
        self.seconds_to_served
    }

    pub(super) fn standing(&self, api: bool) -> Standing<'_> {
        Standing {
            inbound: self.known.as_ref().map(|known| (&known.inbound, &known.audit)),
            api,
            old_ends: self.verdict.as_ref().and_then(|verdict| verdict.old_ends),
        }
    }

    fn interval(&self) -> Duration {
        self.known.as_ref().map(|known| known.audit.interval).unwrap_or_default()
    }

    pub(super) fn transport(&self) -> &str {
        self.known.as_ref().map_or("tls", |known| known.inbound.transport.as_str())
    }

    pub(super) fn entry(&self, fingerprint: &str) -> Entry {
        Entry {
            tag: self.tag.clone(),
            address: self.address.clone(),
            transport: self.transport().to_owned(),
            serves: self.serves(),
            detail: self.detail().to_string(),
            detail_words: self.detail(),
            compared_with: fingerprint.to_owned(),
            looked_at: self.looked.map(|(_, at)| at),
            due_at: match self.step {
                Some(Step::Wait(until)) => Some(until),
                Some(Step::Touch(until)) => Some(until.min(clock::now() + self.interval())),
                Some(Step::Api | Step::Signal | Step::Restart) => Some(clock::now()),
                Some(Step::Stuck) | None => None,
            },
            seconds_to_served: self.seconds_to_served,
            audit: self.known.as_ref().map(|known| Said::of(&known.audit)),
            advice: self.advice(),
        }
    }

    /// What somebody can do where nothing is left that doorman may do.
    fn advice(&self) -> Option<Sentence> {
        let known = self.known.as_ref().filter(|_| self.step == Some(Step::Stuck))?;
        let helps = known.audit.saving_helps() && !known.inbound.keeps_its_socket();
        helps.then(|| saving_it(&known.inbound.transport))
    }

    /// What was seen, what to expect, and what to do about it.
    fn detail(&self) -> Sentence {
        let unseen = || Sentence::new("not looked at yet", "尚未查看");
        let seen = self.verdict.as_ref().map_or_else(unseen, |verdict| verdict.detail.clone());
        let known = self.known.as_ref();
        let follows = known.map(|known| known.audit.sentence());
        let remedy = known.and_then(|known| known.audit.remedy());
        let more = [known.and_then(|known| known.sharing.clone()), follows, remedy, self.advice()];
        more.into_iter().flatten().fold(seen, |detail, part| detail.and(&part))
    }
}
