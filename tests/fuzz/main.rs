//! Fuzz targets: bytes of clients, files and the command line are read, or refused. Never a panic, never an endless
//! loop, never memory out of proportion; and what is read comes back the same when it is written and read once more.
//!
//! Each target runs for `MILEPOST_FUZZ_SECONDS` (a plain `cargo test`: 0.3 each; `.ci/run`: 5), after the committed
//! corpus in `__fuzz__/<target>/corpus` (bolero's layout; a failing input goes to `crashes` beside it). An input either
//! is the bytes, or says how to bend a valid one (`bend`): so that checksums and lengths do not keep everything out.
//! They are bolero's targets, so `cargo bolero test <target>` guides them by coverage where its engines can be built.

mod bend;
#[path = "../service/bytes_codec.rs"]
mod bytes_codec;
mod corpus;
mod engine_formats;
mod files;
mod requests;
mod samples;
#[path = "../power/sim_disk.rs"]
#[allow(dead_code)] // only what files are needed for
mod sim_disk;
mod texts;

use milepost::engine::formats::Format;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// An input that takes longer does not end, as far as anyone would wait for it.
const INPUT_TIME_MAX: Duration = Duration::from_secs(30);
/// What a process may take more at its peak after a target than before it.
const MEMORY_BYTES_MAX: u64 = 1 << 30;
/// Bytes of an input.
const INPUT_BYTES_MAX: usize = 2_048;

/// What became of the inputs of a target.
pub struct Tally {
    name: &'static str,
    tried: AtomicU64,
    read: AtomicU64,
}

impl Tally {
    const fn new(name: &'static str) -> Tally {
        Tally { name, tried: AtomicU64::new(0), read: AtomicU64::new(0) }
    }

    /// Tries one input; `check` says whether it was read.
    fn try_input(&self, bytes: &[u8], check: impl FnOnce(&[u8]) -> bool) {
        let since = Instant::now();
        let read = check(bytes);
        assert!(since.elapsed() < INPUT_TIME_MAX, "an input of {} bytes takes {:?}", bytes.len(), since.elapsed());
        self.tried.fetch_add(1, Ordering::Relaxed);
        self.read.fetch_add(u64::from(read), Ordering::Relaxed);
    }

    /// A target that read next to nothing proves nothing.
    fn check_load(&self, time: Duration, memory_before: u64) {
        let (tried, read) = (self.tried.load(Ordering::Relaxed), self.read.load(Ordering::Relaxed));
        println!("fuzz {}: {tried} inputs, {read} of them read, {:.1} s", self.name, time.as_secs_f64());
        assert!(tried >= 20 && read >= 5, "{}: too few inputs to mean something", self.name);
        let grown = memory_peak().saturating_sub(memory_before);
        assert!(grown < MEMORY_BYTES_MAX, "{}: the peak of memory grew by {grown} bytes", self.name);
    }
}

/// The most memory that this process ever had, in bytes; 0 where the system does not say.
fn memory_peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) << 10
}

fn test_time() -> Duration {
    match std::env::var("MILEPOST_FUZZ_SECONDS") {
        Ok(seconds) => Duration::from_secs(seconds.parse().expect("MILEPOST_FUZZ_SECONDS is a number")),
        Err(_) if std::env::var_os("MILEPOST_EACH_RUN").is_some() => Duration::from_secs(5),
        Err(_) => Duration::from_millis(300),
    }
}

/// Targets: each a test, named as the folder of its corpus.
macro_rules! targets {
    ($($name:ident: $check:expr;)*) => {
        /// The names of all.
        pub const TARGETS: &[&str] = &[$(stringify!($name)),*];
        $(
        #[test]
        fn $name() {
            static TALLY: Tally = Tally::new(stringify!($name));
            // What valid inputs are made of takes its time, once.
            samples::marker();
            let (since, memory_before) = (Instant::now(), memory_peak());
            bolero::check!()
                .with_test_time(test_time())
                .with_max_len(INPUT_BYTES_MAX)
                .for_each(|bytes: &[u8]| TALLY.try_input(bytes, $check));
            TALLY.check_load(since.elapsed(), memory_before);
        }
    )*};
}

targets! {
    request: requests::check;
    log_record: files::record;
    log_segment: files::segment;
    fold_file: files::fold_file;
    index_marker: files::marker;
    index_value: files::index_value;
    format_file: files::format_file;
    block: |bytes| engine_formats::check(bytes, Format::Block);
    node: |bytes| engine_formats::check(bytes, Format::Node);
    log_body: |bytes| engine_formats::check(bytes, Format::Effect);
    frame: engine_formats::other;
    config: texts::config;
    csv: texts::csv;
    thresholds: texts::thresholds;
    decimal: texts::decimal;
    time: texts::time;
    name: texts::name;
}
