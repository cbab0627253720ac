//! What is counted, and what comes of an order that is lost.

use super::*;

#[test]
fn a_certificate_that_is_bought_is_installed_whatever_the_governor_says() {
    for (fate, begins) in [(in_hand(), 1), (Fate::Useless, 0)] {
        let (mut lifecycle, failed) = situation(Health::Valid, "renewing", "failed");
        (1..Ledger::MOST).for_each(|_| lifecycle.ledger.enter(NOW, &terms().counted, Cause::Due));
        lifecycle.handle(NOW, Event::Issued { at: NOW, fate: fate.clone() }, Jitter::NONE);
        lifecycle.handle(NOW, failed, Jitter::NONE);
        let now = (NOW, Jitter::NONE);
        let held = held(Health::Valid);
        let mut after = Lifecycle::restore(terms(), held, Ports::Ours, lifecycle.memory(), now);
        let later = after.handle(NOW + HOUR, Event::Tick, Jitter::NONE);
        assert_eq!(orders(&later).len(), begins, "{fate:?}");
        let ledger = after.ledger.clone();
        after.handle(NOW + HOUR, Event::Issued { at: NOW + HOUR, fate: in_hand() }, Jitter::NONE);
        assert_eq!(after.ledger == ledger, begins == 1, "fetched once more, it counts once: {fate:?}");
    }
}

#[test]
fn what_was_lost_with_its_order_counts_like_any_other() {
    let week = NOW + HOUR * 169;
    let (mut lifecycle, _) = situation(Health::Valid, "renewing", "failed");
    (1..Ledger::MOST).for_each(|_| lifecycle.ledger.enter(NOW, &terms().counted, Cause::Due));
    lifecycle.handle(NOW, Event::Issued { at: NOW, fate: Fate::Lost }, Jitter::NONE);
    assert_eq!(lifecycle.too_early(NOW + HOUR * 40), Some(week));
}

#[test]
fn an_order_that_is_lost_with_a_certificate_that_was_bought_is_no_reason_for_a_fifth() {
    let (mut lifecycle, failed) = situation(Health::Valid, "renewing", "failed");
    (1..Ledger::MOST).for_each(|_| lifecycle.ledger.enter(NOW, &terms().counted, Cause::Due));
    lifecycle.handle(NOW, Event::Issued { at: NOW, fate: in_hand() }, Jitter::NONE);
    lifecycle.handle(NOW, failed, Jitter::NONE);
    let begun = lifecycle.handle(NOW + HOUR, Event::Tick, Jitter::NONE);
    assert_eq!(orders(&begun).len(), 1, "to fetch it");
    assert_eq!(lifecycle.too_early(NOW + HOUR), Some(NOW + HOUR * 169), "but not in its place");
}

#[test]
fn a_forced_try_makes_a_new_order_where_an_earlier_one_came_to_nothing() {
    let sentence = Sentence::quoted("no");
    let failure = Failure { class: Class::Validation, sentence, disposition: Disposition::Validation };
    for (insistence, goes_on) in [(Insistence::Polite, 0), (Insistence::Forced, 1)] {
        let (mut lifecycle, _) = situation(Health::Valid, "renewing", "failed");
        lifecycle.activity = Activity::Renewing { since: NOW, insistence };
        let actions = lifecycle.handle(NOW, Event::EarlierFailed(failure.clone()), Jitter::NONE);
        assert_eq!(orders(&actions), vec![Approach::Straight; goes_on]);
        assert_eq!(lifecycle.renewing(), goes_on == 1, "{insistence:?}");
        assert_eq!(lifecycle.failures(), 1);
        let mut once = ValidationBudget::default();
        once.spend(NOW);
        assert_eq!(lifecycle.budget, once, "the CA has looked");
    }
}

#[test]
fn another_profile_is_counted_with_the_one_before() {
    let (mut before, _) = situation(Health::Valid, "waiting", "request");
    (0..Ledger::MOST).for_each(|_| before.ledger.enter(NOW, &terms().counted, Cause::Due));
    let another = Terms { name: "ca another 192.0.2.1".to_owned(), ..terms() };
    let replaced = held(Health::Valid).map(|held| Held { of_these_terms: false, ..held });
    let now = (NOW, Jitter::NONE);

    let mut after = Lifecycle::restore(another, replaced, Ports::Ours, before.memory(), now);

    assert_eq!(orders(&after.handle(NOW, Event::Tick, Jitter::NONE)), []);
    assert_eq!(name(after.activity()), "blocked by the governor");
}
