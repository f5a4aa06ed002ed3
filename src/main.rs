//! The one binary. All it does stands in the library: an asynchronous function is compiled where it is waited for, so that
//! most of the server would be compiled here again. (That was 50 s of a clean build.)

#![deny(clippy::disallowed_methods)]

use std::process::ExitCode;

/// Batches of megabytes come and go: their memory is kept, where the system's allocator would have it zeroed each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    milepost::program::run()
}
