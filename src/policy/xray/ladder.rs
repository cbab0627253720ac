//! Which rung an inbound needs next: the files, the files again, the API, and a restart when nothing else is left.

use std::time::Duration;

use time::OffsetDateTime;

use super::audit::{Audit, Follows};
use super::inbound::{Inbound, Listen};
use crate::config::Rung;

/// For how many of its intervals the files are unsteady for an inbound. Most are current after one; on a machine where
/// four programs wanted each processor a range of three ports needed eight at most.
const MOST_TURNS: u32 = 20;

/// How long at most; inbounds that look once an hour get six tries.
const TOUCHING_TIME: Duration = Duration::from_secs(6 * 3600 + 600);

/// A certificate with less than this left is as good as expired.
const NEARLY: Duration = Duration::from_secs(6 * 3600);

/// What an inbound that looks once an hour is given even if the old certificate ends before.
const LEAST_WAIT: Duration = Duration::from_secs(20);

/// Of an address whose inbound is not known.
const PROBED: Duration = Duration::from_secs(3600);

/// What was done for one inbound since the files changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// When the new pair was in the files, and the inbound known.
    pub since: OffsetDateTime,
    /// The API was tried for this certificate.
    pub api: bool,
    /// The signal was sent.
    pub signalled: bool,
    /// The restart was made.
    pub restarted: bool,
}

/// How things are with an inbound that does not present the new certificate.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// It, and what is known of its settings; `None` of an address that is only probed.
    pub inbound: Option<(&'a Inbound, &'a Audit)>,
    /// Xray's API answers.
    pub api: bool,
    /// Until when what it presents is good; `None` if that could not be read.
    pub old_ends: Option<OffsetDateTime>,
}

/// What an inbound needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing but patience, until then.
    Wait(OffsetDateTime),
    /// The same pair as other bytes for each listener that looks, until then.
    Touch(OffsetDateTime),
    /// The inbound anew, over the API.
    Api,
    /// SIGHUP.
    Signal,
    /// The restart, after an alert.
    Restart,
    /// Nothing is left to do before the old certificate has nearly expired; somebody is told.
    Stuck,
}

/// Whether anything may be done to the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Files {
    Touched,
    Untouched,
}

impl Course {
    /// Nothing was done yet.
    #[must_use]
    pub fn begun(since: OffsetDateTime) -> Self {
        Self { since, api: false, signalled: false, restarted: false }
    }

    /// The next step on the ladder `rungs`.
    #[must_use]
    pub fn next(&self, standing: Standing<'_>, rungs: &[Rung], now: OffsetDateTime) -> Step {
        let nearly = standing.old_ends.is_some_and(|ends| ends - now < NEARLY);
        let steps = rungs.iter().filter_map(|rung| match rung {
            Rung::Files => self.files(standing, now, Files::Touched),
            Rung::Api => self.over_the_api(standing, nearly),
            Rung::Signal => (!self.signalled).then_some(Step::Signal),
            Rung::Restart => None, // whatever its place, it is the last
        });
        // Without the rung nothing is done to the files, but Xray reads them all the same.
        let patience = || self.files(standing, now, Files::Untouched);
        let mut steps = steps.chain(std::iter::once_with(patience).flatten());
        let last_resort = nearly && !self.restarted && rungs.contains(&Rung::Restart);
        steps.next().unwrap_or(if last_resort { Step::Restart } else { Step::Stuck })
    }

    fn files(&self, standing: Standing<'_>, now: OffsetDateTime, files: Files) -> Option<Step> {
        let (interval, in_turn) = match standing.inbound.map(|(_, audit)| audit.follows) {
            None => (PROBED, false),
            Some(Follows::Within(interval)) => (interval, false),
            Some(Follows::InTurn(interval)) => (interval, files == Files::Touched),
            Some(Follows::Never(_)) => return None,
        };
        let tick = interval + margin(interval);
        let turns = tick.saturating_mul(MOST_TURNS).min(TOUCHING_TIME);
        let mut deadline = self.since + if in_turn { turns.max(tick) } else { tick };
        if let Some(ends) = standing.old_ends {
            deadline = deadline.min(ends.max(self.since + LEAST_WAIT));
        }
        let step = if in_turn { Step::Touch(deadline) } else { Step::Wait(deadline) };
        (now < deadline).then_some(step)
    }

