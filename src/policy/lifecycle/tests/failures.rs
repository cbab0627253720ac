//! What a failure means for the next try.

use super::*;

#[test]
fn a_long_pause_does_not_reach_far_into_the_critical_day() {
    let (mut lifecycle, failed) = situation(Health::Valid, "renewing", "failed");
    lifecycle.failures = 10;
    let critical = NOW + HOUR * 76;
    let before = critical - HOUR;
    lifecycle.handle(before, failed, Jitter::new(1.0));
    assert_eq!(lifecycle.next_renewal_at(), Some(critical + HOUR), "and not eleven hours later");
}

#[test]
fn after_a_failed_validation_the_next_try_is_rehearsed_until_one_succeeds() {
    let (mut lifecycle, failed) = situation(Health::Valid, "renewing", "validation failed");
    lifecycle.handle(NOW, failed, Jitter::NONE);
    let mut again = Lifecycle::restore(
        terms(),
        held(Health::Valid),
        Ports::Ours,
        lifecycle.memory(),
        (NOW, Jitter::NONE),
    );
    let next = again.handle(NOW + HOUR, Event::Tick, Jitter::NONE);
    assert_eq!(orders(&next), [Approach::Rehearsed]);
    let (_, rehearsal_failed) = situation(Health::Valid, "renewing", "rehearsal failed");
    let budget = again.budget;
    again.handle(NOW + HOUR, rehearsal_failed, Jitter::NONE);
    assert_eq!((again.failures(), again.budget), (2, budget), "it counts, and costs nothing");
    let forced = again.handle(NOW + HOUR, Event::Requested(Insistence::Forced), Jitter::NONE);
    assert_eq!(orders(&forced), [Approach::Straight]);
    again.handle(NOW + HOUR, Event::Renewed(fresh()), Jitter::NONE);
    assert_eq!(orders(&again.handle(NOW + HOUR * 99, Event::Tick, Jitter::NONE)), [Approach::Straight]);
}

#[test]
fn what_the_configuration_forbids_waits_until_it_is_critical_and_is_then_asked_daily() {
    let (mut lifecycle, refused) = situation(Health::Valid, "renewing", "refused");
    lifecycle.handle(NOW, refused.clone(), Jitter::NONE);
    let critical = NOW + HOUR * 76;
    assert_eq!(lifecycle.next_renewal_at(), Some(critical));
    assert_eq!(orders(&lifecycle.handle(critical, Event::Tick, Jitter::NONE)).len(), 1);
    lifecycle.handle(critical, refused, Jitter::NONE);
    assert_eq!(lifecycle.next_renewal_at(), Some(critical + HOUR * 24));
    let corrected = Terms { asking: "another".to_owned(), ..terms() };
    let mut corrected = Lifecycle::restore(
        corrected,
        held(Health::Valid),
        Ports::Ours,
        lifecycle.memory(),
        (critical, Jitter::NONE),
    );
    assert_eq!(orders(&corrected.handle(critical, Event::Tick, Jitter::NONE)).len(), 1);
}

#[test]
fn a_limit_beyond_expiry_is_told_and_an_ordinary_pause_is_not() {
    let told = |disposition| {
        let (mut lifecycle, _) = situation(Health::Valid, "renewing", "failed");
        let failure = Failure { class: Class::RateLimit, sentence: Sentence::quoted("no"), disposition };
        let actions = lifecycle.handle(NOW, Event::Failed(failure), Jitter::NONE);
        actions
            .into_iter()
            .any(|action| matches!(action, Action::Tell(alert) if alert.kind == Kind::RateLimited))
    };
    assert!(told(Disposition::RateLimited(Some(NOW + HOUR * 101))));
    assert!(!told(Disposition::RateLimited(Some(NOW + HOUR * 99))));
    assert!(told(Disposition::NotBefore(NOW + HOUR * 101)));
    assert!(!told(Disposition::Retry));
}
#[test]
fn a_clock_that_was_years_ahead_does_not_block_for_years() {
    let (mut lifecycle, tick) = situation(Health::Valid, "backing off", "tick, nothing due");
    lifecycle.activity = Activity::BackingOff {
        since: NOW + HOUR * 24 * 3650,
        until: NOW + HOUR * 24 * 3651,
        reason: Reason::Failure,
    };
    assert_eq!(orders(&lifecycle.handle(NOW, tick, Jitter::NONE)), [Approach::Straight]);
}
