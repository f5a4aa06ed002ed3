//! The contract, served: one file an RPC service. Only here and in the client are protobuf types known.

pub mod catalog;
pub mod convert;
pub mod definition_lock;
pub mod fault;
pub mod ingest;
pub mod kept;
pub mod page_token;
pub mod query;
pub mod status;
