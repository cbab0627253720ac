//! Other ACME clients on the machine, and whether they still work behind the door: acme.sh and certbot.

use std::fs;
use std::path::{Path, PathBuf};

use super::Machine;
use super::schedule::{self, Scheduled};
use crate::config::{Address, Config};
use crate::policy::finding::{About, Finding};
use crate::policy::sentence::Sentence;

/// Where certbot keeps what it renews.
const CERTBOT: &str = "/etc/letsencrypt/renewal";

/// A certificate that another client renews.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Renewal {
    client: &'static str,
    name: String,
    way: Way,
}

/// How it is validated.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    /// The client listens by itself, on this port.
    Standalone(u16),
    /// It puts a file there.
    Webroot(PathBuf),
    /// Something that does not need :80, or not as a client.
    Elsewhere,
}

pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    let mut renewals: Vec<_> = acme_sh_homes().iter().flat_map(|home| acme_sh(home)).collect();
    renewals.extend(certbot(Path::new(CERTBOT)));
    if renewals.is_empty() {
        return vec![fine(
            "no certificate of acme.sh or certbot was found",
            "没有发现 acme.sh 或 certbot 的证书",
        )];
    }
    let found = renewals.iter().map(|renewal| about(renewal, machine.config()));
    let mut clients: Vec<_> = renewals.iter().map(|renewal| renewal.client).collect();
    clients.dedup();
    found.chain(clients.into_iter().filter_map(|client| nobody_starts(Path::new("/"), client))).collect()
}

/// A client that nothing starts renews nothing, however well the door would let it.
fn nobody_starts(root: &Path, client: &str) -> Option<Finding> {
    let remedy = match client {
        "acme.sh" => "acme.sh --install-cronjob",
        _ => "systemctl enable --now certbot.timer",
    };
    (schedule::of(root, client) == Scheduled::No).then(|| {
        let finding = Sentence::new(
            format!("neither cron nor a timer starts {client}, so what it renews will expire"),
            format!("cron 和定时器都不会启动 {client}，由它续期的证书将会过期"),
        );
        Finding::warning(About::AcmeClient, finding, Sentence::same(remedy))
    })
}

fn about(renewal: &Renewal, config: Option<&Config>) -> Finding {
    let Renewal { client, name, way } = renewal;
    let also_ours = config
        .and_then(|config| config.ip_cert.as_ref())
        .is_some_and(|cert| cert.ips.iter().any(|ip| name.parse() == Ok(*ip)));
    if also_ours {
        let remove = match *client {
            "acme.sh" => format!("acme.sh --remove -d {name}"),
            _ => format!("certbot delete --cert-name {name}"),
        };
        let finding = Sentence::new(
            format!("{client} renews {name} too: both spend the CA's limit for that address"),
            format!("{client} 也在为 {name} 续期：两者共用 CA 对该地址的限额"),
        );
        return Finding::warning(About::AcmeClient, finding, Sentence::same(remove));
    }
    let webroot = config.and_then(|config| config.http.acme_webroot.as_deref());
    let upstream = config.and_then(|config| config.http.acme_upstream.as_ref());
    match way {
        Way::Elsewhere => fine(
            format!("{client} renews {name} without port 80"),
            format!("{client} 为 {name} 续期，不使用 80 端口"),
        ),
        Way::Webroot(path) if webroot == Some(path) => over(client, name, "http.acme_webroot"),
        Way::Webroot(path) => Finding::warning(
            About::AcmeClient,
            Sentence::new(
                format!(
                    "{client} puts its tokens for {name} into {}, where doorman does not look",
                    path.display()
                ),
                format!("{client} 把 {name} 的验证文件放在 {}，doorman 不会去那里找", path.display()),
            ),
            set(&format!("http.acme_webroot = \"{}\"", path.display())),
        ),
        Way::Standalone(80) => Finding::warning(
            About::AcmeClient,
            Sentence::new(
                format!("{client} renews {name} by listening on port 80 itself, which doorman has"),
                format!("{client} 自己监听 80 端口来为 {name} 续期，而该端口由 doorman 使用"),
            ),
            behind(client, name),
        ),
        Way::Standalone(port)
            if upstream.is_some_and(|it| matches!(it, Address::Tcp { port: to, .. } if to == port)) =>
        {
            over(client, name, "http.acme_upstream")
        }
        Way::Standalone(port) => Finding::warning(
            About::AcmeClient,
            Sentence::new(
                format!("{client} listens on port {port} to renew {name}, and doorman does not ask there"),
                format!("{client} 监听 {port} 端口来为 {name} 续期，而 doorman 不会转发到那里"),
            ),
            set(&format!("http.acme_upstream = \"127.0.0.1:{port}\"")),
        ),
    }
}

/// What makes a client that wants :80 work behind the door.
fn behind(client: &str, name: &str) -> Sentence {
    let command = match client {
        "acme.sh" => format!("acme.sh --issue -d {name} --standalone --httpport 8402"),
        _ => format!("certbot reconfigure --cert-name {name} --http-01-port 8402"),
    };
    Sentence::new(
        format!("{command} once, and http.acme_upstream = \"127.0.0.1:8402\""),
        format!("执行一次 {command}，并设置 http.acme_upstream = \"127.0.0.1:8402\""),
    )
}

fn over(client: &str, name: &str, setting: &str) -> Finding {
    fine(format!("{client} renews {name} over {setting}"), format!("{client} 通过 {setting} 为 {name} 续期"))
}

