//! A machine with a disk, a clock and a process that may die between any two actions.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use time::OffsetDateTime;

use super::ca::{Ca, Certificate, Wish};
use super::dice::Dice;
use super::job::Job;
use super::twice::Disk;
use super::{BEGIN, DAY, HOUR, terms};
use crate::policy::alert::{Alert, Edge, Kind, Notice, Severity};
use crate::policy::failure::Challenge;
use crate::policy::lifecycle::{Action, Doors, Event, Held, Lifecycle, Memory, Ports, Standing};
use crate::policy::renewal_info::{Advice, Window};
use crate::policy::schedule::Jitter;

/// Of the leaf that stands in, until the next one.
const STAND_IN_LIFE: Duration = DAY.saturating_mul(15);

/// What may be wrong for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misfortune {
    None,
    CaDown,
    /// 503 with a Retry-After.
    CaBusy,
    /// 429 until it is over.
    RateLimited,
    /// The CA does not come through to us.
    Unreachable,
    /// Nothing moves any more.
    Stalled,
    PortTaken,
    /// Our clock is wrong by so much.
    Clock,
    /// An administrator insists, again and again.
    Impatience,
    /// The CA refuses what the configuration asks for. No dice throws this: it is what somebody has written.
    Refused,
}

pub(super) struct World {
    pub(super) now: OffsetDateTime,
    pub(super) ca: Ca,
    pub(super) lifecycle: Lifecycle,
    pub(super) misfortune: Misfortune,
    pub(super) misfortune_until: OffsetDateTime,
    pub(super) story: Vec<String>,
    pub(super) tries: Vec<OffsetDateTime>,
    pub(super) ways: Vec<Challenge>,
    pub(super) alerts: Vec<(OffsetDateTime, Alert)>,
    /// The same, with what goes into their texts; successes are not among them.
    pub(super) notices: Vec<Notice>,
    pub(super) dice: Option<Dice>,
    pub(super) life: Duration,
    /// What this machine has when it has all its ports.
    pub(super) all_ports: Ports,
    pub(super) disk: Disk,
    pub(super) job: Option<Job>,
    pub(super) running: bool,
    pub(super) start_at: OffsetDateTime,
    pub(super) clock: time::Duration,
    /// When the CA, the port and the clock became well, and until when they were the last time.
    pub(super) well_since: Option<OffsetDateTime>,
    pub(super) well_for_a_day_at: OffsetDateTime,
    pub(super) told: BTreeSet<Kind>,
    /// Since the last alert.
    killed: bool,
    /// The last alert is not on the disk yet.
    unwritten: bool,
    /// It was lost with a kill.
    pub(super) forgotten: bool,
    /// When a state file was lost or certificates were forced: limits of our own do not hold for a week.
    pub(super) excused_until: OffsetDateTime,
    /// The same for a lost state file alone.
    pub(super) lost_until: OffsetDateTime,
    /// After so many chances the process is killed.
    pub(super) dies_in: Option<u32>,
    /// When certificates were issued that nobody has forced.
    pub(super) unforced: Vec<OffsetDateTime>,
}

impl World {
    /// A world without dice has no misfortunes but those that it is told of.
    pub(super) fn new(mut dice: Option<Dice>, life: Duration) -> Self {
        let now = (BEGIN, Jitter::NONE);
        let has_443 = dice.as_mut().is_some_and(|dice| dice.one_in(2));
        let all_ports = if has_443 { Ports::Both } else { Ports::Ours };
        Self {
            now: BEGIN,
            ca: Ca::new(BEGIN, life),
            lifecycle: Lifecycle::restore(terms(life), None, Ports::Ours, Memory::default(), now),
            misfortune: Misfortune::None,
            misfortune_until: BEGIN + DAY * 2,
            story: Vec::new(),
            tries: Vec::new(),
            ways: Vec::new(),
            alerts: Vec::new(),
            notices: Vec::new(),
            dice,
            life,
            all_ports,
            disk: Disk::default(),
            job: None,
            running: true,
            start_at: BEGIN,
            clock: time::Duration::ZERO,
            well_since: Some(BEGIN),
            well_for_a_day_at: BEGIN,
            told: BTreeSet::new(),
            killed: false,
            unwritten: false,
            forgotten: false,
            excused_until: BEGIN,
            lost_until: BEGIN,
            dies_in: None,
            unforced: Vec::new(),
        }
    }

