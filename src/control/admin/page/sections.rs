//! The parts of the page that are words and tables.

use serde_json::Value;
use time::OffsetDateTime;

use super::markup::Html;
use super::timeline::far;
use super::words::{Prospects, Words};
use crate::config::Language;
use crate::control::admin::status::{Renewed, Status};
use crate::control::board::Outcome;
use crate::shared::listeners::State;

/// Renewals that are shown at once; the others can be unfolded.
const RECENT: usize = 6;

pub(super) fn state(html: &mut Html, words: &Words, language: Language, status: &Status) {
    let word = (words.state)(status.state);
    let meaning = (words.meaning)(status.state, &prospects(words, status));
    html.raw("<section class=\"state ").text(status.state.as_str()).raw("\"><h1>").text(word);
    html.raw("</h1><p>").text(&meaning).raw("</p><dl class=\"facts\">");
    if let Some(facts) = &status.certificate {
        let addresses: Vec<_> = facts.identifiers.iter().map(ToString::to_string).collect();
        html.raw("<div><dt>").text(words.address).raw("</dt><dd>").text(&addresses.join(", "));
        html.raw("</dd></div>");
        // Of what a leaf of the local CA stands in for, not of that leaf.
        let replaced = status.life.filter(|_| facts.self_signed);
        let end = replaced.map_or(facts.not_after, |life| life.expires_at);
        fact(html, words, words.good_until, Some(end), status.now);
    }
    if status.life.is_some() || status.next_renewal_at.is_some() {
        fact(html, words, words.next_try, status.next_renewal_at, status.now);
    }
    html.raw("</dl>");
    let others = status.troubles.iter().map(|trouble| &trouble.detail_words);
    let mut said = None;
    for error in status.last_error_words.iter().chain(others) {
        if said.replace(error) != Some(error) {
            let error = error.in_language(language);
            html.raw("<p class=\"why\"><b>").text(words.why).raw("</b> ").text(error).raw("</p>");
        }
    }
    html.raw("</section>");
}

fn fact(html: &mut Html, words: &Words, name: &str, at: Option<OffsetDateTime>, now: OffsetDateTime) {
    html.raw("<div><dt>").text(name).raw("</dt><dd>");
    match at {
        Some(at) => {
            html.time(at).raw("<span class=\"far\">").text(&far(words, at, now)).raw("</span>");
        }
        None => {
            html.text(words.not_planned);
        }
    }
    html.raw("</dd></div>");
}

fn prospects(words: &Words, status: &Status) -> Prospects {
    let expiry = status.life.map(|life| life.expires_at);
    let span = |at: OffsetDateTime| (words.span)((at - status.now).unsigned_abs());
    Prospects {
        left: expiry.filter(|at| *at > status.now).map(span),
        over: expiry.filter(|at| *at <= status.now).map(span),
        next: status.next_renewal_at.map(|at| far(words, at.max(status.now), status.now)),
        stands_in: status.certificate.as_ref().is_some_and(|facts| facts.self_signed),
    }
}

pub(super) fn alerts(html: &mut Html, words: &Words, language: Language, status: &Status) {
    if status.open_alerts.is_empty() {
        return;
    }
    html.raw("<section class=\"alerts\"><h2>").text(words.alerts).raw("</h2><ul>");
    for open in &status.open_alerts {
        let title = open.alert.title(language);
        html.raw("<li class=\"")
            .text(open.severity)
            .raw("\"><b>")
            .text(title)
            .raw("</b><span class=\"far\">");
        html.text(&far(words, open.told_at, status.now)).raw("</span></li>");
    }
    html.raw("</ul></section>");
}

pub(super) fn renewals(html: &mut Html, words: &Words, language: Language, status: &Status) {
    if status.life.is_none() && status.history.is_empty() {
        return;
    }
    html.raw("<section><h2>").text(words.renewals).raw("</h2>");
    if status.history.is_empty() {
        html.raw("<p class=\"soft\">").text(words.no_renewals).raw("</p>");
    } else {
        let (recent, older) = status.history.split_at(RECENT.min(status.history.len()));
        pasts(html, words, language, (recent, status.now));
        if !older.is_empty() {
            html.raw("<details id=\"older\"><summary>").text(words.older).raw("</summary>");
            pasts(html, words, language, (older, status.now));
            html.raw("</details>");
        }
    }
    html.raw("</section>");
}

