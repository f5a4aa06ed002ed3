//! Every format of the engine, read and written again: what the fuzz targets hold the readers to.
//!
//! The readers are private, as they should be; this one door is there only with the feature `planted`, which only this
//! package's own tests switch on. [`again`] reads bytes with the reader that opening uses and writes what they say with
//! the writer that folding uses; what is read from that must be the same once more.

use super::block;
use super::changes::{read_changes, write_changes};
use super::codec::{Reader, Undecodable, Writer};
use super::effect::{read_effect, write_effect};
use super::fold::{frames, pages};
use super::history::{Run, pack_run, unpack_run};
use super::state::{Aside, Component, Series};
use super::tree::Entry;
use super::tree::child::{Place, read_entries, write_entries, write_entry};
use super::tree::summary::write_summary;
use crate::domain::name::ComponentName;
use crate::domain::time::Time;
use crate::store::{FoldWriter, FrameRef, Line, Position, StoreError};

/// A format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // the modules that own them draw them
pub enum Format {
    Block,
    Run,
    SeriesPage,
    Component,
    Batches,
    Changes,
    Ids,
    /// A body of the log, behind its list of series and the list's length (4 bytes, little-endian).
    Effect,
    Node,
    IndexPage,
}

impl Format {
    /// All of them; the first seven by the numbers of their frames, from 1.
    pub const ALL: [Format; 10] = [
        Format::Block,
        Format::Run,
        Format::SeriesPage,
        Format::Component,
        Format::Batches,
        Format::Changes,
        Format::Ids,
        Format::Effect,
        Format::Node,
        Format::IndexPage,
    ];
}

/// What the bytes say, written again; None where they do not decode.
///
/// # Panics
/// Where what was written does not say the same: what a fuzz target is after.
pub fn again(format: Format, bytes: &[u8]) -> Option<Vec<u8>> {
    match format {
        Format::Block => {
            look(bytes);
            compared(bytes, block::unpack, block::pack, |columns| columns.rows().collect::<Vec<_>>())
        }
        Format::Run => {
            let pack = |versions: &Vec<_>| pack_run(versions.iter().map(|(key, point)| (key, point)));
            compared(bytes, unpack_run, pack, Clone::clone)
        }
        Format::Changes => compared(bytes, read_changes, |changes| write_changes(changes.iter()), Clone::clone),
        Format::Effect => {
            let read = |bytes: &[u8]| {
                let (length, rest) = bytes.split_at_checked(4).ok_or(Undecodable::Form("no length"))?;
                let length = u32::from_le_bytes(length.try_into().expect("four bytes were split off"));
                let parts = rest.split_at_checked(length as usize).ok_or(Undecodable::Form("no list"))?;
                read_effect(parts.0, parts.1)
            };
            let write = |effect: &_| {
                let (list, body) = write_effect(effect);
                let length = u32::try_from(list.len()).expect("a list is far below 4 GiB");
                [&length.to_le_bytes()[..], &list, &body].concat()
            };
            compared(bytes, read, write, Clone::clone)
        }
        Format::Batches => compared(bytes, frames::read_batches, |batches| batches_again(batches), Clone::clone),
        Format::Ids => compared(
            bytes,
            frames::read_ids,
            |ids| ids_again(ids),
            |ids| {
                let mut ids = ids.clone();
                ids.sort_by_key(|(fingerprint, id)| (*fingerprint, id.body, id.revision, id.record_time, id.counts));
                ids
            },
        ),
        Format::Component => fixed(bytes, |bytes| Ok(component_again(frames::read_component(bytes)?))),
        Format::SeriesPage => fixed(bytes, series_page_again),
        Format::Node => fixed(bytes, |bytes| {
            let mut reader = Reader(bytes);
            let entries = read_entries(&mut reader)?;
            reader.end()?;
            let mut out = Writer::default();
            write_entries(&mut out, &entries, &places(&entries));
            Ok(out.0)
        }),
        Format::IndexPage => fixed(bytes, index_page_again),
    }
}

/// What is seen of a block without unpacking it whole: where it can be unpacked, its first points, and all that were wanted.
fn look(bytes: &[u8]) {
    let whole = block::unpack(bytes);
    let (end, level) = match &whole {
        Ok(columns) => (
            columns.times.get(columns.len() / 2).map_or(Time::MAX, Time),
            columns.values.iter().map(i128::from).sum::<i128>() / 2,
        ),
        Err(_) => (Time(0), 0),
    };
    let times = block::unpack_times(bytes);
    for (end, level) in [(Time::MAX, None), (end, None), (Time::MAX, Some(level)), (end, Some(level))] {
        let first = block::unpack_first(bytes, end, level);
        let Ok(all) = &whole else { continue };
        if let Some(times) = times.as_ref().expect("what can be unpacked can be looked at") {
            assert_eq!(times, &all.times, "other times are seen");
        }
        if let Some(first) = first.expect("what can be unpacked can be looked at") {
            let seen: Vec<_> = first.points(0..first.len()).collect();
            assert!(all.points(0..all.len()).take(seen.len()).eq(seen), "other points are seen");
            let is_enough = level.is_some() || first.len() >= all.at_or_after(end);
            assert!(is_enough, "{} of {} points are seen", first.len(), all.at_or_after(end));
        }
    }
}

