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
use socket::Socket;
use std::path::Path;
use std::sync::Arc;

/// What a server does beside its port, until it is told to stop: serves the socket in `dir`, which is there from now
/// on. Where there can be none it says so, and serves on without.
pub async fn beside(dir: &Path, engine: Engine, store: Arc<EmbeddedStore>) -> Beside {
    let socket = Socket::listen(dir).await;
    let dir = dir.display().to_string();
    Box::new(move |stopping| {
        Box::pin(async move {
            let served = match socket {
                Ok(socket) => socket.serve(Admin::new(engine, store, stopping)).await,
                Err(error) => Err(error.into()),
            };
            if let Err(error) = served {
                tracing::warn!(%error, dir, "no admin socket: verify and backup wait until the server has stopped");
            }
        })
    })
}
