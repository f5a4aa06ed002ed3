//! The index's pages of series: a component's directory, some series a page, each with its root.
//!
//! ```text
//! key    'S' component 0 page number (big-endian; series ids / SERIES_A_PAGE)
//! value  format 3 (in 1 records did not say what is lost, in 2 not what was given up for good, and sums were wide),
//!        number of records; each: what a series' record says, 1 and the root's entry or 0, runs
//! ```

use super::frames::{SeriesRecord, read_series_head, write_series_head};
use crate::domain::name::ComponentName;
use crate::engine::batch::MetricId;
use crate::engine::codec::{Reader, Undecodable, Writer};
use crate::engine::history::Run;
use crate::engine::state::{Component, Series};
use crate::engine::tree::Entry;
use crate::engine::tree::child::{read_entry, write_entry};
use crate::store::IndexEntry;
use std::collections::{BTreeMap, BTreeSet};

/// Series on a page: with their roots some KiB.
const SERIES_A_PAGE: u64 = 16;

const FORMAT: u8 = 3;

/// The index's prefix of pages.
pub const PREFIX: &[u8] = b"S";

fn key(component: &ComponentName, page: u64) -> Vec<u8> {
    let mut key = PREFIX.to_vec();
    key.extend_from_slice(component.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(&page.to_be_bytes());
    key
}

/// The component a page's key names.
pub fn component_of(key: &[u8]) -> Option<ComponentName> {
    let name = key.get(PREFIX.len()..key.len().checked_sub(9)?)?;
    ComponentName::parse(std::str::from_utf8(name).ok()?)
}

/// The number of the page that says something of a series.
pub fn page_of(series: u64) -> u64 {
    series / SERIES_A_PAGE
}

/// Writes pages by their numbers; the roots of their series are stored. One without series is removed. `runs`: a series'
/// runs where they are newer than the state's.
pub fn write<'a>(
    component: &Component,
    numbers: &BTreeSet<u64>,
    runs: &dyn Fn(u64) -> Option<&'a Vec<Run>>,
    entries: &mut Vec<IndexEntry>,
) {
    if numbers.is_empty() {
        return;
    }
    let mut pages: BTreeMap<u64, Vec<(MetricId, &Series)>> = numbers.iter().map(|n| (*n, Vec::new())).collect();
    for metric in component.metrics.values() {
        for series in metric.series.values() {
            // A series whose root is not stored yet is of a later fold, which will write the page again.
            let stored = series.root.as_ref().is_none_or(|root| root.child.place().is_some());
            if stored && let Some(page) = pages.get_mut(&page_of(series.id)) {
                page.push((metric.id, series));
            }
        }
    }
    for (page, series) in pages {
        if series.is_empty() {
            entries.push((key(&component.name, page), None));
            continue;
        }
        let mut out = Writer::default();
        out.byte(FORMAT);
        out.unsigned(series.len() as u64);
        for (metric, series) in series {
            write_series_head(&mut out, metric, series);
            out.byte(u8::from(series.root.is_some()));
            if let Some(root) = &series.root {
                write_entry(&mut out, root, root.child.place().expect("only series whose root is stored are here"));
            }
            let runs = runs(series.id).unwrap_or(&series.history.runs);
            out.unsigned(runs.len() as u64);
            runs.iter().for_each(|run| run.write(&mut out));
        }
        entries.push((key(&component.name, page), Some(out.0)));
    }
}

/// A series of a page: its record, its root, its runs.
pub type PageRecord = (SeriesRecord, Option<Entry>, Vec<Run>);

/// The records of a page.
pub fn read(bytes: &[u8]) -> Result<Vec<PageRecord>, Undecodable> {
    let mut reader = Reader(bytes);
    let format = reader.format(FORMAT)?;
    let count = reader.count()?;
    let mut records = Vec::with_capacity(count);
    for _ in 0..count {
        let head = read_series_head(&mut reader, format)?;
        let root = if reader.byte()? == 0 { None } else { Some(read_entry(&mut reader)?) };
        let runs = reader.count()?;
        let runs = (0..runs).map(|_| Run::read(&mut reader)).collect::<Result<_, _>>()?;
        records.push((head, root, runs));
    }
    reader.end()?;
    Ok(records)
}
