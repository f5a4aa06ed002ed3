//! The real binary, killed, damaged and starved: what was acknowledged is there, what was not is whole or absent.

mod book;
mod campaign;
mod damage;
mod index;
mod kills;
mod process;
mod questions;
mod round;
mod stock;