/// Of values that can be compared, all that counts of them is.
fn compared<T, P: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Result<T, Undecodable>,
    write: impl Fn(&T) -> Vec<u8>,
    part: impl Fn(&T) -> P,
) -> Option<Vec<u8>> {
    let value = read(bytes).ok()?;
    let written = write(&value);
    let back = read(&written).expect("what was written is read");
    assert_eq!(part(&back), part(&value), "what was written says something else");
    Some(written)
}

/// Of others, what is written is: once more it comes to the same bytes.
fn fixed(bytes: &[u8], again: impl Fn(&[u8]) -> Result<Vec<u8>, Undecodable>) -> Option<Vec<u8>> {
    let written = again(bytes).ok()?;
    assert_eq!(again(&written).as_ref(), Ok(&written), "what was written says something else");
    Some(written)
}

/// Takes the frames that a writer puts.
#[derive(Default)]
struct Frames(Vec<(u8, Vec<u8>)>);

impl FoldWriter for Frames {
    fn put(&mut self, line: Line, frame: &[u8]) -> Result<FrameRef, StoreError> {
        self.0.push((line.kind, frame.to_vec()));
        Ok(FrameRef { fold: Position(1), number: 0, crc: 0 })
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Frames {
    fn of(kind: frames::FrameKind, put: impl FnOnce(&mut Frames) -> Result<(), StoreError>) -> Vec<u8> {
        let mut frames = Frames::default();
        put(&mut frames).expect("nothing fails in memory");
        let frame = frames.0.into_iter().find(|(of, _)| *of == kind as u8);
        frame.map(|(_, frame)| frame).unwrap_or_default()
    }
}

fn name() -> ComponentName {
    ComponentName::parse("fuzzed").expect("it is a name")
}

fn batches_again(batches: &[super::state::BatchFacts]) -> Vec<u8> {
    if batches.is_empty() {
        return vec![1, 0]; // folding writes no frame of none
    }
    let component = Component { batches: batches.iter().cloned().collect(), ..Component::new(name()) };
    Frames::of(frames::FrameKind::Batches, |writer| frames::put_component(&component, writer))
}

fn component_again(record: frames::ComponentRecord) -> Vec<u8> {
    let component = Component {
        revision: record.revision,
        next_metric: record.next_metric,
        next_series: record.next_series,
        catalog: record.catalog.into_iter().collect(),
        lost: record.lost,
        ..Component::new(name())
    };
    Frames::of(frames::FrameKind::Component, |writer| frames::put_component(&component, writer))
}

fn ids_again(ids: &[([u8; 16], super::dedup::Remembered)]) -> Vec<u8> {
    let mut ids: Vec<_> = ids.iter().map(|(fingerprint, id)| (fingerprint, id)).collect();
    Frames::of(frames::FrameKind::Ids, |writer| frames::put_ids(writer, &name(), &mut ids))
}

fn head_again(out: &mut Writer, record: &frames::SeriesRecord) {
    let (openings, lost) = (record.openings.clone(), record.lost.clone());
    let aside = Aside { openings, lost, ..Aside::default() };
    let series = Series::new(record.id, record.labels.clone(), None, aside);
    frames::write_series_head(out, record.metric, &series);
}

fn series_page_again(bytes: &[u8]) -> Result<Vec<u8>, Undecodable> {
    let records = frames::read_series_page(bytes)?;
    let mut out = Writer::default();
    out.byte(3);
    out.unsigned(records.len() as u64);
    for record in &records {
        head_again(&mut out, record);
        out.byte(u8::from(record.inline.is_some()));
        if let Some((extent, sum, packed)) = &record.inline {
            write_summary(&mut out, extent, sum.as_ref());
            out.bytes(packed);
        }
    }
    Ok(out.0)
}

/// Where the children of entries that were read are.
fn places(entries: &[Entry]) -> Vec<Place> {
    entries.iter().map(|entry| entry.child.place().expect("what was read is stored").clone()).collect()
}

fn index_page_again(bytes: &[u8]) -> Result<Vec<u8>, Undecodable> {
    let records: Vec<(_, _, Vec<Run>)> = pages::read(bytes)?;
    let mut out = Writer::default();
    out.byte(3);
    out.unsigned(records.len() as u64);
    for (head, root, runs) in &records {
        head_again(&mut out, head);
        out.byte(u8::from(root.is_some()));
        if let Some(root) = root {
            write_entry(&mut out, root, &places(std::slice::from_ref(root))[0]);
        }
        out.unsigned(runs.len() as u64);
        runs.iter().for_each(|run| run.write(&mut out));
    }
    Ok(out.0)
}
