//! The frames of a fold file: what the engine keeps in them, and what their directory lines say, byte by byte.
//!
//! Every frame starts with a format byte: 3 for pages of series and components, which in format 1 did not say what is
//! lost (see `lost`) and in 2 not what of it was given up for good, 1 for others. A frame without bytes was given up. A line's summary is enough to rebuild the index without reading
//! the frame, but for pages of small series, which hold their points.
//!
//! ```text
//! kind  frame                                             summary
//! 1     a packed block (see `block`)                      metric id, series id, extent and sum (see `tree`)
//! 2     a run of replaced versions (see `history`)        metric id, series id, first, last, 1 where it takes the place of all before
//! 3     a page of series' records                         their number
//! 4     component: revision, next ids, catalogue changes, revision
//!       what is lost of the catalogue
//! 5     batches: first revision, facts of each            first revision, number
//! 6     changes of one metric (see `changes`)             metric id, first revision, last revision
//! 7     request ids                                       latest recorded time
//! ```

use crate::domain::name::ComponentName;
use crate::domain::point::{Labels, Opening};
use crate::domain::time::Time;
use crate::engine::batch::MetricId;
use crate::engine::codec::{Reader, Undecodable, Writer};
use crate::engine::dedup::Remembered;
use crate::engine::definition_codec::{read_definition, write_definition};
use crate::engine::effect::{Memo, read_labels, read_memo, read_opening, write_labels, write_memo, write_opening};
use crate::engine::lost::{Lost, LostMetric, read_lost, read_lost_metrics, write_lost, write_lost_metrics};
use crate::engine::state::{BatchFacts, CatalogChange, Component, Metric, Series};
use crate::engine::tree::Entry;
use crate::engine::tree::summary::{read_summary, write_summary};
use crate::planted::{self, Bug};
use crate::store::{FoldWriter, FrameRef, Line, StoreError};
use std::sync::Arc;

/// Bytes after which a page of series is written.
const PAGE_BYTES: usize = 4 << 10;
/// Revisions whose facts are in one frame, at most.
const BATCHES_A_FRAME_MAX: usize = 1 << 16;

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs)] // the table above says it
pub enum FrameKind {
    Block = 1,
    Run = 2,
    SeriesPage = 3,
    Component = 4,
    Batches = 5,
    Changes = 6,
    Ids = 7,
}

impl FrameKind {
    /// By its number.
    pub fn of(number: u8) -> Result<FrameKind, Undecodable> {
        use FrameKind::*;
        let all = [Block, Run, SeriesPage, Component, Batches, Changes, Ids];
        let known = Ids as u8;
        let kind = all.into_iter().find(|kind| *kind as u8 == number);
        kind.ok_or(Undecodable::TooNew { what: "kind", found: number, known })
    }
}

fn line(component: &ComponentName, kind: FrameKind, summary: Writer) -> Line {
    Line { component: component.clone(), kind: kind as u8, summary: summary.0.into() }
}

/// Stores a block.
pub fn put_block(
    writer: &mut dyn FoldWriter,
    component: &Component,
    metric: &Metric,
    series: &Series,
    entry: &Entry,
    packed: &[u8],
) -> Result<FrameRef, StoreError> {
    let mut summary = Writer::default();
    summary.unsigned(metric.id.0);
    summary.unsigned(series.id);
    write_summary(&mut summary, &entry.extent, entry.sum.as_ref());
    writer.put(line(&component.name, FrameKind::Block, summary), packed)
}

/// What a block's line says.
pub fn read_block_line(
    summary: &[u8],
) -> Result<(u64, crate::engine::tree::Extent, Option<crate::domain::aggregate::Aggregate>), Undecodable> {
    let mut reader = Reader(summary);
    let _metric = reader.unsigned()?;
    let series = reader.unsigned()?;
    let (extent, sum) = read_summary(&mut reader)?;
    Ok((series, extent, sum))
}

