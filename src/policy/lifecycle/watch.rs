//! What is left to tell where no certificate is kept: who else is at our ports.

use time::OffsetDateTime;

use super::ways::{Neighbours, Seen};
use super::{Action, Doors, Memory};
use crate::policy::alert::{Open, Situation};

/// In the place of a [`super::Lifecycle`].
#[derive(Clone, Debug)]
pub struct Watch {
    /// Of a certificate that was kept once, for when it is wanted again.
    memory: Memory,
    neighbours: Neighbours,
    alerts: Open,
}

impl Watch {
    /// Begins where `memory` ends. What was told of a certificate is over with it, and nothing to recover from.
    #[must_use]
    pub fn restore(memory: Memory) -> Self {
        let neighbours = Neighbours::remembering(memory.had.clone());
        let alerts = memory.alerts.clone().about_company();
        Self { memory, neighbours, alerts }
    }

    /// Takes in who is at our ports now, and says what to do, in order.
    pub fn see(&mut self, now: OffsetDateTime, doors: &Doors) -> Vec<Action> {
        let news = self.neighbours.see(now, doors) == Seen::News;
        let company = self.neighbours.company(now);
        let alerts = self.alerts.see(now, Situation { company, ..Situation::WELL });
        let persist = (news || !alerts.is_empty()).then_some(Action::Persist);
        alerts.into_iter().map(Action::Tell).chain(persist).collect()
    }

    /// When there will be something to say though nothing happens.
    #[must_use]
    pub fn next_wakeup(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        self.neighbours.told_at().filter(|at| *at > now)
    }

    /// What to write down.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.memory.clone().with(self.neighbours.had().clone(), self.alerts.clone())
    }

    /// What the administrator was told since all was well.
    #[must_use]
    pub fn alerts(&self) -> &Open {
        &self.alerts
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use time::macros::datetime;

    use super::*;
    use crate::policy::alert::{Company, Kind, Worth};

    const NOW: OffsetDateTime = datetime!(2026-03-01 00:00 UTC);

    fn doors(shared: &[&str]) -> Doors {
        let set = |all: &[&str]| all.iter().map(|address| address.parse().unwrap()).collect();
        Doors { ours: set(&["0.0.0.0:80"]), shared: set(shared), ..Doors::default() }
    }

    fn told(actions: &[Action]) -> Vec<Kind> {
        let kind = |action: &Action| if let Action::Tell(alert) = action { Some(alert.kind) } else { None };
        actions.iter().filter_map(kind).collect()
    }

    #[test]
    fn who_joins_is_told_once_over_a_restart_and_that_he_is_gone() {
        let mut watch = Watch::restore(Memory::default());
        assert_eq!(watch.see(NOW, &doors(&[])), [Action::Persist], "what is ours is remembered");
        let joined = watch.see(NOW, &doors(&["0.0.0.0:80"]));
        assert_eq!((told(&joined), joined.last()), (vec![Kind::PortJoined], Some(&Action::Persist)));

        let mut again = Watch::restore(watch.memory());
        assert_eq!(again.see(NOW, &doors(&["0.0.0.0:80"])), []);
        assert_eq!(told(&again.see(NOW, &doors(&[]))), [Kind::Recovered]);
    }

    #[test]
    fn a_port_that_was_ours_is_missed_after_a_while() {
        let mut watch = Watch::restore(Memory::default());
        watch.see(NOW, &doors(&[]));
        let lost = Doors { taken: doors(&[]).ours, ..Doors::default() };
        assert_eq!(told(&watch.see(NOW, &lost)), []);
        let at = watch.next_wakeup(NOW).expect("a moment");
        assert_eq!(told(&watch.see(at, &lost)), [Kind::PortLost]);
        assert_eq!(watch.next_wakeup(at), None);
    }

    #[test]
    fn what_was_told_of_a_certificate_is_over_without_a_word() {
        let mut alerts = Open::default();
        let situation = Situation { worth: Worth::Critical, company: Company::Joined, ..Situation::WELL };
        alerts.see(NOW, situation);
        let mut watch = Watch::restore(Memory::default().with(BTreeSet::new(), alerts));
        assert_eq!(told(&watch.see(NOW, &doors(&["0.0.0.0:80"]))), [], "that was told");
        assert_eq!(watch.alerts().worst(), Some(Kind::PortJoined));
    }
}
