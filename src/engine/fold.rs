//! Folding: what changed since the last fold becomes one fold file, and entries of the index; then the log up to
//! there is let go of.
//!
//! Runs beside the committer on a snapshot. A child that is stored is the same child in every snapshot that
//! holds it, so nothing needs to be swapped: only what lies beside the trees (pasts, changes) is taken over.

pub mod changed;
pub mod frames;
pub mod index;
pub mod pages;
#[cfg(test)]
mod tests;

use super::Settings;
use super::block::{self, Leaf};
use super::committer::State;
use super::dedup::Remembered;
use super::effect::{Deed, Effect, SeriesKey};
use super::history::{RUN_VERSIONS_MAX, Run, VersionKey, pack_run};
use super::state::{Component, Metric, Series, StoredChanges};
use super::tree::Entry;
use super::tree::child::{Body, Child, Loader, Place};
use crate::domain::name::{ComponentName, MetricName};
use crate::domain::point::Labels;
use crate::domain::time::Time;
use crate::planted::{self, Bug};
use crate::store::{FoldWriter, Position, StoreError};
use changed::Changed;
use index::IndexWriter;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Folds that wrote runs of a series' past after which these are put together.
const RUNS_MAX: usize = 8;
/// Blocks that are packed ahead of being written, or up to those of a series more: enough for a second thread to be worth
/// its beginning.
const BLOCKS_AHEAD_MIN: usize = 256;
/// Changes in one frame, at most.
const CHANGES_A_FRAME_MAX: usize = 4_096;

/// What changed since the last fold.
#[derive(Default)]
pub struct Dirty {
    /// Components, and in them the ids of series.
    pub components: BTreeMap<ComponentName, Changed>,
    /// Request ids.
    pub ids: Vec<(ComponentName, [u8; 16], Remembered)>,
    /// Nodes of the index that nothing in the newest trees refers to.
    pub replaced_nodes: Vec<u64>,
}

impl Dirty {
    /// What an effect on a component, as it was before, touches.
    pub fn note(&mut self, effect: &Effect, component: &Component) {
        let touched = self.components.entry(component.name.clone()).or_default();
        match &effect.deed {
            Deed::Points(series) => touched.extend(series.iter().map(|deed| deed.key.id)),
            Deed::Opening(key, _) => touched.extend([key.id]),
            // The index's pages are to say no more of its series.
            Deed::Delete(id, definition) => {
                let metric = component.metrics.get(&definition.name).filter(|metric| metric.id == *id);
                touched.extend(metric.into_iter().flat_map(|metric| metric.series.values()).map(|series| series.id));
            }
            Deed::Nothing | Deed::Define(..) => {}
        }
    }

    /// Series of which something was lost.
    pub fn note_lost(&mut self, keys: Vec<SeriesKey>, component: &ComponentName) {
        let touched = self.components.entry(component.clone()).or_default();
        touched.extend(keys.into_iter().map(|key| key.id));
    }

    /// This and what came later.
    pub fn merge(&mut self, later: Dirty) {
        for (component, series) in later.components {
            let mine = self.components.entry(component).or_default();
            match mine.is_empty() {
                true => *mine = series,
                false => mine.merge(series),
            }
        }
        self.ids.extend(later.ids);
        self.replaced_nodes.extend(later.replaced_nodes);
    }
}

/// A fold to be done.
pub struct Fold {
    /// Everything, as committed through `through`.
    pub state: State,
    /// What of it changed since the last fold.
    pub dirty: Dirty,
    /// The last position it covers.
    pub through: Position,
    /// What the memtable will be rid of.
    pub memtable_bytes: usize,
    /// Whether somebody waits for it.
    pub is_awaited: Arc<AtomicBool>,
}

/// How a fold ended.
pub enum Folded {
    /// It is stored.
    Done(Box<Done>),
    /// It is not; everything is as before.
    Failed {
        /// Why.
        error: StoreError,
        /// What is still to be folded.
        dirty: Dirty,
        /// What the memtable still holds.
        memtable_bytes: usize,
    },
}

