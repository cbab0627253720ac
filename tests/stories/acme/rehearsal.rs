//! Let's Encrypt has a staging directory, and after a failed validation that is asked first. Two Pebbles play both, under
//! their names and in a network of their own, so that the configuration is the one that everybody has.

use std::net::SocketAddr;
use std::time::Duration;

use super::ORDER;
use super::life::Clock;
use crate::support::doorman::{Doorman, Settings};
use crate::support::fault_proxy::FaultProxy;
use crate::support::network::Network;
use crate::support::pebble::{Pebble, Terms};
use tempfile::TempDir;

const MINUTE: Duration = Duration::from_secs(60);

/// One that a public CA would look at; here it leads nowhere but to the door.
const ADDRESS: &str = "9.9.9.9";

const PRODUCTION: (&str, &str) = ("acme-v02.api.letsencrypt.org", "127.0.0.2");
const STAGING: (&str, &str) = ("acme-staging-v02.api.letsencrypt.org", "127.0.0.3");

/// Nobody listens there in that network.
const NOWHERE: u16 = 81;

#[tokio::test]
async fn after_a_failed_validation_the_staging_directory_is_asked_first() {
    let network = Network::with(&[&format!("{ADDRESS}/32")]).await;
    let (mut production, before_production) = start(&network, PRODUCTION).await;
    let (mut staging, before_staging) = start(&network, STAGING).await;
    let files = TempDir::new().unwrap();
    let clock = Clock::new();
    let launcher = launcher(&network, &files, &clock);
    let launcher: Vec<&str> = launcher.iter().map(String::as_str).collect();
    let both = [before_production, before_staging];
    let door = Doorman::start_by(&launcher, &settings(&files, &both)).await;

    door.until("a failed validation", ORDER, |status| {
        status["failures"] == 1 && status["last_error_class"] == "validation"
    })
    .await;
    assert_eq!((orders(&production), orders(&staging)), (1, 0), "the first try is not rehearsed");

    clock.set(MINUTE * 2);
    let status = door.until("another failure", ORDER, |status| status["failures"] == 2).await;
    let said = status["last_error"].as_str().unwrap();
    assert!(said.starts_with("tried out at the CA's staging directory first: the CA could not"), "{said}");
    assert_eq!((orders(&production), orders(&staging)), (1, 1), "what fails there costs nothing here");

    for pebble in [&mut production, &mut staging] {
        pebble.stop();
        pebble.set_terms(Terms::quick(80));
        pebble.run().await;
    }
    clock.set(MINUTE * 10);
    door.reaches("valid", ORDER).await;
    assert_eq!((orders(&staging), staging.issued()), (1, 0), "validated there, and no more");
    assert_eq!((production.count("set VALID"), production.issued()), (1, 1));
}

/// A CA, and what gives it the paths of Let's Encrypt.
async fn start(network: &Network, (name, address): (&str, &str)) -> (Pebble, FaultProxy) {
    let at = |port| SocketAddr::new(address.parse().unwrap(), port);
    let pebble = Pebble::start_in(network, Terms::quick(NOWHERE), at(14_000), address).await;
    let proxy = FaultProxy::in_network(network, at(443), name, &pebble);
    (pebble, proxy)
}

/// In that network, where both names are known, under that clock.
fn launcher(network: &Network, files: &TempDir, clock: &Clock) -> Vec<String> {
    let hosts = files.path().join("hosts");
    let lines = [PRODUCTION, STAGING].map(|(name, address)| format!("{address} {name}\n"));
    std::fs::write(&hosts, lines.concat()).unwrap();
    let names = ["unshare", "--mount", "sh", "-ec", "mount --bind \"$0\" /etc/hosts\nexec \"$@\""];
    let names = names.map(str::to_owned).into_iter().chain([hosts.display().to_string()]);
    network.launcher().into_iter().chain(names).chain(clock.launcher()).collect()
}

fn settings(files: &TempDir, both: &[FaultProxy; 2]) -> Settings {
    let roots = files.path().join("roots.pem");
    let pem = both.each_ref().map(|proxy| std::fs::read_to_string(proxy.ca_file()).unwrap());
    std::fs::write(&roots, pem.concat()).unwrap();
    Settings::panel("http://127.0.0.1:8080")
        .set("http", "listen", vec!["0.0.0.0:80"])
        .set("ip_cert", "ip", ADDRESS)
        .set("ip_cert", "directory", "letsencrypt")
        .set("ip_cert", "directory_ca", roots.to_str())
}

fn orders(pebble: &Pebble) -> usize {
    pebble.count("Added order")
}
