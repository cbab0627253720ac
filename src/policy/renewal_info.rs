//! When the CA wants a certificate renewed: the suggested window of RFC 9773 (ARI).
//!
//! For Let's Encrypt's 160 hours the window is 3.2 h wide, and the answer is good for some 6 h: who only polls jumps
//! over it. So one moment in the window is chosen, once, and has a timer of its own.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::OffsetDateTime;

use super::schedule::{Jitter, Life};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A Retry-After outside of these is not believed: asking once a minute is a load, and a window that moves is to be
/// heard of within a day.
const SHORTEST_RETRY: Duration = MINUTE;
const LONGEST_RETRY: Duration = DAY;

/// Where the CA does not say when to ask again (RFC 9773 section 4.3 recommends 6 h).
const USUAL_RETRY: Duration = HOUR.saturating_mul(6);

/// After a question that got no answer.
const RETRY_AFTER_SILENCE: Duration = HOUR;

/// The last part of a window is left out, for the order itself takes time: a hundredth of the window.
const MARGIN: u32 = 100;

/// The CA's suggestion for one certificate: renew between these. It may lie in the past, which means at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    #[serde(with = "time::serde::rfc3339")]
    start: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    end: OffsetDateTime,
}

/// Why a window makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WindowError {
    /// It ends before it begins, or at once.
    #[error("the window ends at {end}, and begins at {start}")]
    Empty {
        /// Its beginning.
        start: OffsetDateTime,
        /// Its end.
        end: OffsetDateTime,
    },
    /// It ends when the certificate is no good any more.
    #[error("the window ends at {end}, after the certificate, which is good until {not_after}")]
    Late {
        /// Its end.
        end: OffsetDateTime,
        /// That of the certificate.
        not_after: OffsetDateTime,
    },
}

/// What came of asking the CA for a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// A window.
    Window(Window),
    /// The CA gives no such advice.
    Unsupported,
    /// No answer, or none that makes sense: what the CA said before holds.
    Silence,
}

/// What the CA said about one certificate, and when it is asked again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalInfo {
    certificate_id: String,
    #[serde(default)]
    window: Option<Window>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    moment: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    ask_at: OffsetDateTime,
}

impl Window {
    /// A window for a certificate of this life.
    ///
    /// # Errors
    /// It is empty, or ends after the certificate.
    pub fn new(start: OffsetDateTime, end: OffsetDateTime, life: Life) -> Result<Self, WindowError> {
        if end <= start {
            return Err(WindowError::Empty { start, end });
        }
        if end > life.not_after {
            return Err(WindowError::Late { end, not_after: life.not_after });
        }
        Ok(Self { start, end })
    }

    /// From when on.
    #[must_use]
    pub fn start(self) -> OffsetDateTime {
        self.start
    }

    /// Until when.
    #[must_use]
    pub fn end(self) -> OffsetDateTime {
        self.end
    }

    /// A moment in it, the same for the same jitter; never its end, which does not belong to it.
    fn moment(self, jitter: Jitter) -> OffsetDateTime {
        let width = Duration::try_from(self.end - self.start).unwrap_or_default();
        self.start + (width - width / MARGIN).mul_f64(jitter.fraction())
    }
}

impl RenewalInfo {
    /// Nothing was asked about this certificate yet, so it is asked at once.
    #[must_use]
    pub fn unasked(certificate_id: String, now: OffsetDateTime) -> Self {
        Self { certificate_id, window: None, moment: None, ask_at: now }
    }

    /// The certificate that this is about: authority key identifier and serial, as RFC 9773 section 4.1 writes them.
    #[must_use]
    pub fn certificate_id(&self) -> &str {
        &self.certificate_id
    }

    /// What the CA suggests; `None` where it suggests nothing, or has not been heard yet.
    #[must_use]
    pub fn window(&self) -> Option<Window> {
        self.window
    }

    /// The moment chosen in the window; `None` without a window.
    #[must_use]
    pub fn moment(&self) -> Option<OffsetDateTime> {
        self.moment
    }

    /// When the CA is asked next. One that is further away than any can be comes from a clock that was ahead.
    #[must_use]
    pub fn ask_at(&self, now: OffsetDateTime) -> OffsetDateTime {
        if self.ask_at > now + LONGEST_RETRY { now } else { self.ask_at }
    }

