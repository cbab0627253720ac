//! The door on the wire: what goes in and what comes out, byte for byte on both sides. Each file is a part of the table;
//! every row is tried on every way: through each listener, `[[forward]]` too, in plain and over TLS, to a panel behind TCP,
//! TLS or a socket file.

mod answers;
mod expectations;
mod faults;
mod fields;
mod framing;
mod goodbyes;
mod heads;
mod lasting;
mod letters;
mod multiplexed;
mod targets;
mod transcript;
pub mod tunnels;
mod ways;

use crate::support::doorman::Settings;
use tokio::task::{JoinSet, LocalSet};
use transcript::Row;
use ways::{Bench, Way};

#[tokio::test]
async fn heads_are_read_in_one_way_or_refused() {
    on_every_way(heads::rows).await;
}

#[tokio::test]
async fn bodies_end_where_everybody_sees_them_end() {
    on_every_way(framing::rows).await;
}

#[tokio::test]
async fn targets_go_through_byte_for_byte_or_not_at_all() {
    on_every_way(targets::rows).await;
}

#[tokio::test]
async fn fields_of_this_hop_stay_behind_and_all_others_pass() {
    on_every_way(fields::rows).await;
}

#[tokio::test]
async fn letters_are_kept_where_they_change() {
    for way in Way::FEW {
        for row in letters::rows().into_iter().chain(letters::meetings()) {
            Bench::open(way, |settings| settings).await.hold(vec![row]).await;
        }
    }
}

#[tokio::test]
async fn answers_mean_to_the_visitor_what_the_panel_meant() {
    on_every_way(answers::rows).await;
}

#[tokio::test]
async fn answers_that_are_none_look_like_none() {
    on_every_way(faults::rows).await;
}

#[tokio::test]
async fn nobody_is_told_to_go_on_before_the_panel_says_so() {
    on_every_way(expectations::rows).await;
}

#[tokio::test]
async fn a_panel_that_says_nothing_to_an_expectation_gets_the_body_after_a_while() {
    let [way, ..] = Way::FEW;
    Bench::open(way, |settings| settings).await.hold(expectations::unheard_of()).await;
}

#[tokio::test]
async fn websockets_pass_and_no_other_upgrade_does() {
    on_every_way(tunnels::rows).await;
}

#[tokio::test]
async fn trusted_proxies_are_believed() {
    let trusting = |settings: Settings| settings.set("http", "trusted_proxies", vec!["127.0.0.1"]);
    for way in Way::FEW {
        Bench::open(way, trusting).await.hold(fields::from_a_trusted_peer()).await;
    }
}

/// Every row, on every way.
/// On all of them at once: some rows wait for seconds to be over.
async fn on_every_way(rows: fn() -> Vec<Row>) {
    let tried = async {
        let mut ways = JoinSet::new();
        for way in Way::ALL {
            ways.spawn_local(async move { Bench::open(way, |settings| settings).await.hold(rows()).await });
        }
        ways.join_all().await;
    };
    LocalSet::new().run_until(tried).await;
}
