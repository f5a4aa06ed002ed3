//! The services, over real sockets, against the contract.

mod bytes_codec;
mod catalog;
mod conversion;
mod disk;
mod harness;
mod in_flight;
mod ingest;
mod kept;
mod limits;
mod query_asking;
mod query_faults;
mod query_milestones;
mod query_points;
mod query_range;
mod query_total;
mod retry;
mod server;
#[allow(dead_code)]
#[path = "../power/sim_disk.rs"]
mod sim_disk;
mod stream;
