//! The door on the wire: what goes in and what comes out, byte for byte on both sides. Each file is a part of the table;
//! every row is tried over plain HTTP and over TLS.

mod answers;
mod expectations;
mod faults;
mod fields;
mod framing;
mod heads;
mod lasting;
mod letters;
mod multiplexed;
mod targets;
mod transcript;
pub mod tunnels;

use crate::support::doorman::Settings;
use transcript::{Bench, Row};

#[tokio::test]
async fn heads_are_read_in_one_way_or_refused() {
    on_both(heads::rows).await;
}

#[tokio::test]
async fn bodies_end_where_everybody_sees_them_end() {
    on_both(framing::rows).await;
}

#[tokio::test]
async fn targets_go_through_byte_for_byte_or_not_at_all() {
    on_both(targets::rows).await;
}

#[tokio::test]
async fn fields_of_this_hop_stay_behind_and_all_others_pass() {
    on_both(fields::rows).await;
}

#[tokio::test]
async fn letters_are_kept_where_they_change() {
    for row in letters::rows().into_iter().chain(letters::meetings()) {
        Bench::http(|settings| settings).await.hold(vec![row]).await;
    }
    for row in letters::rows().into_iter().chain(letters::meetings()) {
        Bench::https(|settings| settings).await.hold(vec![row]).await;
    }
}

#[tokio::test]
async fn answers_mean_to_the_visitor_what_the_panel_meant() {
    on_both(answers::rows).await;
}

#[tokio::test]
async fn answers_that_are_none_look_like_none() {
    on_both(faults::rows).await;
}

#[tokio::test]
async fn nobody_is_told_to_go_on_before_the_panel_says_so() {
    on_both(expectations::rows).await;
}

#[tokio::test]
async fn websockets_pass_and_no_other_upgrade_does() {
    on_both(tunnels::rows).await;
}

#[tokio::test]
async fn trusted_proxies_are_believed() {
    let trusting = |settings: Settings| settings.set("http", "trusted_proxies", vec!["127.0.0.1"]);
    Bench::http(trusting).await.hold(fields::from_a_trusted_peer()).await;
    Bench::https(trusting).await.hold(fields::from_a_trusted_peer()).await;
}

/// Every row, over plain HTTP and over TLS.
async fn on_both(rows: fn() -> Vec<Row>) {
    Bench::http(|settings| settings).await.hold(rows()).await;
    Bench::https(|settings| settings).await.hold(rows()).await;
}
