//! Protobuf to domain and back. The only place that names both.

pub mod time;
