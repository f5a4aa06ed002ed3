//! A small disk of its own, where the system lets us have one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A tmpfs, unmounted when it is dropped.
pub struct Mount {
    path: PathBuf,
}

fn run(command: &mut Command) -> bool {
    command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

impl Mount {
    /// None, loudly, where mounting is not possible.
    pub fn of_bytes(path: &Path, bytes: u64) -> Option<Mount> {
        std::fs::create_dir_all(path).expect("a directory");
        let size = format!("size={bytes}");
        if run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path)) {
            return Some(Mount { path: path.to_owned() });
        }
        println!("skipped: this test needs to mount a tmpfs, which takes root");
        None
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn make_read_only(&self) {
        assert!(run(Command::new("mount").args(["-o", "remount,ro"]).arg(&self.path)), "remounted");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg(&self.path)) || run(Command::new("umount").arg("-l").arg(&self.path));
    }
}
