//! `[ip_cert]`: the certificate to keep fresh.

use std::net::IpAddr;
use std::time::Duration;

use super::door::present_file;
use super::field::{Field, quoted};
use super::keys::nearest;
use super::secret;
use super::section::Section;
use crate::config::defaults::{CHECK_INTERVAL_HOURS, PROFILE, RENEW_THRESHOLD_DAYS};
use crate::config::parse::ip::{identifier, reserved};
use crate::config::parse::url::Url;
use crate::config::settings::{Directory, Export, Fallback, IpCert, Profile, Store};
use crate::config::values::Secret;
use crate::config::written::{Origin, Value};

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// Names in one certificate of the profile `shortlived`; other CAs take fewer or as many.
const MOST_IDENTIFIERS: usize = 25;
/// A certificate of Let's Encrypt's profile `shortlived` lives 160 hours: of seven days, less is left from the start.
const SHORTLIVED_DAYS: i64 = 6;
/// Certificates for servers live no longer anywhere; the threshold is an upper bound there.
const LONGEST_DAYS: i64 = 398;
/// A day is what the last warning leaves for a remedy: to look more rarely is to look too late.
const LONGEST_INTERVAL_HOURS: i64 = 24;

/// `[ip_cert]`; `None` when it is absent, empty or not enabled. All its keys are checked in any case.
pub(super) fn ip_cert(section: &Section<'_>, store: &Store) -> Option<IpCert> {
    if !section.is_there() {
        return None;
    }
    if section.is_empty() {
        section.report.warn(
            &section.path,
            section.at,
            "keeps no certificate: it has no ip = \"203.0.113.7\"",
        );
        return None;
    }
    let enabled = section.bool("enabled", true);
    let directory = directory(section);
    let ips = identifiers(section, enabled, is_public(&directory));
    let profile = profile(section);
    let fallback = [("self_signed", Fallback::SelfSigned), ("none", Fallback::None)];
    let ip_cert = IpCert {
        ips,
        email: section.parse("email", "admin@example.com", email),
        auto_renew: section.bool("auto_renew", true),
        renew_threshold: renew_threshold(section, &directory, profile.as_ref()),
        check_interval: check_interval(section),
        fallback: section.word("fallback_action", &fallback, Fallback::SelfSigned),
        directory,
        profile,
        eab: eab(section),
        export: export(section, store),
    };
    // Without an address a problem has been reported.
    (enabled && !ip_cert.ips.is_empty()).then_some(ip_cert)
}

/// Whether a CA of the whole Internet is meant, which can only look at public addresses. One whose own certificate
/// comes from a CA of ours is not.
pub(super) fn is_public(directory: &Directory) -> bool {
    let ours = |url: &str| url == LETS_ENCRYPT || url == LETS_ENCRYPT_STAGING;
    let public = Url::parse(&directory.url).is_some_and(|url| url.is_public());
    ours(&directory.url) || (directory.ca_file.is_none() && public)
}

fn identifiers(section: &Section<'_>, enabled: bool, public: bool) -> Vec<IpAddr> {
    let Some(field) = section.filled("ip") else {
        let write = match section.at {
            Some(Origin::Flag(flag)) => {
                format!("--ip 203.0.113.7 beside {flag}, with this server's own address")
            }
            Some(Origin::Line(_)) | None => {
                "ip = \"203.0.113.7\" with this server's own public address".to_owned()
            }
        };
        if enabled {
            section.missing("ip", write);
        }
        return Vec::new();
    };
    let given = match &field.node.value {
        Value::Array(_) => field.items("\"203.0.113.7\"").unwrap_or_default(),
        Value::String(_)
        | Value::Table(_)
        | Value::Integer(_)
        | Value::Float
        | Value::Bool(_)
        | Value::Date
        | Value::Null => vec![field.clone()],
    };
    if enabled && given.is_empty() {
        field.refuse("\"203.0.113.7\" with this server's own public address");
    }
    if let (false, Origin::Flag(_)) = (enabled, field.node.at) {
        field.warn("has no effect: the file says enabled = false under [ip_cert]");
    }
    let mut ips: Vec<IpAddr> = Vec::new();
    for field in &given {
        let Some(ip) = field.parse("203.0.113.7", identifier) else {
            continue;
        };
        if public {
            reachable(field, ip, enabled);
        }
        if !ips.contains(&ip) {
            ips.push(ip);
        }
    }
    if ips.len() > MOST_IDENTIFIERS {
        field.refuse(format!("at most {MOST_IDENTIFIERS} addresses: a certificate holds no more"));
    }
    ips
}

