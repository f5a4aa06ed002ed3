//! What whoever may read a data directory may ask of it: to be looked at, backed up, made anew from a backup.
//!
//! A server answers on a Unix socket in the directory, beside its port and apart from it ([`socket`]). Where no server
//! has the directory, the command takes it and does the same itself, through the same [`service`], without a socket
//! ([`command`]).

pub mod command;
pub mod service;
pub mod socket;

use crate::engine::Engine;
use crate::server::Beside;
use crate::store::embedded::EmbeddedStore;
use service::Admin;
use std::path::PathBuf;
use std::sync::Arc;

/// What a server does beside its port, until it is told to stop: serves the socket in `dir`. Where there can be none it
/// says so, and serves on without.
pub fn beside(dir: PathBuf, engine: Engine, store: Arc<EmbeddedStore>) -> Beside {
    Box::new(move |stopping| {
        Box::pin(async move {
            let admin = Admin::new(engine, store, stopping);
            if let Err(error) = socket::serve(&dir, admin).await {
                let dir = dir.display().to_string();
                tracing::warn!(%error, dir, "no admin socket: verify and backup wait until the server has stopped");
            }
        })
    })
}
