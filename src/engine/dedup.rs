//! Request ids: what a retry is answered with, for at least a day, before and after a restart.

mod part;
#[cfg(test)]
mod tests;

use super::batch::{Batch, Change, MetricId, Mode, Retraction};
use super::codec::Writer;
use super::effect::Memo;
use crate::domain::name::{ComponentName, MetricName};
use crate::domain::time::Time;
use part::Part;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;

const HOUR_NANOS: i64 = 3_600 * 1_000_000_000;

/// The first answer to a request id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remembered {
    /// Digest of the body.
    pub body: [u8; 16],
    /// The creations of the metrics it named.
    pub metrics: Vec<MetricId>,
    /// The answer's revision.
    pub revision: i64,
    /// The answer's counts: accepted, unchanged, corrected.
    pub counts: [u64; 3],
    /// When it was recorded.
    pub record_time: Time,
}

/// What is kept of it in memory: enough to answer a retry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct First {
    /// The first half of the body's digest.
    pub body: [u8; 8],
    /// The creations of the metrics it named.
    pub metrics: Vec<MetricId>,
    /// The answer's revision.
    pub revision: i64,
    /// The answer's counts: accepted, unchanged, corrected.
    pub counts: [u64; 3],
}

impl First {
    /// Whether it answered this body.
    pub fn is_of(&self, body: &[u8; 16]) -> bool {
        self.body == body[..8]
    }
}

/// All remembered ids, in parts of an hour, so that forgetting is dropping a part.
pub struct RequestIds {
    parts: VecDeque<(i64, Part)>,
    count: usize,
    count_max: usize,
    nanos_min: i64,
}

/// Ids that were recorded before this need not be remembered at `now`: the hour that one lies in may be forgotten whole.
pub fn oldest(now: Time, nanos_min: i64) -> Time {
    Time(now.0.saturating_sub(nanos_min).saturating_sub(HOUR_NANOS))
}

impl RequestIds {
    /// Holds up to `count_max` ids, each for at least `nanos_min`.
    pub fn new(count_max: usize, nanos_min: i64) -> RequestIds {
        RequestIds { parts: VecDeque::new(), count: 0, count_max, nanos_min }
    }

    /// The first answer to an id. Cost: a look-up an hour remembered.
    pub fn get(&self, fingerprint: &[u8; 16]) -> Option<First> {
        self.parts.iter().rev().find_map(|(_, part)| part.get(fingerprint))
    }

    /// All remembered ids.
    pub fn fingerprints(&self) -> Vec<[u8; 16]> {
        self.parts.iter().flat_map(|(_, part)| part.fingerprints()).collect()
    }

    /// Whether one more can be remembered at `now`. Forgets what is old enough first.
    pub fn has_room(&mut self, now: Time) -> bool {
        self.forget(now);
        self.count < self.count_max
    }

    /// Forgets what is old enough at `now`.
    pub fn forget(&mut self, now: Time) {
        while let Some((hour, part)) = self.parts.front() {
            if now.0 - (hour + 1) * HOUR_NANOS < self.nanos_min {
                break;
            }
            self.count -= part.len();
            self.parts.pop_front();
        }
    }

    /// Nanoseconds until the oldest part is forgotten.
    pub fn room_in_nanos(&self, now: Time) -> i64 {
        let oldest = self.parts.front().map_or(now.0, |(hour, _)| (hour + 1) * HOUR_NANOS);
        (oldest.saturating_add(self.nanos_min) - now.0).max(0)
    }

    /// Remembers an answer.
    pub fn insert(&mut self, fingerprint: [u8; 16], remembered: &Remembered) {
        let hour = remembered.record_time.0.div_euclid(HOUR_NANOS);
        if self.parts.back().is_none_or(|(last, part)| *last < hour || part.is_full()) {
            let hour = self.parts.back().map_or(hour, |(last, _)| hour.max(*last));
            self.parts.push_back((hour, Part::new()));
        }
        let (_, part) = self.parts.back_mut().expect("a part was just made where there was none");
        let first = First {
            body: remembered.body[..8].try_into().expect("eight bytes of sixteen"),
            metrics: remembered.metrics.clone(),
            revision: remembered.revision,
            counts: remembered.counts,
        };
        self.count += usize::from(part.insert(&fingerprint, &first));
    }

