//! Random input for what is ours to read: targets and paths, header fields, answers, PROXY headers, configurations. Each property
//! is tried for a moment with every run of the tests, and as long as one likes by hand, one after the other:
//!
//! ```sh
//! FUZZ_SECONDS=600 cargo test --profile story --test fuzz -- --test-threads 1 --nocapture
//! ```
//!
//! The same is tried by `tests/fuzz/run` with bytes that find their way by coverage; see [`targets`].

#![expect(clippy::unwrap_used, reason = "a property that cannot be tried has failed")]

mod answer;
mod configuration;
mod fields;
mod paths;
mod preface;
mod targets;

use std::fmt::Debug;
use std::time::Duration;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use tokio::time::Instant;

/// For each property, unless `FUZZ_SECONDS` says otherwise.
const MOMENT: Duration = Duration::from_secs(1);

/// Cases between two looks at the clock.
const ROUND: u32 = 256;

/// Tries a property until its time is over. A failure is made as small as it can be before it is shown.
fn holds<S: Strategy>(name: &str, strategy: &S, property: impl Fn(S::Value) -> TestCaseResult)
where
    S::Value: Debug,
{
    let time = std::env::var("FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let (time, began) = (time.map_or(MOMENT, Duration::from_secs), Instant::now());
    let mut rounds = 0;
    while rounds == 0 || began.elapsed() < time {
        // A new one each time: a runner that has had its cases runs no more.
        let mut runner =
            TestRunner::new(Config { cases: ROUND, failure_persistence: None, ..Config::default() });
        if let Err(error) = runner.run(strategy, &property) {
            panic!("{name}: {error}");
        }
        rounds += 1;
    }
    println!("{name}: {} inputs", rounds * ROUND);
}
