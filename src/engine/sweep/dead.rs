//! What of the fold files is dead: blocks and runs that later ones took the place of, records of series that were
//! written again, request ids that need not be remembered any more, and all that is left of metrics that were deleted.
//! What cannot be known for damage counts as living.

use crate::domain::name::ComponentName;
use crate::domain::time::Time;
use crate::engine::batch::MetricId;
use crate::engine::codec::Undecodable;
use crate::engine::fold::frames::{self, FrameKind, PageRecord};
use crate::engine::standing::Standing;
use crate::engine::state::Component;
use crate::planted::{self, Bug};
use crate::store::{Anew, FrameRef, Line, Position, Store, StoreError};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What is dead, by fold.
#[derive(Default)]
pub struct Dead {
    frames: HashSet<FrameRef>,
    /// Pages of which some records are dead: the series whose records are not.
    pages: HashMap<FrameRef, HashSet<u64>>,
    /// By the last position that a fold covers.
    pub folds: BTreeMap<Position, Share>,
}

/// How much of a fold is dead.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Share {
    /// Bytes of all its frames.
    pub all: u64,
    /// Of these, bytes of dead ones.
    pub dead: u64,
}

/// A record of a series. Kept small: there may be millions.
struct Recorded {
    metric: MetricId,
    /// Of the component's `pages`.
    page: u32,
    /// Its length there.
    bytes: u32,
    is_inline: bool,
}

// It was 150 bytes once, of which a map that has just grown holds four for each series: a fifth of what milepost took
// with a million short ones.
const _: () = assert!(size_of::<Standing<Recorded, FrameRef, FrameRef>>() <= 32);

/// What of a page lives.
#[derive(Default)]
struct LivingOfPage {
    series: Vec<u64>,
    bytes: usize,
}

/// A component while its frames are looked at.
struct Looking {
    component: Component,
    series: HashMap<u64, Standing<Recorded, FrameRef, FrameRef>>,
    changes: Vec<(MetricId, FrameRef)>,
    /// Every frame, and its bytes.
    frames: Vec<(FrameRef, u64)>,
    /// Each page, and how many bytes of records it has.
    pages: Vec<(FrameRef, usize)>,
    /// What lives whatever series there are.
    living: HashSet<FrameRef>,
    /// Something cannot be read: nobody knows what is dead.
    is_damaged: bool,
}

