//! Servers as processes of their own, so that their memory and processor time are theirs: milepost, and the nulls.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use tonic::transport::{Channel, Endpoint};

/// A stream's window: megabytes, so that it is the processor that is measured.
const WINDOW_BYTES: u32 = 8 << 20;

/// How long a server does nothing that has nothing left to do.
const QUIET: Duration = Duration::from_millis(300);
/// How often it is looked whether it does: for two minutes.
const QUIET_TRIES_MAX: usize = 400;

/// A server that listens. Ends with this value.
pub struct Server {
    child: Child,
    /// Held so that it may print.
    _stdout: BufReader<ChildStdout>,
    address: String,
    /// Where it keeps things; the nulls keep nothing.
    data: Option<PathBuf>,
    /// From the start to "listening".
    pub opening: Duration,
}

impl Server {
    /// milepost on a data directory.
    pub fn milepost(data: &Path) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_milepost"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data);
        Server::start(command.env("MILEPOST_LOG", "warn"), Some(data.to_owned()))
    }

    /// milepost on a data directory, with a config file beside it, and what it logs in a file.
    pub fn configured(data: &Path, config: &str, log: &Path) -> Server {
        let file = data.with_extension("toml");
        fs::write(&file, config).expect("there is room");
        let mut command = Command::new(env!("CARGO_BIN_EXE_milepost"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data).arg("--config").arg(file);
        command.stderr(fs::File::create(log).expect("there is room"));
        Server::start(command.env("MILEPOST_LOG", "milepost::engine=info,warn"), Some(data.to_owned()))
    }

    /// The null sink, the null source and the empty echo.
    pub fn nulls() -> Server {
        let program = std::env::current_exe().expect("this program has a name");
        Server::start(Command::new(program).arg(super::NULLS), None)
    }

    fn start(command: &mut Command, data: Option<PathBuf>) -> Server {
        let began = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("stdout is read");
        let address = line.trim().strip_prefix("listening on ").expect("it says where it listens").to_owned();
        Server { child, _stdout: stdout, address, data, opening: began.elapsed() }
    }

    /// A connection of its own.
    pub async fn connect(&self) -> Channel {
        self.endpoint().connect().await.expect("a connection")
    }

    /// Where to connect to.
    pub fn endpoint(&self) -> Endpoint {
        let endpoint = Endpoint::from_shared(self.address.clone()).expect("an address");
        endpoint.initial_stream_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES)
    }

    /// Memory in use, and the most ever, in bytes.
    pub fn memory(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let kilobytes = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux says it");
            line.trim().trim_end_matches(" kB").parse().expect("a number")
        };
        (kilobytes("VmRSS:") << 10, kilobytes("VmHWM:") << 10)
    }

    /// Processor time it took so far, in hundredths of a second.
    fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        // The program's name, in parentheses, may hold anything; of what follows it user and system time are the 12th and 13th.
        let (_, fields) = stat.rsplit_once(')').expect("Linux says its name");
        let number = |field: &str| field.parse::<u64>().expect("a number");
        fields.split_whitespace().skip(11).take(2).map(number).sum::<u64>()
    }

    /// Processor time it took so far, in seconds.
    pub fn processor_seconds(&self) -> f64 {
        self.ticks() as f64 / 100.0
    }

    /// Waits until it has done what it put off while it was written to: until it takes no processor time for a while. The
    /// peers are asked once they have merged, too.
    pub async fn settled(&self) {
        let mut before = self.ticks();
        for _ in 0..QUIET_TRIES_MAX {
            tokio::time::sleep(QUIET).await;
            let now = self.ticks();
            if now == before {
                return;
            }
            before = now;
        }
        panic!("the server does not settle");
    }

    /// SIGTERM: what was taken is finished and folded.
    pub async fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().expect("kill is there").success());
        // Not in the way of connections, which the server waits for: their tasks may be this thread's.
        let ended = tokio::task::spawn_blocking(move || self.child.wait()).await.expect("waiting does not panic");
        assert!(ended.expect("it ends").success(), "it ends well");
    }

    /// SIGKILL.
    pub fn kill(mut self) -> PathBuf {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it ends");
        self.data.take().expect("milepost has a data directory")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already, or ended here: what it was started with goes away after this.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Allocated bytes of a data directory: what is kept, and beside it the preallocated log and the reserve.
#[derive(Clone, Copy, Default, Debug)]
pub struct OnDisk {
    pub kept: u64,
    /// Of what is kept: the fold files, by their length.
    pub folds: u64,
    pub log_and_reserve: u64,
}

impl OnDisk {
    /// Looks at every file.
    pub fn of(data: &Path) -> OnDisk {
        let mut on_disk = OnDisk::default();
        let mut folders = vec![data.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry")) {
                // One that was just written anew may be gone.
                let Ok(metadata) = entry.metadata() else { continue };
                let path = entry.path();
                let below = path.strip_prefix(data).expect("it is below");
                match () {
                    () if metadata.is_dir() => folders.push(path),
                    () if below.starts_with("log") || below.starts_with("RESERVE") => {
                        on_disk.log_and_reserve += metadata.blocks() * 512;
                    }
                    () => {
                        on_disk.kept += metadata.blocks() * 512;
                        on_disk.folds += if below.starts_with("folds") { metadata.len() } else { 0 };
                    }
                }
            }
        }
        on_disk
    }
}
