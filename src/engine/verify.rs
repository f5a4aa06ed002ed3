//! Looks at everything that is kept and holds it to itself: every checksum, every node to its children, every total
//! to a scan of the points, the past, the index to the files, the log to the folds.
//!
//! Runs beside writing: a component's catalogue, and each series, is looked at in a snapshot of its own. It does not
//! stop at what it finds. What a store knows of its files it checks itself ([`crate::store::Store::verify`]); here is
//! what only the engine understands: `folds` every frame, `log` every record, `series` every tree and its past,
//! `index` what queries walk, `component` catalogue and revisions. `scan` adds up points with plain code.

mod component;
mod folds;
mod index;
mod log;
mod scan;
mod series;
#[cfg(test)]
mod tests;

use super::Engine;
use super::committer::{Ask, Shared, State};
use crate::domain::definition::Definition;
use crate::domain::name::{ComponentName, MetricName};
use crate::domain::point::Labels;
use crate::domain::time::Time;
use crate::store::StoreError;
use std::collections::HashSet;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Something that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The file, or what was looked at where that is no file.
    pub file: String,
    /// Where in the file, in bytes; 0 where it is not of one place.
    pub offset: u64,
    /// What it touches, where that is known.
    pub touches: Option<Touches>,
    /// What is wrong.
    pub what: String,
}

/// What a finding touches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Touches {
    /// The component.
    pub component: ComponentName,
    /// The metric, where it is one.
    pub metric: Option<MetricName>,
    /// The series, where it is one: name and value of each label.
    pub labels: Option<Vec<(String, String)>>,
    /// From the first to the last time, both included, where it is a stretch.
    pub times: Option<(Time, Time)>,
}

/// How much was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Bytes of files.
    pub bytes: u64,
    /// Frames of fold files.
    pub frames: u64,
    /// Records of the log.
    pub records: u64,
    /// Components.
    pub components: u64,
    /// Series.
    pub series: u64,
    /// Nodes of trees.
    pub nodes: u64,
    /// Blocks of trees.
    pub blocks: u64,
    /// Points of trees.
    pub points: u64,
}

/// What was looked at, and what was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verified {
    /// How much was looked at.
    pub counts: Counts,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

/// Told while it goes on. `Break` ends it early.
pub trait Watch: Send {
    /// Something was found.
    fn found(&mut self, finding: Finding) -> ControlFlow<()>;
    /// So much was looked at so far; told every now and then.
    fn progress(&mut self, counts: Counts) -> ControlFlow<()>;
}

/// Collects.
struct Collect(Vec<Finding>);

impl Watch for Collect {
    fn found(&mut self, finding: Finding) -> ControlFlow<()> {
        self.0.push(finding);
        ControlFlow::Continue(())
    }

    fn progress(&mut self, _: Counts) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

impl Engine {
    /// Looks at everything (see the module) and answers all that is not as it should be. Costs reading everything
    /// twice: some 100 ns a point.
    pub async fn verify(&self) -> Verified {
        let (counts, collected) = self.verify_watched(Collect(Vec::new())).await;
        Verified { counts, findings: collected.0 }
    }

    /// As [`Engine::verify`], told while it goes on.
    pub async fn verify_watched<W: Watch + 'static>(&self, mut watch: W) -> (Counts, W) {
        let held = self.ids_held().await;
        let shared = self.shared.clone();
        let (reply, done) = oneshot::channel();
        std::thread::spawn(move || {
            let mut verifying =
                Verifying { shared: &shared, counts: Counts::default(), watch: &mut watch, told: HashSet::new() };
            // What is dead may go only afterwards: a frame that was listed is there when it is read.
            let still = shared.loader.readers().keep_still();
            let ids = |fingerprint: &&[u8; 16]| shared.remembers(fingerprint);
            let held: Vec<_> = held.iter().filter(ids).copied().collect();
            // It only says whether all was looked at.
            let _ = verifying.run(&held);
            drop(still);
            let counts = verifying.counts;
            drop(shared);
            let _ = reply.send((counts, watch));
        });
        done.await.expect("looking at what is kept does not panic")
    }

    /// The request ids that are remembered of batches that are written: between the two barriers nothing is judged
    /// and not yet written.
    async fn ids_held(&self) -> Vec<[u8; 16]> {
        let held = self.shared.ids.lock().expect("no holder of the ids panics").fingerprints();
        let (reply, passed) = oneshot::channel();
        if self.asks.send(Ask::Barrier(Time::MIN, reply)).await.is_ok() {
            // A closed engine has nothing under way either.
            let _ = passed.await;
        }
        held.into_iter().filter(|fingerprint| self.shared.remembers(fingerprint)).collect()
    }
}

