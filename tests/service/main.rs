//! The services, over real sockets, against the contract.

mod catalog;
mod harness;
mod ingest;
mod limits;
mod query_asking;
mod query_faults;
mod query_milestones;
mod query_points;
mod query_range;
mod query_total;
mod retry;
mod server;
mod stream;
