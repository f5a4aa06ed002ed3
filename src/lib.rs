//! milepost: exact totals and milestones of what teams count.
//!
//! `ARCHITECTURE.md` in this folder is the map.

pub mod domain;
pub mod proto;