/// A fold that is stored.
pub struct Done {
    /// The last position it covers.
    pub through: Position,
    series: Vec<SeriesDone>,
    metrics: Vec<(ComponentName, MetricName, Vec<StoredChanges>)>,
    components: Vec<(ComponentName, usize, usize)>,
    /// Nodes of the index that may go once no snapshot can refer to them.
    pub replaced_nodes: Vec<u64>,
    /// The index could not be written: what is stored is in it no more, and a restart builds it anew.
    pub index_error: Option<StoreError>,
}

/// What lies beside a series' tree, stored: of series where any of it was not.
struct SeriesDone {
    component: ComponentName,
    metric: MetricName,
    labels: Labels,
    id: u64,
    runs: Vec<Run>,
    stored: Vec<VersionKey>,
}

/// A fold being written: children get their places only once the file is whole.
struct Writing<'a> {
    loader: &'a Loader,
    settings: &'a Settings,
    is_awaited: &'a AtomicBool,
    /// The blocks that come next, where they are packed already.
    ahead: VecDeque<(Arc<Child>, Vec<u8>)>,
    writer: Box<dyn FoldWriter>,
    places: Vec<(Arc<Child>, Place)>,
}

impl Fold {
    /// Writes the fold file, then the index. Cost: that of packing what changed, point by point.
    pub fn run(self, loader: &Loader, settings: &Settings) -> Folded {
        let written = match self.write(loader, settings) {
            // On a full disk the store keeps a reserve, which the next attempt has.
            Err(StoreError::Full { .. }) => self.write(loader, settings),
            written => written,
        };
        match written {
            Ok(done) => Folded::Done(Box::new(done)),
            Err(error) => Folded::Failed { error, dirty: self.dirty, memtable_bytes: self.memtable_bytes },
        }
    }

    fn write(&self, loader: &Loader, settings: &Settings) -> Result<Done, StoreError> {
        let writer = loader.store().begin_fold(self.through)?;
        let mut writing = Writing {
            loader,
            settings,
            is_awaited: &self.is_awaited,
            ahead: VecDeque::new(),
            writer,
            places: Vec::new(),
        };
        let mut done = Done {
            through: self.through,
            series: Vec::new(),
            metrics: Vec::new(),
            components: Vec::new(),
            replaced_nodes: Vec::new(),
            index_error: None,
        };
        let touched = self.touched();
        for touched in &touched {
            writing.component(touched, &mut done)?;
        }
        if !planted::is(Bug::ForgetIdsInFold) {
            writing.ids(&self.dirty.ids)?;
        }
        let Writing { writer, places, .. } = writing;
        let mut behind = loader.hold_publishing();
        writer.finish()?;
        // From here on the fold is part of the store; the index only follows.
        for (child, place) in places {
            loader.stored(&child, place);
        }
        done.index_error = write_nodes(&touched, loader).err();
        for (name, series) in &self.dirty.components {
            let pages: HashSet<u64> = series.iter().map(pages::page_of).collect();
            behind.entry(name.clone()).or_default().extend(pages);
        }
        done.replaced_nodes.clone_from(&self.dirty.replaced_nodes);
        Ok(done)
    }

    /// What changed, in order: series that are asked for together lie together. Cost: a look at each series of these
    /// components, changed or not; to note where each is that changed would take some 50 bytes of memory.
    fn touched(&self) -> Vec<Touched<'_>> {
        let there = |(name, ids): (&_, &Changed)| {
            let component = &**self.state.get(name)?;
            let metrics = component.metrics.iter().map(|(name, metric)| {
                let all = metric.series.values().map(|series| &**series);
                (name, &**metric, all.filter(|series| ids.contains(series.id)).collect::<Vec<_>>())
            });
            Some(Touched { component, metrics: metrics.filter(|(.., series)| !series.is_empty()).collect() })
        };
        self.dirty.components.iter().filter_map(there).collect()
    }
}

