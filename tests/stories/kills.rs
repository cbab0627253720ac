//! kill -9.

use std::time::Duration;

use crate::support::doorman::{Doorman, Settings};
use crate::support::pebble::{Pebble, Terms, Version};
use crate::support::upstream::Upstream;
use crate::support::{free_port, tls, until};

/// An order with Pebble takes two or three seconds; a busy machine may need more.
const ORDER: Duration = Duration::from_secs(30);

/// How often it is killed.
const KILLS: usize = 50;

/// Requests to the CA from the begin of a forced renewal to its end, and some more: then it is the store's turn.
const REQUESTS: u32 = 14;

#[tokio::test]
async fn kill_9_at_fifty_random_moments_leaves_one_account_whole_pairs_and_no_order_too_many() {
    is_killed_fifty_times(Version::Current).await;
}

#[tokio::test]
async fn the_same_before_debians_pebble() {
    is_killed_fifty_times(Version::Debian).await;
}

async fn is_killed_fifty_times(version: Version) {
    let panel = Upstream::panel().await;
    let port = free_port();
    let pebble = Pebble::start(Terms { retry_after: (0, 0), version, ..Terms::quick(port) }).await;
    let settings = Settings::panel(panel.url())
        .certificate(&pebble, &["127.0.0.1"])
        .set("http", "listen", vec![format!("127.0.0.1:{port}")])
        .set("https", "listen", vec![format!("127.0.0.1:{}", free_port())]);
    let mut dice = Dice::new();
    let mut door = Doorman::start(&settings).await;
    let mut wanted = 1;
    let mut lost = 0;

    for _ in 0..KILLS {
        let seen = asked(&pebble).len();
        let begun = door.admin("POST", "/renew?force=true").await;
        assert_eq!(begun.status(), 202, "{}", begun.text());
        wanted += usize::from(!begun.text().contains("\"joined\": true"));
        let moment = dice.below(REQUESTS) as usize;
        until("the moment has come", ORDER, async || {
            let over = !door.status().await["renewal"]["finished_at"].is_null();
            (over || asked(&pebble).len() >= seen + moment).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(dice.below(20).into())).await; // the moment, not a wait
        door.process.kill();

        pebble.root().await; // by then it has seen what was on its way
        lost += usize::from(may_be_lost(&pebble));
        whole(&door);
        door.start_again().await;
    }

    let status = door
        .until("a certificate and no order in flight", ORDER, |status| {
            status["state"] != "renewing" && status["certificate"]["self_signed"] == false
        })
        .await;
    let stream = tls::connect(door.https().await, &tls::trusting(&pebble.root().await, &[])).await.unwrap();
    assert_eq!(status["certificate"]["fingerprint_sha256"], tls::fingerprint(&tls::leaf(&stream)));
    let placed = pebble.count("Added order");
    println!("{KILLS} kills, {wanted} renewals, {placed} orders, {lost} of which may have been lost");
    assert_eq!(pebble.accounts(), 1, "no account was orphaned");
    // An order whose answer was still on its way when the power went is lost; every other is taken up again.
    assert!(
        placed <= wanted + lost,
        "{placed} orders for {wanted} renewals, {lost} lost; dice {}",
        dice.seed
    );
    // Whatever the CA made of the last order.
    let renewed = door.command(&["renew", "--force"]).await;
    assert!(renewed.status.success(), "after all that it still renews: {renewed:?}");
}

/// Whether the last that was heard of doorman was that it places an order: the answer may not have been kept.
fn may_be_lost(pebble: &Pebble) -> bool {
    asked(pebble).last().is_some_and(|last| last.contains("order-plz"))
}

/// The requests that the CA has seen.
fn asked(pebble: &Pebble) -> Vec<String> {
    pebble.log().into_iter().filter(|line| line.contains("-> calling handler()")).collect()
}

/// What is live is a pair, if there is one yet.
fn whole(door: &Doorman) {
    let live = |name: &str| std::fs::read_to_string(door.stored("live").join(name));
    if door.stored("live").is_symlink() {
        let (chain, key) = (live("fullchain.pem").unwrap(), live("privkey.pem").unwrap());
        assert!(tls::is_matching_pair(&chain, &key), "{chain}");
    }
}

/// Random numbers of a seed that is told, so that a failure can be looked at again.
struct Dice {
    seed: u64,
    state: u64,
}

impl Dice {
    fn new() -> Self {
        let seed = u64::from(std::process::id()) | 1;
        println!("seed {seed}");
        Self { seed, state: seed }
    }

    /// By xorshift.
    fn below(&mut self, limit: u32) -> u32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        u32::try_from((self.state >> 16) % u64::from(limit)).unwrap()
    }
}