    fn over_the_api(&self, standing: Standing<'_>, nearly: bool) -> Option<Step> {
        let (inbound, _) = standing.inbound?;
        let harmless = inbound.transport.outlives_its_inbound();
        // A second listener on a socket file blocks Xray's API for good.
        let on_a_port = !matches!(inbound.listen, Listen::Unix(_)) && !inbound.tag.is_empty();
        let possible = on_a_port && !inbound.keeps_its_socket();
        (standing.api && !self.api && possible && (harmless || nearly)).then_some(Step::Api)
    }
}

/// For a tick that comes late, and for our own look.
fn margin(interval: Duration) -> Duration {
    (interval / 20).clamp(Duration::from_millis(1500), Duration::from_secs(60))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::super::audit::Obstacle;
    use super::super::inbound::{Tls, Transport, Usage};
    use super::*;

    const T0: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);
    const LADDER: [Rung; 3] = [Rung::Files, Rung::Api, Rung::Restart];
    const GOOD: Option<OffsetDateTime> = Some(datetime!(2026-01-04 00:00 UTC));

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn inbound(transport: Transport) -> Inbound {
        Inbound {
            tag: "in".into(),
            listen: Listen::Ip(None),
            ports: vec![(443, 443)],
            transport,
            tls: None,
            proxy_protocol: false,
        }
    }

    fn audit(follows: Follows) -> Audit {
        Audit {
            position: 1,
            certificates: 1,
            inline: false,
            one_time_loading: false,
            interval: seconds(10),
            usage: Usage::Encipherment,
            reject_unknown_sni: false,
            readable: None,
            follows,
        }
    }

    fn next(
        course: Course,
        inbound: &Inbound,
        audit: &Audit,
        old_ends: Option<OffsetDateTime>,
        at: u64,
    ) -> Step {
        let standing = Standing { inbound: Some((inbound, audit)), api: true, old_ends };
        course.next(standing, &LADDER, T0 + seconds(at))
    }

    #[test]
    fn the_files_have_one_interval_then_the_api_is_used_once_and_then_somebody_is_told() {
        let (tcp, follows) = (inbound(Transport::Tcp), audit(Follows::Within(seconds(10))));
        let mut course = Course::begun(T0);
        assert!(matches!(next(course, &tcp, &follows, GOOD, 11), Step::Wait(_)));
        assert_eq!(next(course, &tcp, &follows, GOOD, 12), Step::Api);
        course.api = true;
        assert_eq!(next(course, &tcp, &follows, GOOD, 13), Step::Stuck);
        let nearly = Some(T0 + seconds(6 * 3600));
        assert_eq!(next(course, &tcp, &follows, nearly, 13), Step::Restart);
        course.restarted = true;
        assert_eq!(next(course, &tcp, &follows, nearly, 13), Step::Stuck);
    }

    #[test]
    fn what_cannot_follow_does_not_wait_for_the_files() {
        let never = audit(Follows::Never(Obstacle::OneTimeLoading));
        assert_eq!(next(Course::begun(T0), &inbound(Transport::WebSocket), &never, GOOD, 0), Step::Api);
    }

    #[test]
    fn listeners_that_share_a_certificate_find_other_bytes_from_the_start_and_not_for_ever() {
        let (xhttp, in_turn) = (inbound(Transport::Xhttp), audit(Follows::InTurn(seconds(10))));
        let course = Course::begun(T0);
        let end = 20 * 23 / 2; // an interval and its margin, twenty times
        assert_eq!(next(course, &xhttp, &in_turn, GOOD, 0), Step::Touch(T0 + seconds(end)));
        assert_eq!(next(course, &xhttp, &in_turn, GOOD, end - 1), Step::Touch(T0 + seconds(end)));
        assert_eq!(next(course, &xhttp, &in_turn, GOOD, end), Step::Stuck, "its connections would be cut");
        let range = Inbound { ports: vec![(443, 445)], ..inbound(Transport::Tcp) };
        assert_eq!(next(course, &range, &in_turn, GOOD, end), Step::Api);
        let nearly = Some(T0 + seconds(6 * 3600));
        assert_eq!(next(course, &xhttp, &in_turn, nearly, end), Step::Api);
        let hourly = audit(Follows::InTurn(seconds(3600)));
        assert_eq!(next(course, &xhttp, &hourly, GOOD, 3700), Step::Touch(T0 + TOUCHING_TIME));
        let standing = Standing { inbound: Some((&xhttp, &in_turn)), api: true, old_ends: GOOD };
        assert_eq!(course.next(standing, &[Rung::Api], T0), Step::Wait(T0 + Duration::from_millis(11_500)));
    }

    #[test]
    fn connections_that_would_be_cut_and_socket_files_are_not_for_the_api() {
        let never = audit(Follows::Never(Obstacle::Inline));
        for transport in [Transport::Grpc, Transport::Xhttp, Transport::Kcp, Transport::Hysteria] {
            assert_eq!(next(Course::begun(T0), &inbound(transport), &never, GOOD, 0), Step::Stuck);
        }
        let socket = Inbound { listen: Listen::Unix("/run/x".into()), ..inbound(Transport::Tcp) };
        assert_eq!(next(Course::begun(T0), &socket, &never, GOOD, 0), Step::Stuck);
        assert_eq!(next(Course::begun(T0), &socket, &never, Some(T0), 0), Step::Restart);
        let tls = Tls {
            certificates: vec![],
            server_name: String::new(),
            alpn: vec!["h3".into()],
            reject_unknown_sni: false,
        };
        let quic = Inbound { tls: Some(tls), ..inbound(Transport::Xhttp) };
        assert_eq!(next(Course::begun(T0), &quic, &never, Some(T0), 0), Step::Restart);
    }

    #[test]
    fn who_looks_once_an_hour_is_not_waited_for_beyond_the_end_of_the_old_one() {
        let (tcp, hourly) = (inbound(Transport::Tcp), audit(Follows::Within(seconds(3600))));
        let ends = Some(T0 + seconds(600));
        assert_eq!(next(Course::begun(T0), &tcp, &hourly, ends, 599), Step::Wait(T0 + seconds(600)));
        assert_eq!(next(Course::begun(T0), &tcp, &hourly, ends, 600), Step::Api);
        assert_eq!(next(Course::begun(T0), &tcp, &hourly, Some(T0), 21), Step::Api);
        assert!(matches!(next(Course::begun(T0), &tcp, &hourly, Some(T0), 19), Step::Wait(_)));
    }

    #[test]
    fn only_the_rungs_that_are_named_are_used_and_the_restart_comes_last() {
        let (tcp, never) = (inbound(Transport::Tcp), audit(Follows::Never(Obstacle::Inline)));
        let standing = |api| Standing { inbound: Some((&tcp, &never)), api, old_ends: Some(T0) };
        let course = Course::begun(T0);
        assert_eq!(course.next(standing(true), &[], T0), Step::Stuck);
        assert_eq!(course.next(standing(true), &[Rung::Restart, Rung::Api], T0), Step::Api);
        assert_eq!(course.next(standing(false), &[Rung::Restart, Rung::Api], T0), Step::Restart);
        assert_eq!(course.next(standing(false), &[Rung::Api, Rung::Signal], T0), Step::Signal);
    }
}