fn fine(en: impl Into<String>, zh_cn: impl Into<String>) -> Finding {
    Finding::fine(About::AcmeClient, Sentence::new(en, zh_cn))
}

fn set(setting: &str) -> Sentence {
    Sentence::new(format!("set {setting}"), format!("请设置 {setting}"))
}

/// Where acme.sh may live: its own variable, the home of who runs this, and root's.
fn acme_sh_homes() -> Vec<PathBuf> {
    let own = std::env::var_os("LE_WORKING_DIR").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".acme.sh"));
    let mut homes: Vec<_> = own.into_iter().chain(home).chain([PathBuf::from("/root/.acme.sh")]).collect();
    homes.sort();
    homes.dedup();
    homes
}

/// Each certificate has a directory, with a file of `KEY='value'` lines of the same name: `example.org_ecc/example.org.conf`.
fn acme_sh(home: &Path) -> Vec<Renewal> {
    let directories = fs::read_dir(home).into_iter().flatten().flatten().map(|entry| entry.path());
    directories
        .filter_map(|directory| {
            let name = directory.file_name()?.to_str()?.trim_end_matches("_ecc").to_owned();
            let text = fs::read_to_string(directory.join(format!("{name}.conf"))).ok()?;
            let value = |key: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
                line.map(|value| value.trim_matches('\'').to_owned()).filter(|value| !value.is_empty())
            };
            let name = value("Le_Domain")?;
            let way = match value("Le_Webroot").as_deref() {
                Some("no") => {
                    let port = value("Le_HTTPPort").and_then(|port| port.parse().ok());
                    Way::Standalone(port.unwrap_or(80))
                }
                Some(path) if path.starts_with('/') => Way::Webroot(PathBuf::from(path)),
                Some(_) | None => Way::Elsewhere, // dns_…, alpn, stateless, nginx: …
            };
            Some(Renewal { client: "acme.sh", name, way })
        })
        .collect()
}

/// Each certificate has a file of `key = value` lines: `example.org.conf`.
fn certbot(directory: &Path) -> Vec<Renewal> {
    let files = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    files
        .filter(|file| file.extension().is_some_and(|extension| extension == "conf"))
        .filter_map(|file| {
            let name = file.file_stem()?.to_str()?.to_owned();
            let text = fs::read_to_string(&file).ok()?;
            let value = |key: &str| {
                text.lines().find_map(|line| {
                    let (found, value) = line.split_once('=')?;
                    (found.trim() == key).then(|| value.trim().trim_end_matches(',').to_owned())
                })
            };
            let way = match value("authenticator").as_deref() {
                Some("standalone") => {
                    let port = value("http01_port").and_then(|port| port.parse().ok());
                    Way::Standalone(port.unwrap_or(80))
                }
                Some("webroot") => Way::Webroot(PathBuf::from(value("webroot_path").unwrap_or_default())),
                Some(_) | None => Way::Elsewhere,
            };
            Some(Renewal { client: "certbot", name, way })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::finding::Level;

    #[test]
    fn what_acme_sh_and_certbot_renew_is_read_from_their_own_files() {
        let home = tempfile::TempDir::new().unwrap();
        let write = |path: &str, text: &str| {
            let file = home.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("a.example_ecc/a.example.conf", "Le_Domain='a.example'\nLe_Webroot='no'\n");
        write("b.example/b.example.conf", "Le_Domain='b.example'\nLe_Webroot='no'\nLe_HTTPPort='8402'\n");
        write("c.example/c.example.conf", "Le_Domain='c.example'\nLe_Webroot='/srv/www'\n");
        write("d.example/d.example.conf", "Le_Domain='d.example'\nLe_Webroot='dns_cf'\n");
        write("http.header", "no directory");
        let mut found = acme_sh(home.path());
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let ways: Vec<_> = found.into_iter().map(|it| it.way).collect();
        let webroot = Way::Webroot(PathBuf::from("/srv/www"));
        assert_eq!(ways, [Way::Standalone(80), Way::Standalone(8402), webroot.clone(), Way::Elsewhere]);

        write(
            "renewal/e.example.conf",
            "[renewalparams]\nauthenticator = webroot\nwebroot_path = /srv/www,\n",
        );
        write("renewal/f.example.conf", "[renewalparams]\nauthenticator = standalone\nhttp01_port = 8402\n");
        let mut found = certbot(&home.path().join("renewal"));
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let ways: Vec<_> = found.into_iter().map(|it| it.way).collect();
        assert_eq!(ways, [webroot, Way::Standalone(8402)]);
    }

    #[test]
    fn a_client_that_wants_port_80_for_itself_is_a_warning_with_a_way_out() {
        let renewal = |way| Renewal { client: "acme.sh", name: "a.example".to_owned(), way };
        let standalone = about(&renewal(Way::Standalone(80)), None);
        assert_eq!(standalone.level, Level::Warning);
        assert!(standalone.remedy.unwrap().english().contains("--httpport 8402"));
        assert_eq!(about(&renewal(Way::Elsewhere), None).level, Level::Fine);
        let webroot = about(&renewal(Way::Webroot(PathBuf::from("/srv/www"))), None);
        assert_eq!(
            webroot.remedy.as_ref().map(Sentence::english),
            Some("set http.acme_webroot = \"/srv/www\"")
        );
        let nothing = tempfile::TempDir::new().unwrap();
        let idle = nobody_starts(nothing.path(), "certbot").unwrap();
        assert_eq!(idle.remedy.as_ref().map(Sentence::english), Some("systemctl enable --now certbot.timer"));
    }
}
