//! The command line, end to end: the real binary against a real server on a port of its own.

mod catalog;
mod contract;
mod demo;
mod import;
mod pay;
mod push;
mod queries;
mod served;
mod usage;
