//! Who has our ports, on IPv4 and on IPv6.

use std::net::SocketAddr;

use rustix::process::geteuid;

use super::Machine;
use super::daemon::words;
use crate::config::Language;
use crate::machine::words::foreign;
use crate::machine::{holder, sockets};
use crate::policy::finding::{About, Finding};
use crate::policy::sentence::Sentence;
use crate::shared::listeners::Holder;

/// What a daemon without a configuration would listen on.
const DEFAULT: [&str; 2] = ["0.0.0.0:80", "[::]:80"];

pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    let all = match sockets::listening() {
        Ok(all) => all,
        Err(error) => {
            let finding = Sentence::new(
                format!("who listens cannot be seen: {error}"),
                format!("无法查看谁在监听：{}", foreign(&error)),
            );
            return vec![Finding::warning(
                About::Port,
                finding,
                Sentence::new("mount /proc", "请挂载 /proc"),
            )];
        }
    };
    let mut wanted: Vec<SocketAddr> = machine.config().map_or_else(
        || DEFAULT.iter().filter_map(|address| address.parse().ok()).collect(),
        |config| {
            let forwards = config.forwards.iter().flat_map(|forward| &forward.listen);
            config.http.listen.iter().chain(&config.https.listen).chain(forwards).copied().collect()
        },
    );
    wanted.retain(|address| address.port() != 0);
    wanted.into_iter().flat_map(|address| about(machine, &all, address)).collect()
}

fn about(machine: &Machine, all: &[sockets::Listening], address: SocketAddr) -> Vec<Finding> {
    let there: Vec<_> = sockets::in_the_way(all, address).into_iter().copied().collect();
    let told = machine.status().and_then(|status| {
        let all = status["listeners"].as_array()?;
        all.iter()
            .find(|listener| listener["address"].as_str().and_then(|it| it.parse().ok()) == Some(address))
    });
    match told {
        Some(listener) if listener["state"] == "listening" => {
            let mut found =
                vec![fine(format!("{address} is doorman's"), format!("{address} 由 doorman 监听"))];
            if let Some(joined) = listener["joined"].as_object() {
                let name = joined.get("program").and_then(|it| it.as_str());
                let finding = Sentence::new(
                    format!("{} listens on {address} too", name.unwrap_or("another program")),
                    format!("{} 也在监听 {address}", name.unwrap_or("另一个程序")),
                );
                let remedy = Sentence::new(
                    "stop it, or let it listen on another port",
                    "请停掉它，或让它监听其他端口",
                );
                found.push(Finding::warning(About::Port, finding, remedy));
            }
            found
        }
        Some(_) | None => vec![match holder::of_sockets(&there) {
            Some(holder) => held(address, &holder),
            None if told.is_some() => {
                let why = told.and_then(|it| words(it, "detail"));
                let why = why.unwrap_or_else(|| Sentence::new("it is not ours yet", "尚未取得"));
                Finding::broken(
                    About::Port,
                    Sentence::new(
                        format!("{address}: {why}"),
                        format!("{address}：{}", why.in_language(Language::Chinese)),
                    ),
                    Sentence::new("doorman tries again within two seconds", "doorman 会在两秒内重试"),
                )
            }
            None => fine(format!("{address} is free"), format!("{address} 空闲")),
        }],
    }
}

fn held(address: SocketAddr, holder: &Holder) -> Finding {
    let command = holder.command.as_ref().map(|command| format!(", {command}")).unwrap_or_default();
    let who = holder.in_words();
    let finding = Sentence::new(
        format!("{address} is held by {who}{command}"),
        format!("{address} 被 {}{command} 占用", who.in_language(Language::Chinese)),
    );
    if holder.pid.is_none() && geteuid().is_root() {
        // It has a network of its own user's, or ended while we looked.
        let remedy = format!("ss -ltnp 'sport = :{}'", address.port());
        let remedy = Sentence::new(format!("{remedy} may name it"), format!("{remedy} 或许能显示它"));
        return Finding::broken(About::Port, finding, remedy);
    }
    Finding::broken(About::Port, finding, holder.remedy(address.port()))
}

fn fine(en: String, zh_cn: String) -> Finding {
    Finding::fine(About::Port, Sentence::new(en, zh_cn))
}