/// A component, and its series that changed, by metric.
struct Touched<'a> {
    component: &'a Component,
    metrics: Vec<(&'a MetricName, &'a Metric, Vec<&'a Series>)>,
}

/// Writes what is read while the store is open: the nodes. The pages of series are read only by the next opening, and
/// written when this one ends. (They were written with every fold: 60,000 pages for every push to a million series.)
fn write_nodes(touched: &[Touched<'_>], loader: &Loader) -> Result<(), StoreError> {
    let mut index = IndexWriter::new(loader);
    let series = touched.iter().flat_map(|touched| &touched.metrics).flat_map(|(.., series)| series);
    for root in series.filter_map(|series| series.root.as_ref()) {
        index.tree(root)?;
    }
    index.write()
}

/// Packs a block, and lets others have the processor before: a fold is a long reckoning, and a question that comes meanwhile
/// would wait for the end of its time slice, 4 ms of a kernel that ticks 250 times a second. (By turns: the p99 of totals
/// beside a writer 6.0 ms without, 4.0 with it; since folds go behind others too, 2.9 and 2.3; the writer as fast.)
fn pack(leaf: &Leaf) -> Vec<u8> {
    std::thread::yield_now();
    block::pack(&leaf.columns)
}

impl Writing<'_> {
    fn component(&mut self, touched: &Touched<'_>, done: &mut Done) -> Result<(), StoreError> {
        let component = touched.component;
        let mut page = frames::SeriesPage::new(&component.name);
        for (name, metric, all) in &touched.metrics {
            let mut looked_at = 0;
            for (i, series) in all.iter().enumerate() {
                if i >= looked_at && self.is_awaited.load(Ordering::Relaxed) {
                    looked_at = i + self.pack_ahead(&all[i..])?;
                }
                let runs = self.series(component, metric, series, &mut page)?;
                if runs != series.history().runs || !series.history().recent.is_empty() {
                    done.series.push(SeriesDone {
                        component: component.name.clone(),
                        metric: MetricName::clone(name),
                        labels: series.labels.clone(),
                        id: series.id,
                        runs,
                        stored: series.history().recent.keys().copied().collect(),
                    });
                }
                page.flush_where_full(&mut *self.writer)?;
            }
        }
        page.flush(&mut *self.writer)?;
        for (name, metric, _) in &touched.metrics {
            let stored = self.changes(component, metric)?;
            done.metrics.push((component.name.clone(), MetricName::clone(name), stored));
        }
        done.components.push((component.name.clone(), component.catalog.len(), component.batches.len()));
        frames::put_component(component, &mut *self.writer)
    }

    /// Stores a series' blocks and past, and puts its record on the page. Answers its runs.
    fn series(
        &mut self,
        component: &Component,
        metric: &Metric,
        series: &Series,
        page: &mut frames::SeriesPage,
    ) -> Result<Vec<Run>, StoreError> {
        let mut inline = None;
        if let Some(root) = &series.root {
            match self.small(root)? {
                Some(packed) => {
                    if root.child.place().is_none() {
                        self.places.push((root.child.clone(), Place::Inline(packed.clone())));
                    }
                    inline = Some((root, packed));
                }
                None => self.blocks(component, metric, series, root)?,
            }
        }
        let runs = self.past(component, metric, series)?;
        page.add(metric, series, inline.as_ref().map(|(root, packed)| (*root, &**packed)));
        Ok(runs)
    }

    fn is_short(&self, root: &Entry) -> bool {
        root.sum.is_none_or(|sum| sum.count <= self.settings.page_points_max as u64)
    }

    /// A series that is one short block, packed.
    fn small(&self, root: &Entry) -> Result<Option<Arc<[u8]>>, StoreError> {
        match root.child.place() {
            Some(Place::Inline(packed)) => return Ok(Some(packed.clone())),
            Some(_) => return Ok(None),
            None if !self.is_short(root) => return Ok(None),
            None => {}
        }
        if let Some(packed) = root.child.packed_bytes() {
            return Ok(Some(packed));
        }
        match self.loader.load(&root.child)? {
            Body::Leaf(leaf) => Ok(Some(block::pack(&leaf.columns).into())),
            Body::Node(_) => Ok(None),
        }
    }

    /// The leaves under an entry that are not stored yet, in order.
    fn leaves(&self, entry: &Entry, found: &mut Vec<(Entry, Arc<Leaf>)>) -> Result<(), StoreError> {
        if entry.child.place().is_some() {
            return Ok(());
        }
        match self.loader.load(&entry.child)? {
            Body::Node(children) => children.iter().try_for_each(|child| self.leaves(child, found)),
            Body::Leaf(leaf) => {
                found.push((entry.clone(), leaf));
                Ok(())
            }
        }
    }

    /// Stores the blocks under an entry that are not stored yet.
    fn blocks(
        &mut self,
        component: &Component,
        metric: &Metric,
        series: &Series,
        root: &Entry,
    ) -> Result<(), StoreError> {
        let mut leaves = Vec::new();
        self.leaves(root, &mut leaves)?;
        for (entry, leaf) in leaves {
            let packed = match self.ahead.pop_front_if(|(child, _)| Arc::ptr_eq(child, &entry.child)) {
                Some((_, packed)) => packed,
                None => pack(&leaf),
            };
            let at = frames::put_block(&mut *self.writer, component, metric, series, &entry, &packed)?;
            self.places.push((entry.child, Place::Block(at)));
        }
        Ok(())
    }

    /// Packs the blocks of the next series ahead, in two threads; of how many series. It is for when somebody waits for the
    /// fold, for then nobody else needs the other processor. (Durable ingest of W1 waits for folds half of its time: by turns
    /// it takes 0.9 of the time so, with corrections too.)
    fn pack_ahead(&mut self, series: &[&Series]) -> Result<usize, StoreError> {
        let (mut leaves, mut looked_at) = (Vec::new(), 0);
        while let Some(series) = series.get(looked_at)
            && leaves.len() < BLOCKS_AHEAD_MIN
        {
            looked_at += 1;
            #[cfg(test)]
            tests::LOOKED_AT.with(|all| all.set(all.get() + 1));
            if let Some(root) = series.root.as_ref().filter(|root| !self.is_short(root)) {
                self.leaves(root, &mut leaves)?;
            }
        }
        if leaves.len() < 2 {
            return Ok(looked_at);
        }
        let next = AtomicUsize::new(0);
        // Each thread takes the next one that nobody has.
        let pack = || {
            let taken = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
            let leaves = taken.map_while(|i| Some((i, &leaves.get(i)?.1)));
            leaves.map(|(i, leaf)| (i, pack(leaf))).collect::<Vec<_>>()
        };
        let mut packed = std::thread::scope(|scope| {
            let other = scope.spawn(pack);
            let mut all = pack();
            all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            all
        });
        packed.sort_unstable_by_key(|(i, _)| *i);
        self.ahead = leaves.iter().zip(packed).map(|((entry, _), (_, packed))| (entry.child.clone(), packed)).collect();
        Ok(looked_at)
    }

    /// Stores what corrections replaced since the last fold; puts runs together where they are many.
    fn past(&mut self, component: &Component, metric: &Metric, series: &Series) -> Result<Vec<Run>, StoreError> {
        let history = series.history();
        let mut runs = history.runs.clone();
        if (history.recent.is_empty() && !history.anew) || planted::is(Bug::ForgetPastInFold) {
            return Ok(runs);
        }
        let folds: HashSet<Position> = runs.iter().map(|run| run.at.fold).collect();
        let all = match folds.len() + 1 >= RUNS_MAX {
            true => match history.versions(Time::MIN, Time::MAX, self.loader) {
                // A damaged run stays where it is, under its name; it does not keep others from being stored.
                Err(StoreError::Damaged { .. }) => None,
                all => Some(all?),
            },
            false => None,
        };
        let together = all.is_some() || history.anew;
        if together {
            runs.clear();
        }
        let recent = || history.recent.iter().map(|(key, point)| (*key, *point)).collect();
        let versions: Vec<_> = all.unwrap_or_else(recent);
        // Only where runs were given up there may be no version left: an empty run takes the place of all before.
        let empty = versions.is_empty().then_some(&[][..]);
        for (i, part) in versions.chunks(RUN_VERSIONS_MAX).chain(empty).enumerate() {
            let ends = part.first().zip(part.last()).map(|(first, last)| (first.0.0, last.0.0));
            let (first_key, last_key) = ends.unwrap_or((Time::MAX, Time::MIN));
            let packed = pack_run(part.iter().map(|(key, point)| (key, point)));
            let whole = together && i == 0;
            let at =
                frames::put_run(&mut *self.writer, component, metric, series, (first_key, last_key), whole, &packed)?;
            runs.push(Run { first_key, last_key, at });
        }
        Ok(runs)
    }

    fn changes(&mut self, component: &Component, metric: &Metric) -> Result<Vec<StoredChanges>, StoreError> {
        let mut stored = Vec::new();
        let recent: Vec<_> = metric.recent_changes.iter().collect();
        for part in recent.chunks(CHANGES_A_FRAME_MAX) {
            let bytes = super::changes::write_changes(part.iter().copied());
            let (first, last) = (part[0].revision, part[part.len() - 1].revision);
            let at = frames::put_changes(&mut *self.writer, component, metric, (first, last), &bytes)?;
            stored.push(StoredChanges { first_revision: first, last_revision: last, at });
        }
        Ok(stored)
    }

    fn ids(&mut self, ids: &[(ComponentName, [u8; 16], Remembered)]) -> Result<(), StoreError> {
        let mut by_component: BTreeMap<&ComponentName, Vec<(&[u8; 16], &Remembered)>> = BTreeMap::new();
        for (component, fingerprint, remembered) in ids {
            by_component.entry(component).or_default().push((fingerprint, remembered));
        }
        by_component.iter_mut().try_for_each(|(component, ids)| frames::put_ids(&mut *self.writer, component, ids))
    }
}

