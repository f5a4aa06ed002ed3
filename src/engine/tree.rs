//! A series' tree of aggregates: what its points come to, stretch by stretch, down to blocks.
//!
//! Nodes are copied on write, so a snapshot is a clone of the root. A child is in memory until a fold has stored
//! it; from then on it is read again when asked for. What is stored never changes shape: a child that a fold
//! stores is the same child, in every snapshot that holds it.

pub mod apply;
pub mod child;
#[cfg(test)]
mod tests;
pub mod walk;

use super::codec::{Reader, Undecodable, Writer};
use crate::domain::aggregate::Aggregate;
use crate::domain::definition::Kind;
use crate::domain::time::Time;
use child::Child;
use std::sync::Arc;

/// The keys and revisions of everything ever kept in a stretch: current points, replaced ones, retractions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Lowest time.
    pub first_key: Time,
    /// Highest time.
    pub last_key: Time,
    /// Lowest revision.
    pub lowest_revision: i64,
    /// Highest revision.
    pub highest_revision: i64,
}

impl Extent {
    /// What is in either.
    pub fn union(&self, other: &Extent) -> Extent {
        Extent {
            first_key: self.first_key.min(other.first_key),
            last_key: self.last_key.max(other.last_key),
            lowest_revision: self.lowest_revision.min(other.lowest_revision),
            highest_revision: self.highest_revision.max(other.highest_revision),
        }
    }
}

/// What a parent knows of a child.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Everything ever kept there.
    pub extent: Extent,
    /// What its points come to; None where all were taken back.
    pub sum: Option<Aggregate>,
    /// The child.
    pub child: Arc<Child>,
}

/// What children come to together.
pub fn gather(kind: Kind, entries: &[Entry]) -> Option<(Extent, Option<Aggregate>)> {
    let extent = entries.iter().map(|e| e.extent).reduce(|a, b| a.union(&b))?;
    let sum = entries.iter().filter_map(|e| e.sum).reduce(|a, b| a.then(kind, &b));
    Some((extent, sum))
}

/// Writes an extent and a sum: 32 bytes, a flag, and what the sum needs.
pub fn write_summary(out: &mut Writer, extent: &Extent, sum: Option<&Aggregate>) {
    out.time(extent.first_key);
    out.time(extent.last_key);
    out.signed(extent.lowest_revision);
    out.signed(extent.highest_revision);
    out.byte(u8::from(sum.is_some()));
    if let Some(a) = sum {
        [a.first_time, a.last_time, a.last_end, a.first_period, a.last_period].into_iter().for_each(|t| out.time(t));
        out.unsigned(a.count);
        out.unsigned(a.periods);
        [a.sum, a.low, a.high].into_iter().for_each(|v| out.wide(v));
        [a.min, a.max, a.first_value, a.last_value].into_iter().for_each(|v| out.signed(v));
        out.optional_time(a.first_start);
    }
}

/// As `write_summary`.
pub fn read_summary(reader: &mut Reader) -> Result<(Extent, Option<Aggregate>), Undecodable> {
    let extent = Extent {
        first_key: reader.time()?,
        last_key: reader.time()?,
        lowest_revision: reader.signed()?,
        highest_revision: reader.signed()?,
    };
    if reader.byte()? == 0 {
        return Ok((extent, None));
    }
    let (first_time, last_time, last_end) = (reader.time()?, reader.time()?, reader.time()?);
    let (first_period, last_period) = (reader.time()?, reader.time()?);
    let (count, periods) = (reader.unsigned()?, reader.unsigned()?);
    let (sum, low, high) = (reader.wide()?, reader.wide()?, reader.wide()?);
    let (min, max) = (reader.signed()?, reader.signed()?);
    let (first_value, last_value) = (reader.signed()?, reader.signed()?);
    let first_start = reader.optional_time()?;
    let sum = Aggregate {
        first_time,
        last_time,
        last_end,
        count,
        periods,
        first_period,
        last_period,
        sum,
        min,
        max,
        low,
        high,
        first_value,
        last_value,
        first_start,
    };
    Ok((extent, Some(sum)))
}