    /// Forgets an id whose batch could not be written after all.
    pub fn remove(&mut self, fingerprint: &[u8; 16]) {
        let there = self.parts.iter_mut().rev().any(|(_, part)| part.remove(fingerprint));
        self.count -= usize::from(there);
    }
}

/// What a series of a batch mostly takes in what is digested, and one point of it: room that is made at once.
const SERIES_BYTES: usize = 48;
const POINT_BYTES: usize = 16;

fn digest(bytes: &[u8]) -> [u8; 16] {
    let whole = Sha256::digest(bytes);
    whole[..16].try_into().expect("SHA-256 has 32 bytes")
}

/// Of (component, who, id): ids of different identities and components never meet.
pub fn fingerprint(component: &ComponentName, who: &str, request_id: &str) -> [u8; 16] {
    let mut out = Writer::default();
    [component.as_str(), who, request_id].iter().for_each(|text| out.text(text));
    digest(&out.0)
}

/// The metrics a batch names, in the order of its body.
pub fn metrics_of(change: &Change) -> Vec<&MetricName> {
    match change {
        Change::Points { series, .. } => {
            let mut names: Vec<&MetricName> = series.iter().map(|s| &s.metric).collect();
            names.dedup();
            names
        }
        Change::Retract { metric, .. }
        | Change::Opening { metric, .. }
        | Change::Update { metric, .. }
        | Change::Delete { metric, .. } => vec![metric],
        Change::Create(definition) => vec![&definition.name],
    }
}

/// What a batch's id is remembered with; None: it has none, or none is remembered of its kind.
pub fn memo_of(batch: &Batch) -> Option<Memo> {
    if batch.request_id.is_empty() {
        return None;
    }
    let mut out = Writer::default();
    out.text(&batch.reason);
    out.byte(u8::from(batch.validate_only));
    write_change(&mut out, &batch.change);
    let fingerprint = fingerprint(&batch.component, &batch.who, &batch.request_id);
    Some(Memo { fingerprint, body: digest(&out.0), metrics: Vec::new() })
}

/// A change by its meaning: batches are sorted and free of doubles when they come here.
fn write_change(out: &mut Writer, change: &Change) {
    match change {
        Change::Points { mode, series } => {
            out.byte(if *mode == Mode::Set { 1 } else { 2 });
            let points: usize = series.iter().map(|write| write.points.len()).sum();
            out.0.reserve(SERIES_BYTES * series.len() + POINT_BYTES * points);
            for write in series {
                out.text(write.metric.as_str());
                super::effect::write_labels(out, &write.labels);
                out.unsigned(write.points.len() as u64);
                for (i, point) in write.points.points(0..write.points.len()).enumerate() {
                    out.time(point.time);
                    out.point_value(&point);
                    if *mode == Mode::Add {
                        out.byte(u8::from(write.end_given.get(i) == Some(1)));
                    }
                }
            }
        }
        Change::Retract { metric, filters, what } => {
            out.byte(3);
            out.text(metric.as_str());
            write_filters(out, filters);
            match what {
                Retraction::Times(times) => {
                    out.byte(1);
                    times.iter().for_each(|t| out.time(*t));
                }
                Retraction::Interval(interval) => {
                    out.byte(2);
                    out.time(interval.start);
                    out.time(interval.end);
                }
            }
        }
        Change::Opening { metric, labels, opening } => {
            out.byte(4);
            out.text(metric.as_str());
            super::effect::write_labels(out, labels);
            if let Some((time, value)) = opening {
                out.time(*time);
                out.signed(*value);
            }
        }
        Change::Create(_) | Change::Update { .. } | Change::Delete { .. } => {
            debug_assert!(false, "calls of the catalogue have no request id");
        }
    }
}

/// The order of filters, and of values in them, does not count.
fn write_filters(out: &mut Writer, filters: &[super::batch::Filter]) {
    let mut texts: Vec<Vec<u8>> = filters
        .iter()
        .map(|filter| {
            let mut one = Writer::default();
            one.unsigned(filter.index as u64);
            for values in [&filter.any_of, &filter.none_of] {
                let mut sorted: Vec<&String> = values.iter().collect();
                sorted.sort_unstable();
                sorted.dedup();
                one.unsigned(sorted.len() as u64);
                sorted.iter().for_each(|v| one.text(v));
            }
            one.0
        })
        .collect();
    texts.sort_unstable();
    texts.dedup();
    texts.iter().for_each(|text| out.bytes(text));
}
