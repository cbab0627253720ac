//! The CA's window, and the moment that is chosen in it.

use super::*;

/// A lifecycle that holds a fresh certificate and has heard nothing of the CA's window yet.
fn renewed() -> Lifecycle {
    let mut lifecycle =
        Lifecycle::restore(terms(), None, Ports::Ours, Memory::default(), (NOW, Jitter::NONE));
    lifecycle.handle(NOW, Event::Tick, Jitter::NONE);
    lifecycle.handle(NOW, Event::Issued { at: NOW, fate: in_hand() }, Jitter::NONE);
    let actions = lifecycle.handle(NOW, Event::Renewed(fresh()), Jitter::NONE);
    assert!(actions.contains(&Action::AskRenewalInfo), "right after the issuance");
    lifecycle
}

fn advised(certificate_id: &str, from: u32, to: u32) -> Event {
    let window = Window::new(NOW + HOUR * from, NOW + HOUR * to, fresh().life).unwrap();
    Event::Advised {
        certificate_id: certificate_id.to_owned(),
        advice: Advice::Window(window),
        retry_after: Some(HOUR * 6),
    }
}

#[test]
fn the_moment_lies_in_the_window_of_the_ca_and_is_not_chosen_twice() {
    let mut lifecycle = renewed();
    lifecycle.handle(NOW, advised("aki.new", 78, 82), Jitter::new(-1.0));
    assert_eq!(lifecycle.next_renewal_at(), Some(NOW + HOUR * 78));
    lifecycle.handle(NOW, advised("aki.new", 78, 82), Jitter::new(0.5));
    assert_eq!(lifecycle.next_renewal_at(), Some(NOW + HOUR * 78));
    let again =
        Lifecycle::restore(terms(), Some(fresh()), Ports::Ours, lifecycle.memory(), (NOW, Jitter::new(0.3)));
    assert_eq!(again.next_renewal_at(), Some(NOW + HOUR * 78), "over a restart");
    assert_eq!(again.next_wakeup(NOW), NOW + HOUR * 6, "when the CA is asked again");
    assert_eq!(again.next_wakeup(NOW + HOUR * 77), NOW + HOUR * 77, "the CA was not asked for long");
}

#[test]
fn a_window_in_the_past_renews_at_once_and_a_late_one_does_not_pass_the_threshold() {
    let mut lifecycle = renewed();
    lifecycle.handle(NOW, advised("aki.new", 100, 120), Jitter::NONE);
    assert_eq!(lifecycle.next_renewal_at(), Some(NOW + HOUR * 88));
    let incident = lifecycle.handle(NOW + HOUR * 3, advised("aki.new", 1, 2), Jitter::NONE);
    assert_eq!(orders(&incident), [Approach::Straight]);
}

#[test]
fn a_window_goes_with_its_certificate() {
    let mut lifecycle = renewed();
    lifecycle.handle(NOW, advised("aki.before", 0, 1), Jitter::NONE);
    assert_eq!(lifecycle.next_renewal_at(), Some(NOW + HOUR * 80), "another certificate's");
    lifecycle.handle(NOW, advised("aki.new", 10, 11), Jitter::NONE);
    let due = NOW + HOUR * 11;
    assert_eq!(orders(&lifecycle.handle(due, Event::Tick, Jitter::NONE)).len(), 1);
    let next = Held {
        fingerprint: "next".to_owned(),
        certificate_id: Some("aki.next".to_owned()),
        life: Life { not_before: due, not_after: due + HOUR * 160 },
        of_these_terms: true,
    };
    assert_eq!(orders(&lifecycle.handle(due, Event::Renewed(next.clone()), Jitter::NONE)), []);
    assert_eq!(lifecycle.next_renewal_at(), Some(due + HOUR * 80));
    let stale = lifecycle.handle(due, advised("aki.new", 10, 11), Jitter::NONE);
    assert_eq!(orders(&stale), [], "an answer that came late");
    assert_eq!(lifecycle.replaces(due), Some("aki.next"));
    assert_eq!(lifecycle.replaces(due + HOUR * 160), None, "what has expired is replaced by nothing");
}

#[test]
fn the_ca_is_asked_for_its_window_when_it_said_so_and_hourly_while_it_is_silent() {
    let mut lifecycle = renewed();
    let asks = |lifecycle: &mut Lifecycle, at| {
        lifecycle.handle(at, Event::Tick, Jitter::NONE).contains(&Action::AskRenewalInfo)
    };
    assert!(!asks(&mut lifecycle, NOW + HOUR / 2), "it is being asked");
    assert!(asks(&mut lifecycle, NOW + HOUR), "it did not answer");
    lifecycle.handle(NOW + HOUR, advised("aki.new", 78, 82), Jitter::NONE);
    assert!(!asks(&mut lifecycle, NOW + HOUR * 6));
    assert_eq!(lifecycle.next_wakeup(NOW + HOUR * 6), NOW + HOUR * 7);
    assert!(asks(&mut lifecycle, NOW + HOUR * 7));
}
