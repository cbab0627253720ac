//! The answer to `GET /`: a page for people. The facts are in it; its script only shows the times as the browser's clock
//! does, and looks again now and then. Nothing in it comes from elsewhere.

mod chart;
mod en;
mod language;
mod markup;
mod sections;
mod timeline;
mod words;
mod zh_cn;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(super) use self::language::choose as language;
use self::markup::Html;
use self::words::Words;
use super::status::Status;
use crate::config::Language;
use crate::control::traffic::{Slot, Traffic};
use crate::shared::tls::sha256;

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// Nothing but this page's own style and script, by their hashes; the script may ask only for this page again.
pub(super) static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(sha256(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
});

/// What the page shows.
pub(super) struct Scene<'a> {
    pub(super) status: &'a Status,
    pub(super) traffic: &'a Traffic,
    pub(super) connections: u64,
    pub(super) tunnels: u64,
    /// Challenges answered from memory since the start.
    pub(super) challenges: u64,
}

/// The page in this language.
pub(super) fn html(scene: &Scene<'_>, language: Language) -> String {
    let words = words::of(language);
    let status = scene.status;
    let inbounds = serde_json::json!(status.xray);
    let mut page = Html::new();
    head(&mut page, words, status);
    top(&mut page, language);
    page.raw("<p id=\"lost\" class=\"lost\" role=\"status\" hidden>").text(words.lost).raw("</p><main>");
    sections::state(&mut page, words, language, status);
    sections::alerts(&mut page, words, language, status);
    if let Some(life) = &status.life {
        page.raw("<section><h2>").text(words.life).raw("</h2>");
        timeline::write(&mut page, words, life, status.now);
        page.raw("</section>");
    }
    traffic(&mut page, words, scene);
    sections::renewals(&mut page, words, language, status);
    let note = status.xray_note_words.as_ref().map(|note| note.in_language(language));
    sections::inbounds(&mut page, words, (&inbounds, note));
    sections::listeners(&mut page, words, language, status);
    sections::certificate(&mut page, words, status);
    page.raw("</main>");
    foot(&mut page, words, status);
    page.raw("<script>").raw(SCRIPT).raw("</script></body></html>\n");
    page.finish()
}

fn head(page: &mut Html, words: &Words, status: &Status) {
    page.raw("<!doctype html><html lang=\"").text(words.tag);
    page.raw("\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    page.raw("<meta name=\"color-scheme\" content=\"light dark\"><link rel=\"icon\" href=\"data:,\"><title>");
    page.text((words.state)(status.state)).raw(" · doorman</title>");
    page.raw("<noscript><meta http-equiv=\"refresh\" content=\"30\"></noscript><style>").raw(STYLE);
    page.raw("</style></head>");
}

fn top(page: &mut Html, language: Language) {
    page.raw("<body><header><strong>doorman</strong><nav aria-label=\"Language / 语言\">");
    for other in Language::ALL {
        let (tag, name) = (other.tag(), other.name());
        page.raw("<a href=\"?lang=").text(tag).raw("\" hreflang=\"").text(tag).raw("\" lang=\"").text(tag);
        page.raw(if other == language { "\" aria-current=\"true\">" } else { "\">" }).text(name).raw("</a>");
    }
    page.raw("</nav></header>");
}

fn traffic(page: &mut Html, words: &Words, scene: &Scene<'_>) {
    let minutes = u64::try_from(scene.traffic.minutes()).unwrap_or(u64::MAX);
    let whole = (words.span)(std::time::Duration::from_secs(minutes.saturating_mul(60)));
    page.raw("<section><h2>").text(words.traffic).raw("<small>").text(&(words.last)(&whole));
    page.raw("</small></h2>");
    chart::write(page, words, scene);
    page.raw("</section>");
}

fn foot(page: &mut Html, words: &Words, status: &Status) {
    page.raw("<footer><span>doorman ").text(status.version).raw(" · ").text(words.since).raw(" ");
    page.time(status.started_at).raw("</span><span>").text(words.as_of).raw(" ").time(status.now);
    page.raw(" · ").text(words.zone).raw(" <span data-zone>UTC</span></span></footer>");
}

#[cfg(test)]
mod tests;