/// A look at everything, under way. `Break` anywhere: the watcher has seen enough.
struct Verifying<'a> {
    shared: &'a Arc<Shared>,
    counts: Counts,
    watch: &'a mut dyn Watch,
    /// Damage that was told of, for it may be met again.
    told: HashSet<(String, u64, String)>,
}

/// What goes on, or was ended by the watcher.
type Go = ControlFlow<()>;

impl Verifying<'_> {
    fn run(&mut self, held: &[[u8; 16]]) -> Go {
        self.files()?;
        // The log first: what it lets go of meanwhile is in the folds that are read after it.
        let logged = self.log()?;
        let folded = self.folds()?;
        self.join(&logged, &folded)?;
        self.ids(held, &logged, &folded)?;
        let state = self.state();
        for component in state.values() {
            self.component(component)?;
            for lost in &component.lost {
                let touches = Touches::metric(&component.name, &lost.name);
                self.damage(lost.lost.damage.clone().into(), Some(touches))?;
            }
            for (name, metric) in component.metrics.iter().filter(|(_, metric)| !component.is_refused(metric.id)) {
                for labels in metric.series.keys() {
                    self.series_now(&component.name, name, labels)?;
                }
            }
        }
        self.index()?;
        self.tell()
    }

    /// What the store knows of its files.
    fn files(&mut self) -> Go {
        let store = self.shared.loader.store().clone();
        let mut go = Go::Continue(());
        store.verify(&mut |bytes, damage| {
            self.counts.bytes += bytes;
            go = match damage {
                Some(error) => self.damage(error, None),
                None => self.tell(),
            };
            go
        });
        go
    }

    fn state(&self) -> State {
        State::clone(&self.shared.state.load())
    }

    fn tell(&mut self) -> Go {
        self.watch.progress(self.counts)
    }

    /// Tells of something that could not be read.
    fn damage(&mut self, error: StoreError, touches: Option<Touches>) -> Go {
        let Finding { file, offset, what, .. } = Finding::from(error);
        if !self.told.insert((file.clone(), offset, what.clone())) {
            return Go::Continue(());
        }
        self.watch.found(Finding { file, offset, touches, what })
    }

    /// Tells of something that is wrong in memory, or between files.
    fn wrong(&mut self, of: &str, touches: Option<Touches>, what: impl Into<String>) -> Go {
        self.watch.found(Finding { file: of.to_string(), offset: 0, touches, what: what.into() })
    }
}

impl From<StoreError> for Finding {
    fn from(error: StoreError) -> Finding {
        let (file, offset, what) = match error {
            StoreError::Damaged { file, offset, what, .. } => (file, offset, what),
            StoreError::Io { operation, file, cause } => (file, 0, format!("cannot {operation}: {cause}")),
            StoreError::Format { file, found, known } => (file, 0, format!("it has format {found}, not {known}")),
            other => ("the store".to_string(), 0, other.to_string()),
        };
        Finding { file, offset, touches: None, what }
    }
}

impl Touches {
    fn component(component: &ComponentName) -> Touches {
        Touches { component: component.clone(), metric: None, labels: None, times: None }
    }

    fn metric(component: &ComponentName, metric: &MetricName) -> Touches {
        Touches { metric: Some(metric.clone()), ..Touches::component(component) }
    }

    fn series(component: &ComponentName, definition: &Definition, labels: &Labels) -> Touches {
        let labels = definition.label_names.iter().cloned().zip(labels.iter().map(|value| value.to_string()));
        Touches { labels: Some(labels.collect()), ..Touches::metric(component, &definition.name) }
    }

    fn between(&self, first: Time, last: Time) -> Touches {
        Touches { times: Some((first, last)), ..self.clone() }
    }
}

impl fmt::Display for Touches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.metric {
            Some(metric) => write!(f, "{metric}")?,
            None => write!(f, "{}", self.component)?,
        }
        if let Some(labels) = self.labels.as_ref().filter(|labels| !labels.is_empty()) {
            let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            write!(f, " {{{}}}", pairs.join(", "))?;
        }
        match self.times {
            Some((first, last)) => write!(f, " from {first} to {last}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: ", self.file, self.offset)?;
        if let Some(touches) = &self.touches {
            write!(f, "{touches}: ")?;
        }
        f.write_str(&self.what)
    }
}
