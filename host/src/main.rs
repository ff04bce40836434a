//! The `herald` binary: parse the command line, run the command, exit with its code.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A login is some hundreds of small, short-lived allocations: with the system's allocator they are a seventh of its CPU time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    herald::cli::main()
}
