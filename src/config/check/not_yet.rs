//! Settings that this version reads, checks, and does not act upon. Each line goes when its feature comes.

use super::Sections;
use crate::config::settings::Config;

/// Says so where such a setting would change anything.
pub(super) fn warn(config: &Config, sections: &Sections<'_>) {
    let unused = [
        (config.telegram.is_some(), &sections.telegram, "no message is sent"),
        (config.webhook.is_some(), &sections.webhook, "no alert is posted"),
    ];
    for (_, section, effect) in unused.iter().filter(|(set, _, _)| *set) {
        let says = format!("is read but not used by this version yet: {effect}");
        section.report.warn(&section.path, section.at, says);
    }
}
