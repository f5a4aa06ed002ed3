//! The real server without its sockets: a store in a temporary folder, an engine with blocks and nodes so small that
//! trees get deep with few points, and the three services over it.

use std::{
    fs,
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, OnceLock},
    task::Poll,
    time::{Duration, Instant},
};

use milepost::{
    clock::ManualClock,
    disk::{Disk, RealDisk},
    domain::time::Time,
    engine::{Engine, Settings},
    proto::v1::Metric,
    random::SeededRandom,
    service::{catalog::Catalog, definition_lock::DefinitionLock, ingest::Ingest, query::Query},
    store::{
        Store, StoreError,
        embedded::{EmbeddedStore, StoreSettings},
        memory::MemoryStore,
    },
};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::watch};

use crate::{
    ask::{Ask, Reply},
    asked::{Asked, Refusal},
    compare::{check_estimates, normal},
    generate::{Ending, IndexFate, Restart},
    serve::{Heard, Served},
    sim_disk::{Counted, Fault, SimDisk},
};

/// One runtime for all servers of the process.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
    })
}

/// Where a server keeps what is written: in memory, for speed; in a folder that goes with the server; on a disk that
/// can be cut off at any operation, with a folder for the index alone.
enum KeptIn {
    Memory(MemoryStore),
    Folder(TempDir),
    Sim(SimDisk, TempDir),
}

/// A server; dropping it closes it.
pub struct Server {
    kept: KeptIn,
    settings: Settings,
    clock: Arc<ManualClock>,
    random: Arc<SeededRandom>,
    opened: Option<Opened>,
    index_copy: TempDir,
    stopping: watch::Sender<bool>,
}

struct Opened {
    engine: Engine,
    served: Served<Catalog, Ingest, Query>,
    /// Nobody else's when nothing of the engine is left.
    store: Arc<dyn Store>,
}

impl Server {
    /// One whose store is real.
    pub fn new_in_folder() -> Server {
        <Server as Asked>::fresh(0)
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.opened.as_ref().expect("it is open").engine
    }

    /// The services over it.
    pub fn served(&self) -> &Served<Catalog, Ingest, Query> {
        &self.opened.as_ref().expect("it is open").served
    }

    /// Whether its disk can fail.
    pub fn is_simulated(&self) -> bool {
        matches!(self.kept, KeptIn::Sim(..))
    }

    /// The time of its clock.
    pub fn set_clock(&self, now: i64) {
        self.clock.set(Time(now));
    }

    fn store(&self) -> Result<Arc<dyn Store>, StoreError> {
        let settings =
            StoreSettings { segment_bytes: 16 << 10, index_cache_bytes_max: 1 << 20, reserve_bytes: 8 << 10 };
        let disk: Arc<dyn Disk> = match &self.kept {
            KeptIn::Memory(store) => return Ok(Arc::new(store.reopen())),
            KeptIn::Folder(_) => Arc::new(RealDisk),
            KeptIn::Sim(disk, dir) => Arc::new(disk.process(dir.path())),
        };
        let dir = self.data_dir().expect("it is in a folder");
        Ok(Arc::new(EmbeddedStore::open(&dir, disk, self.random.clone(), settings)?))
    }

    fn data_dir(&self) -> Option<PathBuf> {
        match &self.kept {
            KeptIn::Memory(_) => None,
            KeptIn::Folder(dir) => Some(dir.path().join("data")),
            // What it holds of the folder is there; the index is in the same one of the machine.
            KeptIn::Sim(_, dir) => Some(dir.path().to_path_buf()),
        }
    }

    fn try_open(&mut self) -> Result<(), StoreError> {
        let store = self.store()?;
        let opened = runtime().block_on(async {
            let (store, clock) = (store.clone(), self.clock.clone());
            Engine::open(store, clock, self.settings.clone())
        });
        let engine = opened?;
        let definitions = DefinitionLock::default();
        let served = Served {
            catalog: Catalog::new(engine.clone(), definitions.clone()),
            ingest: Ingest::new(engine.clone(), definitions, self.stopping.subscribe()),
            query: Query::new(engine.clone()),
        };
        self.opened = Some(Opened { engine, served, store });
        Ok(())
    }

    fn open(&mut self) {
        self.try_open().expect("it opens");
    }

    fn close(&mut self) {
        if let Some(opened) = &self.opened {
            runtime().block_on(opened.engine.close()).expect("the engine closes");
        }
        self.drop_engine();
    }

