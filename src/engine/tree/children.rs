//! A node's children. A push behind all that is there changes the last of them alone: the others, and what they come to,
//! are shared with the node as it was, so that a push costs the same however many there are.

use super::{Entry, Gathered, gather};
use crate::domain::definition::Kind;
use crate::domain::time::Time;
use std::sync::{Arc, OnceLock};

/// Children in order of time; at least one.
#[derive(Debug)]
pub struct Children {
    others: Arc<Others>,
    last: Entry,
}

/// All but the last.
#[derive(Debug)]
struct Others {
    entries: Vec<Entry>,
    /// What they come to; made when another last one first follows them.
    sum: OnceLock<Option<Gathered>>,
}

impl Children {
    /// Of these; None where there is none.
    pub fn of(mut entries: Vec<Entry>) -> Option<Children> {
        let last = entries.pop()?;
        Some(Children { others: Arc::new(Others { entries, sum: OnceLock::new() }), last })
    }

    /// The same with another last one.
    pub fn with_last(&self, last: Entry) -> Children {
        Children { others: self.others.clone(), last }
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.others.entries.len() + 1
    }

    /// The last one.
    pub fn last(&self) -> &Entry {
        &self.last
    }

    /// All but the last.
    pub fn others(&self) -> &[Entry] {
        &self.others.entries
    }

    /// Every one.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.others.entries.iter().chain([&self.last])
    }

    /// The last one, and before it those whose keys are not all before `t`.
    pub fn reaching(&self, t: Time) -> impl Iterator<Item = &Entry> {
        let from = self.others.entries.partition_point(|entry| entry.extent.last_key < t);
        self.others.entries[from..].iter().chain([&self.last])
    }

    /// What they come to together. Cost: nothing for those that are shared with a node that was asked.
    pub fn gathered(&self, kind: Kind) -> Gathered {
        let (extent, sum) = (self.last.extent, self.last.sum);
        match self.others.sum.get_or_init(|| gather(kind, &self.others.entries)) {
            None => (extent, sum),
            Some((before, None)) => (before.union(&extent), sum),
            Some((before, Some(left))) => (before.union(&extent), Some(sum.map_or(*left, |sum| left.then(kind, &sum)))),
        }
    }
}
