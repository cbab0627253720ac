//! The answer to `GET /metrics`, in Prometheus' text format 0.0.4.

use std::fmt::Write as _;

use http::header::HeaderValue;
use time::OffsetDateTime;

use super::status::Status;
use crate::control::board::Told;
use crate::control::xray::Serves;
use crate::control::{Context, restarts};
use crate::policy::alert::Kind;
use crate::policy::alert::outbox::Channel;
use crate::policy::failure::Class;
use crate::policy::lifecycle::Word;
use crate::shared::listeners::{self, State};

/// What the text is.
pub(super) const CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

const WORDS: [Word; 6] =
    [Word::Valid, Word::Renewing, Word::Failed, Word::Critical, Word::Expired, Word::Disabled];

/// Everything, as text.
pub(super) fn text(context: &Context, status: &Status) -> String {
    let mut page = Page(String::new());
    page.process(status);
    page.traffic(context);
    page.listeners(status);
    page.certificate(status);
    page.xray(status);
    page.alerts(status);
    page.open_alerts(status);
    page.0
}

/// A metric of the channels: its name, kind and help, and what it counts.
type Of<'a> = (&'a str, &'a str, &'a str, fn(&Told) -> u64);

struct Page(String);

impl Page {
    fn process(&mut self, status: &Status) {
        self.head("doorman_build_info", "gauge", "Always 1; the version is a label.");
        self.sample("doorman_build_info", &[("version", status.version)], 1);
        self.head("process_start_time_seconds", "gauge", "When the process started, in Unix time.");
        self.sample("process_start_time_seconds", &[], status.started_at.unix_timestamp());
        self.head("doorman_control_restarts_total", "counter", "Restarts of the control plane.");
        self.sample("doorman_control_restarts_total", &[], restarts());
    }

    fn traffic(&mut self, context: &Context) {
        let stats = &context.stats;
        self.head("doorman_responses_total", "counter", "Requests answered, by class of status.");
        for (class, label) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().enumerate() {
            let count = stats.sum(|counters| &counters.responses[class + 1]);
            self.sample("doorman_responses_total", &[("class", label)], count);
        }
        let counters = [
            ("challenges_total", "ACME challenges answered from memory.", stats.sum(|c| &c.challenges)),
            ("connections_accepted_total", "Connections accepted.", stats.sum(|c| &c.accepted)),
            ("connections_refused_total", "Connections refused for a limit.", stats.sum(|c| &c.refused)),
            ("accept_errors_total", "Calls of accept that failed.", stats.sum(|c| &c.accept_errors)),
            ("tls_handshake_errors_total", "TLS handshakes that failed.", stats.sum(|c| &c.handshake_errors)),
            (
                "proxy_header_errors_total",
                "Connections closed for a malformed PROXY header.",
                stats.sum(|c| &c.preface_errors),
            ),
            (
                "upstream_errors_total",
                "Requests to which an upstream gave no usable answer.",
                stats.sum(|c| &c.upstream_errors),
            ),
        ];
        for (name, help, count) in counters {
            let name = format!("doorman_{name}");
            self.head(&name, "counter", help);
            self.sample(&name, &[], count);
        }
        self.head("doorman_connections", "gauge", "Connections open now.");
        self.sample("doorman_connections", &[], stats.sum(|c| &c.connections));
        self.head(
            "doorman_connections_parked",
            "gauge",
            "Open connections that wait for a request and keep no buffers.",
        );
        self.sample("doorman_connections_parked", &[], stats.sum(|c| &c.parked));
        self.head("doorman_tunnels", "gauge", "Tunnels (upgraded connections) open now.");
        self.sample("doorman_tunnels", &[], stats.sum(|c| &c.tunnels));
    }

    fn listeners(&mut self, status: &Status) {
        self.head("doorman_listener_up", "gauge", "1 while the port is ours.");
        for listener in &status.listeners {
            let address = listener.address.to_string();
            let kind = match listener.kind {
                listeners::Kind::Http => "http",
                listeners::Kind::Https => "https",
                listeners::Kind::Forward => "forward",
            };
            let up = u64::from(listener.state == State::Listening);
            self.sample("doorman_listener_up", &[("address", &address), ("kind", kind)], up);
        }
    }

