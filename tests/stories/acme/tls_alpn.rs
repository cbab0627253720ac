//! The second way: TLS-ALPN-01 on :443, when HTTP-01 cannot work. Only root may listen there, on loopback addresses that
//! no other story has.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::ORDER;
use crate::support::doorman::{Doorman, Settings};
use crate::support::free_port;
use crate::support::network::Network;
use crate::support::pebble::{Pebble, Terms};
use crate::support::tls;
use crate::support::upstream::Upstream;

/// What an alert and a step may take beyond the order.
const SOON: Duration = Duration::from_secs(20);

/// The extension of a challenge's certificate, 1.3.6.1.5.5.7.1.31, as DER.
const ACME_IDENTIFIER: [u8; 10] = [0x06, 0x08, 0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1F];

#[tokio::test]
async fn while_another_program_has_port_80_the_certificate_comes_over_443_with_a_warning() {
    let panel = Upstream::panel().await;
    let ip = address();
    let holder = TcpListener::bind((ip, 0)).unwrap();
    let http = holder.local_addr().unwrap();
    let pebble = Pebble::start(Terms { tls_port: 443, ..Terms::quick(http.port()) }).await;
    let door = Doorman::start_waiting(&settings(&panel, &pebble, ip, http)).await;
    let https = door.https().await;
    let onlooker = Onlooker::of(https, ip);

    let status = door.reaches("valid", ORDER).await;

    assert_eq!(status["listeners"][0]["state"], "waiting", "{status:#}");
    assert!(step(&status, "token_checked").contains("over TLS"), "{status:#}");
    assert_eq!(pebble.validated(), Vec::<String>::new(), "nothing was asked over HTTP");
    let trusting = tls::trusting(&pebble.root().await, &[]);
    let leaf = tls::leaf(&tls::connect(https, &trusting).await.unwrap());
    assert_eq!(tls::addresses(&leaf), [ip]);
    onlooker.never_saw_a_challenge().await;
    let validator = tls::trusting_anybody(&["acme-tls/1"]);
    assert!(
        tls::connect_as(https, &reverse_name(ip), &validator).await.is_err(),
        "there is no challenge now"
    );
    door.process.says("alert=\"second_way\"", SOON).await;

    drop(holder);
    door.listens("http").await;
    door.process.says("alert=\"recovered\"", SOON).await;
}

#[tokio::test]
async fn where_the_ca_cannot_reach_port_80_one_try_goes_over_443() {
    let panel = Upstream::panel().await;
    let ip = address();
    let nowhere = free_port(); // where the CA looks, and nobody listens
    let pebble = Pebble::start(Terms { tls_port: 443, ..Terms::quick(nowhere) }).await;
    let door = Doorman::start(&settings(&panel, &pebble, ip, SocketAddr::new(ip, 0))).await;
    let status = door.reaches("failed", ORDER).await;
    assert!(status["last_error"].as_str().unwrap().contains("could not reach http://"), "{status:#}");

    let forced = door.admin("POST", "/renew?force=true").await; // the back-off is a minute long
    assert_eq!(forced.status(), 202, "{}", forced.text());

    let status = door.reaches("valid", ORDER).await;
    assert!(step(&status, "token_checked").contains("over TLS"), "{status:#}");
    door.process.says("alert=\"second_way\"", SOON).await;
}

#[tokio::test]
async fn an_ipv6_address_is_validated_over_443_too() {
    let ip = "2001:db8::1";
    let network = Network::with(&[&format!("{ip}/128")]).await;
    let (nowhere, ca) = (81, SocketAddr::from(([127, 0, 0, 1], 14_000)));
    let terms = Terms { tls_port: 443, ..Terms::quick(nowhere) };
    let pebble = Pebble::start_in(&network, terms, ca, "localhost").await;
    let settings = Settings::panel("http://127.0.0.1:8080")
        .certificate(&pebble, &[ip])
        .set("http", "listen", vec!["[::]:80"])
        .set("https", "listen", vec!["[::]:443"]);
    let launcher = network.launcher();
    let launcher: Vec<&str> = launcher.iter().map(String::as_str).collect();
    let door = Doorman::start_by(&launcher, &settings).await;
    let status = door.reaches("failed", ORDER).await;
    let said = status["last_error"].as_str().unwrap();
    assert!(said.contains("could not reach http://[2001:db8::1]/"), "{status:#}");

    let forced = door.admin("POST", "/renew?force=true").await; // the back-off is a minute long
    assert_eq!(forced.status(), 202, "{}", forced.text());

    let status = door.reaches("valid", ORDER).await;
    assert!(step(&status, "token_checked").contains("over TLS"), "{status:#}");
    assert_eq!(status["certificate"]["identifiers"], serde_json::json!([ip]));
}

