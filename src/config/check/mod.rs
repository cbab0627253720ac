//! From the tree to the settings. Every check goes on after what it found, so that all problems come at once.

mod across;
mod door;
mod field;
mod ip_cert;
mod keys;
mod notify;
mod report;
mod secret;
mod section;
mod upstream;
mod xray;

#[cfg(test)]
pub(super) use keys::SECTIONS;

use report::Report;
use section::Section;

use super::problem::{Problem, Warning};
use super::settings::{Admin, Config, Store};
use super::written::Table;

/// The settings of `table`, which is a file's if `from_file`, or else of flags alone; `None` if there are problems.
pub(super) fn config(table: &Table<'_>, from_file: bool) -> (Option<Config>, Vec<Problem>, Vec<Warning>) {
    let report = Report::default();
    let sections = Sections::of(&Section::root(table, &report));
    let config = sections.config(from_file);
    let (problems, warnings) = report.finish();
    (config.filter(|_| problems.is_empty()), problems, warnings)
}

/// `[admin]` alone, whatever else is wrong in `table`. A token that cannot be read is left out: who only asks for the
/// status needs none.
pub(super) fn admin(table: &Table<'_>) -> Result<Admin, Vec<Problem>> {
    let report = Report::default();
    // The root's own report is not looked at: what is wrong with other sections does not matter.
    let elsewhere = Report::default();
    let section = Section::root(table, &elsewhere).section("admin").reporting_to(&report);
    let admin = door::admin(&section, &mut Vec::new());
    let mut problems = report.finish().0;
    problems.retain(|problem| problem.key == "admin.listen" || problem.key == "--admin");
    if problems.is_empty() { Ok(admin) } else { Err(problems) }
}

/// The sections of a file, each looked at once for keys that it does not have.
struct Sections<'a> {
    http: Section<'a>,
    https: Section<'a>,
    panel: Section<'a>,
    forwards: Vec<Section<'a>>,
    ip_cert: Section<'a>,
    xray: Section<'a>,
    telegram: Section<'a>,
    webhook: Section<'a>,
    admin: Section<'a>,
    store: Section<'a>,
}

impl<'a> Sections<'a> {
    fn of(root: &Section<'a>) -> Self {
        Self {
            http: root.section("http"),
            https: root.section("https"),
            panel: root.section("panel"),
            forwards: root.sections("forward"),
            ip_cert: root.section("ip_cert"),
            xray: root.section("xray"),
            telegram: root.section("telegram"),
            webhook: root.section("webhook"),
            admin: root.section("admin"),
            store: root.section("store"),
        }
    }

    fn config(&self, from_file: bool) -> Option<Config> {
        let mut claims = Vec::new();
        let http = door::http(&self.http, &mut claims);
        let https = door::https(&self.https, &mut claims);
        let forwards: Vec<_> =
            self.forwards.iter().map(|section| door::forward(section, &mut claims)).collect();
        let admin = door::admin(&self.admin, &mut claims);
        let panel = upstream::panel(&self.panel, from_file);
        across::claims(&claims, self.http.report);
        let ways = [(panel.as_ref(), &self.panel)].into_iter();
        let ways = ways.chain(
            forwards.iter().map(|forward| forward.as_ref().map(|it| &it.upstream)).zip(&self.forwards),
        );
        for (upstream, section) in ways {
            across::circle(upstream.map(|it| &it.address), section.get("upstream"), &claims);
        }
        across::circle(http.acme_upstream.as_ref(), self.http.get("acme_upstream"), &claims);
        let store = store(&self.store);
        let ip_cert = ip_cert::ip_cert(&self.ip_cert, &store);
        let xray = xray::xray(&self.xray);
        let telegram = notify::telegram(&self.telegram);
        let webhook = notify::webhook(&self.webhook);
        let forwards = forwards.into_iter().flatten().collect();
        let config =
            Config { http, https, panel: panel?, forwards, ip_cert, xray, telegram, webhook, admin, store };
        across::oddities(&config, self);
        Some(config)
    }
}

fn store(section: &Section<'_>) -> Store {
    let default = Store::default();
    let dir = section.path("dir", "/var/lib/doorman").unwrap_or(default.dir);
    let swept = ["/root/cert", "/etc/x-ui", "/usr/local/x-ui"];
    if let (Some(home), Some(field)) = (swept.iter().find(|home| dir.starts_with(home)), section.get("dir")) {
        field.warn(format!("panels' scripts delete everything under {home}; write \"/var/lib/doorman\""));
    }
    let group = section.parse("group", "xray", |name| match name.contains([' ', ':', ',', '/']) {
        true => Err("the name of one group: \"xray\"".to_owned()),
        false => Ok(name.to_owned()),
    });
    Store { dir, group }
}
