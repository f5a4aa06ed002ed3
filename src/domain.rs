//! What the service speaks of, pure: no I/O, no async, no protobuf.

pub mod aggregate;
pub mod calendar;
pub mod date;
pub mod decimal;
pub mod definition;
pub mod labels;
pub mod ladder;
pub mod limit;
pub mod name;
pub mod point;
pub mod time;
