//! The certificate's life from its issue to its expiry: a line to see at a glance, and a list that says the same.

use time::{Duration, OffsetDateTime};

use super::markup::Html;
use super::words::Words;
use crate::control::admin::status::Life;

/// Where "now" would leave the picture, its word is put on the inner side of the line.
const EDGE: f64 = 0.06;

/// A line of the list.
struct Moment {
    class: &'static str,
    name: &'static str,
    at: OffsetDateTime,
    until: Option<OffsetDateTime>,
}

/// What is drawn between two moments.
struct Line {
    from: OffsetDateTime,
    to: OffsetDateTime,
    now: OffsetDateTime,
}

pub(super) fn write(html: &mut Html, words: &Words, life: &Life, now: OffsetDateTime) {
    let to = life.expires_at.max(now).max(life.issued_at + Duration::SECOND);
    let line = Line { from: life.issued_at, to, now };
    html.raw("<svg class=\"line\" role=\"img\" aria-label=\"").text(words.picture).raw("\">");
    line.piece(html, "t-ok", life.issued_at, life.threshold_at);
    line.piece(html, "t-warn", life.threshold_at, life.critical_at);
    line.piece(html, "t-bad", life.critical_at, line.to);
    for border in [life.threshold_at, life.critical_at] {
        html.raw("<rect class=\"t-card\" y=\"28\" height=\"14\" width=\"2\"");
        html.percent("x", line.place(border)).raw("/>");
    }
    if let Some((start, end)) = life.window_start.zip(life.window_end) {
        html.raw("<rect class=\"t-busy\" y=\"47\" height=\"5\" rx=\"2\"");
        html.percent("x", line.place(start)).percent("width", line.place(end) - line.place(start)).raw("/>");
    }
    if let Some(planned) = life.planned_at {
        html.raw("<circle class=\"t-card\" cy=\"35\" r=\"10\"").percent("cx", line.place(planned)).raw("/>");
        html.raw("<circle class=\"t-busy\" cy=\"35\" r=\"7\"").percent("cx", line.place(planned)).raw("/>");
    }
    line.now(html, words.now);
    html.raw("</svg><p class=\"ends\" aria-hidden=\"true\"><span>").text(words.issued).raw("</span><span>");
    html.text(words.expiry).raw("</span></p><ol class=\"moments\">");
    for moment in moments(words, life, now) {
        item(html, words, &moment, now);
    }
    html.raw("</ol>");
}

