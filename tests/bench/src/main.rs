//! Measures doorman beside nginx, haproxy and caddy.
//!
//! One proxy at a time runs alone on core 0; this program is the client and the upstream, both on one thread on
//! core 1. The proxies take turns (A B C D, A B C D, …) so that a machine that changes its mind about its clock
//! hurts them all alike, and the median of the rounds is printed. What is compared is the CPU time the proxy's
//! own clock counted, over the work that the client has seen complete with the right bytes; a wrong byte makes
//! the cell void. No timing passes or fails.
//!
//! `args` what to measure · `rows` the rows · `proxies` they, started and stopped · `relay` the floor · `load` the clients · `latency` those that do not wait · `meter` their count and the proxy's clock ·
//! `memory` the rows that weigh · `upstream` what answers behind the proxy · `conn` HTTP/1.1 as both need it ·
//! `cycle` the bytes · `directory` an ACME server that stalls · `machine` clocks, cores, /proc · `table` Markdown.

mod args;
mod conn;
mod cycle;
mod directory;
mod latency;
mod load;
mod machine;
mod memory;
mod meter;
mod proxies;
mod relay;
mod rig;
mod rows;
mod table;
mod tls;
mod upstream;
mod websocket;

use std::path::Path;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

use crate::args::Args;
use crate::rig::Rig;
use crate::table::Table;

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(relay::NAME) {
        return relay::run(words);
    }
    let Some(args) = Args::from_command_line()? else {
        print!("{}", args::USAGE);
        return Ok(());
    };
    machine::run_on(machine::Core::Load)
        .context("two cores are needed: one for the proxy, one for the load")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut table = Table::new(machine::describe(&args)?);
    LocalSet::new().block_on(&runtime, async {
        tokio::select! {
            done = measure(&args, &mut table) => done,
            // The proxy of the moment is stopped as the turn is dropped; what was measured is printed all the same.
            stop = stop() => stop,
        }
    })?;
    let text = table.to_markdown();
    println!("{text}");
    let kept = Path::new("target/bench/table.md");
    std::fs::create_dir_all("target/bench")
        .and_then(|()| std::fs::write(kept, text))
        .with_context(|| kept.display().to_string())
}

async fn measure(args: &Args, table: &mut Table) -> anyhow::Result<()> {
    let rig = Rig::build(args).await?;
    for row in &args.rows {
        for round in 1..=args.rounds {
            for &proxy in args.proxies.iter().filter(|proxy| row.is_for(**proxy)) {
                let outcome = rows::measure(row, &rig, proxy).await;
                let brief = table::brief(row, &outcome);
                eprintln!("{} {round}/{} {}: {brief}", row.key, args.rounds, proxy.name());
                table.enter(row, proxy, outcome);
            }
        }
    }
    Ok(())
}

/// Waits for the signals that end a program.
async fn stop() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