fn pasts(html: &mut Html, words: &Words, language: Language, (pasts, now): (&[Renewed], OffsetDateTime)) {
    table(html, &[words.when, words.outcome, words.detail]);
    for Renewed { past, .. } in pasts {
        html.raw("<tr><td>").time(past.ended_at).raw("<span class=\"soft\">");
        html.text(&far(words, past.ended_at, now)).raw("</span></td><td>");
        match past.outcome {
            Outcome::Renewed => html.raw("<span class=\"word good\">✓ ").text(words.renewed),
            Outcome::Failed => html.raw("<span class=\"word notgood\">✕ ").text(words.failed),
        };
        html.raw("</span>");
        if past.tries > 1 {
            html.raw("<span class=\"soft\">").text(&(words.tries)(past.tries)).raw("</span>");
        }
        html.raw("</td><td>");
        if let Some(class) = past.class {
            html.text((words.class)(class));
        }
        if let Some(error) = &past.error {
            html.raw("<span class=\"soft\">").text(error.in_language(language)).raw("</span>");
        }
        if let Some(until) = past.not_after {
            html.text(words.new_until).raw(" ").time(until);
        }
        html.raw("</td></tr>");
    }
    html.raw("</tbody></table>");
}

/// Xray's inbounds, as the answer to `/status` has them.
pub(super) fn inbounds(html: &mut Html, words: &Words, (inbounds, note): (&Value, Option<&str>)) {
    let inbounds = inbounds.as_array().map_or(&[][..], Vec::as_slice);
    if inbounds.is_empty() && note.is_none() {
        return;
    }
    html.raw("<section><h2>Xray</h2>");
    if let Some(note) = note {
        html.raw("<p class=\"soft\">").text(note).raw("</p>");
    }
    if inbounds.is_empty() {
        html.raw("</section>");
        return;
    }
    table(html, &[words.inbound, words.certificate, words.detail]);
    for inbound in inbounds {
        let said = |name: &str| inbound[name].as_str().unwrap_or_default();
        let serves = match said("serves") {
            "current" => "current",
            "stale" => "stale",
            _ => "unknown",
        };
        html.raw("<tr><td>").text(said("tag")).raw("<span class=\"soft\">").text(said("address")).raw(" ");
        html.text(said("transport")).raw("</span></td><td><span class=\"word ").text(serves).raw("\">");
        html.text((words.serves)(serves)).raw("</span></td><td>");
        html.text(inbound["detail_words"][words.tag].as_str().unwrap_or_default()).raw("</td></tr>");
    }
    html.raw("</tbody></table></section>");
}

pub(super) fn listeners(html: &mut Html, words: &Words, language: Language, status: &Status) {
    html.raw("<section><h2>").text(words.listeners).raw("</h2><table class=\"ports\"><tbody>");
    for listener in &status.listeners {
        html.raw("<tr><td>").text(&listener.address.to_string()).raw("</td><td>");
        html.text((words.listener)(listener.kind)).raw("</td><td>");
        match listener.state {
            State::Listening => html.raw("<span class=\"listening\">").text(words.listening).raw("</span>"),
            State::Waiting => html.raw("<span class=\"waiting\">").text(words.waiting).raw("</span>"),
        };
        match (&listener.holder, &listener.detail_words) {
            (Some(holder), _) => {
                aside(html, words.held_by, holder.in_words().in_language(language));
            }
            (None, Some(detail)) => aside(html, "", detail.in_language(language)),
            (None, None) => {}
        }
        if let Some(joined) = &listener.joined {
            aside(html, words.joined_by, joined.in_words().in_language(language));
        }
        if let Some(remedy) = &listener.remedy_words {
            aside(html, "", remedy.in_language(language));
        }
        html.raw("</td></tr>");
    }
    html.raw("</tbody></table></section>");
}

fn aside(html: &mut Html, before: &str, said: &str) {
    html.raw("<span class=\"soft\">").text(before).text(said).raw("</span>");
}

pub(super) fn certificate(html: &mut Html, words: &Words, status: &Status) {
    html.raw("<section><h2>").text(words.certificate).raw("</h2>");
    if status.certificate.is_none() {
        html.raw("<p class=\"soft\">").text(words.no_certificate).raw("</p>");
    }
    html.raw("<dl class=\"pairs\">");
    if let Some(facts) = &status.certificate {
        html.raw("<dt>").text(words.issuer).raw("</dt><dd>").text(&facts.issuer).raw("</dd>");
        html.raw("<dt>SHA-256</dt><dd><code>").text(&facts.fingerprint_sha256).raw("</code></dd>");
    }
    if let Some(sha256) = &status.local_ca_sha256 {
        html.raw("<dt>").text(words.local_ca).raw("</dt><dd><code>").text(sha256).raw("</code></dd>");
    }
    html.raw("</dl></section>");
}

fn table(html: &mut Html, columns: &[&str]) {
    html.raw("<table class=\"wide\"><thead><tr>");
    for column in columns {
        html.raw("<th scope=\"col\">").text(column).raw("</th>");
    }
    html.raw("</tr></thead><tbody>");
}
