//! Opening: what the folds hold, then what the log has beyond them.
//!
//! The index says where the trees are, if it was closed cleanly; else it is built anew from the directories of
//! the fold files, which nobody needs to have believed in.

use super::Settings;
use super::batch::MetricId;
use super::codec::Undecodable;
use super::committer::State;
use super::dedup::{self, RequestIds};
use super::fold::changed::Changed;
use super::fold::frames::{self, FrameKind, SeriesRecord};
use super::fold::index::IndexWriter;
use super::fold::{Dirty, pages};
use super::history::{History, Run};
use super::repair::{Loss, Touched};
use super::replay::{Missing, Replay};
use super::standing::Standing;
use super::state::{Aside, Component, Series, StoredChanges};
use super::torn::{Marked, Torn};
use super::tree::Entry;
use super::tree::apply::nodes;
use super::tree::child::{Child, Loader, Place};
use crate::domain::definition::Kind;
use crate::domain::name::{ComponentName, MetricName};
use crate::domain::time::Time;
use crate::store::{Damage, FrameRef, Gap, IndexState, Line, Position, StoreError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

/// What opening found.
pub struct Opened {
    /// Everything committed.
    pub state: State,
    /// Remembered request ids.
    pub ids: RequestIds,
    /// What of it the folds do not hold.
    pub dirty: Dirty,
    /// The last position of the log.
    pub last_position: Position,
    /// The latest recorded time.
    pub last_record_time: Time,
    /// The folds hold everything through this.
    pub folded: Position,
    /// Bytes of what the folds do not hold.
    pub memtable_bytes: usize,
    /// A component is damaged: nothing may be folded, so that the log keeps all that came after the damage.
    pub damaged: Option<StoreError>,
    /// What of fold files cannot be read beside blocks and runs, in a store that is opened to be repaired.
    pub torn: Vec<Loss>,
    /// What is put there in the place of fold files that cannot be read, by the last position that they cover.
    pub lines: BTreeMap<Position, Vec<Line>>,
    /// The last of these files.
    pub hole: Option<Gap>,
    /// Revisions that are missing there.
    pub missing: Vec<Missing>,
    /// There too: metrics whose making is missing, and the first revision in which something is lost because of it.
    pub unmade: BTreeMap<(ComponentName, MetricName), i64>,
}

/// A component while its frames are read.
struct Building {
    component: Component,
    ids: Vec<(Line, FrameRef)>,
    /// From the files, by id. Apart from the map, which would take three times as much where there are very many.
    series: HashMap<u64, Box<Standing<SeriesRecord, Entry, Run>>>,
    /// As the index has them, by page.
    indexed: Vec<Vec<pages::PageRecord>>,
    changes: BTreeMap<MetricId, Vec<StoredChanges>>,
    damaged: Option<StoreError>,
    /// In a store that is opened to be repaired.
    torn: Option<Torn>,
}

/// What a frame of a component's own says. None: it was given up.
type Own<T> = Result<Option<T>, StoreError>;

fn read_own<T>(
    loader: &Loader,
    line: &Line,
    at: FrameRef,
    read: impl FnOnce(&[u8]) -> Result<T, Undecodable>,
) -> Own<T> {
    let frame = loader.store().read_frame(at)?;
    match frame.is_empty() {
        true => Ok(None),
        false => read(&frame).map(Some).map_err(damaged(line, at)),
    }
}

/// Pages of series from which on they are read ahead: of fewer it is not worth a thread.
const READ_AHEAD_FROM: usize = 64;
/// Pages that are read ahead, at most.
const READ_AHEAD_MAX: usize = 256;

/// Reads frames.
struct Reading<'a> {
    loader: &'a Loader,
    /// What pages of series say, in the order of their lines.
    ahead: Option<Receiver<Own<Vec<SeriesRecord>>>>,
}