    pub(super) fn live_until(&mut self, end: OffsetDateTime) {
        while self.now < end {
            if self.dice.is_some() && self.now >= self.misfortune_until {
                self.fate();
            }
            if !self.running && self.now >= self.start_at {
                self.start();
            }
            if self.running {
                self.happens(Event::Doors(self.doors()));
                self.happens(Event::Ports(self.ports()));
                self.work();
            }
            self.check();
            self.now = self.next().min(end);
        }
    }

    /// Begins a misfortune, or ends it.
    pub(super) fn befalls(&mut self, misfortune: Misfortune, span: Duration) {
        self.misfortune = misfortune;
        self.misfortune_until = self.now + span;
        let well = matches!(misfortune, Misfortune::None | Misfortune::Impatience);
        self.well_since = if well { self.well_since.or(Some(self.now)) } else { None };
        self.note(&format!("{misfortune:?} until {}", self.misfortune_until));
    }

    pub(super) fn note(&mut self, what: &str) {
        self.story.push(format!("{} {what}", self.now));
    }

    pub(super) fn one_in(&mut self, many: u64) -> bool {
        self.dice.as_mut().is_some_and(|dice| dice.one_in(many))
    }

    /// Whether the process is killed here: one in so many times, and at the moment that a story picks.
    pub(super) fn dies(&mut self, many: u64) -> bool {
        self.dies_in = self.dies_in.and_then(|chances| chances.checked_sub(1));
        self.dies_in == Some(0) || self.one_in(many)
    }

    pub(super) fn up_to(&mut self, most: Duration) -> Duration {
        self.dice.as_mut().map_or(most / 2, |dice| dice.up_to(most))
    }

    /// The time as this machine believes it.
    pub(super) fn believed(&self) -> OffsetDateTime {
        self.now + self.clock
    }

    fn fate(&mut self) {
        self.clock = time::Duration::ZERO;
        if self.misfortune != Misfortune::None || self.one_in(3) {
            let span = self.up_to(DAY * 6);
            return self.befalls(Misfortune::None, span);
        }
        let misfortune = match self.up_to(Duration::from_secs(8)).as_secs() {
            0 => Misfortune::CaDown,
            1 => Misfortune::CaBusy,
            2 => Misfortune::RateLimited,
            3 => Misfortune::Unreachable,
            4 => Misfortune::Stalled,
            5 => Misfortune::PortTaken,
            6 => Misfortune::Clock,
            _ => Misfortune::Impatience,
        };
        let span = if self.one_in(4) { self.up_to(DAY * 9) } else { self.up_to(DAY) };
        self.befalls(misfortune, span);
        if misfortune == Misfortune::Clock {
            let wrong = time::Duration::try_from(self.up_to(DAY * 20)).unwrap();
            self.clock = if self.one_in(2) { wrong } else { -wrong };
        }
        self.ca.wish = match self.up_to(Duration::from_secs(12)).as_secs() {
            0 => Wish::Now,
            1 => Wish::None,
            2 => Wish::Nonsense,
            _ => Wish::Middle,
        };
    }

    /// Killed without a chance to write anything down.
    pub(super) fn crash(&mut self) {
        self.note("killed");
        self.running = false;
        self.killed = true;
        self.forgotten |= std::mem::take(&mut self.unwritten);
        self.job = None;
        let down = if self.one_in(8) { self.up_to(HOUR * 2) } else { Duration::ZERO };
        self.start_at = self.now + down;
        self.damage();
    }

    /// One file, or both of two.
    fn damage(&mut self) {
        if self.one_in(20) {
            let both = self.one_in(20);
            self.disk.memory.damage(both);
            self.note(if both { "state.json is damaged twice" } else { "state.json is damaged" });
            match self.disk.memory.read() {
                Some((_, told)) => self.told = told.clone(),
                None => {
                    self.loses_state();
                    self.told.clear();
                }
            }
        }
        if self.one_in(20) {
            let both = self.one_in(20);
            self.disk.pending.damage(both);
            self.note(if both { "pending.json is damaged twice" } else { "pending.json is damaged" });
        }
    }

    fn loses_state(&mut self) {
        self.excuse();
        self.lost_until = self.excused_until;
    }

    fn start(&mut self) {
        self.running = true;
        let memory = self.disk.memory.read().map(|(json, _)| serde_json::from_str(json).unwrap());
        let jitter = self.jitter();
        self.lifecycle = Lifecycle::restore(
            terms(self.life),
            self.disk.live.map(held),
            self.ports(),
            memory.unwrap_or_default(),
            (self.believed(), jitter),
        );
        self.note(&format!("started: {:?}", self.lifecycle.activity()));
        self.has_counted_all();
        if let Some(until) = self.disk.stand_in {
            self.happens(Event::StoodIn { until });
        }
    }

