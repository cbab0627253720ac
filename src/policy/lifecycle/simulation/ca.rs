//! A CA as Let's Encrypt is one, with its limits.

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;

use super::{DAY, HOUR, MINUTE};
use crate::policy::schedule::Life;

/// Certificates of the same identifiers: five at once, one more every 34 h.
const CERTIFICATES: Limit = Limit { size: 5, refill: HOUR.saturating_mul(34) };

/// Failed validations: five at once, one more every 12 min.
const FAILED_VALIDATIONS: Limit = Limit { size: 5, refill: MINUTE.saturating_mul(12) };

/// How long the CA knows an order.
const ORDER_LIFE: Duration = HOUR.saturating_mul(8);

/// A bucket that refills.
struct Limit {
    size: u32,
    refill: Duration,
}

/// How often a limit was used, as the moment at which it is whole again.
struct Used {
    whole_at: OffsetDateTime,
}

impl Used {
    fn once_more(&mut self, now: OffsetDateTime, limit: &Limit) -> Result<(), Overdrawn> {
        let whole_at = self.whole_at.max(now) + limit.refill;
        if whole_at > now + limit.refill * limit.size {
            return Err(Overdrawn { until: whole_at - limit.refill * limit.size });
        }
        self.whole_at = whole_at;
        Ok(())
    }
}

/// A limit is spent until then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overdrawn {
    pub(super) until: OffsetDateTime,
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Pending,
    Ready,
    Issued(Certificate),
    Invalid,
}

/// What the CA hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) serial: u32,
    pub(super) life: Life,
}

/// When the CA wants its certificates renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// It has no renewal information.
    None,
    /// In the middle of the life, one percent earlier or later, as Let's Encrypt does.
    Middle,
    /// All at once: an incident.
    Now,
    /// After they have expired.
    Nonsense,
}

pub(super) struct Ca {
    life: Duration,
    pub(super) orders: BTreeMap<u32, Order>,
    placed: BTreeMap<u32, OffsetDateTime>,
    pub(super) issued: Vec<OffsetDateTime>,
    pub(super) wish: Wish,
    serial: u32,
    certificates: Used,
    failed_validations: Used,
}

impl Ca {
    pub(super) fn new(now: OffsetDateTime, life: Duration) -> Self {
        Self {
            life,
            orders: BTreeMap::new(),
            placed: BTreeMap::new(),
            issued: Vec::new(),
            wish: Wish::Middle,
            serial: 0,
            certificates: Used { whole_at: now },
            failed_validations: Used { whole_at: now },
        }
    }

    pub(super) fn place(&mut self, now: OffsetDateTime) -> u32 {
        let id = self.orders.last_key_value().map_or(1, |(id, _)| id + 1);
        self.orders.insert(id, Order::Pending);
        self.placed.insert(id, now);
        id
    }

    /// An order, as long as the CA knows it.
    pub(super) fn order(&self, now: OffsetDateTime, id: u32) -> Option<Order> {
        self.placed.get(&id).filter(|at| **at + ORDER_LIFE > now)?;
        self.orders.get(&id).copied()
    }

    pub(super) fn validate(&mut self, id: u32) {
        self.set(id, Order::Ready);
    }

    pub(super) fn fail_validation(&mut self, now: OffsetDateTime, id: u32) -> Result<(), Overdrawn> {
        self.failed_validations.once_more(now, &FAILED_VALIDATIONS)?;
        self.set(id, Order::Invalid);
        Ok(())
    }

    /// A certificate for a ready order; Let's Encrypt's begin an hour before they are issued.
    pub(super) fn issue(&mut self, now: OffsetDateTime, id: u32) -> Result<Certificate, Overdrawn> {
        assert_eq!(self.orders.get(&id), Some(&Order::Ready));
        if self.life >= DAY * 4 {
            self.certificates.once_more(now, &CERTIFICATES)?;
        }
        self.issued.push(now);
        self.serial += 1;
        let not_before = now - HOUR.min(self.life / 100);
        let life = Life { not_before, not_after: not_before + self.life };
        let certificate = Certificate { serial: self.serial, life };
        self.set(id, Order::Issued(certificate));
        Ok(certificate)
    }

    /// The window for a certificate; an empty one where there is no such thing.
    pub(super) fn window(&self, now: OffsetDateTime, life: Life) -> Option<(OffsetDateTime, OffsetDateTime)> {
        let middle = life.not_before + life.length() / 2;
        match self.wish {
            Wish::None => None,
            Wish::Middle => Some((middle - life.length() / 100, middle + life.length() / 100)),
            Wish::Now => Some((now - HOUR * 2, now - HOUR)),
            Wish::Nonsense => Some((life.not_after, life.not_after + DAY)),
        }
    }

    fn set(&mut self, id: u32, order: Order) {
        *self.orders.get_mut(&id).expect("the CA knows the order") = order;
    }
}
