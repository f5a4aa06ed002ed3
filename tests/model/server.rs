//! The real server without its sockets: a store in a temporary folder, an engine with blocks and nodes so small that
//! trees get deep with few points, and the three services over it.

use std::{
    fs,
    sync::{Arc, OnceLock},
};

use milepost::{
    clock::ManualClock,
    disk::RealDisk,
    domain::time::Time,
    engine::{Engine, Settings},
    proto::v1::Metric,
    random::SystemRandom,
    service::{catalog::Catalog, definition_lock::DefinitionLock, ingest::Ingest, query::Query},
    store::{
        Store,
        embedded::{EmbeddedStore, StoreSettings},
        memory::MemoryStore,
    },
};
use tokio::{runtime::Runtime, sync::watch};

use crate::{
    ask::{Ask, Reply},
    asked::{Asked, Refusal},
    compare::{check_estimates, normal},
    serve::Served,
};

/// One runtime for all servers of the process.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
    })
}

/// Where a server keeps what is written: most in memory, for speed; some in a folder that goes with the server.
enum KeptIn {
    Memory(MemoryStore),
    Folder(tempfile::TempDir),
}

/// A server; dropping it closes it.
pub struct Server {
    kept: KeptIn,
    settings: Settings,
    clock: Arc<ManualClock>,
    opened: Option<(Engine, Served<Catalog, Ingest, Query>)>,
    stopping: watch::Sender<bool>,
}

impl Server {
    /// One whose store is real.
    pub fn new_in_folder() -> Server {
        <Server as Asked>::fresh(0)
    }

    /// The engine and the services over it.
    pub fn opened(&self) -> &(Engine, Served<Catalog, Ingest, Query>) {
        self.opened.as_ref().expect("it is open")
    }

    fn open(&mut self) {
        let store: Arc<dyn Store> = match &self.kept {
            KeptIn::Memory(store) => Arc::new(store.reopen()),
            KeptIn::Folder(dir) => Arc::new(
                EmbeddedStore::open(
                    &dir.path().join("data"),
                    Arc::new(RealDisk),
                    Arc::new(SystemRandom),
                    StoreSettings { segment_bytes: 16 << 10, index_cache_bytes_max: 1 << 20 },
                )
                .expect("the store opens"),
            ),
        };
        let engine = runtime().block_on(async { Engine::open(store, self.clock.clone(), self.settings.clone()) });
        let engine = engine.expect("the engine opens");
        let definitions = DefinitionLock::default();
        let served = Served {
            catalog: Catalog::new(engine.clone(), definitions.clone()),
            ingest: Ingest::new(engine.clone(), definitions, self.stopping.subscribe()),
            query: Query::new(engine.clone()),
        };
        self.opened = Some((engine, served));
    }

    fn close(&mut self) {
        if let Some((engine, served)) = self.opened.take() {
            runtime().block_on(engine.close()).expect("the engine closes");
            drop(served);
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
        let kept = match seed % 4 {
            0 => KeptIn::Folder(tempfile::tempdir().expect("a temporary folder")),
            _ => KeptIn::Memory(MemoryStore::new()),
        };
        // Never forgotten: the clock of a run leaps by days.
        let settings = if seed % 8 == 1 { Settings::default() } else { small() };
        let settings = Settings { request_id_nanos_min: i64::MAX, ..settings };
        let clock = Arc::new(ManualClock::default());
        let mut server = Server { kept, settings, clock, opened: None, stopping: watch::channel(false).0 };
        server.open();
        server
    }

    fn ask(&mut self, ask: &Ask, metric: Option<&Metric>, now: i64) -> Result<Reply, Refusal> {
        self.clock.set(Time(now));
        let (_, served) = self.opened.as_ref().expect("it is open");
        let answered = runtime().block_on(served.ask(ask, metric));
        answered.inspect(check_estimates).map(|reply| normal(reply, metric))
    }

    fn fold(&mut self) {
        let (engine, _) = self.opened.as_ref().expect("it is open");
        runtime().block_on(engine.fold()).expect("it folds");
    }

    fn restart(&mut self, index_lost: bool) {
        self.close();
        if let (KeptIn::Folder(dir), true) = (&self.kept, index_lost) {
            fs::remove_dir_all(dir.path().join("data/index")).expect("there is an index");
        }
        self.open();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.close();
        }
    }
}
