//! A campaign's backups, which kills cut off too, and its looks at everything that is kept.

use crate::campaign::{COMPONENTS, Campaign};
use crate::questions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

fn milepost(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_milepost"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a directory of ours is text")
}

fn succeeded(what: &str, done: &Output) {
    let said = || String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{what}: {}", said());
}

impl Campaign {
    fn backup_dir(&self) -> PathBuf {
        self.place.root().join("backup")
    }

    /// A backup of the server that runs, into the one directory of all of them.
    pub fn begin_backup(&self) -> Child {
        let (data, target) = (self.place.data(), self.backup_dir());
        milepost(&["backup", "--data-dir", text(&data), text(&target)]).spawn().expect("it runs")
    }

    /// Everything that is kept is as it should be: every total what a scan of its points comes to.
    pub fn verify(&mut self) {
        let data = self.place.data();
        let done = milepost(&["verify", "--data-dir", text(&data)]).output().expect("it runs");
        succeeded("verify", &done);
        self.figures.verified += 1;
    }

    /// A last backup of the server that runs, after all that were cut off, restored: what is kept is in it.
    pub async fn restore(&mut self) {
        succeeded("backup", &self.begin_backup().wait_with_output().expect("it ends"));
        let (backup, restored) = (self.backup_dir(), self.place.root().join("restored"));
        let done = milepost(&["restore", text(&backup), text(&restored)]).output().expect("it runs");
        succeeded("restore", &done);
        let served = self.place.try_start_on(&restored, None).expect("what was restored is served");
        for component in COMPONENTS {
            let mut found = questions::kept(&served.channel(), component).await.expect("what is kept");
            for book in self.books.iter().filter(|book| book.component == component) {
                assert!(found.remove(&book.writer).unwrap_or_default() == book.kept, "{component} {}", book.writer);
            }
            assert!(found.is_empty(), "nobody wrote {found:?}");
        }
        self.replay(&served.channel()).await;
        served.stop().await;
    }
}