    /// The CA is being asked; unless it answers, not again for an hour.
    pub fn asked(&mut self, now: OffsetDateTime) {
        self.ask_at = now + RETRY_AFTER_SILENCE;
    }

    /// What came of it. The moment is chosen anew only for another window.
    pub fn heard(
        &mut self,
        now: OffsetDateTime,
        advice: Advice,
        retry_after: Option<Duration>,
        jitter: Jitter,
    ) {
        let usual = match advice {
            Advice::Window(window) => {
                if self.window != Some(window) {
                    self.moment = Some(window.moment(jitter));
                    self.window = Some(window);
                }
                USUAL_RETRY
            }
            Advice::Unsupported => {
                (self.window, self.moment) = (None, None);
                LONGEST_RETRY
            }
            Advice::Silence => RETRY_AFTER_SILENCE,
        };
        self.ask_at = now + retry_after.unwrap_or(usual).clamp(SHORTEST_RETRY, LONGEST_RETRY);
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const T0: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);
    const LIFE: Life = Life { not_before: T0, not_after: datetime!(2026-01-07 16:00 UTC) };

    fn middle() -> Window {
        Window::new(T0 + HOUR * 78, T0 + HOUR * 82, LIFE).unwrap()
    }

    fn after(advice: Advice, retry_after: Option<Duration>) -> RenewalInfo {
        let mut info = RenewalInfo::unasked("a.1".to_owned(), T0);
        info.heard(T0, advice, retry_after, Jitter::NONE);
        info
    }

    #[test]
    fn a_window_that_makes_no_sense_is_refused() {
        let window = |start, end| Window::new(T0 + HOUR * start, T0 + HOUR * end, LIFE);
        assert_eq!(window(80, 80), Err(WindowError::Empty { start: T0 + HOUR * 80, end: T0 + HOUR * 80 }));
        assert!(matches!(window(80, 79), Err(WindowError::Empty { .. })));
        assert_eq!(
            window(80, 161),
            Err(WindowError::Late { end: T0 + HOUR * 161, not_after: LIFE.not_after })
        );
        assert!(window(0, 160).is_ok());
        assert!(Window::new(T0 - HOUR, T0, LIFE).is_ok(), "the past is a suggestion, too");
    }

    #[test]
    fn every_moment_lies_in_the_window() {
        for step in -100..=100 {
            let moment = middle().moment(Jitter::new(f64::from(step) / 100.0));
            assert!(moment >= T0 + HOUR * 78 && moment < T0 + HOUR * 82, "{step}: {moment}");
        }
        assert_eq!(middle().moment(Jitter::new(-1.0)), T0 + HOUR * 78);
    }

    #[test]
    fn the_moment_is_chosen_anew_only_for_another_window() {
        let mut info = after(Advice::Window(middle()), None);
        let chosen = info.moment();
        info.heard(T0, Advice::Window(middle()), None, Jitter::new(0.9));
        assert_eq!(info.moment(), chosen);
        info.heard(T0, Advice::Silence, None, Jitter::new(0.9));
        assert_eq!(info.moment(), chosen);
        let earlier = Window::new(T0, T0 + HOUR, LIFE).unwrap();
        info.heard(T0, Advice::Window(earlier), None, Jitter::new(-1.0));
        assert_eq!(info.moment(), Some(T0));
        info.heard(T0, Advice::Unsupported, None, Jitter::NONE);
        assert_eq!(info.moment(), None);
    }

    #[test]
    fn it_is_asked_again_when_the_ca_says_but_not_at_any_rate() {
        let ask_at =
            |advice, seconds: Option<u64>| after(advice, seconds.map(Duration::from_secs)).ask_at(T0) - T0;
        let window = Advice::Window(middle());
        assert_eq!(ask_at(window, Some(6 * 3600)), HOUR * 6);
        assert_eq!(ask_at(window, Some(0)), MINUTE);
        assert_eq!(ask_at(window, Some(1 << 40)), DAY);
        assert_eq!(ask_at(window, None), HOUR * 6);
        assert_eq!(ask_at(Advice::Unsupported, None), DAY);
        assert_eq!(ask_at(Advice::Silence, None), HOUR);
        let mut info = after(window, None);
        assert_eq!(info.ask_at(T0 - DAY * 3000), T0 - DAY * 3000, "the clock was years ahead");
        info.asked(T0);
        assert_eq!(info.ask_at(T0), T0 + HOUR);
    }
}
