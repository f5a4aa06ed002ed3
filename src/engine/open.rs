//! Opening: what the folds hold, then what the log has beyond them.
//!
//! The index says where the trees are, if it was closed cleanly; else it is built anew from the directories of
//! the fold files, which nobody needs to have believed in.

use super::Settings;
use super::batch::MetricId;
use super::codec::Undecodable;
use super::committer::State;
use super::dedup::{self, RequestIds};
use super::fold::frames::{self, FrameKind, SeriesRecord};
use super::fold::index::IndexWriter;
use super::fold::{Dirty, pages};
use super::history::{History, Run};
use super::replay::{Missing, Replay};
use super::standing::Standing;
use super::state::{Component, Series, StoredChanges};
use super::tree::Entry;
use super::tree::apply::nodes;
use super::tree::child::{Child, Loader, Place};
use crate::domain::name::{ComponentName, MetricName};
use crate::domain::time::Time;
use crate::store::{FrameRef, IndexState, Line, Position, StoreError};
use imbl::OrdMap;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

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
    /// Revisions that are missing, in a store that is opened to be repaired.
    pub missing: Vec<Missing>,
    /// There too: metrics whose making is missing, and the first revision in which something is lost because of it.
    pub unmade: BTreeMap<(ComponentName, MetricName), i64>,
}

/// A component while its frames are read.
struct Building {
    component: Component,
    ids: Vec<FrameRef>,
    series: HashMap<u64, SeriesBuilding>,
    changes: BTreeMap<MetricId, Vec<StoredChanges>>,
    damaged: Option<StoreError>,
}

/// A series while its frames are read.
enum SeriesBuilding {
    /// From the files.
    Frames(Standing<SeriesRecord, Entry, Run>),
    /// As the index has it.
    Indexed(pages::PageRecord),
}

fn damaged(line: &Line, at: FrameRef) -> impl Fn(Undecodable) -> StoreError {
    let file = format!("frame {} (kind {}) of the fold that ends at {}", at.number, line.kind, at.fold.0);
    move |e| e.in_file(file.clone())
}

/// Opens what the store holds. Cost: the directories of all folds, the pages of all series, the log's replay.
pub fn open(loader: &Arc<Loader>, settings: &Settings, now: Time) -> Result<Opened, StoreError> {
    let store = loader.store().clone();
    let mut lines = Vec::new();
    let folded = store.read_lines(&mut |line, at| lines.push((line, at)))?;
    let trusted = store.index_state() == IndexState::Trusted(folded);
    let mut building: BTreeMap<ComponentName, Building> = BTreeMap::new();
    let ids_from = dedup::oldest(now, settings.request_id_nanos_min);
    for (line, at) in &lines {
        let part = building.entry(line.component.clone()).or_insert_with(|| Building::new(&line.component));
        let taken = part.take(line, *at, loader, trusted, ids_from);
        part.bear(taken)?;
    }
    if trusted {
        read_pages(&mut building, loader)?;
    } else {
        store.reset_index()?;
    }
    let mut ids = RequestIds::new(settings.request_ids_max, settings.request_id_nanos_min);
    read_ids(&mut building, loader, &mut ids)?;
    let mut state = State::new();
    for (name, part) in building {
        let component = part.finish(loader, settings, trusted, folded)?;
        state.insert(name, Arc::new(component));
    }
    let mut opened = Opened {
        state,
        ids,
        dirty: Dirty::default(),
        last_position: folded,
        last_record_time: Time::MIN,
        folded,
        memtable_bytes: 0,
        damaged: None,
        missing: Vec::new(),
        unmade: BTreeMap::new(),
    };
    opened.last_record_time =
        opened.state.values().filter_map(|c| c.batches.last()).map(|b| b.record_time).max().unwrap_or(Time::MIN);
    Replay::new(&mut opened, loader, settings).run()?;
    opened.damaged = opened.state.values().find_map(|component| component.damaged.clone());
    Ok(opened)
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
        let part = parts.entry(line.component.clone()).or_insert_with(|| (Building::new(&line.component), false));
        let taken = part.0.take(line, *at, loader, false, Time::MAX);
        part.1 |= taken.is_err();
    }
    let whole = |(name, (part, damaged)): (ComponentName, (Building, bool))| {
        let Building { component, series, .. } = part;
        let names: HashMap<MetricId, _> = component.metrics.iter().map(|(name, m)| (m.id, name.clone())).collect();
        let series =
            series.into_iter().filter_map(|(id, series)| Some((id, series.finish(settings, &names, &component)?)));
        let series = series.collect();
        (name, Rebuilt { component, series, damaged })
    };
    parts.into_iter().map(whole).collect()
}

