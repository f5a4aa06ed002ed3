//! Golden transcripts: grpcurl lines, run with the real program against a running server, their answers compared
//! whole. What depends on the clock is masked, and revisions.
//!
//! `GRPCURL` names the program; where it does not, the test says `skipped`. `UPDATE_TRANSCRIPTS=1` writes what was
//! answered into the files, to be read before it is committed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The address that stands in the transcripts.
const WRITTEN_ADDRESS: &str = "127.0.0.1:6453";
/// JSON fields whose values are masked.
const MASKED: [&str; 5] = ["createTime", "updateTime", "evaluateTime", "recordTime", "revision"];

/// A server of its own, which ends with the test.
struct Server {
    child: Child,
    address: String,
    _dir: tempfile::TempDir,
}

impl Server {
    fn start() -> Server {
        let dir = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(env!("CARGO_BIN_EXE_milepost"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("its output is piped");
        BufReader::new(out).read_line(&mut line).expect("it says where it listens");
        let address = line.trim().strip_prefix("listening on http://").expect("an address").to_string();
        Server { child, address, _dir: dir }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text with the values of masked fields as `*`, those in JSON inside a text too.
fn masked(text: &str) -> String {
    let mut text = text.trim_end().to_string();
    for field in MASKED {
        for (key, end) in [(format!("\"{field}\": \""), "\""), (format!("\\\"{field}\\\":\\\""), "\\\"")] {
            let mut parts = text.split(key.as_str());
            let first = parts.next().unwrap_or("").to_string();
            text = parts.fold(first, |told, part| format!("{told}{key}*{}", &part[part.find(end).unwrap_or(0)..]));
        }
    }
    text
}

/// Runs one line as a shell would, and answers what it printed, standard error after standard output.
fn answer(line: &str, grpcurl: &str, address: &str) -> String {
    let line = line.replacen("grpcurl", "\"$GRPCURL\"", 1).replace(WRITTEN_ADDRESS, address);
    let done = Command::new("sh").arg("-c").arg(&line).env("GRPCURL", grpcurl).output().expect("a shell");
    let text = [done.stdout, done.stderr].concat();
    masked(&String::from_utf8(text).expect("text"))
}

fn check(path: &Path, grpcurl: &str) {
    let written = std::fs::read_to_string(path).expect("the transcript");
    let server = Server::start();
    let mut told = String::new();
    for part in written.split("\n$ ").map(|part| part.trim_start_matches("$ ")) {
        let (line, _) = part.split_once('\n').unwrap_or((part, ""));
        if line.starts_with('#') || line.is_empty() {
            told.push_str(part.trim_end());
            told.push('\n');
            continue;
        }
        let separator = if told.is_empty() { "" } else { "\n" };
        told.push_str(&format!("{separator}$ {line}\n{}\n", answer(line, grpcurl, &server.address)));
    }
    if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
        std::fs::write(path, &told).expect("the transcript is written");
        return;
    }
    assert_eq!(told, written, "{}", path.display());
}

#[test]
fn transcripts_are_as_written() {
    let Some(grpcurl) = std::env::var_os("GRPCURL") else {
        println!("skipped: GRPCURL does not name the program");
        return;
    };
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcript");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(dir).expect("the folder").map(|e| e.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "txt"));
    paths.sort();
    assert!(paths.len() >= 4, "the transcripts are there");
    for path in paths {
        check(&path, grpcurl.to_str().expect("a path in UTF-8"));
    }
}