/// Stores a run. `whole`: it takes the place of all runs before.
pub fn put_run(
    writer: &mut dyn FoldWriter,
    component: &Component,
    metric: &Metric,
    series: &Series,
    (first, last): (Time, Time),
    whole: bool,
    packed: &[u8],
) -> Result<FrameRef, StoreError> {
    let mut summary = Writer::default();
    summary.unsigned(metric.id.0);
    summary.unsigned(series.id);
    summary.time(first);
    summary.time(last);
    summary.byte(u8::from(whole));
    writer.put(line(&component.name, FrameKind::Run, summary), packed)
}

/// What a run's line says: series, first, last, whether it takes the place of all before.
pub fn read_run_line(summary: &[u8]) -> Result<(u64, Time, Time, bool), Undecodable> {
    let mut reader = Reader(summary);
    let _metric = reader.unsigned()?;
    Ok((reader.unsigned()?, reader.time()?, reader.time()?, reader.byte()? != 0))
}

/// The format of pages of series and of components.
const FORMAT: u8 = 3;

/// Records of series, some to a frame.
pub struct SeriesPage {
    component: ComponentName,
    records: Writer,
    count: u64,
}

/// A series' record.
pub struct SeriesRecord {
    /// Its metric.
    pub metric: MetricId,
    /// Its id.
    pub id: u64,
    /// Its label values.
    pub labels: Labels,
    /// Its openings, each from a revision on.
    pub openings: Vec<(i64, Option<Opening>)>,
    /// What of it is lost.
    pub lost: Vec<Lost>,
    /// The whole tree, where it is one short block: extent, sum, packed block.
    pub inline: Option<(crate::engine::tree::Extent, Option<crate::domain::aggregate::Aggregate>, Arc<[u8]>)>,
}

impl SeriesPage {
    /// An empty one.
    pub fn new(component: &ComponentName) -> SeriesPage {
        SeriesPage { component: component.clone(), records: Writer::default(), count: 0 }
    }

    /// One more record. `inline`: the series is one short block.
    pub fn add(&mut self, metric: &Metric, series: &Series, inline: Option<(&Entry, &[u8])>) {
        let out = &mut self.records;
        write_series_head(out, metric.id, series);
        out.byte(u8::from(inline.is_some()));
        if let Some((entry, packed)) = inline {
            write_summary(out, &entry.extent, entry.sum.as_ref());
            out.bytes(packed);
        }
        self.count += 1;
    }

    /// Writes the page where it is full.
    pub fn flush_where_full(&mut self, writer: &mut dyn FoldWriter) -> Result<(), StoreError> {
        if self.records.0.len() >= PAGE_BYTES { self.flush(writer) } else { Ok(()) }
    }

    /// Writes the page where it is not empty.
    pub fn flush(&mut self, writer: &mut dyn FoldWriter) -> Result<(), StoreError> {
        if self.count == 0 {
            return Ok(());
        }
        let mut summary = Writer::default();
        summary.unsigned(self.count);
        let mut frame = Writer::default();
        frame.byte(FORMAT);
        frame.unsigned(self.count);
        frame.0.append(&mut self.records.0);
        self.count = 0;
        writer.put(line(&self.component, FrameKind::SeriesPage, summary), &frame.0)?;
        Ok(())
    }
}

/// What a record says of a series but its points.
pub fn write_series_head(out: &mut Writer, metric: MetricId, series: &Series) {
    out.unsigned(metric.0);
    out.unsigned(series.id);
    write_labels(out, &series.labels);
    let openings = if planted::is(Bug::ForgetOpeningInFold) { &[][..] } else { series.openings() };
    out.unsigned(openings.len() as u64);
    for (revision, opening) in openings {
        out.signed(*revision);
        write_opening(out, opening.as_ref());
    }
    write_lost(out, series.lost());
}

