//! `cargo bench --bench load`: milepost over the real wire with real clients, beside servers that do nothing. Every
//! answer is checked against plain sums; a wrong one ends the run. `cargo test` runs all of it on small workloads.
//!
//! `cargo bench --bench load -- --row 1 --row 5 --data DIR` measures rows of the table (RESULTS.md); `W1.bin` and
//! `W3.bin` in DIR are the peers' workloads, without them similar ones are made up.

mod ask;
mod calls;
mod days;
mod figure;
mod ingest;
mod nulls;
mod process;
mod workload;

use clap::Parser;
use figure::Figure;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tokio::runtime::{Builder, Runtime};
use workload::Workload;

/// The argument with which this program is the null servers.
const NULLS: &str = "nulls";

/// Measures milepost.
#[derive(Parser)]
struct Arguments {
    /// Cargo says so to benches; without it (`cargo test`) everything is small
    #[arg(long, hide = true)]
    bench: bool,
    /// Rows of the table; all, unless said
    #[arg(long = "row", value_name = "ROW")]
    rows: Vec<u32>,
    /// Where W1.bin and W3.bin are
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where data directories are made; they go when they were measured
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// A line of JSON a figure
    #[arg(long)]
    json: bool,
}

/// What is measured with.
pub struct Bench {
    full: bool,
    data: Option<PathBuf>,
    dir: Option<PathBuf>,
    many: OnceLock<Arc<Workload>>,
    one: OnceLock<Arc<Workload>>,
}

impl Bench {
    /// A count of the whole measure, or of the small one.
    pub fn scale<T>(&self, full: T, small: T) -> T {
        if self.full { full } else { small }
    }

    /// A fresh directory.
    pub fn directory(&self) -> tempfile::TempDir {
        match &self.dir {
            Some(dir) => tempfile::tempdir_in(dir),
            None => tempfile::tempdir(),
        }
        .expect("a directory")
    }

    fn workload(&self, name: &str, made_up: impl FnOnce() -> Workload) -> Arc<Workload> {
        let read = |dir: &PathBuf| Workload::read(&dir.join(name)).expect("the workload is read");
        Arc::new(self.data.as_ref().map_or_else(made_up, read))
    }

    /// W1: 200 series of five years of hours.
    pub fn many_series(&self) -> Arc<Workload> {
        let made_up = || Workload::made_up(self.scale(200, 6), self.scale(43_824, 2_000), 3_600);
        self.many.get_or_init(|| self.workload("W1.bin", made_up)).clone()
    }

    /// W3: one series of 100M seconds.
    pub fn one_series(&self) -> Arc<Workload> {
        let made_up = || Workload::made_up(1, self.scale(100_000_000, 20_000), 1);
        self.one.get_or_init(|| self.workload("W3.bin", made_up)).clone()
    }

    async fn row(&self, row: u32) -> Vec<Figure> {
        match row {
            1 | 2 => ingest::columns(self).await,
            3 => ingest::small(self).await,
            4 => ingest::on_disk(self).await,
            5 | 6 => ask::one_long(self).await,
            16 => ask::past(self).await,
            8 => [ask::many(self).await, ask::very_many(self).await].concat(),
            9 | 10 => ask::many(self).await,
            11 => ask::late(self).await,
            12 => ingest::million(self).await,
            13 => days::days(self).await,
            14 => ask::beside_ingest(self).await,
            _ => panic!("row {row} is not measured here: 7 is `cargo bench --bench milepost`, 15 `cargo build`"),
        }
    }
}

/// Threads for a row. Where questions are asked one after the other it is one, as the peers' clients have: with more,
/// each answer wakes another thread, which that one waits for (weeks of one series 0.27 ms with two, 0.21 with one).
fn threads(row: u32) -> Runtime {
    let mut builder =
        if [8, 9, 10, 16].contains(&row) { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.enable_all().build().expect("threads")
}

fn main() {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(NULLS) {
        return threads(0).block_on(nulls::serve());
    }
    let measured = std::env::args().any(|word| word == "--bench");
    if !measured && std::env::args().skip(1).any(|word| !word.starts_with('-') && !"load".contains(&word)) {
        return; // `cargo test NAME`, of something else
    }
    // What `cargo test` says after its `--` is for tests.
    let arguments = if measured { Arguments::parse() } else { Arguments::parse_from(["load"]) };
    let bench = Arc::new(Bench {
        full: arguments.bench,
        data: arguments.data,
        dir: arguments.dir,
        many: OnceLock::new(),
        one: OnceLock::new(),
    });
    // One of each group that is measured together.
    let all = [1, 3, 4, 5, 8, 11, 12, 13, 14, 16].to_vec();
    let rows = if arguments.rows.is_empty() { all } else { arguments.rows };
    for row in rows {
        let (bench, threads) = (bench.clone(), threads(row));
        // In a task, as a client is mostly: who blocks on it is in a thread of its own, which each answer would have to wake.
        let figures = threads.spawn(async move { bench.row(row).await });
        for figure in threads.block_on(figures).expect("a row does not panic") {
            if arguments.json {
                println!("{}", figure.json());
            } else {
                println!("{figure}");
            }
        }
    }
}