impl<'env> Reading<'env> {
    /// Of very many series a thread of the scope unpacks the records while they are taken: most of what opening costs.
    fn of<'scope>(
        loader: &'env Loader,
        pages: Vec<&'env (Line, FrameRef)>,
        scope: &'scope Scope<'scope, 'env>,
    ) -> Reading<'env> {
        if pages.len() < READ_AHEAD_FROM {
            return Reading { loader, ahead: None };
        }
        let (found, ahead) = sync_channel(READ_AHEAD_MAX);
        scope.spawn(move || {
            let mut pages = pages.into_iter();
            // Until nobody wants to know.
            pages.try_for_each(|(line, at)| found.send(read_own(loader, line, *at, frames::read_series_page)))
        });
        Reading { loader, ahead: Some(ahead) }
    }

    fn page(&self, line: &Line, at: FrameRef) -> Own<Vec<SeriesRecord>> {
        match &self.ahead {
            Some(ahead) => ahead.recv().expect("every page is read, one after the other"),
            None => read_own(self.loader, line, at, frames::read_series_page),
        }
    }
}

fn damaged(line: &Line, at: FrameRef) -> impl Fn(Undecodable) -> StoreError {
    let file = format!("frame {} (kind {}) of the fold that ends at {}", at.number, line.kind, at.fold.0);
    move |e| e.in_file(file.clone())
}

/// What is done about a component of which something cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreadable {
    /// It is not served.
    Waits,
    /// It is opened around that, to be repaired.
    Repaired,
}

/// Opens what the store holds. Cost: the directories of all folds, the pages of all series, the log's replay.
pub fn open(
    loader: &Arc<Loader>,
    settings: &Settings,
    now: Time,
    unreadable: Unreadable,
) -> Result<Opened, StoreError> {
    let store = loader.store().clone();
    let mut lines = Vec::new();
    let folded = store.read_lines(&mut |line, at| lines.push((line, at)))?;
    let repairs = unreadable == Unreadable::Repaired;
    // Whoever repairs looks at every page, so that none is given up that holds what nothing else does.
    let trusted = store.index_state() == IndexState::Trusted(folded) && !repairs;
    let gaps: Vec<Gap> = store.gaps().into_iter().filter(|gap| gap.first <= gap.last && gap.last <= folded).collect();
    let new = |name: &ComponentName| Building::new(name, repairs.then_some(&gaps[..]));
    let mut building: BTreeMap<ComponentName, Building> = BTreeMap::new();
    let ids_from = dedup::oldest(now, settings.request_id_nanos_min);
    let is_page = |(line, _): &&(Line, FrameRef)| !trusted && line.kind == FrameKind::SeriesPage as u8;
    std::thread::scope(|scope| {
        let reading = Reading::of(loader, lines.iter().filter(is_page).collect(), scope);
        lines.iter().try_for_each(|(line, at)| {
            let part = building.entry(line.component.clone()).or_insert_with(|| new(&line.component));
            let taken = part.take(line, *at, &reading, trusted, ids_from);
            part.bear(taken)
        })
    })?;
    if trusted {
        read_pages(&mut building, loader)?;
    } else {
        store.reset_index()?;
    }
    let mut ids = RequestIds::new(settings.request_ids_max, settings.request_id_nanos_min);
    read_ids(&mut building, loader, &mut ids)?;
    let (mut state, mut dirty, mut torn) = (State::new(), Dirty::default(), Vec::new());
    let mut lines: BTreeMap<Position, Vec<Line>> = gaps.iter().map(|gap| (gap.last, Vec::new())).collect();
    let told = are_told(&gaps, &mut building);
    let mut open_ended = Vec::new();
    for (name, part) in building {
        let (component, marked) = part.finish(loader, settings, (trusted, folded), (told, now))?;
        if !marked.losses.is_empty() {
            dirty.components.insert(name.clone(), refused(&component));
            torn.extend(marked.losses);
        }
        open_ended.extend(marked.is_open_ended.then(|| name.clone()));
        marked.lines.into_iter().for_each(|(last, line)| lines.entry(last).or_default().push(line));
        state.insert(name, Arc::new(component));
    }
    let mut opened = Opened {
        state,
        ids,
        dirty,
        last_position: folded,
        last_record_time: Time::MIN,
        folded,
        memtable_bytes: 0,
        damaged: None,
        torn,
        lines,
        hole: gaps.last().cloned(),
        missing: Vec::new(),
        unmade: BTreeMap::new(),
    };
    opened.last_record_time =
        opened.state.values().filter_map(|c| c.batches.last()).map(|b| b.record_time).max().unwrap_or(Time::MIN);
    Replay::new(&mut opened, loader, settings, repairs).run()?;
    open_ended.iter().for_each(|name| opened.pass_hole(name));
    opened.damaged = opened.state.values().find_map(|component| component.damaged.clone());
    Ok(opened)
}

