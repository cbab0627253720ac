//! What the program is that has a port of ours, and what to do about that one.

use std::path::Path;

use serde::Serialize;

use super::sentence::Sentence;

/// What is known of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    /// Its name.
    pub program: String,
    /// The paths of its program and script, then those of its ancestors.
    pub commands: Vec<String>,
    /// Its systemd unit.
    pub unit: Option<String>,
}

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Occupant {
    /// Another doorman.
    Doorman,
    /// The panel: x-ui.
    Panel,
    /// Xray.
    Xray,
    /// nginx.
    Nginx,
    /// Apache.
    Apache,
    /// Caddy.
    Caddy,
    /// HAProxy.
    Haproxy,
    /// A container's published port.
    Container,
    /// An ACME client that listens by itself: acme.sh or certbot in standalone mode, lego.
    AcmeClient,
    /// A program that is none of these.
    Other,
    /// Another user's program, whose name root may know.
    Unknown,
}

/// Names of programs and scripts, and what they are.
const KNOWN: [(&str, Occupant); 16] = [
    ("doorman", Occupant::Doorman),
    ("x-ui", Occupant::Panel),
    ("xray", Occupant::Xray),
    ("nginx", Occupant::Nginx),
    ("openresty", Occupant::Nginx),
    ("apache2", Occupant::Apache),
    ("httpd", Occupant::Apache),
    ("caddy", Occupant::Caddy),
    ("haproxy", Occupant::Haproxy),
    ("docker-proxy", Occupant::Container),
    ("rootlessport", Occupant::Container),
    ("acme.sh", Occupant::AcmeClient),
    ("certbot", Occupant::AcmeClient),
    ("letsencrypt", Occupant::AcmeClient),
    ("lego", Occupant::AcmeClient),
    ("dehydrated", Occupant::AcmeClient),
];

impl Occupant {
    /// What left these traces. Panels name Xray after the system: `xray-linux-amd64`.
    #[must_use]
    pub fn recognise(traces: &Traces) -> Self {
        let mut own: Vec<String> = vec![traces.program.clone()];
        own.extend(traces.commands.first().into_iter().flat_map(|command| names(command)));
        let found = own.iter().find_map(|name| known(name));
        // Who started it counts only for what an ACME client would start.
        let ancestors = || {
            let started_by = traces.commands.iter().skip(1).flat_map(|command| names(command));
            started_by.filter_map(|name| known(&name)).find(|it| *it == Self::AcmeClient)
        };
        found.or_else(ancestors).unwrap_or(Self::Other)
    }

    /// As `status` spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Doorman => "doorman",
            Self::Panel => "panel",
            Self::Xray => "xray",
            Self::Nginx => "nginx",
            Self::Apache => "apache",
            Self::Caddy => "caddy",
            Self::Haproxy => "haproxy",
            Self::Container => "container",
            Self::AcmeClient => "acme_client",
            Self::Other => "other",
            Self::Unknown => "unknown",
        }
    }

    /// What to do about it, so that `port` becomes free.
    #[must_use]
    pub fn remedy(self, unit: Option<&str>, port: u16) -> Sentence {
        let service = unit.filter(|unit| unit.ends_with(".service"));
        let stop = |name: &str| format!("systemctl disable --now {}", service.unwrap_or(name));
        match self {
            Self::Doorman => Sentence::new(
                "one doorman is enough: stop the other one, or wait until it has ended",
                "只需要一个 doorman：请停掉另一个，或等它结束",
            ),
            Self::Panel => Sentence::new(
                format!(
                    "give the panel another port than {port} and the listen address 127.0.0.1 in its settings, restart \
                     it, and set panel.upstream to that"
                ),
                format!(
                    "请在面板设置中把端口改为 {port} 以外的端口、监听地址改为 127.0.0.1，重启面板，并相应设置 panel.upstream"
                ),
            ),
            Self::Xray => Sentence::new(
                format!(
                    "move the inbound that uses port {port} to another port in the panel; fallbacks to :80 may stay"
                ),
                format!("请在面板中把使用 {port} 端口的入站改到其他端口；指向 :80 的回落可以保留"),
            ),
            Self::Nginx => moved("nginx", &stop("nginx"), port),
            Self::Apache => moved("Apache", &stop("apache2"), port),
            Self::Caddy => moved("Caddy", &stop("caddy"), port),
            Self::Haproxy => moved("HAProxy", &stop("haproxy"), port),
            Self::Container => Sentence::new(
                format!(
                    "publish the container's port {port} as another one: docker ps --filter publish={port} names it"
                ),
                format!(
                    "请把容器的 {port} 端口映射到其他端口：docker ps --filter publish={port} 可查出是哪个容器"
                ),
            ),
            Self::AcmeClient => Sentence::new(
                "it ends by itself in a minute; let it renew behind doorman from now on: give it a webroot and set \
                 http.acme_webroot, or another port and set http.acme_upstream",
                "它一分钟内会自行结束；今后请让它在 doorman 之后续期：改用 webroot 并设置 http.acme_webroot，\
                 或改用其他端口并设置 http.acme_upstream",
            ),
            Self::Other => match service {
                Some(unit) => Sentence::new(
                    format!("systemctl disable --now {unit}, or move it to another port than {port}"),
                    format!("systemctl disable --now {unit}，或让它改用 {port} 以外的端口"),
                ),
                None => Sentence::new(
                    format!("stop it, or move it to another port than {port}"),
                    format!("请停掉它，或让它改用 {port} 以外的端口"),
                ),
            },
            Self::Unknown => Sentence::new(
                "run doorman doctor as root: it names the program",
                "请以 root 运行 doorman doctor，即可看到是哪个程序",
            ),
        }
    }
}

