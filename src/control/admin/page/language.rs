//! Which language a page is in: the one that was chosen on it, else the one that the browser likes best.

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;

use crate::config::Language;

/// Of those that we have; English for whoever likes none of them.
pub(crate) fn choose(query: Option<&str>, headers: &HeaderMap) -> Language {
    let chosen = query.into_iter().flat_map(|query| query.split('&')).find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        if name == "lang" { Language::of_tag(value) } else { None }
    });
    let liked = || headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).and_then(best);
    chosen.or_else(liked).unwrap_or(Language::English)
}

/// The first of those with the greatest weight (RFC 9110 section 12.5.4).
fn best(accepted: &str) -> Option<Language> {
    let mut best: Option<(f32, Language)> = None;
    for range in accepted.split(',') {
        let mut parts = range.split(';');
        let Some(language) = parts.next().and_then(|tag| Language::of_tag(tag.trim())) else {
            continue;
        };
        let weight =
            parts.find_map(|part| part.trim().strip_prefix("q=")?.trim().parse().ok()).unwrap_or(1.0_f32);
        if weight > 0.0 && best.is_none_or(|(most, _)| weight > most) {
            best = Some((weight, language));
        }
    }
    best.map(|(_, language)| language)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn chosen(query: Option<&str>, accepted: &'static str) -> Language {
        let headers = HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_static(accepted))]);
        choose(query, &headers)
    }

    #[test]
    fn the_browsers_favourite_wins() {
        for accepted in [
            "zh-CN,zh;q=0.9,en;q=0.8",
            "zh",
            "ZH-tw",
            "en;q=0.5, zh;q=0.7",
            "fr, zh;q=0.1",
            "en;q=0,zh;q=0.1",
        ] {
            assert_eq!(chosen(None, accepted), Language::Chinese, "{accepted}");
        }
        for accepted in ["en-US,en;q=0.9,zh;q=0.8", "fr-FR,fr", "", "*", "zh;q=0", "en,zh", "zh;q=x;q"] {
            if accepted == "zh;q=x;q" {
                assert_eq!(chosen(None, accepted), Language::Chinese, "a weight that is none counts as 1");
            } else {
                assert_eq!(chosen(None, accepted), Language::English, "{accepted}");
            }
        }
        assert_eq!(choose(None, &HeaderMap::new()), Language::English);
    }

    #[test]
    fn the_switch_overrules_the_browser() {
        assert_eq!(chosen(Some("lang=zh-CN"), "en"), Language::Chinese);
        assert_eq!(chosen(Some("x=1&lang=en"), "zh"), Language::English);
        assert_eq!(chosen(Some("lang=<script>"), "zh"), Language::Chinese);
    }
}
