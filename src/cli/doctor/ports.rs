//! Who has our ports, on IPv4 and on IPv6.

use std::net::SocketAddr;

use rustix::process::geteuid;

use super::{Finding, Machine};
use crate::machine::{holder, sockets};
use crate::shared::listeners::Holder;

const ABOUT: &str = "port";

/// What a daemon without a configuration would listen on.
const DEFAULT: [&str; 2] = ["0.0.0.0:80", "[::]:80"];

pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    let all = match sockets::listening() {
        Ok(all) => all,
        Err(error) => {
            let remedy = "mount /proc";
            return vec![Finding::warning(ABOUT, format!("who listens cannot be seen: {error}"), remedy)];
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
            let mut found = vec![Finding::fine(ABOUT, format!("{address} is doorman's"))];
            if let Some(joined) = listener["joined"].as_object() {
                let name = joined.get("program").and_then(|it| it.as_str()).unwrap_or("another program");
                let finding = format!("{name} listens on {address} too");
                found.push(Finding::warning(ABOUT, finding, "stop it, or let it listen on another port"));
            }
            found
        }
        Some(_) | None => vec![match holder::of_sockets(&there) {
            Some(holder) => held(address, &holder),
            None if told.is_some() => {
                let why = told.and_then(|it| it["detail"].as_str()).unwrap_or("it is not ours yet");
                Finding::broken(ABOUT, format!("{address}: {why}"), "doorman tries again within two seconds")
            }
            None => Finding::fine(ABOUT, format!("{address} is free")),
        }],
    }
}

fn held(address: SocketAddr, holder: &Holder) -> Finding {
    let command = holder.command.as_ref().map(|command| format!(", {command}")).unwrap_or_default();
    let finding = format!("{address} is held by {holder}{command}");
    if holder.pid.is_none() && geteuid().is_root() {
        // It has a network of its own user's, or ended while we looked.
        return Finding::broken(
            ABOUT,
            finding,
            format!("ss -ltnp 'sport = :{}' may name it", address.port()),
        );
    }
    Finding::broken(ABOUT, finding, holder.remedy(address.port()))
}