/// As `write_series_head`, of a page of a format; `inline` is None.
pub fn read_series_head(reader: &mut Reader, format: u8) -> Result<SeriesRecord, Undecodable> {
    let metric = MetricId(reader.unsigned()?);
    let id = reader.unsigned()?;
    let labels = read_labels(reader)?;
    let count = reader.count()?;
    let openings =
        (0..count).map(|_| Ok((reader.signed()?, read_opening(reader)?))).collect::<Result<_, Undecodable>>()?;
    let lost = if format == 1 { Vec::new() } else { read_lost(reader)? };
    Ok(SeriesRecord { metric, id, labels, openings, lost, inline: None })
}

/// The records of a page.
pub fn read_series_page(bytes: &[u8]) -> Result<Vec<SeriesRecord>, Undecodable> {
    read_records(bytes, |record, _| record)
}

/// The records of a page, each with its bytes there.
fn read_records<'a, T>(bytes: &'a [u8], make: impl Fn(SeriesRecord, &'a [u8]) -> T) -> Result<Vec<T>, Undecodable> {
    let mut reader = Reader(bytes);
    let format = reader.format(FORMAT)?;
    let count = reader.count()?;
    let mut records = Vec::with_capacity(count);
    for _ in 0..count {
        let from = reader.0;
        let mut record = read_series_head(&mut reader, format)?;
        if reader.byte()? != 0 {
            let (extent, sum) = read_summary(&mut reader)?;
            record.inline = Some((extent, sum, reader.bytes()?.into()));
        }
        records.push(make(record, &from[..from.len() - reader.0.len()]));
    }
    reader.end()?;
    Ok(records)
}

/// What a page says of a series without its points, and how many bytes that takes there.
pub struct PageRecord {
    /// Its metric.
    pub metric: MetricId,
    /// Its id.
    pub id: u64,
    /// Its points are in the record.
    pub is_inline: bool,
    /// Its length in the page.
    pub bytes: usize,
}

/// The series of a page.
pub fn read_page_records(bytes: &[u8]) -> Result<Vec<PageRecord>, Undecodable> {
    read_records(bytes, |record, part| {
        let is_inline = record.inline.is_some();
        PageRecord { metric: record.metric, id: record.id, is_inline, bytes: part.len() }
    })
}

/// A page with only those records, byte for byte, that are of series to be kept.
pub fn page_without(
    component: &ComponentName,
    bytes: &[u8],
    is_kept: impl Fn(u64) -> bool,
) -> Result<(Line, Vec<u8>), Undecodable> {
    let all = read_records(bytes, |record, part| (record.id, part))?;
    let parts: Vec<&[u8]> = all.into_iter().filter(|(id, _)| is_kept(*id)).map(|(_, part)| part).collect();
    let (mut frame, mut summary) = (Writer::default(), Writer::default());
    frame.byte(bytes[0]);
    frame.unsigned(parts.len() as u64);
    parts.iter().for_each(|part| frame.0.extend_from_slice(part));
    summary.unsigned(parts.len() as u64);
    Ok((line(component, FrameKind::SeriesPage, summary), frame.0))
}

/// Stores what a component is beside its series: what came since the last fold.
pub fn put_component(component: &Component, writer: &mut dyn FoldWriter) -> Result<(), StoreError> {
    let mut out = Writer::default();
    out.byte(FORMAT);
    out.signed(component.revision);
    out.unsigned(component.next_metric);
    out.unsigned(component.next_series);
    let changes = component.catalog.len() - component.stored_catalog;
    out.unsigned(changes as u64);
    for change in component.catalog.iter().skip(component.stored_catalog) {
        out.signed(change.revision);
        out.unsigned(change.id.0);
        for definition in [&change.old, &change.new] {
            out.byte(u8::from(definition.is_some()));
            if let Some(definition) = definition {
                write_definition(&mut out, definition);
            }
        }
    }
    write_lost_metrics(&mut out, &component.lost);
    let mut summary = Writer::default();
    summary.signed(component.revision);
    writer.put(line(&component.name, FrameKind::Component, summary), &out.0)?;
    put_batches(component, writer)
}