    /// Lets go of the engine without closing it, and waits until nothing of it is left.
    fn drop_engine(&mut self) {
        let Some(Opened { engine, served, store }) = self.opened.take() else { return };
        drop((engine, served));
        let since = Instant::now();
        while Arc::strong_count(&store) > 1 {
            assert!(since.elapsed() < Duration::from_secs(60), "a dropped engine ends");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Comes to its end in the middle of changes that were sent in this order, and is started again. What was heard
    /// of each.
    pub fn crash(&mut self, restart: &Restart, changes: &[Ask]) -> Vec<Heard> {
        if let KeptIn::Sim(disk, _) = &self.kept {
            disk.plan(restart.disk_dies_after, Counted::Changes, Fault::Kill);
        }
        let heard_max = if self.is_simulated() { changes.len() } else { restart.disk_dies_after as usize };
        let heard = runtime().block_on(self.send(restart, changes, heard_max));
        self.end(restart.ending);
        self.turn_index(restart.index);
        for start in 0..restart.starts_killed {
            if let KeptIn::Sim(disk, _) = &self.kept {
                disk.plan(restart.disk_dies_after / 2 + start as u64, Counted::Changes, Fault::Kill);
                let _ = self.try_open();
                self.end(restart.ending);
            }
        }
        self.open();
        heard
    }

    /// The process is gone, or the power.
    fn end(&mut self, ending: Ending) {
        if let KeptIn::Sim(disk, _) = &self.kept {
            disk.unplan();
            match ending {
                Ending::PowerCut => disk.cut(),
                Ending::Closed | Ending::Killed => disk.kill(),
            }
        }
        self.drop_engine();
    }

    /// On a disk that fails every answer is awaited; else only what comes at once is heard.
    async fn send(&self, restart: &Restart, changes: &[Ask], heard_max: usize) -> Vec<Heard> {
        let (engine, served) = (self.engine(), self.served());
        let fold = async {
            if restart.folding {
                let _ = engine.fold().await;
            }
        };
        if restart.streamed {
            let batch = |ask: &Ask| match ask {
                Ask::Write(request) => request.clone(),
                _ => unreachable!("a stream is of batches"),
            };
            let stream = served.stream(changes.iter().map(batch).collect(), heard_max);
            return futures::join!(fold, stream).1;
        }
        // All are polled in their order, so the engine is handed them in it.
        let all = futures::future::join_all(changes.iter().map(|ask| served.ask(ask, None)));
        let mut both = pin!(futures::future::join(fold, all));
        if self.is_simulated() {
            return both.await.1.into_iter().map(Some).collect();
        }
        match futures::poll!(&mut both) {
            Poll::Ready((_, answers)) => answers.into_iter().map(Some).collect(),
            Poll::Pending => changes.iter().map(|_| None).collect(),
        }
    }

    /// What becomes of the index while nobody has it open.
    fn turn_index(&self, fate: IndexFate) {
        let Some(dir) = self.data_dir() else { return };
        let (index, copy) = (dir.join("index"), self.index_copy.path().join("index"));
        let replace = |from: &Path, to: &Path| {
            if to.exists() {
                fs::remove_dir_all(to).expect("it can be removed");
            }
            copy_dir(from, to);
        };
        match fate {
            IndexFate::Kept => {}
            IndexFate::Lost if index.exists() => fs::remove_dir_all(index).expect("it can be removed"),
            IndexFate::Older if copy.exists() => replace(&copy, &index),
            IndexFate::Copied if index.exists() => replace(&index, &copy),
            _ => {}
        }
    }

    /// Is closed, and started again.
    pub fn restart_with(&mut self, index: IndexFate) {
        self.close();
        self.turn_index(index);
        self.open();
    }
}

/// A folder whose syncs cost nothing, where the machine has one: what it forgets is not looked at.
fn folder_in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a temporary folder")
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("it can be made");
    for entry in fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("it can be copied");
        }
    }
}

/// Deep trees of few points.
fn small() -> Settings {
    Settings {
        block_points_max: 4,
        tail_points_min: 2,
        node_children_max: 3,
        page_points_max: 3,
        ..Settings::default()
    }
}

impl Asked for Server {
    fn fresh(seed: u64) -> Self {
        let kept = match seed % 8 {
            0 => KeptIn::Folder(tempfile::tempdir().expect("a temporary folder")),
            1 | 2 => KeptIn::Memory(MemoryStore::new()),
            _ => {
                let folder = folder_in_memory();
                KeptIn::Sim(SimDisk::new(seed), folder)
            }
        };
        // Never forgotten: the clock of a run leaps by days.
        let settings = if seed % 16 < 4 { Settings::default() } else { small() };
        let settings = Settings { request_id_nanos_min: i64::MAX, ..settings };
        let (clock, random) = (Arc::new(ManualClock::default()), Arc::new(SeededRandom::new(seed)));
        let (index_copy, stopping) = (folder_in_memory(), watch::channel(false).0);
        let mut server = Server { kept, settings, clock, random, opened: None, index_copy, stopping };
        server.open();
        server
    }

    fn ask(&mut self, ask: &Ask, metric: Option<&Metric>, now: i64) -> Result<Reply, Refusal> {
        self.set_clock(now);
        let answered = runtime().block_on(self.served().ask(ask, metric));
        answered.inspect(check_estimates).map(|reply| normal(reply, metric))
    }

    fn fold(&mut self) {
        runtime().block_on(self.engine().fold()).expect("it folds");
    }

    fn restart(&mut self, index_lost: bool) {
        self.restart_with(if index_lost { IndexFate::Lost } else { IndexFate::Kept });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.close();
        }
    }
}
