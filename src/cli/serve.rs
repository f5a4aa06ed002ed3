//! The arguments of `milepost serve`; the server itself is not the client's business.

use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What `milepost serve` is told. What is not said here is the config file's, and then the default.
#[derive(Args, Debug, Clone, Default)]
pub struct ServeArgs {
    /// Where to listen; port 0 picks a free one [default: 127.0.0.1:6453]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where everything is kept; made if it is not there [default: ./milepost-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Push made-up series into a fresh store, print a first milestones table, and go on serving
    #[arg(long)]
    pub demo: bool,
    /// Settings, as TOML; what is said on the command line goes before them
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
