//! The order in flight, step by step as the driver and the ACME client take them; killed between any two.

use std::time::Duration;

use time::OffsetDateTime;

use super::ca::{Certificate, Order, Overdrawn};
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
}

impl Job {
    pub(super) fn begin(now: OffsetDateTime, approach: Approach, way: Challenge) -> Self {
        Self { step: Step::Begin, at: now, approach, way }
    }
}

impl World {
    /// What of the order in flight can be done now.
    pub(super) fn work(&mut self) {
        if self.running && self.misfortune == Misfortune::Impatience && self.one_in(40) {
            self.excuse();
            self.happens(Event::Requested(Insistence::Forced));
        }
        while let Some(job) = self.job.filter(|job| self.running && job.at <= self.now) {
            if self.one_in(60) {
                return self.crash();
            }
            let pause = self.up_to(Duration::from_secs(8)).min(self.life / 500);
            let at = self.now + pause;
            match self.step(job) {
                Outcome::Next(step) => self.job = Some(Job { step, at, ..job }),
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
                self.disk.pending = Some((id, self.believed()));
                Outcome::Next(Step::Validate(id))
            }
            Step::Validate(id) => self.validate(id, job.way),
            Step::Hear(id) => self.hear_that_it_failed(id),
            Step::Finalize(id) => self.finalize(id),
            Step::Install(certificate) => {
                self.disk.live = Some(certificate);
                self.disk.stand_in = None;
                Outcome::Next(Step::Forget(certificate))
            }
            Step::Forget(certificate) => {
                self.disk.pending = None;
                Outcome::Renewed(certificate)
            }
        }
    }

    fn begin(&mut self, job: Job) -> Outcome {
        let end = self.misfortune_until;
        let answer = match self.misfortune {
            Misfortune::CaDown => Some((Class::Network, Disposition::Retry)),
            Misfortune::CaBusy => {
                let at = self.now + self.up_to(HOUR * 3);
                Some((Class::Ca, Disposition::NotBefore(at)))
            }
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
        if let Some(at) = self.lost_order() {
            self.happens(Event::Issued { at, fate: Fate::Lost });
            return Outcome::Failed(Class::Ca, Disposition::Retry);
        }
        let installed = self.disk.live.map(Order::Issued);
        let of_use = |(id, placed_at): &(u32, OffsetDateTime)| {
            let order = self.ca.orders.get(id).copied();
            *placed_at + ORDER_LIFE > self.believed() && order != installed
        };
        match self.disk.pending.filter(of_use) {
            Some((id, _)) => Outcome::Next(Step::Validate(id)),
            None => match self.lifecycle.too_early(self.now) {
                Some(until) => Outcome::Failed(Class::RateLimit, Disposition::NotBefore(until)),
                None => Outcome::Next(Step::Keep(self.ca.place())),
            },
        }
    }

    /// An order that is too old to be taken up, and whose certificate nobody has seen or counted.
    fn lost_order(&mut self) -> Option<OffsetDateTime> {
        let believed = self.believed();
        let (id, _) = self.disk.pending.filter(|(_, touched_at)| *touched_at + ORDER_LIFE <= believed)?;
        self.disk.pending = None;
        let at = self.finalized.take().filter(|(order, _)| *order == id)?.1;
        (!self.lifecycle.has_counted(at)).then_some(at)
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
            (_, Order::Pending) => {
                self.ca.validate(id);
                self.disk.pending = Some((id, self.believed())); // the CA keeps what is finalized
                self.finalized = Some((id, self.now));
                Outcome::Next(Step::Finalize(id))
            }
            (_, Order::Ready | Order::Issued(_)) => Outcome::Next(Step::Finalize(id)),
            (_, Order::Invalid) => Outcome::Next(Step::Hear(id)), // of an earlier try, which was killed
        }
    }

    fn hear_that_it_failed(&mut self, id: u32) -> Outcome {
        assert_eq!(self.ca.orders[&id], Order::Invalid);
        self.disk.pending = None;
        Outcome::Failed(Class::Validation, Disposition::Validation)
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
                Err(overdrawn) => self.limited(overdrawn),
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
