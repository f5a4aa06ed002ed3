//! The arguments of `milepost repair`; the store is not the client's business.

use clap::Args;
use std::path::PathBuf;

/// What `milepost repair` is told.
#[derive(Args, Debug, Clone, Default)]
pub struct RepairArgs {
    /// Where everything is kept [default: ./milepost-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Write what is lost down in the file LOST of the data directory, and go on without it for good
    #[arg(long)]
    pub give_up: bool,
    /// The server's settings, as TOML
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