impl Dead {
    /// What is dead of the folds through a position, as they are. Ids recorded before `ids_from` are. Reads all
    /// directories and pages. Memory: 40 to 130 bytes a series, as its table grows, and some 50 a frame.
    pub fn find(store: &dyn Store, through: Position, ids_from: Time) -> Result<Dead, StoreError> {
        let mut all: BTreeMap<ComponentName, Looking> = BTreeMap::new();
        let mut failed = None;
        store.read_lines(&mut |line, at| {
            if at.fold > through || failed.is_some() {
                return;
            }
            let bytes = store.frame_bytes(&line, at);
            let looking = all.entry(line.component.clone()).or_insert_with(|| Looking::new(&line.component));
            looking.frames.push((at, bytes));
            match looking.take(&line, at, store, ids_from) {
                Ok(()) => {}
                Err(StoreError::Damaged { .. } | StoreError::Format { .. }) => looking.is_damaged = true,
                Err(error) => failed = Some(error),
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        let mut dead = Dead::default();
        all.into_values().for_each(|looking| looking.finish(&mut dead));
        Ok(dead)
    }

    /// Bytes that are not dead.
    pub fn living(&self) -> u64 {
        self.folds.values().map(|share| share.all - share.dead).sum()
    }

    /// What becomes of a frame.
    pub fn fate(&self, store: &dyn Store, line: &Line, at: FrameRef) -> Result<Anew, StoreError> {
        if self.frames.contains(&at) {
            return Ok(Anew::Gone);
        }
        let Some(living) = self.pages.get(&at) else { return Ok(Anew::Stays) };
        let page = store.read_frame(at)?;
        let rest = frames::page_without(&line.component, &page, |id| living.contains(&id));
        let (line, page) = rest.map_err(|e| undecodable(e, line, at))?;
        Ok(Anew::Instead(line, page.into()))
    }
}

fn undecodable(error: Undecodable, line: &Line, at: FrameRef) -> StoreError {
    error.in_file(format!("frame {} (kind {}) of the fold that ends at {}", at.number, line.kind, at.fold.0))
}

impl Looking {
    fn new(name: &ComponentName) -> Looking {
        Looking {
            component: Component::new(name.clone()),
            series: HashMap::new(),
            changes: Vec::new(),
            frames: Vec::new(),
            pages: Vec::new(),
            living: HashSet::new(),
            is_damaged: false,
        }
    }

    fn take(&mut self, line: &Line, at: FrameRef, store: &dyn Store, ids_from: Time) -> Result<(), StoreError> {
        let bad = |e| undecodable(e, line, at);
        match FrameKind::of(line.kind).map_err(bad)? {
            FrameKind::Component => {
                self.living.insert(at);
                let record = frames::read_component(&store.read_frame(at)?).map_err(bad)?;
                record.catalog.into_iter().for_each(|change| self.component.take_catalog(change));
            }
            FrameKind::Batches => {
                self.living.insert(at);
            }
            FrameKind::Changes => {
                let (metric, ..) = frames::read_changes_line(&line.summary).map_err(bad)?;
                self.changes.push((metric, at));
            }
            FrameKind::Ids => {
                if frames::read_ids_line(&line.summary).map_err(bad)? >= ids_from {
                    self.living.insert(at);
                }
            }
            FrameKind::Block => {
                let (series, extent, _) = frames::read_block_line(&line.summary).map_err(bad)?;
                self.series.entry(series).or_default().take_block(extent.first_key, extent.last_key, at);
            }
            FrameKind::Run => {
                let (series, _, _, whole) = frames::read_run_line(&line.summary).map_err(bad)?;
                self.series.entry(series).or_default().take_run(at, whole);
            }
            FrameKind::SeriesPage => {
                let records = frames::read_page_records(&store.read_frame(at)?).map_err(bad)?;
                let page = u32::try_from(self.pages.len()).expect("files hold fewer pages");
                self.pages.push((at, records.iter().map(|record| record.bytes).sum()));
                for PageRecord { metric, id, is_inline, bytes } in records {
                    let bytes = u32::try_from(bytes).expect("a page is shorter");
                    self.series.entry(id).or_default().take_record(Recorded { metric, page, bytes, is_inline });
                }
            }
        }
        Ok(())
    }

    fn finish(mut self, dead: &mut Dead) {
        let metrics: HashSet<MetricId> = self.component.metrics.values().map(|metric| metric.id).collect();
        let mut pages: Vec<LivingOfPage> = self.pages.iter().map(|_| LivingOfPage::default()).collect();
        for (id, standing) in std::mem::take(&mut self.series) {
            let Some((record, blocks, runs)) = standing.finish(|record| record.is_inline) else { continue };
            if metrics.contains(&record.metric) {
                let living = &mut pages[record.page as usize];
                living.series.push(id);
                living.bytes += record.bytes as usize;
                self.living.extend(blocks);
                self.living.extend(runs);
            }
        }
        let pages = self.pages.into_iter().zip(pages).map(|((at, all), living)| (at, (all, living)));
        let mut pages: HashMap<_, _> = pages.filter(|(_, (_, living))| !living.series.is_empty()).collect();
        let changes = self.changes.iter().filter(|(metric, _)| metrics.contains(metric));
        self.living.extend(changes.map(|(_, at)| *at));
        for (at, bytes) in &self.frames {
            let share = dead.folds.entry(at.fold).or_default();
            share.all += bytes;
            if self.is_damaged || self.living.contains(at) {
                continue;
            }
            match pages.remove(at) {
                Some((all, some)) if some.bytes < all && planted::is(Bug::SweepLivingPage) => {
                    dead.frames.insert(*at);
                }
                Some((all, some)) if some.bytes < all => {
                    share.dead += (all - some.bytes) as u64;
                    dead.pages.insert(*at, some.series.into_iter().collect());
                }
                Some(_) => {}
                None => {
                    share.dead += bytes;
                    dead.frames.insert(*at);
                }
            }
        }
    }
}
