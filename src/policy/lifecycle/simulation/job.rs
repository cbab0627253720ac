//! The order in flight, step by step as the driver and the ACME client take them; killed between any two.

use std::time::Duration;

use time::OffsetDateTime;

use super::ca::{Certificate, Order, Overdrawn};
use super::twice::{Pending, Twice};
use super::world::{Misfortune, World, held};
use super::{DAY, HOUR, MINUTE};
use crate::policy::failure::{Approach, Challenge, Class, Disposition, Failure};
use crate::policy::lifecycle::{Activity, Event, Fate, Insistence};
use crate::policy::schedule::{CLOCK_TOLERANCE, ORDER_LIFE};
use crate::policy::sentence::Sentence;

#[derive(Clone, Copy)]
pub(super) struct Job {
    step: Step,
    pub(super) at: OffsetDateTime,
    approach: Approach,
    way: Challenge,
    /// The order is of an earlier try.
    earlier: bool,
}

#[derive(Clone, Copy)]
enum Step {
    Begin,
    Keep(u32),
    Validate(u32),
    Hear(u32),
    Finalize(u32),
    Install(Certificate),
    Forget(Certificate),
}

enum Outcome {
    Next(Step),
    Issued(Certificate),
    Renewed(Certificate),
    Failed(Class, Disposition),
    EarlierFailed(Class, Disposition),
}

/// What becomes of the order of an earlier try.
enum Earlier {
    Nothing,
    /// It goes on.
    Order(u32),
    /// It may have been issued then, and nobody has seen the certificate.
    Lost(OffsetDateTime),
}

impl Job {
    pub(super) fn begin(now: OffsetDateTime, approach: Approach, way: Challenge) -> Self {
        Self { step: Step::Begin, at: now, approach, way, earlier: false }
    }
}

impl World {
    /// What of the order in flight can be done now.
    pub(super) fn work(&mut self) {
        if self.running && self.misfortune == Misfortune::Impatience && self.one_in(40) {
            self.excuse();
            self.happens(Event::Requested(Insistence::Forced));
        }
        if self.running && self.misfortune == Misfortune::None && self.one_in(100) {
            self.happens(Event::Requested(Insistence::Polite));
        }
        while let Some(job) = self.job.filter(|job| self.running && job.at <= self.now) {
            if self.dies(60) {
                return self.crash();
            }
            let pause = self.up_to(Duration::from_secs(8)).min(self.life / 500);
            let at = self.now + pause;
            let outcome = self.step(job);
            if !self.running {
                return;
            }
            match outcome {
                Outcome::Next(step) => {
                    let earlier =
                        job.earlier || matches!(job.step, Step::Begin) && !matches!(step, Step::Keep(_));
                    self.job = Some(Job { step, at, earlier, ..job });
                }
                Outcome::Issued(certificate) => {
                    let fingerprint = certificate.serial.to_string();
                    self.happens(Event::Issued { at: self.now, fate: Fate::InHand { fingerprint } });
                    if self.running {
                        self.job = Some(Job { step: Step::Install(certificate), at, ..job });
                    }
                }
                Outcome::Renewed(certificate) => {
                    self.job = None;
                    self.note(&format!("renewed, until {}", certificate.life.not_after));
                    self.happens(Event::Renewed(held(certificate)));
                }
                Outcome::Failed(class, disposition) => {
                    self.job = None;
                    self.note(&format!("failed: {class:?} {disposition:?}"));
                    let sentence = sentence(class);
                    self.happens(Event::Failed(Failure { class, sentence, disposition }));
                }
                Outcome::EarlierFailed(class, disposition) => {
                    self.job = None;
                    self.note(&format!("an earlier order failed: {class:?} {disposition:?}"));
                    let sentence = sentence(class);
                    self.happens(Event::EarlierFailed(Failure { class, sentence, disposition }));
                }
            }
        }
    }

