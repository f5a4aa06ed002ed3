//! The stores, from outside: what both promise, and what the embedded one does about damage. (Crashes and failing disks: `tests/power`.)

mod anew;
mod conformance;
mod fixture;
mod folds;
mod index;
mod log;
mod model;
mod newest;
mod opening;
mod reserve;
mod verify;