impl Line {
    fn place(&self, at: OffsetDateTime) -> f64 {
        ((at - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }

    /// What is over is drawn full, what is ahead is pale.
    fn piece(&self, html: &mut Html, class: &'static str, from: OffsetDateTime, to: OffsetDateTime) {
        let (from, to) = (self.place(from), self.place(to));
        let middle = self.place(self.now).clamp(from, to.max(from));
        for (ahead, start, end) in [(false, from, middle), (true, middle, to)] {
            if end <= start {
                continue;
            }
            html.raw("<rect y=\"28\" height=\"14\" class=\"").text(class);
            html.raw(if ahead { " ahead\"" } else { "\"" });
            html.percent("x", start).percent("width", end - start).raw("/>");
        }
    }

    fn now(&self, html: &mut Html, word: &str) {
        let place = self.place(self.now);
        html.raw("<rect class=\"t-text\" y=\"19\" height=\"36\" width=\"2\" rx=\"1\"").percent("x", place);
        let anchor = match place {
            left if left < EDGE => "start",
            right if right > 1.0 - EDGE => "end",
            _ => "middle",
        };
        html.raw("/><text y=\"13\"").percent("x", place).attribute("text-anchor", anchor).raw(">");
        html.text(word).raw("</text>");
    }
}

fn moments(words: &Words, life: &Life, now: OffsetDateTime) -> Vec<Moment> {
    let one = |class, name, at| Some(Moment { class, name, at, until: None });
    let window = life.window_start.map(|at| Moment {
        class: "window",
        name: words.window,
        at,
        until: life.window_end,
    });
    let mut moments: Vec<_> = [
        one("issued", words.issued, life.issued_at),
        window,
        life.planned_at.and_then(|at| one("planned", words.planned, at)),
        one("threshold", words.threshold, life.threshold_at),
        one("critical", words.critical, life.critical_at),
        one("expiry", words.expiry, life.expires_at),
        one("now", words.now, now),
    ]
    .into_iter()
    .flatten()
    .collect();
    moments.sort_by_key(|moment| moment.at);
    moments
}

fn item(html: &mut Html, words: &Words, moment: &Moment, now: OffsetDateTime) {
    html.raw("<li class=\"").text(moment.class);
    html.raw(if moment.until.unwrap_or(moment.at) < now { " past" } else { "" });
    html.raw("\"><span class=\"mark\" aria-hidden=\"true\"></span><span class=\"name\">").text(moment.name);
    html.raw("</span><span class=\"span\">").time(moment.at);
    if let Some(until) = moment.until {
        html.raw(" – ").time(until);
    }
    html.raw("</span><span class=\"far\">");
    if moment.class != "now" {
        html.text(&far(words, moment.at, now));
    }
    html.raw("</span></li>");
}

/// "in 3 h 20 min", "2 d 4 h ago".
pub(super) fn far(words: &Words, at: OffsetDateTime, now: OffsetDateTime) -> String {
    let span = (words.span)((at - now).unsigned_abs());
    if at < now { (words.ago)(&span) } else { (words.ahead)(&span) }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::super::words;
    use super::*;
    use crate::config::Language;

    fn drawn(now: OffsetDateTime) -> String {
        let issued_at = datetime!(2026-01-01 00:00 UTC);
        let hours = Duration::hours;
        let life = Life {
            issued_at,
            window_start: Some(issued_at + hours(80)),
            window_end: Some(issued_at + hours(84)),
            planned_at: Some(issued_at + hours(82)),
            threshold_at: issued_at + hours(88),
            critical_at: issued_at + hours(136),
            expires_at: issued_at + hours(160),
        };
        let mut html = Html::new();
        write(&mut html, words::of(Language::English), &life, now);
        html.finish()
    }

    #[test]
    fn each_moment_has_its_place_and_its_line() {
        let page = drawn(datetime!(2026-01-02 16:00 UTC));
        for part in [
            "class=\"t-ok\" x=\"0.00%\" width=\"25.00%\"",
            "class=\"t-ok ahead\" x=\"25.00%\" width=\"30.00%\"",
            "class=\"t-warn ahead\" x=\"55.00%\" width=\"30.00%\"",
            "class=\"t-bad ahead\" x=\"85.00%\" width=\"15.00%\"",
            "rx=\"2\" x=\"50.00%\" width=\"2.50%\"",
            "cx=\"51.25%\"",
            "<text y=\"13\" x=\"25.00%\" text-anchor=\"middle\">Now<",
            "in 5 d<",
        ] {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
        let order: Vec<_> = page
            .match_indices("class=\"name\">")
            .map(|(at, name)| &page[at + name.len()..at + name.len() + 5])
            .collect();
        assert_eq!(order, ["Issue", "Now</", "Windo", "Plann", "Renew", "Criti", "Expir"]);
    }

    #[test]
    fn what_is_over_is_on_the_line_too() {
        let page = drawn(datetime!(2026-01-14 08:00 UTC));
        assert!(page.contains("text-anchor=\"end\">Now<") && !page.contains("ahead"), "{page}");
        assert!(page.contains("6 d 16 h ago"), "{page}");
        let before = drawn(datetime!(2025-12-31 00:00 UTC));
        assert!(before.contains("text-anchor=\"start\">Now<"), "a clock that is behind: {before}");
    }
}