impl Building {
    fn new(name: &ComponentName) -> Building {
        Building {
            component: Component::new(name.clone()),
            ids: Vec::new(),
            series: HashMap::new(),
            changes: BTreeMap::new(),
            damaged: None,
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
        loader: &Loader,
        trusted: bool,
        ids_from: Time,
    ) -> Result<(), StoreError> {
        let bad = damaged(line, at);
        let kind = FrameKind::of(line.kind).map_err(&bad)?;
        match kind {
            FrameKind::Component => {
                let record = frames::read_component(&loader.store().read_frame(at)?).map_err(&bad)?;
                self.component.revision = record.revision;
                self.component.next_metric = record.next_metric;
                self.component.next_series = record.next_series;
                record.catalog.into_iter().for_each(|change| self.component.take_catalog(change));
                self.component.lost = record.lost;
            }
            FrameKind::Batches => {
                let facts = frames::read_batches(&loader.store().read_frame(at)?).map_err(&bad)?;
                self.component.batches.extend(facts);
            }
            FrameKind::Changes => {
                let (metric, first_revision, last_revision) = frames::read_changes_line(&line.summary).map_err(&bad)?;
                self.changes.entry(metric).or_default().push(StoredChanges { first_revision, last_revision, at });
            }
            FrameKind::Ids => {
                if frames::read_ids_line(&line.summary).map_err(&bad)? >= ids_from {
                    self.ids.push(at);
                }
            }
            FrameKind::Block | FrameKind::Run | FrameKind::SeriesPage if trusted => {}
            FrameKind::Block => {
                let (series, extent, sum) = frames::read_block_line(&line.summary).map_err(&bad)?;
                let entry = Entry { extent, sum, child: Child::stored(Place::Block(at)) };
                self.standing(series).take_block(extent.first_key, extent.last_key, entry);
            }
            FrameKind::Run => {
                let (series, first_key, last_key, whole) = frames::read_run_line(&line.summary).map_err(&bad)?;
                self.standing(series).take_run(Run { first_key, last_key, at }, whole);
            }
            FrameKind::SeriesPage => {
                for record in frames::read_series_page(&loader.store().read_frame(at)?).map_err(&bad)? {
                    self.standing(record.id).take_record(record);
                }
            }
        }
        Ok(())
    }

    /// A series, as far as its frames say.
    fn standing(&mut self, id: u64) -> &mut Standing<SeriesRecord, Entry, Run> {
        let series = self.series.entry(id).or_insert_with(|| SeriesBuilding::Frames(Standing::default()));
        let SeriesBuilding::Frames(standing) = series else { unreachable!("it is not read from the index too") };
        standing
    }

    /// The component, with the trees of its series.
    fn finish(
        mut self,
        loader: &Arc<Loader>,
        settings: &Settings,
        trusted: bool,
        folded: Position,
    ) -> Result<Component, StoreError> {
        if self.damaged.is_some() {
            self.component.damaged = self.damaged;
            return Ok(self.component);
        }
        let names: HashMap<MetricId, _> = self.component.metrics.iter().map(|(name, m)| (m.id, name.clone())).collect();
        let mut pages = BTreeSet::new();
        let mut index = IndexWriter::new(loader);
        for (id, building) in std::mem::take(&mut self.series) {
            // Series without a record, or of a metric that is gone, are of deleted metrics.
            let Some((record, root, runs)) = building.finish(settings, &names, &self.component) else { continue };
            let Some(name) = names.get(&record.metric) else {
                // A page that still says something of them: earlier versions left it.
                pages.insert(pages::page_of(id));
                continue;
            };
            if !trusted {
                if let Some(root) = &root {
                    index.tree(root)?;
                }
                // Without points too: of some series there is only an opening, or a past.
                pages.insert(pages::page_of(id));
            }
            let metric = self.component.metrics.get_mut(name).expect("names are of the component's metrics");
            let series = Series {
                id,
                labels: record.labels.clone(),
                openings: record.openings,
                root,
                history: History { runs, recent: OrdMap::new(), anew: false },
                lost: record.lost,
            };
            let metric = Arc::make_mut(metric);
            metric.written = true;
            metric.series.insert(record.labels, Arc::new(series));
        }
        for (metric, changes) in std::mem::take(&mut self.changes) {
            if let Some(metric) = names.get(&metric).and_then(|name| self.component.metrics.get_mut(name)) {
                Arc::make_mut(metric).stored_changes = changes;
            }
        }
        index.pages(&self.component, &pages, &|_| None)?;
        self.component.position = folded;
        self.component.stored_catalog = self.component.catalog.len();
        self.component.stored_batches = self.component.batches.len();
        Ok(self.component)
    }
}

impl SeriesBuilding {
    fn finish(
        self,
        settings: &Settings,
        names: &HashMap<MetricId, MetricName>,
        component: &Component,
    ) -> Option<pages::PageRecord> {
        let (mut record, mut level, runs) = match self {
            SeriesBuilding::Frames(standing) => standing.finish(|record| record.inline.is_some())?,
            SeriesBuilding::Indexed(record) => return Some(record),
        };
        let kind = component.metrics.get(names.get(&record.metric)?)?.definition().kind;
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
}

/// The series of an index that was closed cleanly.
fn read_pages(building: &mut BTreeMap<ComponentName, Building>, loader: &Loader) -> Result<(), StoreError> {
    let mut failed = None;
    let mut highest_node = 0;
    loader.store().scan_index(pages::PREFIX, &mut |key, value| {
        let Some(part) = pages::component_of(key).and_then(|name| building.get_mut(&name)) else { return };
        match pages::read(&value) {
            Ok(records) => {
                for record in records {
                    part.series.insert(record.0.id, SeriesBuilding::Indexed(record));
                }
            }
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
        for at in std::mem::take(&mut part.ids) {
            let read = loader.store().read_frame(at).and_then(|bytes| {
                frames::read_ids(&bytes)
                    .map_err(|e| e.in_file(format!("request ids {} of the fold that ends at {}", at.number, at.fold.0)))
            });
            let done = read.map(|more| found.extend(more));
            part.bear(done)?;
        }
    }
    found.sort_by_key(|(_, id)| id.record_time);
    found.into_iter().for_each(|(fingerprint, id)| ids.insert(fingerprint, &id));
    Ok(())
}