impl Opened {
    /// Revisions up to this one were in the last fold file that cannot be read: the file in its place says so.
    pub fn lose_revisions(&mut self, component: &mut Component, last: i64) {
        let Some(gap) = &self.hole else { return };
        let (first, count) = (component.revision + 1, last - component.revision);
        if component.position == Position(0) {
            // No other file tells of the component at all.
            let (damage, of) = (gap.damage.clone(), format!("the catalogue of {}", component.name));
            self.torn.push(Loss { damage, bytes: None, of, what: Touched::Catalogue, can_be_given_up: true });
            component.lose_ids(self.last_record_time, gap.damage.clone());
            let line = frames::ids_line(&component.name, self.last_record_time);
            self.lines.entry(gap.last).or_default().push(line);
        }
        component.lose_facts(count, gap.damage.clone());
        component.revision = last;
        component.stored_batches = component.batches.len();
        self.lines.entry(gap.last).or_default().push(frames::batches_line(&component.name, first, count));
    }

    /// The log does not say where a component goes on behind that file: behind as many revisions as it can have held, so
    /// that none is used twice.
    fn pass_hole(&mut self, name: &ComponentName) {
        let (Some(gap), Some(there)) = (self.hole.clone(), self.state.get(name).cloned()) else { return };
        if there.position > self.folded {
            return;
        }
        let mut component = Component::clone(&there);
        let last = component.revision + (gap.last.0 - gap.first.0 + 1) as i64;
        self.lose_revisions(&mut component, last);
        self.dirty.components.entry(name.clone()).or_default();
        self.state.insert(name.clone(), Arc::new(component));
    }
}

/// A component as its frames alone say, without log and index.
pub struct Rebuilt {
    /// Beside its series.
    pub component: Component,
    /// Its series, by id.
    pub series: BTreeMap<u64, pages::PageRecord>,
    /// Something of it could not be read, and is missing here.
    pub damaged: bool,
}

/// What the frames of these lines come to, all components apart. Nothing is written. Cost: as opening without an index.
pub fn rebuild(loader: &Loader, settings: &Settings, lines: &[(Line, FrameRef)]) -> BTreeMap<ComponentName, Rebuilt> {
    let mut parts: BTreeMap<ComponentName, (Building, bool)> = BTreeMap::new();
    for (line, at) in lines {
        let part = parts.entry(line.component.clone()).or_insert_with(|| (Building::new(&line.component, None), false));
        let taken = part.0.take(line, *at, &Reading { loader, ahead: None }, false, Time::MAX);
        part.1 |= taken.is_err();
    }
    let whole = |(name, (part, damaged)): (ComponentName, (Building, bool))| {
        let Building { component, series, .. } = part;
        let kinds = kinds(&component);
        let series = series.into_iter().filter_map(|(id, standing)| Some((id, grown(*standing, settings, &kinds)?)));
        let series = series.collect();
        (name, Rebuilt { component, series, damaged })
    };
    parts.into_iter().map(whole).collect()
}

