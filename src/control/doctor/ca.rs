//! Whether the CA can be reached, and whether its clock and ours agree.

use std::io;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::{Machine, web};
use crate::config::{Directory, Language, UpstreamTrust};
use crate::machine::words::foreign;
use crate::policy::finding::{About, Finding};
use crate::policy::schedule::CLOCK_TOLERANCE;
use crate::policy::sentence::{Sentence, quotation, roughly};
use crate::shared::clock;

pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    let Some(cert) = machine.config().and_then(|config| config.ip_cert.as_ref()) else {
        return Vec::new();
    };
    let url = &cert.directory.url;
    match ask(&cert.directory) {
        Ok(answer) if web::code(&answer) == Some(200) && answer.contains("newOrder") => {
            let date = web::field(&answer, "date").and_then(moment);
            let mut found = vec![Finding::fine(
                About::Ca,
                Sentence::new(format!("{url} answers"), format!("{url} 有应答")),
            )];
            found.extend(date.map(|theirs| compare(clock::now(), theirs)));
            found
        }
        Ok(answer) => {
            let said = answer.lines().next().unwrap_or_default();
            let finding = Sentence::new(
                format!("{url} is no ACME directory now: it answers {said:?}"),
                format!("{url} 目前不是 ACME 目录，它的应答为{}", quotation(said)),
            );
            let remedy = Sentence::new(
                "look at the CA's status page, and at ip_cert.directory",
                "请查看 CA 的状态页以及 ip_cert.directory",
            );
            vec![Finding::broken(About::Ca, finding, remedy)]
        }
        Err(error) => {
            let finding = Sentence::new(
                format!("{url} cannot be reached: {error}"),
                format!("无法连接 {url}：{}", foreign(&error)),
            );
            let remedy = Sentence::new(
                "look at this machine's DNS, its routes, its firewall and its clock; at ip_cert.directory_ca for a \
                 private CA",
                "请检查本机的 DNS、路由、防火墙和时钟；私有 CA 请检查 ip_cert.directory_ca",
            );
            vec![Finding::broken(About::Ca, finding, remedy)]
        }
    }
}

fn ask(directory: &Directory) -> io::Result<String> {
    let uri: http::Uri = directory.url.parse().map_err(io::Error::other)?;
    let host = uri.host().ok_or(io::ErrorKind::InvalidInput)?.trim_matches(['[', ']']);
    let trusted = match &directory.ca_file {
        Some(file) => UpstreamTrust::CaFile(file.clone()),
        None => UpstreamTrust::PublicRoots,
    };
    let stream = web::connect(host, uri.port_u16().unwrap_or(443))?;
    let stream = web::handshake(stream, host, &trusted)?;
    let authority = uri.authority().map_or(host, |authority| authority.as_str());
    web::get(stream, authority, uri.path_and_query().map_or("/", |target| target.as_str()))
}

/// `Thu, 01 Jan 2026 00:00:00 GMT`, which RFC 2822 spells with a number for the zone.
fn moment(date: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(&date.replace("GMT", "+0000"), &Rfc2822).ok()
}

fn compare(ours: OffsetDateTime, theirs: OffsetDateTime) -> Finding {
    let apart = (ours - theirs).unsigned_abs();
    let span = roughly(apart);
    if apart <= CLOCK_TOLERANCE {
        let finding = Sentence::new(
            format!("this machine's clock is within {span} of the CA's"),
            format!("本机时钟与 CA 相差不超过 {}", span.in_language(Language::Chinese)),
        );
        return Finding::fine(About::Clock, finding);
    }
    let (en, zh_cn) = if ours > theirs { ("ahead of", "快") } else { ("behind", "慢") };
    let finding = Sentence::new(
        format!("this machine's clock is {span} {en} the CA's"),
        format!("本机时钟比 CA {zh_cn} {}", span.in_language(Language::Chinese)),
    );
    Finding::broken(About::Clock, finding, Sentence::same("timedatectl set-ntp true"))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::policy::finding::Level;

    #[test]
    fn the_clocks_are_compared_by_the_date_of_the_answer() {
        let theirs = moment("Thu, 01 Jan 2026 12:00:00 GMT").unwrap();
        assert_eq!(theirs, datetime!(2026-01-01 12:00 UTC));
        assert_eq!(compare(datetime!(2026-01-01 12:00:05 UTC), theirs).level, Level::Fine);
        let behind = compare(datetime!(2026-01-01 09:00 UTC), theirs);
        assert_eq!((behind.level, behind.about), (Level::Broken, About::Clock));
        assert!(behind.finding.english().contains("3 h behind"), "{behind:?}");
        assert_eq!(behind.finding.in_language(Language::Chinese), "本机时钟比 CA 慢 3 小时");
    }
}
