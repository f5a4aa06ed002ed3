//! `DATA_DIR/ADMIN`: the socket, for the user who runs the server alone. It is there while the server is; one that was
//! left by a killed server is replaced by the next, which has the directory's lock.

// A socket is no file of the store: it holds nothing that a fault could take.
#![allow(clippy::disallowed_methods)]

use super::service::Admin;
use crate::disk::{Disk, RealDisk};
use crate::proto::v1::admin_service_server::AdminServiceServer;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use tokio::fs::File;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;

/// The socket's name.
pub const NAME: &str = "ADMIN";
/// The name it is made under, until nobody else may use it.
const TEMPORARY_NAME: &str = "ADMIN.tmp";
/// Bytes of a socket's path, at most, with room for the temporary name's ending; the system's bound is 107.
const PATH_BYTES_MAX: usize = 100;

/// A directory under a name short enough for a socket's path.
pub struct Short {
    /// That name.
    pub path: PathBuf,
    /// The name is this handle's.
    _held: Option<File>,
}

impl Short {
    /// The directory itself, or where its path is too long the system's name of an open handle of it.
    pub async fn of(dir: &Path) -> io::Result<Short> {
        if dir.as_os_str().len() + TEMPORARY_NAME.len() < PATH_BYTES_MAX {
            return Ok(Short { path: dir.to_path_buf(), _held: None });
        }
        let held = File::open(dir).await?;
        Ok(Short { path: PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd())), _held: Some(held) })
    }
}

/// A socket that is listened on.
pub struct Socket {
    listener: UnixListener,
    dir: Short,
}

impl Socket {
    /// Made under another name, and given its own once only its owner may use it.
    pub async fn listen(dir: &Path) -> io::Result<Socket> {
        let dir = Short::of(dir).await?;
        let (path, temporary) = (dir.path.join(NAME), dir.path.join(TEMPORARY_NAME));
        for left in [&path, &temporary] {
            match RealDisk.remove(left) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let listener = UnixListener::bind(&temporary)?;
        tokio::fs::set_permissions(&temporary, std::os::unix::fs::PermissionsExt::from_mode(0o600)).await?;
        RealDisk.rename(&temporary, &path)?;
        Ok(Socket { listener, dir })
    }

    /// Serves until the admin is told to stop, and what it was doing has ended.
    pub async fn serve(self, mut admin: Admin) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut stopping = admin.stopping();
        let stop = async move {
            // An error means that the sender is gone: stop as well.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        };
        let ended = admin.take_ended();
        let router = tonic::transport::Server::builder().add_service(AdminServiceServer::new(admin));
        let served = router.serve_with_incoming_shutdown(UnixListenerStream::new(self.listener), stop).await;
        ended.wait().await;
        RealDisk.remove(&self.dir.path.join(NAME))?;
        Ok(served?)
    }
}
