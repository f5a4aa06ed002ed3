//! The services, over real sockets, against the contract.

mod catalog;
mod harness;
mod ingest;
mod limits;
mod retry;
mod server;
mod stream;
