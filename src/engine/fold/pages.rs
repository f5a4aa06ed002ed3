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
use crate::engine::tree::child::{Behind, read_entry, write_entry};
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

/// Whether a page, by its key, is among these that are behind.
pub fn is_among(behind: &Behind, key: &[u8]) -> bool {
    let number = key.last_chunk().map(|number| u64::from_be_bytes(*number));
    component_of(key).and_then(|name| behind.get(&name)).zip(number).is_some_and(|(pages, n)| pages.contains(&n))
}

/// The number of the page that says something of a series.
pub fn page_of(series: u64) -> u64 {
    series / SERIES_A_PAGE
}

/// The series of a component that these pages say something of, each with its metric, page by page.
pub fn of<'a>(component: &'a Component, numbers: &BTreeSet<u64>) -> BTreeMap<u64, Vec<(MetricId, &'a Series)>> {
    let mut pages: BTreeMap<u64, Vec<_>> = numbers.iter().map(|n| (*n, Vec::new())).collect();
    for metric in component.metrics.values() {
        for series in metric.series.values() {
            if let Some(page) = pages.get_mut(&page_of(series.id)) {
                page.push((metric.id, &**series));
            }
        }
    }
    pages
}

/// A page of these series, all of which are stored; without any it is removed.
pub fn entry(component: &ComponentName, page: u64, series: &[(MetricId, &Series)]) -> IndexEntry {
    let key = key(component, page);
    if series.is_empty() {
        return (key, None);
    }
    let mut out = Writer::default();
    out.byte(FORMAT);
    out.unsigned(series.len() as u64);
    for (metric, series) in series {
        write_series_head(&mut out, *metric, series);
        out.byte(u8::from(series.root.is_some()));
        if let Some(root) = &series.root {
            write_entry(&mut out, root, root.child.place().expect("all that a page tells of is stored"));
        }
        out.unsigned(series.history().runs.len() as u64);
        series.history().runs.iter().for_each(|run| run.write(&mut out));
    }
    (key, Some(out.0))
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
