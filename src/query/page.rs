//! Where a page begins, and how much fits on it.

use crate::domain::limit::{PAGE_BYTES_MAX, RANGE_WORK_MAX};
use crate::domain::time::Time;

/// Where a page begins: counted at a fixed revision, so that it means the same on every page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Position {
    /// Groups before it.
    pub group: u64,
    /// The row in the group: a window's start, a rung's ordinal. None: the first one.
    pub row: Option<i64>,
}

/// What a page token says: the answer's revision and evaluate time, and where the page begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pin {
    /// Of the first page.
    pub revision: i64,
    /// Of the first page.
    pub evaluate_time: Time,
    /// Of this page.
    pub position: Position,
}

/// What still fits on a page.
#[derive(Debug)]
pub(super) struct Room {
    rows: usize,
    bytes: usize,
    work: usize,
    is_fresh: bool,
}

impl Room {
    /// A page of so many rows.
    pub(super) fn new(rows_max: usize) -> Room {
        Room { rows: rows_max, bytes: PAGE_BYTES_MAX, work: RANGE_WORK_MAX, is_fresh: true }
    }

    /// Rows that may still come.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Rows that may still come where each costs so much.
    pub(super) fn rows_of_work(&self, work: usize) -> usize {
        (self.work / work.max(1)).max(usize::from(self.is_fresh)).min(self.rows)
    }

    /// Takes the work of reckoning.
    pub(super) fn work(&mut self, work: usize) {
        self.work = self.work.saturating_sub(work);
    }

    /// Whether rows of so many bytes still fit. The first of a page always do.
    pub(super) fn fits(&self, rows: usize, bytes: usize) -> bool {
        self.is_fresh || (rows <= self.rows && bytes <= self.bytes)
    }

    /// Takes room for rows of so many bytes; false: they do not fit.
    pub(super) fn take(&mut self, rows: usize, bytes: usize) -> bool {
        if !self.fits(rows, bytes) {
            return false;
        }
        self.is_fresh = false;
        self.rows = self.rows.saturating_sub(rows);
        self.bytes = self.bytes.saturating_sub(bytes);
        true
    }
}