/// Whether every record of the one fold file that cannot be read is known to have made a revision of a component that has
/// later ones: then it held nothing of others.
fn are_told(gaps: &[Gap], building: &mut BTreeMap<ComponentName, Building>) -> bool {
    let held: Vec<_> = building.values_mut().filter_map(|part| part.torn.as_mut()).map(Torn::pass).collect();
    let [gap] = gaps else { return false };
    let told: i64 = held.iter().filter_map(|held| held[0]).sum();
    i64::try_from(gap.last.0 - gap.first.0 + 1) == Ok(told)
}

/// The series of which something was given up for good, by id.
fn refused(component: &Component) -> Changed {
    let all = component.metrics.values().flat_map(|metric| metric.series.values());
    all.filter(|series| series.lost().iter().any(|lost| lost.given_up)).map(|series| series.id).collect()
}

impl Building {
    fn new(name: &ComponentName, repairs: Option<&[Gap]>) -> Building {
        Building {
            component: Component::new(name.clone()),
            ids: Vec::new(),
            series: HashMap::new(),
            indexed: Vec::new(),
            changes: BTreeMap::new(),
            damaged: None,
            torn: repairs.map(Torn::new),
        }
    }

    /// A frame of the component's own. Where it was given up, or is given up now: where it is.
    fn own<T>(
        &mut self,
        line: &Line,
        at: FrameRef,
        loader: &Loader,
        read: impl FnOnce(&[u8]) -> Result<T, Undecodable>,
    ) -> Result<Result<T, Damage>, StoreError> {
        self.told(line, at, loader, read_own(loader, line, at, read))
    }

    /// As `own`, of what was read.
    fn told<T>(
        &mut self,
        line: &Line,
        at: FrameRef,
        loader: &Loader,
        found: Own<T>,
    ) -> Result<Result<T, Damage>, StoreError> {
        match found {
            Ok(Some(found)) => Ok(Ok(found)),
            Ok(None) => {
                let (file, offset) = loader.store().locate(at);
                Ok(Err(Damage { file, offset, what: format!("frame {} was given up", at.number) }))
            }
            Err(StoreError::Damaged { file, offset, what, .. }) if let Some(torn) = &mut self.torn => {
                let damage = Damage { file, offset, what };
                let kind = FrameKind::of(line.kind).map_err(damaged(line, at))?;
                torn.lose(line, kind, (at, loader.store().frame_length(at)), damage.clone());
                Ok(Err(damage))
            }
            Err(error) => Err(error),
        }
    }

    /// Damage is this component's affair; anything else ends the opening.
    fn bear(&mut self, done: Result<(), StoreError>) -> Result<(), StoreError> {
        match done {
            Err(error @ StoreError::Damaged { .. }) => {
                tracing::error!(%error, component = %self.component.name, "a component is damaged and not served");
                self.damaged.get_or_insert(error);
                Ok(())
            }
            done => done,
        }
    }