impl Done {
    /// What lies beside the trees: pasts and changes that are stored leave memory. Trees need nothing.
    pub fn take_over(&self, state: &mut State) {
        for (component, catalog, batches) in &self.components {
            if let Some(component) = state.get_mut(component) {
                let component = Arc::make_mut(component);
                (component.stored_catalog, component.stored_batches) = (*catalog, *batches);
            }
        }
        for done in &self.series {
            let Some(component) = state.get_mut(&done.component) else { continue };
            let Some(metric) = Arc::make_mut(component).metrics.get_mut(&done.metric) else { continue };
            let Some(series) = Arc::make_mut(metric).series.get_mut(&done.labels) else { continue };
            if series.id != done.id {
                continue;
            }
            let history = &mut Arc::make_mut(series).aside_mut().history;
            history.runs.clone_from(&done.runs);
            done.stored.iter().for_each(|key| {
                history.recent.remove(key);
            });
        }
        for (component, name, stored) in &self.metrics {
            let Some(last) = stored.last().map(|s| s.last_revision) else { continue };
            let Some(component) = state.get_mut(component) else { continue };
            let Some(metric) = Arc::make_mut(component).metrics.get_mut(name) else { continue };
            if metric.versions.first().is_none_or(|(made, _)| *made > last) {
                continue; // deleted and made again meanwhile
            }
            let metric = Arc::make_mut(metric);
            metric.stored_changes.extend(stored.iter().cloned());
            while metric.recent_changes.front().is_some_and(|change| change.revision <= last) {
                metric.recent_changes.pop_front();
            }
        }
    }
}