fn put_batches(component: &Component, writer: &mut dyn FoldWriter) -> Result<(), StoreError> {
    let mut first = component.stored_batches;
    while first < component.batches.len() {
        let count = (component.batches.len() - first).min(BATCHES_A_FRAME_MAX);
        let mut out = Writer::default();
        out.byte(1);
        out.unsigned(count as u64);
        let mut time = 0i64;
        let (mut who, mut reason): (Arc<str>, Arc<str>) = ("".into(), "".into());
        for facts in component.batches.iter().skip(first).take(count) {
            let same = facts.who == who && facts.reason == reason;
            out.byte(u8::from(facts.added) | u8::from(same) << 1);
            out.signed(facts.record_time.0.wrapping_sub(time));
            if !same {
                out.text(&facts.who);
                out.text(&facts.reason);
            }
            time = facts.record_time.0;
            (who, reason) = (facts.who.clone(), facts.reason.clone());
        }
        writer.put(batches_line(&component.name, first as i64 + 1, count as i64), &out.0)?;
        first += count;
    }
    Ok(())
}

/// A component's counters and its catalogue changes.
pub struct ComponentRecord {
    /// Its revision.
    pub revision: i64,
    /// The next creation of a metric gets this.
    pub next_metric: u64,
    /// The next series gets this.
    pub next_series: u64,
    /// Changes since the fold before.
    pub catalog: Vec<CatalogChange>,
    /// What is lost of the catalogue, of all folds.
    pub lost: Vec<LostMetric>,
}

/// What a component's line says: its revision.
pub fn read_component_line(summary: &[u8]) -> Result<i64, Undecodable> {
    Reader(summary).signed()
}

/// Whether a component's frame of this length can say of its catalogue that something changed, or was lost: its three
/// numbers and two counts of nothing have at most 23 bytes beside the revision's, any change or loss some 35 more.
pub fn may_tell_of_catalogue(summary: &[u8], bytes: u64) -> bool {
    bytes > 23 + summary.len() as u64
}

/// As `put_component` wrote it.
pub fn read_component(bytes: &[u8]) -> Result<ComponentRecord, Undecodable> {
    let mut reader = Reader(bytes);
    let format = reader.format(FORMAT)?;
    let (revision, next_metric, next_series) = (reader.signed()?, reader.unsigned()?, reader.unsigned()?);
    let count = reader.count()?;
    let mut catalog = Vec::with_capacity(count);
    for _ in 0..count {
        let (revision, id) = (reader.signed()?, MetricId(reader.unsigned()?));
        let mut definition = || {
            Ok::<_, Undecodable>(if reader.byte()? == 0 { None } else { Some(Arc::new(read_definition(&mut reader)?)) })
        };
        let (old, new) = (definition()?, definition()?);
        catalog.push(CatalogChange { revision, id, old, new });
    }
    let lost = if format == 1 { Vec::new() } else { read_lost_metrics(&mut reader)? };
    reader.end()?;
    Ok(ComponentRecord { revision, next_metric, next_series, catalog, lost })
}

/// The line of facts of so many revisions from the first on.
pub fn batches_line(component: &ComponentName, first: i64, count: i64) -> Line {
    let mut summary = Writer::default();
    summary.unsigned(first as u64);
    summary.unsigned(count as u64);
    line(component, FrameKind::Batches, summary)
}

/// The line of request ids, of which the last was recorded then.
pub fn ids_line(component: &ComponentName, last: Time) -> Line {
    let mut summary = Writer::default();
    summary.time(last);
    line(component, FrameKind::Ids, summary)
}

/// What a line of batches says: the first revision, and how many.
pub fn read_batches_line(summary: &[u8]) -> Result<(i64, i64), Undecodable> {
    let mut reader = Reader(summary);
    let mut number = || i64::try_from(reader.unsigned()?).map_err(|_| Undecodable::Form("not a revision"));
    Ok((number()?, number()?))
}

