//! The `doorman` program: arguments, log, exit code; no decision.

use std::process::ExitCode;

use doorman::cli;

/// Returns memory to the system sooner than the system's own allocator, and is faster for many small buffers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
