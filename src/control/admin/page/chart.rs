//! Requests and errors over the last hours.

use super::Scene;
use super::markup::Html;
use super::words::Words;
use crate::control::traffic::Bars;

/// Places for bars; with fewer the picture begins in its middle.
const PLACES: f64 = 72.0;

/// Pixels of the highest bar, and of the least that can be seen.
const HEIGHT: f64 = 96.0;
const LEAST: f64 = 2.0;

pub(super) fn write(html: &mut Html, words: &Words, scene: &Scene<'_>) {
    let sum = scene.traffic.sum();
    let figures = [
        (words.requests, sum.requests(), false),
        (words.server_errors, u64::from(sum.errors()), true),
        (words.upstream_errors, u64::from(sum.upstream_errors), true),
        (words.connections, scene.connections, false),
        (words.tunnels, scene.tunnels, false),
        (words.challenges, scene.challenges, false),
    ];
    html.raw("<dl class=\"figures\">");
    for (name, value, bad) in figures {
        html.raw(if bad && value > 0 { "<div class=\"bad\"><dt>" } else { "<div><dt>" });
        html.text(name).raw("</dt><dd>").number(value).raw("</dd></div>");
    }
    html.raw("</dl>");
    picture(html, words, &scene.traffic.bars());
}

fn picture(html: &mut Html, words: &Words, bars: &Bars) {
    let most = bars.bars.iter().map(super::Slot::requests).max().unwrap_or(0);
    let about = (words.bars)(bars.minutes, most);
    html.raw("<svg class=\"chart\" role=\"img\" aria-label=\"").text(words.traffic).raw(". ").text(&about);
    html.raw("\">");
    for (ago, bar) in (0_u32..).zip(bars.bars.iter().rev()) {
        let x = 1.0 - f64::from(ago + 1) / PLACES;
        let share = |count: u64| if most == 0 { 0.0 } else { count as f64 / most as f64 };
        rectangle(html, "t-busy", x, share(bar.requests()));
        rectangle(html, "t-bad", x, share(u64::from(bar.errors())));
    }
    html.raw("<rect class=\"t-line\" y=\"95\" height=\"1\" width=\"100%\"/></svg>");
    let whole = std::time::Duration::from_secs(u64::from(bars.minutes) * 72 * 60);
    html.raw("<p class=\"axis\" aria-hidden=\"true\"><span>").text(&(words.ago)(&(words.span)(whole)));
    html.raw("</span><span>").text(words.now).raw("</span></p><p class=\"key\"><i></i>").text(words.requests);
    html.raw("<i class=\"bad\"></i>").text(words.server_errors).raw("<br>").text(&about).raw("</p>");
}

fn rectangle(html: &mut Html, class: &'static str, x: f64, share: f64) {
    if share <= 0.0 {
        return;
    }
    let height = (HEIGHT * share).max(LEAST).round();
    html.raw("<rect class=\"").text(class).raw("\"").percent("x", x).percent("width", 0.8 / PLACES);
    html.attribute("y", HEIGHT - height).attribute("height", height).raw("/>");
}
