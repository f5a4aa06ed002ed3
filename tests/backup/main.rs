//! The real binary backed up, restored and looked at: while it serves and while it does not, killed meanwhile, and with
//! damage in every kind of file.

#[allow(dead_code)]
#[path = "../crash/book.rs"]
mod book;
mod command;
#[allow(dead_code)]
#[path = "../crash/frames.rs"]
mod frames;
mod killed;
mod looking;
#[path = "../crash/metrics.rs"]
mod metrics;
#[path = "../crash/mount.rs"]
#[allow(dead_code)]
mod mount;
mod planted;
#[allow(dead_code)]
#[path = "../crash/process.rs"]
mod process;
#[allow(dead_code)]
#[path = "../crash/questions.rs"]
mod questions;
mod refused;
mod repaired;
#[allow(dead_code)]
#[path = "../crash/round.rs"]
mod round;
#[allow(dead_code)]
#[path = "../crash/stock.rs"]
mod stock;
mod whole;