    fn ports(&self) -> Ports {
        match (self.misfortune, self.all_ports) {
            (Misfortune::PortTaken, Ports::Both) => Ports::OnlyTls,
            (Misfortune::PortTaken, _) => Ports::Taken,
            _ => self.all_ports,
        }
    }

    fn doors(&self) -> Doors {
        let taken = self.misfortune == Misfortune::PortTaken;
        Doors { http: if taken { Standing::Taken } else { Standing::Ours }, ..Doors::default() }
    }

    fn jitter(&mut self) -> Jitter {
        self.dice.as_mut().map_or(Jitter::NONE, Dice::jitter)
    }

    /// Tells the lifecycle and does what it says, unless the process is killed in between.
    pub(super) fn happens(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let jitter = self.jitter();
            let actions = self.lifecycle.handle(self.believed(), event, jitter);
            for action in actions {
                let success = matches!(action, Action::Tell(alert) if alert.kind == Kind::Renewed);
                if !success && self.dies(300) {
                    return self.crash();
                }
                events.extend(self.act(action));
                if !self.running {
                    return;
                }
            }
        }
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Order(approach, way) => {
                assert!(self.job.is_none(), "two orders in flight");
                self.tries.push(self.now);
                self.ways.push(way);
                self.job = Some(Job::begin(self.now, approach, way));
            }
            Action::AskRenewalInfo => return self.renewal_info(),
            Action::StandIn => {
                let until = self.believed() + STAND_IN_LIFE;
                self.disk.stand_in = Some(until);
                self.note("a leaf of the local CA stands in");
                return Some(Event::StoodIn { until });
            }
            Action::Reinstate => {
                self.disk.stand_in = None;
                return Some(Event::Reinstated);
            }
            Action::Persist => {
                let memory = serde_json::to_string(&self.lifecycle.memory()).unwrap();
                assert!(memory.len() < 12_000, "the state grows: {memory}");
                let written = (memory, self.told.clone());
                self.disk.memory.first = Some(written.clone());
                if self.dies(300) {
                    self.crash();
                    return None;
                }
                self.disk.memory.second = Some(written);
                self.unwritten = false;
            }
            Action::Tell(alert) => self.hear(alert),
            Action::Accept(_) | Action::Refuse(_) => {}
        }
        None
    }

    fn renewal_info(&mut self) -> Option<Event> {
        let held = self.lifecycle.held()?;
        let (certificate_id, life) = (held.certificate_id.clone()?, held.life);
        let silent = matches!(self.misfortune, Misfortune::CaDown | Misfortune::Stalled);
        let window = self.ca.window(self.now, life).filter(|_| !silent);
        let advice = match window.map(|(start, end)| Window::new(start, end, life)) {
            Some(Ok(window)) => Advice::Window(window),
            Some(Err(_)) => Advice::Silence,
            None if silent => Advice::Silence,
            None => Advice::Unsupported,
        };
        Some(Event::Advised { certificate_id, advice, retry_after: window.map(|_| HOUR * 6) })
    }

    /// Each worsening once, the severe ones last, and that it is over. What was told and killed before it was written
    /// down is told again, as mail is.
    fn hear(&mut self, alert: Alert) {
        self.note(&format!("{:?} {}", alert.edge, alert.kind));
        if alert.kind == Kind::Renewed {
            assert!(self.told.is_empty() || self.killed, "that is a recovery");
            return;
        }
        self.alerts.push((self.now, alert));
        self.notices.push(self.lifecycle.notice(self.believed(), alert));
        let killed = std::mem::take(&mut self.killed);
        (self.unwritten, self.forgotten) = (true, false);
        match alert.edge {
            Edge::Reminder => {
                assert_eq!(alert.kind.severity(), Severity::Critical);
                assert!(self.told.contains(&alert.kind), "a reminder of nothing");
            }
            Edge::News if alert.kind == Kind::Recovered => {
                assert!(!self.told.is_empty() || killed, "recovered from nothing");
                self.told.clear();
            }
            Edge::News => {
                let worst = self.told.iter().map(|kind| kind.severity()).max();
                assert!(
                    worst.is_none_or(|worst| alert.kind.severity() >= worst),
                    "{} is no news",
                    alert.kind
                );
                assert!(self.told.insert(alert.kind) || killed, "{} is told twice", alert.kind);
            }
        }
    }
}

/// As the lifecycle knows it.
pub(super) fn held(certificate: Certificate) -> Held {
    Held {
        fingerprint: certificate.serial.to_string(),
        certificate_id: Some(format!("aki.{}", certificate.serial)),
        life: certificate.life,
        of_these_terms: true,
    }
}