    fn take(
        &mut self,
        line: &Line,
        at: FrameRef,
        reading: &Reading,
        trusted: bool,
        ids_from: Time,
    ) -> Result<(), StoreError> {
        let loader = reading.loader;
        let bad = damaged(line, at);
        let kind = FrameKind::of(line.kind).map_err(&bad)?;
        match kind {
            FrameKind::Component => match self.own(line, at, loader, frames::read_component)? {
                Ok(record) => {
                    self.torn.iter_mut().for_each(|torn| torn.component(at.fold, record.revision, record.next_series));
                    self.component.revision = record.revision;
                    self.component.next_metric = record.next_metric;
                    self.component.next_series = record.next_series;
                    record.catalog.into_iter().for_each(|change| self.component.take_catalog(change));
                    self.component.lost = record.lost;
                }
                // What it held beside that is held elsewhere, or is refused.
                Err(_) => self.component.revision = frames::read_component_line(&line.summary).map_err(&bad)?,
            },
            FrameKind::Batches => {
                let (first, count) = frames::read_batches_line(&line.summary).map_err(&bad)?;
                if let Some(torn) = &mut self.torn {
                    torn.facts(at.fold, first, count);
                    let missing = first - 1 - self.component.batches.len() as i64;
                    if let Some(damage) = torn.damage_before(at.fold).filter(|_| missing > 0) {
                        self.component.lose_facts(missing, damage.clone());
                    }
                }
                match self.own(line, at, loader, frames::read_batches)? {
                    Ok(facts) => self.component.batches.extend(facts),
                    Err(damage) => self.component.lose_facts(count, damage),
                }
            }
            FrameKind::Changes => {
                let (metric, first_revision, last_revision) = frames::read_changes_line(&line.summary).map_err(&bad)?;
                self.torn.iter_mut().for_each(|torn| torn.met(metric, 0));
                self.changes.entry(metric).or_default().push(StoredChanges { first_revision, last_revision, at });
            }
            FrameKind::Ids => {
                if frames::read_ids_line(&line.summary).map_err(&bad)? >= ids_from {
                    self.ids.push((line.clone(), at));
                }
            }
            FrameKind::Block | FrameKind::Run | FrameKind::SeriesPage if trusted => {}
            FrameKind::Block => {
                self.torn.iter_mut().for_each(|torn| torn.stretch(line));
                let (series, extent, sum) = frames::read_block_line(&line.summary).map_err(&bad)?;
                let entry = Entry { extent, sum, child: Child::stored(Place::Block(at)) };
                self.standing(series).take_block(extent.first_key, extent.last_key, entry);
            }
            FrameKind::Run => {
                self.torn.iter_mut().for_each(|torn| torn.stretch(line));
                let (series, first_key, last_key, whole) = frames::read_run_line(&line.summary).map_err(&bad)?;
                self.standing(series).take_run(Run { first_key, last_key, at }, whole);
            }
            FrameKind::SeriesPage => {
                for record in self.told(line, at, loader, reading.page(line, at))?.unwrap_or_default() {
                    self.torn.iter_mut().for_each(|torn| torn.record(at.fold, &record));
                    self.standing(record.id).take_record(record);
                }
            }
        }
        Ok(())
    }

    /// A series, as far as its frames say.
    fn standing(&mut self, id: u64) -> &mut Standing<SeriesRecord, Entry, Run> {
        self.series.entry(id).or_default()
    }

    /// The component, with the trees of its series.
    fn finish(
        mut self,
        loader: &Arc<Loader>,
        settings: &Settings,
        (trusted, folded): (bool, Position),
        (told, now): (bool, Time),
    ) -> Result<(Component, Marked), StoreError> {
        if self.damaged.is_some() {
            self.component.damaged = self.damaged;
            return Ok((self.component, Marked::default()));
        }
        let torn = self.torn.take().unwrap_or_default();
        // Facts may be lost with a fold file that nothing but the component's revision tells of.
        let missing = self.component.revision - self.component.batches.len() as i64;
        if let Some(damage) = torn.damage_before(Position(u64::MAX)).filter(|_| missing > 0) {
            self.component.lose_facts(missing, damage.clone());
        }
        let mut marked = torn.mark(&mut self.component, told, now);
        let names: HashMap<MetricId, _> = self.component.metrics.iter().map(|(name, m)| (m.id, name.clone())).collect();
        let mut pages = BTreeSet::new();
        let mut index = IndexWriter::new(loader);
        // By id, which is nearly the order of labels: the map of series grows at its end then, and not all over.
        let mut series: Vec<_> = std::mem::take(&mut self.series).into_iter().collect();
        series.sort_unstable_by_key(|(id, _)| *id);
        let kinds = kinds(&self.component);
        // Series without a record, or of a metric that is gone, are of deleted metrics.
        let series = series.into_iter().filter_map(|(_, standing)| grown(*standing, settings, &kinds));
        let indexed = std::mem::take(&mut self.indexed).into_iter().flatten();
        for (mut record, root, runs) in indexed.chain(series) {
            let id = record.id;
            let Some(name) = names.get(&record.metric) else {
                // A page that still says something of them: earlier versions left it.
                pages.insert(pages::page_of(id));
                continue;
            };
            marked.series(&self.component, &mut record);
            if !trusted {
                if let Some(root) = &root {
                    index.tree(root)?;
                }
                // Without points too: of some series there is only an opening, or a past.
                pages.insert(pages::page_of(id));
            }
            let metric = self.component.metrics.get_mut(name).expect("names are of the component's metrics");
            let history = History { runs, ..History::default() };
            let aside = Aside { openings: record.openings, history, lost: record.lost };
            let series = Series::new(id, record.labels.clone(), root, aside);
            let metric = Arc::make_mut(metric);
            metric.written = true;
            metric.series.insert(record.labels, Arc::new(series));
        }
        for (metric, changes) in std::mem::take(&mut self.changes) {
            if let Some(metric) = names.get(&metric).and_then(|name| self.component.metrics.get_mut(name)) {
                Arc::make_mut(metric).stored_changes = changes;
            }
        }
        index.write()?;
        if !pages.is_empty() {
            loader.hold_publishing().insert(self.component.name.clone(), pages);
        }
        self.component.position = folded;
        self.component.stored_catalog = self.component.catalog.len();
        self.component.stored_batches = self.component.batches.len();
        Ok((self.component, marked))
    }
}

