//! Every frame of the fold files: that it decodes, that its line says of it what is in it, that revisions follow each
//! other and recorded time does not go back.

use super::scan::{Scan, difference};
use super::{Finding, Go, Touches, Verifying};
use crate::domain::calendar::Calendar;
use crate::domain::definition::Definition;
use crate::domain::name::ComponentName;
use crate::domain::point::Labels;
use crate::domain::time::Time;
use crate::engine::batch::MetricId;
use crate::engine::block;
use crate::engine::changes::read_changes;
use crate::engine::codec::{Reader, Undecodable};
use crate::engine::fold::frames::{self, FrameKind};
use crate::engine::history::unpack_run;
use crate::engine::tree::Extent;
use crate::store::{Line, Position};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow::{self, Continue};
use std::sync::Arc;

/// What the folds come to.
#[derive(Default)]
pub(super) struct Folded {
    /// The position they reach.
    pub reach: Position,
    /// The request ids they hold.
    pub ids: HashSet<[u8; 16]>,
    /// The last revision of each component.
    pub revisions: BTreeMap<ComponentName, i64>,
    /// Names of what ids stand for.
    names: HashMap<ComponentName, Names>,
}

/// What the ids of a component stand for.
#[derive(Default)]
struct Names {
    metrics: HashMap<MetricId, (Arc<Definition>, Option<Arc<Calendar>>)>,
    series: HashMap<u64, (MetricId, Labels)>,
    batches: u64,
    last_record_time: Option<Time>,
}

/// What is wrong with a frame that was read.
type Fault = Result<(), String>;

impl Verifying<'_> {
    /// Every frame. Lines are kept in memory: some hundred bytes a block.
    pub(super) fn folds(&mut self) -> ControlFlow<(), Folded> {
        let store = self.shared.loader.store().clone();
        let mut folded = Folded::default();
        folded.know(self);
        let mut lines = Vec::new();
        match store.read_lines(&mut |line, at| lines.push((line, at))) {
            Ok(reach) => folded.reach = reach,
            Err(error) => self.damage(error, None)?,
        }
        for (i, (line, at)) in lines.iter().enumerate() {
            self.counts.frames += 1;
            let wrong = match store.read_frame(*at) {
                // Given up. Something that refers to it would be found where it does.
                Ok(bytes) if bytes.is_empty() && is_of_points(line) => continue,
                Ok(bytes) if bytes.is_empty() => folded.given_up(line),
                Ok(bytes) => folded.frame(line, &bytes),
                Err(error) => {
                    let touches = folded.touches(line);
                    self.damage(error, Some(touches))?;
                    continue;
                }
            };
            if let Err(what) = wrong {
                let (file, offset) = store.locate(*at);
                let what = format!("frame {} (kind {}): {what}", at.number, line.kind);
                self.watch.found(Finding { file, offset, touches: Some(folded.touches(line)), what })?;
            }
            if i % 1_024 == 0 {
                self.tell()?;
            }
        }
        Continue(folded)
    }

    /// What ids stand for now, so that frames that cannot be read have names.
    fn names(&self) -> HashMap<ComponentName, Names> {
        let mut all = HashMap::new();
        for (name, component) in &self.state() {
            let mut names = Names::default();
            for change in &component.catalog {
                if let Some(definition) = change.new.as_ref() {
                    let periods = definition.periods().map(Arc::new);
                    names.metrics.insert(change.id, (definition.clone(), periods));
                }
            }
            for metric in component.metrics.values() {
                for series in metric.series.values() {
                    names.series.insert(series.id, (metric.id, series.labels.clone()));
                }
            }
            all.insert(name.clone(), names);
        }
        all
    }

    /// The request ids that are remembered are in the files.
    pub(super) fn ids(&mut self, held: &[[u8; 16]], logged: &super::log::Logged, folded: &Folded) -> Go {
        let is_kept = |id: &&[u8; 16]| logged.ids.contains(*id) || folded.ids.contains(*id);
        let lost = held.iter().filter(|id| !is_kept(id)).count();
        match lost {
            0 => Continue(()),
            lost => self.wrong("the folds", None, format!("{lost} request ids are remembered and in no file")),
        }
    }
}

/// A block or a run.
fn is_of_points(line: &Line) -> bool {
    matches!(FrameKind::of(line.kind), Ok(FrameKind::Block | FrameKind::Run))
}

impl Folded {
    /// Takes over what ids stand for now.
    pub(super) fn know(&mut self, verifying: &Verifying) {
        self.names = verifying.names();
    }

    /// What a line is about, as far as it says.
    fn touches(&self, line: &Line) -> Touches {
        let touches = Touches::component(&line.component);
        let Some(names) = self.names.get(&line.component) else { return touches };
        let of_metric = |id: MetricId| names.metrics.get(&id).map(|(definition, _)| definition);
        match FrameKind::of(line.kind) {
            Ok(FrameKind::Changes) => {
                let metric = frames::read_changes_line(&line.summary).ok().and_then(|(id, ..)| of_metric(id));
                metric.map_or(touches, |definition| Touches::metric(&line.component, &definition.name))
            }
            Ok(FrameKind::Block | FrameKind::Run) => {
                let Ok((metric, series, first, last)) = read_stretch(line) else { return touches };
                let Some(definition) = of_metric(metric) else { return touches };
                let whole = match names.series.get(&series).filter(|(id, _)| *id == metric) {
                    Some((_, labels)) => Touches::series(&line.component, definition, labels),
                    None => Touches::metric(&line.component, &definition.name),
                };
                whole.between(first, last)
            }
            _ => touches,
        }
    }

