//! Programs of others that `tests/run` installs, and the scripts of `tests/peers` that use them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use super::process::Process;

/// How long a peer may take to start on a machine that has much else to do.
const START: Duration = Duration::from_secs(60);

/// How long a script may take to its end.
pub const SCRIPT: Duration = Duration::from_secs(300);

/// A script of `tests/peers`, for Python or for Node by its name, with the libraries that `tests/run` installed.
pub fn script(name: &str) -> Command {
    let peers = root().join("target/peers");
    let mut command = Command::new(if name.ends_with(".py") { "python3" } else { "node" });
    command.arg(root().join("tests/peers").join(name));
    command.env("PYTHONPATH", peers.join("python")).env("NODE_PATH", peers.join("node/node_modules"));
    command
}

/// A program that `tests/run` built.
pub fn built(name: &str) -> PathBuf {
    let program = root().join("target/peers/bin").join(name);
    assert!(program.exists(), "{name} is missing: tests/run installs it");
    program
}

/// Waits for the line of JSON that a server prints when it listens.
pub async fn announced(server: &Process) -> Value {
    let line = server.says("{", START).await;
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"))
}

/// Runs a program to its end, beside whatever else the story does.
pub async fn run(mut command: Command) -> Output {
    let name = format!("{command:?}");
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    output.unwrap_or_else(|error| panic!("{name}: {error}; tests/run installs it"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
