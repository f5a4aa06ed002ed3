//! The binary as a process: started on a directory, told to stop, killed, and held to never panicking.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

/// How long a start, or an end, may take on a busy machine.
const WAIT: Duration = Duration::from_secs(60);

/// A data directory of a test, with the config file and the servers' stderr beside it.
pub struct Place {
    root: TempDir,
    data: PathBuf,
    starts: AtomicU32,
}

/// A server that says where it listens.
pub struct Served {
    child: Child,
    /// Held so that the server may print.
    _stdout: BufReader<ChildStdout>,
    stderr: PathBuf,
    address: String,
    /// From the start to "listening".
    pub opening: Duration,
}

/// A server that did not come to listen.
#[derive(Debug)]
pub struct NotServed {
    pub code: Option<i32>,
    pub stderr: String,
}

impl Place {
    /// A fresh one, with settings of its own. Folds, segments and caches are small, so that little data sees them all.
    pub fn new(config: &str) -> Place {
        let root = tempfile::tempdir().expect("a directory");
        fs::write(root.path().join("config.toml"), config).expect("a config file");
        let data = root.path().join("data");
        Place { root, data, starts: AtomicU32::new(0) }
    }

    /// A fresh one, whose data directory is below another folder of it.
    pub fn below(config: &str, folder: &str) -> Place {
        let place = Place::new(config);
        Place { data: place.root().join(folder).join("data"), ..place }
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    pub fn start(&self) -> Served {
        self.try_start().unwrap_or_else(|not| panic!("the server does not start: {not:?}"))
    }

    pub fn try_start(&self) -> Result<Served, NotServed> {
        self.try_start_on(&self.data(), None)
    }

    /// Starts, and is killed so soon after it that it may be opening still.
    pub fn start_and_kill(&self, after: Duration) {
        let (mut command, stderr) = self.command(&self.data());
        let mut child = command.spawn().expect("the binary starts");
        std::thread::sleep(after);
        child.kill().expect("it is ours");
        child.wait().expect("it ends");
        let stderr = fs::read_to_string(&stderr).expect("stderr is kept");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }

    fn command(&self, data: &Path) -> (Command, PathBuf) {
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        let stderr = self.root.path().join(format!("stderr-{number}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_milepost"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data);
        command.arg("--config").arg(self.root.path().join("config.toml"));
        command.env("MILEPOST_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(File::create(&stderr).expect("a file for stderr"));
        (command, stderr)
    }

    /// Starts on any directory, as any user.
    pub fn try_start_on(&self, data: &Path, user: Option<u32>) -> Result<Served, NotServed> {
        let (mut command, stderr) = self.command(data);
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let began = Instant::now();
        let mut child = command.spawn().expect("the binary starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("stdout is read");
        match line.trim().strip_prefix("listening on ") {
            Some(address) => {
                let address = address.to_owned();
                Ok(Served { child, _stdout: stdout, stderr, address, opening: began.elapsed() })
            }
            None => {
                let code = child.wait().expect("it ended").code();
                let stderr = fs::read_to_string(&stderr).expect("stderr is kept");
                assert!(!stderr.contains("panicked"), "{stderr}");
                Err(NotServed { code, stderr })
            }
        }
    }
}

impl Served {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn channel(&self) -> Channel {
        Endpoint::from_shared(self.address.clone()).expect("an address").connect_lazy()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        self.check_stderr();
    }

    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).status();
        assert!(done.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// SIGTERM, and exit code 0.
    pub async fn stop(self) {
        self.signal("TERM");
        let status = self.wait().await;
        assert!(status.success(), "{status}");
    }

    /// Waits for the end, and checks that there was no panic on the way.
    pub async fn wait(mut self) -> ExitStatus {
        let until = Instant::now() + WAIT;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                self.check_stderr();
                return status;
            }
            assert!(Instant::now() < until, "it does not end; stderr: {}", self.stderr());
            // Not blocking: clients in this process must hear that the server goes.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).expect("stderr is kept")
    }

    fn check_stderr(&self) {
        let stderr = self.stderr();
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Where a test failed half way, and by kill -9 where it did not end by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory and everything in it, copied.
pub fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_dir(&entry.path(), &to);
        } else if entry.file_type().expect("a type").is_file() {
            // Not the socket that a killed server leaves.
            fs::copy(entry.path(), &to).expect("a copy");
        }
    }
}

/// Files of a directory whose names end so, sorted.
pub fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    found.retain(|path| path.to_string_lossy().ends_with(ending));
    found.sort();
    found
}