    /// A frame of a component's own that was given up: what follows goes on behind it.
    fn given_up(&mut self, line: &Line) -> Fault {
        let undecodable = |e: Undecodable| e.to_string();
        match FrameKind::of(line.kind).map_err(undecodable)? {
            FrameKind::Batches => {
                let (first, count) = frames::read_batches_line(&line.summary).map_err(undecodable)?;
                self.names.entry(line.component.clone()).or_default().batches = (first + count - 1) as u64;
            }
            FrameKind::Component => {
                let revision = frames::read_component_line(&line.summary).map_err(undecodable)?;
                self.revisions.insert(line.component.clone(), revision);
            }
            _ => {}
        }
        fault(true, "it was given up")
    }

    /// What is wrong with a frame whose checksum is right.
    pub(super) fn frame(&mut self, line: &Line, bytes: &[u8]) -> Fault {
        let kind = FrameKind::of(line.kind).map_err(|e| e.to_string())?;
        let undecodable = |e: Undecodable| e.to_string();
        let names = self.names.entry(line.component.clone()).or_default();
        match kind {
            FrameKind::Block => {
                let columns = block::unpack(bytes).map_err(undecodable)?;
                let (_, extent, sum) = frames::read_block_line(&line.summary).map_err(undecodable)?;
                check_extent(&extent, &columns)?;
                let metric = MetricId(Reader(&line.summary).unsigned().map_err(undecodable)?);
                let Some((definition, periods)) = names.metrics.get(&metric) else { return Ok(()) };
                let mut scan = Scan::new(definition.kind, periods.as_deref());
                columns.points(0..columns.len()).for_each(|point| scan.add(&point));
                match difference(sum.as_ref(), scan.total().flatten().as_ref()) {
                    Some(what) => Err(format!("its line says of its points what they do not come to: {what}")),
                    None => Ok(()),
                }
            }
            FrameKind::Run => {
                let versions = unpack_run(bytes).map_err(undecodable)?;
                let (_, first, last, _) = frames::read_run_line(&line.summary).map_err(undecodable)?;
                let ends = versions.first().zip(versions.last()).map(|(first, last)| (first.0.0, last.0.0));
                fault(ends != Some((first, last)), "its line says other times")
            }
            FrameKind::SeriesPage => {
                let records = frames::read_series_page(bytes).map_err(undecodable)?;
                for record in &records {
                    names.series.entry(record.id).or_insert((record.metric, record.labels.clone()));
                    if let Some((extent, _, packed)) = &record.inline {
                        check_extent(extent, &block::unpack(packed).map_err(undecodable)?)?;
                    }
                }
                let said = Reader(&line.summary).unsigned().map_err(undecodable)?;
                fault(said != records.len() as u64, "its line says another number of series")
            }
            FrameKind::Component => {
                let record = frames::read_component(bytes).map_err(undecodable)?;
                for change in &record.catalog {
                    if let Some(definition) = &change.new {
                        let periods = definition.periods().map(Arc::new);
                        names.metrics.entry(change.id).or_insert((definition.clone(), periods));
                    }
                }
                let before = self.revisions.insert(line.component.clone(), record.revision);
                let later = |revision: i64| before.unwrap_or(0) < revision && revision <= record.revision;
                let known = record.catalog.iter().all(|change| later(change.revision));
                fault(!known || before.is_some_and(|r| r > record.revision), "its revisions do not follow")
            }
            FrameKind::Batches => {
                let facts = frames::read_batches(bytes).map_err(undecodable)?;
                let mut summary = Reader(&line.summary);
                let (first, count) =
                    (summary.unsigned().map_err(undecodable)?, summary.unsigned().map_err(undecodable)?);
                let follows = first == names.batches + 1 && count == facts.len() as u64;
                names.batches = (first + count).saturating_sub(1);
                for batch in &facts {
                    if names.last_record_time.replace(batch.record_time).is_some_and(|last| batch.record_time < last) {
                        return Err(format!("recorded time goes back to {}", batch.record_time));
                    }
                }
                fault(!follows, "revisions are missing before it, or told twice")
            }
            FrameKind::Changes => {
                let changes = read_changes(bytes).map_err(undecodable)?;
                let (_, first, last) = frames::read_changes_line(&line.summary).map_err(undecodable)?;
                let inside = changes.iter().all(|change| (first..=last).contains(&change.revision));
                fault(!inside, "its line says other revisions")
            }
            FrameKind::Ids => {
                let ids = frames::read_ids(bytes).map_err(undecodable)?;
                let latest = ids.iter().map(|(_, id)| id.record_time).max().unwrap_or(Time::MIN);
                self.ids.extend(ids.iter().map(|(fingerprint, _)| *fingerprint));
                fault(
                    frames::read_ids_line(&line.summary).map_err(undecodable)? != latest,
                    "its line says another time",
                )
            }
        }
    }
}

/// What the lines of blocks and runs say: metric, series, first and last time.
fn read_stretch(line: &Line) -> Result<(MetricId, u64, Time, Time), Undecodable> {
    let mut reader = Reader(&line.summary);
    Ok((MetricId(reader.unsigned()?), reader.unsigned()?, reader.time()?, reader.time()?))
}

fn check_extent(extent: &Extent, columns: &block::Columns) -> Fault {
    let keys = extent.first_key.0..=extent.last_key.0;
    let revisions = extent.lowest_revision..=extent.highest_revision;
    let inside =
        columns.times.iter().all(|t| keys.contains(&t)) && columns.revisions.iter().all(|r| revisions.contains(&r));
    fault(!inside, "it holds points outside the range that is said of it")
}

fn fault(is: bool, what: &str) -> Fault {
    if is { Err(what.to_string()) } else { Ok(()) }
}