    /// Our own limits do not hold for a week: somebody insisted, or the state was lost.
    pub(super) fn excuse(&mut self) {
        self.excused_until = self.now + DAY * 7;
    }

    fn step(&mut self, job: Job) -> Outcome {
        match job.step {
            Step::Begin => self.begin(job),
            Step::Keep(id) => {
                self.keep(id, None);
                Outcome::Next(Step::Validate(id))
            }
            Step::Validate(id) => self.validate(id, job.way),
            Step::Hear(id) => self.hear_that_it_failed(id, job),
            Step::Finalize(id) => self.finalize(id),
            Step::Install(certificate) => {
                self.disk.live = Some(certificate);
                self.disk.stand_in = None;
                Outcome::Next(Step::Forget(certificate))
            }
            Step::Forget(certificate) => {
                self.forget();
                Outcome::Renewed(certificate)
            }
        }
    }

    /// Killed between the two copies, or not.
    fn keep(&mut self, order: u32, finalized_at: Option<OffsetDateTime>) {
        let pending = Pending { order, touched_at: self.believed(), finalized_at };
        self.disk.pending.first = Some(pending);
        if self.dies(120) {
            return self.crash();
        }
        self.disk.pending = Twice::of(pending);
    }

    fn forget(&mut self) {
        self.disk.pending.second = None;
        if self.dies(120) {
            return self.crash();
        }
        self.disk.pending.remove();
    }

    fn begin(&mut self, job: Job) -> Outcome {
        let end = self.misfortune_until;
        let answer = match self.misfortune {
            Misfortune::CaDown => Some((Class::Network, Disposition::Retry)),
            Misfortune::CaBusy => {
                let at = self.now + self.up_to(HOUR * 3);
                Some((Class::Ca, Disposition::NotBefore(at)))
            }
            Misfortune::Refused => Some((Class::Configuration, Disposition::Refused)),
            Misfortune::RateLimited => Some((Class::RateLimit, Disposition::RateLimited(Some(end)))),
            Misfortune::Clock if self.clock.unsigned_abs() > CLOCK_TOLERANCE => {
                Some((Class::Clock, Disposition::Retry))
            }
            Misfortune::Unreachable if job.approach == Approach::Rehearsed => {
                Some((Class::Validation, Disposition::Rehearsal))
            }
            Misfortune::PortTaken if !self.is_excused() && job.way == Challenge::Http01 => {
                panic!("an order while the port is taken")
            }
            Misfortune::PortTaken
            | Misfortune::Clock
            | Misfortune::None
            | Misfortune::Unreachable
            | Misfortune::Stalled
            | Misfortune::Impatience => None,
        };
        if let Some((class, disposition)) = answer {
            return Outcome::Failed(class, disposition);
        }
        match self.resumed() {
            Earlier::Order(id) => Outcome::Next(Step::Validate(id)),
            Earlier::Lost(at) => {
                self.happens(Event::Issued { at, fate: Fate::Lost });
                if self.running {
                    self.forget(); // first counted, then forgotten
                }
                Outcome::EarlierFailed(Class::Ca, Disposition::Retry)
            }
            Earlier::Nothing => match self.lifecycle.too_early(self.now) {
                Some(until) => Outcome::Failed(Class::RateLimit, Disposition::NotBefore(until)),
                None => Outcome::Next(Step::Keep(self.ca.place(self.now))),
            },
        }
    }

    /// The order of an earlier try.
    fn resumed(&mut self) -> Earlier {
        let Some(pending) = self.disk.pending.read().copied() else {
            // Nobody knows any more whether it was finalized.
            let written_at = self.disk.pending.torn.map(|torn| torn.touched_at - self.clock);
            if let Some(at) = written_at.filter(|at| !self.lifecycle.has_counted(*at)) {
                return Earlier::Lost(at);
            }
            self.forget();
            return Earlier::Nothing;
        };
        let lost = pending.finalized_at.filter(|at| !self.lifecycle.has_counted(*at));
        let order = self.ca.order(self.now, pending.order);
        let is_live = order.is_some() && order == self.disk.live.map(Order::Issued);
        let is_young = pending.touched_at + ORDER_LIFE > self.believed();
        match (order, lost) {
            (Some(_), _) if is_young && !is_live => return Earlier::Order(pending.order),
            (_, Some(at)) if !is_live => return Earlier::Lost(at),
            _ => {}
        }
        self.forget();
        Earlier::Nothing
    }

