//! A server of a test's own, and commands run against it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A running server; it is killed, and its store removed, when this is dropped.
pub struct Served {
    server: Child,
    pub address: String,
    dir: TempDir,
}

/// What a command answered.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The binary, without what the environment may say of servers and tokens.
pub fn milepost() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_milepost"));
    command
        .env_remove("MILEPOST_SERVER")
        .env_remove("MILEPOST_TOKEN")
        .env("MILEPOST_LOG", "error")
        .stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn ran(mut command: Command) -> Ran {
    let output = command.output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Starts a server on a store, and waits until it says where it listens. The rest of its stdout stays unread.
pub fn start(data: &Path, more: &[&str]) -> (Child, String, BufReader<std::process::ChildStdout>) {
    let mut command = milepost();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data).args(more);
    let mut server = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the server starts");
    let mut out = BufReader::new(server.stdout.take().expect("stdout is piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("the server says something");
    let address = line.trim().strip_prefix("listening on http://").unwrap_or_else(|| panic!("not an address: {line}"));
    (server, address.to_owned(), out)
}

impl Served {
    pub fn new() -> Served {
        let dir = tempfile::tempdir().expect("a folder");
        let (server, address, mut out) = start(&dir.path().join("data"), &[]);
        // Nothing more is said, but nobody must be stopped by a full pipe.
        std::thread::spawn(move || out.read_to_end(&mut Vec::new()));
        Served { server, address, dir }
    }

    /// A server with a metric already made.
    pub fn with(create: &[&str]) -> Served {
        let served = Served::new();
        served.ok(&[&["metric", "create"], create].concat());
        served
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = milepost();
        command.args(args).env("MILEPOST_SERVER", &self.address).current_dir(self.dir.path());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        ran(self.command(args))
    }

    /// What a command that must succeed says, with what hangs on the clock masked.
    pub fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{args:?}\n{}", ran.out);
        masked(&ran.out)
    }

    /// What a command that must be refused says on stderr.
    pub fn refused(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{args:?}\n{}", ran.err);
        ran.err
    }

    /// A file of the test's own.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("the file is written");
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// `judged at 2026-11-24` says DATE, a JSON time of evaluation and a recorded time say TIME.
fn masked(text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for line in &mut lines {
        if let Some(at) = line.find("judged at ") {
            line.replace_range(at + 10..at + 20, "DATE");
        }
        for field in ["evaluateTime", "createTime", "updateTime", "recordTime"] {
            if let Some(at) = line.find(&format!("\"{field}\": \"")) {
                line.replace_range(at.., &format!("\"{field}\": \"TIME\","));
            }
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}
