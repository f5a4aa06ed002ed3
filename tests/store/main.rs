//! The stores, from outside: what both promise, and what the embedded one does about damage, crashes and failures.

mod conformance;
mod crash;
mod fixture;
mod folds;
mod index;
mod log;
mod model;
mod opening;
mod sim_disk;
