//! The real binary, killed, damaged and starved: what was acknowledged is there, what was not is whole or absent.

mod backups;
mod book;
mod campaign;
mod cuts;
mod cycles;
mod damage;
mod figures;
mod forgetful;
mod frames;
mod full;
mod index;
mod kills;
mod metrics;
mod mount;
mod planted;
mod process;
mod questions;
mod revision;
mod round;
mod starting;
mod stock;
mod stopping;