/// The file names in a command: of the program, and of its script.
fn names(command: &str) -> Vec<String> {
    let paths = command.split_whitespace().map(Path::new);
    paths.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect()
}

fn moved(name: &str, stop: &str, port: u16) -> Sentence {
    Sentence::new(
        format!("{stop}, or let {name} listen on another port than {port} and set panel.upstream to that"),
        format!("{stop}，或让 {name} 改用 {port} 以外的端口，并相应设置 panel.upstream"),
    )
}

fn known(name: &str) -> Option<Occupant> {
    let exact = KNOWN.iter().find(|(known, _)| name == *known).map(|(_, it)| *it);
    exact.or_else(|| name.starts_with("xray-").then_some(Occupant::Xray))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(program: &str, commands: &[&str]) -> Occupant {
        let commands = commands.iter().map(|it| (*it).to_owned()).collect();
        Occupant::recognise(&Traces { program: program.to_owned(), commands, unit: None })
    }

    #[test]
    fn programs_are_known_by_their_name_their_file_or_their_script() {
        assert_eq!(of("nginx", &["/usr/sbin/nginx"]), Occupant::Nginx);
        assert_eq!(of("x-ui", &["/usr/local/x-ui/x-ui"]), Occupant::Panel);
        assert_eq!(of("xray-linux-amd6", &["/usr/local/x-ui/bin/xray-linux-amd64"]), Occupant::Xray);
        assert_eq!(of("certbot", &["/usr/bin/python3.11 /usr/bin/certbot"]), Occupant::AcmeClient);
        assert_eq!(of("my-server", &["/opt/my-server"]), Occupant::Other);
    }

    #[test]
    fn what_an_acme_client_started_belongs_to_it_and_what_a_panel_started_does_not() {
        let acme = ["/usr/bin/socat", "/bin/sh /root/.acme.sh/acme.sh"];
        assert_eq!(of("socat", &acme), Occupant::AcmeClient);
        assert_eq!(of("xray", &["/x/bin/xray", "/usr/local/x-ui/x-ui"]), Occupant::Xray);
        assert_eq!(of("tool", &["/x/tool", "/usr/local/x-ui/x-ui"]), Occupant::Other);
    }

    #[test]
    fn each_has_a_remedy_that_names_the_unit_where_it_is_known() {
        let remedy = |occupant: Occupant, unit| occupant.remedy(unit, 80).to_string();
        let nginx = remedy(Occupant::Nginx, Some("openresty.service"));
        assert!(nginx.starts_with("systemctl disable --now openresty.service,"), "{nginx}");
        assert!(remedy(Occupant::Nginx, Some("session-3.scope")).contains("--now nginx,"));
        assert!(remedy(Occupant::Panel, None).contains("panel.upstream"));
        for (_, occupant) in KNOWN {
            assert!(!remedy(occupant, None).is_empty());
        }
    }

    #[test]
    fn names_are_spelled_as_in_status() {
        for occupant in KNOWN.iter().map(|(_, it)| *it).chain([Occupant::Other, Occupant::Unknown]) {
            assert_eq!(serde_json::to_value(occupant).unwrap(), occupant.as_str());
        }
    }
}
