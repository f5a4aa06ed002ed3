//! `milepost verify`, `backup`, `restore` and `repair`, run as people run them.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What a command came to.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// It was done; what it printed.
    pub fn done(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// It was refused; why.
    pub fn refused(self) -> String {
        assert_eq!((self.code, self.out.as_str()), (Some(1), ""), "{}", self.err);
        self.err
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert!(!err.contains("panicked"), "{err}");
        Ran { code: output.status.code(), out, err }
    }
}

/// A command that is not begun yet.
pub fn command(words: &[&str], paths: &[&Path]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_milepost"));
    command.args(words).args(paths).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn run(command: Command) -> Ran {
    // Not blocking: clients in this process go on meanwhile.
    tokio::task::spawn_blocking(move || Ran::from({ command }.output().expect("it runs"))).await.expect("it ends")
}

pub fn backup_command(data: &Path, target: &Path) -> Command {
    let mut command = command(&["backup", "--output", "json", "--data-dir"], &[data]);
    command.arg(target);
    command
}

pub async fn backup(data: &Path, target: &Path) -> Ran {
    run(backup_command(data, target)).await
}

pub async fn restore(target: &Path, data: &Path) -> Ran {
    run(command(&["restore"], &[target, data])).await
}

pub async fn verify(data: &Path) -> Ran {
    run(command(&["verify", "--data-dir"], &[data])).await
}

pub async fn repair(data: &Path, words: &[&str]) -> Ran {
    run(command(&[&["repair"], words, &["--data-dir"]].concat(), &[data])).await
}

/// A number of a backup's summary; 0 where it is not in it.
pub fn figure(summary: &str, name: &str) -> u64 {
    let summary: Value = serde_json::from_str(summary).expect("JSON");
    summary[name].as_str().map_or(0, |text| text.parse().expect("a number"))
}
