//! A file system of our own for the real process, sled and all: it forgets at a power cut what was not synced.
//!
//! `kept` is what it holds and what of it is on stable storage; `served` answers the kernel, in a thread of its own.

mod kept;
mod served;

pub use kept::Forgotten;

use fuser::{BackgroundSession, Config, MountOption, Session};
use kept::Kept;
use served::Calls;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A mounted one; unmounted when it is dropped. What is kept outlives its mounts.
pub struct Forgetful {
    kept: Arc<Mutex<Kept>>,
    path: PathBuf,
    session: Option<BackgroundSession>,
}

impl Forgetful {
    /// None, loudly, where the machine allows no mount.
    pub fn mounted(path: &Path, seed: u64) -> Option<Forgetful> {
        std::fs::create_dir_all(path).expect("a directory");
        let kept = Arc::new(Mutex::new(Kept::new(seed)));
        match mount(&kept, path) {
            Ok(session) => Some(Forgetful { kept, path: path.to_owned(), session: Some(session) }),
            Err(error) => {
                println!("skipped: no FUSE file system can be mounted here: {error}");
                None
            }
        }
    }

    /// The power is cut, and comes back. Nobody may have a file of it open.
    pub fn cut(&mut self) -> Forgotten {
        self.unmount();
        let forgotten = self.kept.lock().expect("no call panics").cut();
        self.session = Some(mount(&self.kept, &self.path).expect("it is mounted again"));
        forgotten
    }

    fn unmount(&mut self) {
        // Whatever the system still does for a process that was killed ends first.
        let until = Instant::now() + Duration::from_secs(30);
        while !umounted(&[], &self.path) {
            assert!(Instant::now() < until, "somebody has a file open still");
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Some(session) = self.session.take() {
            session.join().expect("its thread ends without a panic");
        }
    }
}

fn umounted(options: &[&str], path: &Path) -> bool {
    let done = Command::new("umount").args(options).arg(path).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

fn mount(kept: &Arc<Mutex<Kept>>, path: &Path) -> std::io::Result<BackgroundSession> {
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("forgetful".to_owned()), MountOption::NoAtime];
    Session::new(Calls(kept.clone()), path, &config)?.spawn()
}

impl Drop for Forgetful {
    fn drop(&mut self) {
        // After a failed test too: nothing stays mounted, even where somebody still has a file open.
        umounted(&["-l"], &self.path);
        drop(self.session.take());
    }
}
