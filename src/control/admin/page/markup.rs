//! Markup that cannot be broken out of: only literals of ours go in as they are, everything else as text.

use std::fmt::{Display, Write as _};

use time::OffsetDateTime;

use crate::control::when;

/// A piece of a page in the making.
pub(super) struct Html(String);

impl Html {
    pub(super) fn new() -> Self {
        Self(String::with_capacity(16 * 1024))
    }

    /// Markup of ours. What comes from elsewhere is not `'static` and does not fit in here.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text of anybody's, good between tags and between quotes.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // Would make what follows read backwards, or is nothing that a page may hold.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => self.0.push('\u{fffd}'),
                other if other.is_control() && other != '\n' => self.0.push('\u{fffd}'),
                other => self.0.push(other),
            }
        }
        self
    }

    /// A number, its thousands apart.
    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        let digits = number.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                self.0.push(',');
            }
            self.0.push(digit);
        }
        self
    }

    /// A place in a picture, from 0 to 1, as an attribute.
    pub(super) fn percent(&mut self, name: &'static str, part: f64) -> &mut Self {
        self.attribute(name, format_args!("{:.2}%", part.clamp(0.0, 1.0) * 100.0))
    }

    /// An attribute that is made of numbers.
    pub(super) fn attribute(&mut self, name: &'static str, value: impl Display) -> &mut Self {
        write!(self.0, " {name}=\"{value}\"").expect("a String takes everything");
        self
    }

    /// A moment, to the minute and in UTC; the page's script shows it as the browser's clock does.
    pub(super) fn time(&mut self, at: OffsetDateTime) -> &mut Self {
        let (hour, minute, _) = at.time().as_hms();
        let datetime = when::text(at);
        let date = at.date();
        self.0.push_str("<time");
        self.attribute("datetime", datetime);
        write!(self.0, ">{date} {hour:02}:{minute:02} UTC</time>").expect("a String takes everything");
        self
    }

    pub(super) fn finish(&mut self) -> String {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn text_stays_text() {
        let hostile = "</td><script>alert('1')</script>\" onload=\"x & \u{202e}y\u{0}";
        let told = Html::new().text(hostile).finish();
        assert_eq!(
            told,
            "&lt;/td&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot; onload=&quot;x &amp; \u{fffd}y\u{fffd}"
        );
    }

    #[test]
    fn numbers_and_moments_are_easy_to_read() {
        assert_eq!(Html::new().number(1_234_567).raw(" ").number(12).finish(), "1,234,567 12");
        assert_eq!(
            Html::new().percent("x", 0.5).percent("x", f64::MAX).finish(),
            " x=\"50.00%\" x=\"100.00%\""
        );
        assert_eq!(
            Html::new().time(datetime!(2026-01-01 02:03:04 UTC)).finish(),
            "<time datetime=\"2026-01-01T02:03:04Z\">2026-01-01 02:03 UTC</time>"
        );
    }
}
