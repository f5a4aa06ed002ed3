//! A series' tree of aggregates: what its points come to, stretch by stretch, down to blocks.
//!
//! Nodes are copied on write, so a snapshot is a clone of the root. A child is in memory until a fold has stored
//! it; from then on it is read again when asked for. What is stored never changes shape: a child that a fold
//! stores is the same child, in every snapshot that holds it.

pub mod apply;
pub mod child;
pub mod children;
pub mod growing;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod walk;

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

/// What neighbours come to together: everything ever kept there, and their points.
pub type Gathered = (Extent, Option<Aggregate>);

/// What children come to together.
pub fn gather<'a>(kind: Kind, entries: impl IntoIterator<Item = &'a Entry> + Clone) -> Option<Gathered> {
    let extent = entries.clone().into_iter().map(|e| e.extent).reduce(|a, b| a.union(&b))?;
    let sum = entries.into_iter().filter_map(|e| e.sum).reduce(|a, b| a.then(kind, &b));
    Some((extent, sum))
}