    fn validate(&mut self, id: u32, way: Challenge) -> Outcome {
        let unreachable = self.misfortune == Misfortune::Unreachable
            || self.misfortune == Misfortune::PortTaken && way == Challenge::Http01;
        match (self.misfortune, self.ca.orders[&id]) {
            (Misfortune::CaDown, _) => Outcome::Failed(Class::Network, Disposition::Retry),
            (Misfortune::Stalled, _) => self.stall(),
            (_, Order::Pending) if unreachable => match self.ca.fail_validation(self.now, id) {
                Ok(()) => Outcome::Next(Step::Hear(id)),
                Err(overdrawn) => self.limited(overdrawn),
            },
            (_, Order::Pending | Order::Ready) => {
                self.ca.validate(id);
                self.keep(id, Some(self.now));
                Outcome::Next(Step::Finalize(id))
            }
            (_, Order::Issued(_)) => Outcome::Next(Step::Finalize(id)),
            (_, Order::Invalid) => Outcome::Next(Step::Hear(id)), // of an earlier try, which was killed
        }
    }

    fn hear_that_it_failed(&mut self, id: u32, job: Job) -> Outcome {
        assert_eq!(self.ca.orders[&id], Order::Invalid);
        self.forget();
        let failed = if job.earlier { Outcome::EarlierFailed } else { Outcome::Failed };
        failed(Class::Validation, Disposition::Validation)
    }

    fn finalize(&mut self, id: u32) -> Outcome {
        match (self.misfortune, self.ca.orders[&id]) {
            (Misfortune::CaDown, _) => Outcome::Failed(Class::Network, Disposition::Retry),
            (Misfortune::Stalled, _) => self.stall(),
            (_, Order::Issued(certificate)) => Outcome::Issued(certificate),
            // Issued, and killed before the download: the order is resumed.
            _ => match self.ca.issue(self.now, id) {
                Ok(_) => {
                    let activity = self.lifecycle.activity();
                    if matches!(activity, Activity::Renewing { insistence: Insistence::Forced, .. }) {
                        self.excuse();
                    } else {
                        self.unforced.push(self.now);
                    }
                    Outcome::Next(Step::Finalize(id))
                }
                Err(overdrawn) => {
                    self.keep(id, None); // the CA says that it has not
                    self.limited(overdrawn)
                }
            },
        }
    }

    fn stall(&mut self) -> Outcome {
        self.now += MINUTE.min(self.life / 500);
        Outcome::Failed(Class::Ca, Disposition::Retry)
    }

    fn limited(&mut self, overdrawn: Overdrawn) -> Outcome {
        assert!(self.is_excused(), "a limit of the CA is overdrawn");
        Outcome::Failed(Class::RateLimit, Disposition::RateLimited(Some(overdrawn.until)))
    }

    pub(super) fn is_excused(&self) -> bool {
        self.now < self.excused_until
    }
}

/// As a real failure of this class might read.
fn sentence(class: Class) -> Sentence {
    match class {
        Class::Network => Sentence::new(
            "https://ca.example/directory could not be reached: connection refused",
            "无法连接 https://ca.example/directory：连接被拒绝",
        ),
        Class::Ca
        | Class::RateLimit
        | Class::Validation
        | Class::Configuration
        | Class::Clock
        | Class::Store
        | Class::Installation
        | Class::Fault => Sentence::quoted("misfortune"),
    }
}