/// Looks whether a public CA can look at `ip`.
fn reachable(field: &Field<'_>, ip: IpAddr, enabled: bool) {
    let Some(why) = reserved(ip) else { return };
    if enabled {
        field.refuse(format!(
            "the public address of this server: {ip} is {why}, and a public CA certifies no such address"
        ));
    } else {
        field.warn(format!("{ip} is {why}: write this server's public address before enabled = true"));
    }
}

fn directory(section: &Section<'_>) -> Directory {
    let url = section.parse("directory", "letsencrypt", directory_url);
    let ca_file = present_file(section, "directory_ca", "/etc/doorman/ca.pem");
    Directory { url: url.unwrap_or_else(|| LETS_ENCRYPT.to_owned()), ca_file }
}

fn directory_url(text: &str) -> Result<String, String> {
    let names = [("letsencrypt", LETS_ENCRYPT), ("letsencrypt-staging", LETS_ENCRYPT_STAGING)];
    if let Some((_, url)) = names.iter().find(|(name, _)| *name == text) {
        return Ok((*url).to_owned());
    }
    let Some(url) = Url::parse(text) else {
        let plain: String = text.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect();
        let meant = nearest(&plain, &names.map(|(name, _)| name)).map(quoted);
        return Err(
            meant.unwrap_or_else(|| "\"letsencrypt\", \"letsencrypt-staging\" or an https:// URL".to_owned())
        );
    };
    match url.scheme.as_str() {
        _ if url.credentials => Err(format!("\"{}{}\", without name and password", url.origin(), url.path)),
        "https" => Ok(text.to_owned()),
        "http" => {
            Err(format!("\"https{}\": ACME is spoken over TLS only (RFC 8555, section 6.1)", &text[4..]))
        }
        _ => Err("a URL that begins with https://".to_owned()),
    }
}

fn profile(section: &Section<'_>) -> Option<Profile> {
    let Some(field) = section.get("profile") else {
        return Some(Profile::Usual);
    };
    let name = field.text(PROFILE)?;
    if name.contains(' ') {
        field.refuse("the name of a profile: \"shortlived\"; or \"\" for none");
    }
    match name {
        "" => None,
        PROFILE => Some(Profile::Usual), // the default means the same written down
        named => Some(Profile::Named(named.to_owned())),
    }
}

fn renew_threshold(section: &Section<'_>, directory: &Directory, profile: Option<&Profile>) -> Duration {
    let lets_encrypt = directory.url == LETS_ENCRYPT || directory.url == LETS_ENCRYPT_STAGING;
    let short = lets_encrypt && profile.is_some_and(|profile| profile.name() == PROFILE);
    let longest = if short { SHORTLIVED_DAYS } else { LONGEST_DAYS };
    let days = section.count("renew_threshold_days", "days", &(1..=longest), RENEW_THRESHOLD_DAYS);
    Duration::from_secs(days as u64 * 86_400)
}

fn check_interval(section: &Section<'_>) -> Duration {
    let hours =
        section.count("check_interval_hours", "hours", &(1..=LONGEST_INTERVAL_HOURS), CHECK_INTERVAL_HOURS);
    Duration::from_secs(hours as u64 * 3600)
}

fn email(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix("mailto:").unwrap_or(text);
    let sound = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic() && !b"@,;<>".contains(&byte))
    };
    let good = bare.split_once('@').is_some_and(|(name, host)| {
        sound(name) && sound(host) && host.contains('.') && !host.starts_with('.') && !host.ends_with('.')
    });
    match (good, bare == text) {
        (true, true) => Ok(text.to_owned()),
        (true, false) => Err(quoted(bare)),
        (false, _) => Err("one address, \"admin@example.com\", or \"\" for none".to_owned()),
    }
}

fn eab(section: &Section<'_>) -> Option<(String, Secret)> {
    let kid = section.parse("eab_kid", "the identifier from the CA", |kid| Ok(kid.to_owned()));
    let base64url = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte);
    let key = section.secret("eab_hmac_key").filter(|key| {
        let good = key.expose().bytes().all(base64url);
        if !good {
            let write = "the key as the CA gave it, in base64url: letters, digits, - and _";
            secret::refuse(section, "eab_hmac_key", write);
        }
        good
    });
    section.pair(("eab_kid", kid), ("eab_hmac_key", key))
}

fn export(section: &Section<'_>, store: &Store) -> Option<Export> {
    let certificate = section.path("export_cert", "/srv/cert/fullchain.pem");
    let key = section.path("export_key", "/srv/cert/privkey.pem");
    let (certificate, key) = section.pair(("export_cert", certificate), ("export_key", key))?;
    let field = section.filled("export_key")?;
    if certificate == key {
        field.refuse("another file than export_cert");
    }
    if [&certificate, &key].iter().any(|path| path.starts_with(&store.dir)) {
        field.refuse(format!("files outside of {}: doorman keeps its own pair there", store.dir.display()));
    }
    Some(Export { certificate, key })
}