/// What lines of blocks and runs begin with: metric and series.
pub fn read_whose(summary: &[u8]) -> Result<(MetricId, u64), Undecodable> {
    let mut reader = Reader(summary);
    Ok((MetricId(reader.unsigned()?), reader.unsigned()?))
}

/// Facts of revisions in a row.
pub fn read_batches(bytes: &[u8]) -> Result<Vec<BatchFacts>, Undecodable> {
    let mut reader = Reader(bytes);
    reader.format(1)?;
    let count = reader.count()?;
    let mut batches = Vec::with_capacity(count);
    let mut time = 0i64;
    let (mut who, mut reason): (Arc<str>, Arc<str>) = ("".into(), "".into());
    for _ in 0..count {
        let flags = reader.byte()?;
        time = time.wrapping_add(reader.signed()?);
        if flags & 2 == 0 {
            (who, reason) = (reader.text()?.into(), reader.text()?.into());
        }
        let (who, reason) = (who.clone(), reason.clone());
        batches.push(BatchFacts { record_time: Time(time), who, reason, added: flags & 1 != 0 });
    }
    reader.end()?;
    Ok(batches)
}

/// Stores changes of a metric's keys.
pub fn put_changes(
    writer: &mut dyn FoldWriter,
    component: &Component,
    metric: &Metric,
    (first, last): (i64, i64),
    bytes: &[u8],
) -> Result<FrameRef, StoreError> {
    let mut summary = Writer::default();
    summary.unsigned(metric.id.0);
    summary.signed(first);
    summary.signed(last);
    writer.put(line(&component.name, FrameKind::Changes, summary), bytes)
}

/// What a line of changes says: metric, first and last revision.
pub fn read_changes_line(summary: &[u8]) -> Result<(MetricId, i64, i64), Undecodable> {
    let mut reader = Reader(summary);
    Ok((MetricId(reader.unsigned()?), reader.signed()?, reader.signed()?))
}

/// Stores request ids, sorted.
pub fn put_ids(
    writer: &mut dyn FoldWriter,
    component: &ComponentName,
    ids: &mut [(&[u8; 16], &Remembered)],
) -> Result<(), StoreError> {
    ids.sort_unstable_by_key(|(fingerprint, _)| **fingerprint);
    let mut out = Writer::default();
    out.byte(1);
    out.unsigned(ids.len() as u64);
    for (fingerprint, id) in ids.iter() {
        write_memo(&mut out, &Memo { fingerprint: **fingerprint, body: id.body, metrics: id.metrics.clone() });
        out.signed(id.revision);
        id.counts.iter().for_each(|count| out.unsigned(*count));
        out.time(id.record_time);
    }
    let last = ids.iter().map(|(_, id)| id.record_time).max().unwrap_or(Time::MIN);
    writer.put(ids_line(component, last), &out.0)?;
    Ok(())
}

/// What a line of ids says: the latest recorded time.
pub fn read_ids_line(summary: &[u8]) -> Result<Time, Undecodable> {
    Reader(summary).time()
}

/// As `put_ids` wrote it.
pub fn read_ids(bytes: &[u8]) -> Result<Vec<([u8; 16], Remembered)>, Undecodable> {
    let mut reader = Reader(bytes);
    reader.format(1)?;
    let count = reader.count()?;
    let mut ids = Vec::with_capacity(count);
    for _ in 0..count {
        let memo = read_memo(&mut reader)?;
        let revision = reader.signed()?;
        let counts = [reader.unsigned()?, reader.unsigned()?, reader.unsigned()?];
        let record_time = reader.time()?;
        ids.push((
            memo.fingerprint,
            Remembered { body: memo.body, metrics: memo.metrics, revision, counts, record_time },
        ));
    }
    reader.end()?;
    Ok(ids)
}