#[tokio::test]
async fn https_on_another_port_than_443_is_no_second_way() {
    let panel = Upstream::panel().await;
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let http = holder.local_addr().unwrap();
    let port = free_port();
    let pebble = Pebble::start(Terms { tls_port: port, ..Terms::quick(http.port()) }).await;
    let settings =
        settings(&panel, &pebble, http.ip(), http).set("https", "listen", vec![format!("127.0.0.1:{port}")]);
    let door = Doorman::start_waiting(&settings).await;
    door.https().await;

    let status = door
        .until("why nothing is ordered", ORDER, |status| {
            status["last_error"].as_str().is_some_and(|error| error.contains("no order is made"))
        })
        .await;

    assert_eq!(status["state"], "failed");
    assert_eq!(door.admin("POST", "/renew?force=true").await.status(), 409);
    assert_eq!(pebble.accounts(), 0, "the CA was not asked");
}

fn settings(panel: &Upstream, pebble: &Pebble, ip: IpAddr, http: SocketAddr) -> Settings {
    Settings::panel(panel.url())
        .certificate(pebble, &[&ip.to_string()])
        .set("http", "listen", vec![http.to_string()])
        .set("https", "listen", vec![format!("{ip}:443")])
}

/// A loopback address that is this story's alone.
fn address() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, high | 0x80, low, NEXT.fetch_add(1, Ordering::Relaxed)))
}

fn reverse_name(ip: IpAddr) -> String {
    let IpAddr::V4(ip) = ip else { panic!("{ip}") };
    let [a, b, c, d] = ip.octets();
    format!("{d}.{c}.{b}.{a}.in-addr.arpa")
}

fn step(status: &serde_json::Value, name: &str) -> String {
    let steps = status["renewal"]["steps"].as_array().expect("a renewal");
    let found = steps.iter().find(|step| step["step"] == name);
    found.unwrap_or_else(|| panic!("no step {name}: {status:#}"))["detail"].as_str().unwrap().to_owned()
}

/// Clients that are no CA, who ask by the CA's name and offer its protocol beside others, all the while.
struct Onlooker {
    ended: Arc<AtomicBool>,
    task: JoinHandle<usize>,
}

impl Onlooker {
    fn of(https: SocketAddr, ip: IpAddr) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let task = tokio::spawn(async move {
            let mut seen = 0;
            while !end.load(Ordering::Relaxed) {
                for alpn in [&[][..], &["h2", "http/1.1"], &["acme-tls/1", "http/1.1"]] {
                    let client = tls::trusting_anybody(alpn);
                    let stream = tls::connect_as(https, &reverse_name(ip), &client).await.unwrap();
                    let leaf = tls::leaf(&stream);
                    let of_a_challenge =
                        leaf.windows(ACME_IDENTIFIER.len()).any(|part| part == ACME_IDENTIFIER);
                    assert!(!of_a_challenge, "{alpn:?} got the certificate of a challenge");
                    seen += 1;
                }
                tokio::time::sleep(Duration::from_millis(2)).await; // the pace, not a wait
            }
            seen
        });
        Self { ended, task }
    }

    async fn never_saw_a_challenge(self) {
        self.ended.store(true, Ordering::Relaxed);
        let seen = self.task.await.expect("no handshake failed or showed a challenge");
        assert!(seen > 50, "only {seen} handshakes");
    }
}
