//! The answer to `GET /`: a page for people, without scripts and without anything from elsewhere.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use time::Duration;

use super::status::Status;
use crate::control::pair::Facts;
use crate::control::when;
use crate::policy::lifecycle::Word;
use crate::shared::listeners::{Kind, State};
use crate::shared::tls::sha256;

const STYLE: &str = "\
:root{color-scheme:light dark;--ok:#1a7f37;--busy:#0969da;--warn:#9a6700;--bad:#cf222e}\
@media(prefers-color-scheme:dark){:root{--ok:#3fb950;--busy:#58a6ff;--warn:#d29922;--bad:#f85149}}\
body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.3rem}h2{font-size:1rem;margin:2rem 0 .5rem}\
table{border-collapse:collapse;width:100%}th{text-align:left;font-weight:400;opacity:.7;width:11rem}\
td,th{padding:.2rem .8rem .2rem 0;vertical-align:top;overflow-wrap:anywhere}\
progress{width:100%;height:.6rem}.state{font-weight:600}\
.valid{color:var(--ok)}.renewing{color:var(--busy)}.failed{color:var(--warn)}.critical,.expired{color:var(--bad)}";

/// Nothing but this page's own style.
pub(super) fn content_security_policy() -> String {
    let style = STANDARD.encode(sha256(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// The page, which loads itself anew twice a minute.
pub(super) fn html(status: &Status) -> String {
    let mut page = String::from("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">");
    page.push_str(
        "<meta name=\"viewport\" content=\"width=device-width\"><meta http-equiv=\"refresh\" content=\"30\">",
    );
    let state = status.state;
    let _ = write!(page, "<title>doorman: {state}</title><style>{STYLE}</style>"); // a String takes everything
    let _ = write!(
        page,
        "<h1>doorman: <span class=\"state {state}\">{state}</span></h1><p>{}</p>",
        meaning(state)
    );
    page.push_str("<h2>Certificate</h2>");
    match &status.certificate {
        Some(facts) => certificate(&mut page, facts, status),
        None => page.push_str("<p>There is none yet.</p>"),
    }
    page.push_str("<h2>Renewal</h2><table>");
    let next = status.next_renewal_at.map_or("when asked, or when nothing is in the way".to_owned(), |at| {
        format!("{} ({})", when::text(at), distance(at - status.now))
    });
    row(&mut page, "Next try", &next);
    row(&mut page, "Failures in a row", &status.failures.to_string());
    if let Some(error) = &status.last_error {
        row(&mut page, "Last error", error);
    }
    for trouble in &status.troubles {
        row(&mut page, "Also wrong", &trouble.detail);
    }
    page.push_str("</table><h2>Listeners</h2><table>");
    for listener in &status.listeners {
        let kind = match listener.kind {
            Kind::Http => "http",
            Kind::Https => "https",
            Kind::Forward => "forward",
        };
        let state = match listener.state {
            State::Listening => "listening",
            State::Waiting => "waiting: another program has the port",
        };
        row(&mut page, &listener.address.to_string(), &format!("{kind}, {state}"));
    }
    inbounds(&mut page, status);
    page.push_str("</table><h2>Process</h2><table>");
    row(&mut page, "Version", status.version);
    row(&mut page, "Running since", &when::text(status.started_at));
    row(&mut page, "This page as of", &when::text(status.now));
    page.push_str("</table></html>\n");
    page
}

fn inbounds(page: &mut String, status: &Status) {
    if status.xray.is_empty() && status.xray_note.is_none() {
        return;
    }
    page.push_str("</table><h2>Xray</h2><table>");
    if let Some(note) = &status.xray_note {
        row(page, "To be known", note);
    }
    for entry in &status.xray {
        let name = format!("{} {}", entry.tag, entry.address);
        let value = format!("{}, {}: {}", entry.transport, entry.serves.as_str(), entry.detail);
        row(page, &name, &value);
    }
}

fn certificate(page: &mut String, facts: &Facts, status: &Status) {
    let whole = (facts.not_after - facts.not_before).whole_seconds().max(1);
    let over = (status.now - facts.not_before).whole_seconds().clamp(0, whole);
    let _ = write!(page, "<progress max=\"{whole}\" value=\"{over}\"></progress><table>");
    let addresses: Vec<_> = facts.identifiers.iter().map(ToString::to_string).collect();
    row(page, "For", &addresses.join(", "));
    let left = distance(facts.not_after - status.now);
    row(page, "Good until", &format!("{} ({left})", when::text(facts.not_after)));
    row(page, "Since", &when::text(facts.not_before));
    row(page, "Issued by", &facts.issuer);
    row(page, "SHA-256", &facts.fingerprint_sha256);
    page.push_str("</table>");
}

fn meaning(state: Word) -> &'static str {
    match state {
        Word::Valid => "The certificate is good, and its renewal is planned.",
        Word::Renewing => "A new certificate is being fetched.",
        Word::Failed => "The last renewal did not succeed. It is tried again by itself; the reason is below.",
        Word::Critical => {
            "The certificate ends soon. Something has kept it from being renewed; the reason is below."
        }
        Word::Expired => {
            "The certificate has ended. It is still being renewed; the reason why it was not is below."
        }
        Word::Disabled => "No certificate is wanted; requests are forwarded.",
    }
}

fn row(page: &mut String, name: &str, value: &str) {
    let _ = write!(page, "<tr><th>{}<td>{}", escaped(name), escaped(value)); // a String takes everything
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// "in 3 h 20 min", "2 d 4 h ago".
fn distance(span: Duration) -> String {
    let text = crate::control::roughly(span.unsigned_abs());
    if span.is_negative() { format!("{text} ago") } else { format!("in {text}") }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use time::macros::datetime;

    use super::*;

    fn status(last_error: &str) -> Status {
        let now: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);
        Status {
            version: "0",
            pid: 1,
            started_at: now,
            state: Word::Failed,
            certificate: None,
            next_renewal_at: Some(now + Duration::minutes(200)),
            failures: 1,
            last_error: Some(last_error.to_owned()),
            last_error_class: None,
            local_ca_sha256: None,
            listeners: Vec::new(),
            xray: Vec::new(),
            xray_note: None,
            renewal: None,
            alerts: crate::control::admin::status::Alerts { pending: 0, channels: Vec::new() },
            troubles: Vec::new(),
            renewals: 0,
            failed_renewals: 1,
            now,
        }
    }

    #[test]
    fn what_a_ca_says_is_text_and_not_markup() {
        let page = html(&status("<script>alert(\"1\")</script>"));
        assert!(page.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;"));
        assert!(!page.contains("<script"));
        assert!(page.contains("in 3 h 20 min"));
    }

    #[test]
    fn the_policy_lets_nothing_in_but_the_style() {
        let policy = content_security_policy();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
        assert!(!policy.contains("unsafe"));
    }
}