    /// One sample a kind of channel: how many chats there are is nobody's business.
    fn alerts(&mut self, status: &Status) {
        let sum = |webhook: bool, count: fn(&Told) -> u64| -> u64 {
            let of_this_kind = |told: &&Told| (told.channel == Channel::Webhook) == webhook;
            status.alerts.channels.iter().filter(of_this_kind).map(count).sum()
        };
        let all: [Of<'_>; 3] = [
            ("alerts_pending", "gauge", "Alerts that have yet to be delivered.", |told| told.pending as u64),
            ("alerts_sent_total", "counter", "Messages delivered since the start.", |told| told.sent),
            ("alert_delivery_failures_total", "counter", "Deliveries that failed since the start.", |told| {
                told.failed
            }),
        ];
        for (name, kind, help, count) in all {
            let name = format!("doorman_{name}");
            self.head(&name, kind, help);
            for (channel, webhook) in [("telegram", false), ("webhook", true)] {
                self.sample(&name, &[("channel", channel)], sum(webhook, count));
            }
        }
    }

    fn certificate(&mut self, status: &Status) {
        self.head("doorman_state", "gauge", "1 for the state of the moment, 0 for the others.");
        for word in WORDS {
            let now = u64::from(word == status.state);
            self.sample("doorman_state", &[("state", word.as_str())], now);
        }
        let certificate = status.certificate.as_ref();
        let moments = [
            ("certificate_not_before", "Beginning of the certificate.", certificate.map(|c| c.not_before)),
            ("certificate_not_after", "End of the certificate.", certificate.map(|c| c.not_after)),
            ("next_renewal", "The next try.", status.next_renewal_at),
        ];
        for (name, help, moment) in moments {
            let name = format!("doorman_{name}_timestamp_seconds");
            self.head(&name, "gauge", &format!("{help} In Unix time."));
            if let Some(moment) = moment.map(OffsetDateTime::unix_timestamp) {
                self.sample(&name, &[], moment);
            }
        }
        self.head("doorman_renewal_failures_in_a_row", "gauge", "0 after a success.");
        self.sample("doorman_renewal_failures_in_a_row", &[], status.failures);
        self.head("doorman_renewals_total", "counter", "Renewals since the start, by how they ended.");
        self.sample("doorman_renewals_total", &[("outcome", "renewed")], status.renewals);
        let failed: u64 = status.failed_renewals.values().sum();
        self.sample("doorman_renewals_total", &[("outcome", "failed")], failed);
        let help = "Renewals that failed since the start, by where to look.";
        self.head("doorman_renewal_failures_total", "counter", help);
        for class in Class::ALL {
            let count = status.failed_renewals.get(&class).copied().unwrap_or_default();
            self.sample("doorman_renewal_failures_total", &[("class", class.as_str())], count);
        }
    }

    fn open_alerts(&mut self, status: &Status) {
        self.head("doorman_alert_open", "gauge", "1 from an alert until all is well again.");
        for kind in Kind::WORSENINGS.into_iter().chain([Kind::XrayStale]) {
            let open = status.open_alerts.iter().any(|alert| alert.alert == kind);
            self.sample("doorman_alert_open", &[("alert", kind.as_str())], u64::from(open));
        }
    }

    fn xray(&mut self, status: &Status) {
        let name = "doorman_xray_inbound_serves";
        self.head(name, "gauge", "1 for what an inbound of Xray presents, 0 for the others.");
        for entry in &status.xray {
            for serves in [Serves::Current, Serves::Stale, Serves::Unknown] {
                let labels = [
                    ("tag", entry.tag.as_str()),
                    ("address", &entry.address),
                    ("transport", &entry.transport),
                    ("serves", serves.as_str()),
                ];
                self.sample(name, &labels, u64::from(entry.serves == serves));
            }
        }
        let name = "doorman_xray_inbound_seconds_to_served";
        self.head(name, "gauge", "From the newest pair in the files to the handshake that showed it.");
        for entry in &status.xray {
            if let Some(seconds) = entry.seconds_to_served {
                self.sample(name, &[("tag", &entry.tag), ("address", &entry.address)], seconds);
            }
        }
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// A tag of Xray or the name of a program may hold anything.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<_> =
            labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        if labels.is_empty() {
            self.line(format_args!("{name} {value}"));
        } else {
            self.line(format_args!("{name}{{{}}} {value}", labels.join(",")));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a String takes everything");
    }
}

/// As the text format wants a label's value.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_can_hold_anything_and_stays_one_value() {
        let mut page = Page(String::new());
        page.sample("metric", &[("tag", "a\"} 1\nother{x=\"\\")], 7);
        assert_eq!(page.0, "metric{tag=\"a\\\"} 1\\nother{x=\\\"\\\\\"} 7\n");
    }
}
