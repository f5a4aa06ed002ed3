//! milepost: exact totals and milestones of what teams count.
//!
//! `ARCHITECTURE.md` in this folder is the map.

// Files, time and chance only through their doors (clippy.toml says which calls that bars).
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod admin;
pub mod background;
pub mod cli;
pub mod clock;
pub mod config;
pub mod disk;
pub mod domain;
pub mod engine;
pub mod planted;
pub mod program;
pub mod proto;
pub mod query;
pub mod random;
pub mod server;
pub mod service;
pub mod store;