/// The kinds of a component's metrics.
fn kinds(component: &Component) -> HashMap<MetricId, Kind> {
    component.metrics.values().map(|metric| (metric.id, metric.definition().kind)).collect()
}

/// The series that its frames come to, with its tree. None: it has no record, or its metric is gone.
fn grown(
    standing: Standing<SeriesRecord, Entry, Run>,
    settings: &Settings,
    kinds: &HashMap<MetricId, Kind>,
) -> Option<pages::PageRecord> {
    let (mut record, mut level, runs) = standing.finish(|record| record.inline.is_some())?;
    let kind = *kinds.get(&record.metric)?;
    let root = match record.inline.take() {
        Some((extent, sum, packed)) => Some(Entry { extent, sum, child: Child::stored(Place::Inline(packed)) }),
        None => {
            while level.len() > 1 {
                level = nodes(kind, level, settings.node_children_max, true);
            }
            level.pop()
        }
    };
    Some((record, root, runs))
}

/// The series of an index that was closed cleanly.
fn read_pages(building: &mut BTreeMap<ComponentName, Building>, loader: &Loader) -> Result<(), StoreError> {
    let mut failed = None;
    let mut highest_node = 0;
    loader.store().scan_index(pages::PREFIX, &mut |key, value| {
        let Some(part) = pages::component_of(key).and_then(|name| building.get_mut(&name)) else { return };
        match pages::read(&value) {
            Ok(records) => part.indexed.push(records),
            Err(e) => failed = Some(e),
        }
    })?;
    loader.store().scan_index(b"N", &mut |key, _| {
        if let Some(id) = key.get(1..9).and_then(|id| id.try_into().ok()) {
            highest_node = u64::from_be_bytes(id).max(highest_node);
        }
    })?;
    loader.nodes_from(highest_node + 1);
    match failed {
        None => Ok(()),
        Some(e) => Err(e.in_file("the index".to_string())),
    }
}

fn read_ids(
    building: &mut BTreeMap<ComponentName, Building>,
    loader: &Loader,
    ids: &mut RequestIds,
) -> Result<(), StoreError> {
    let mut found = Vec::new();
    for part in building.values_mut() {
        for (line, at) in std::mem::take(&mut part.ids) {
            let done = part.own(&line, at, loader, frames::read_ids).and_then(|read| {
                match read {
                    Ok(more) => found.extend(more),
                    Err(damage) => {
                        let last = frames::read_ids_line(&line.summary).map_err(damaged(&line, at))?;
                        part.component.lose_ids(last, damage);
                    }
                }
                Ok(())
            });
            part.bear(done)?;
        }
    }
    found.sort_by_key(|(_, id)| id.record_time);
    found.into_iter().for_each(|(fingerprint, id)| ids.insert(fingerprint, &id));
    Ok(())
}
