//! Answering from memory alone, and for a short while: for a caller that must not block.

use super::MetricView;
use crate::engine::tree::walk::Asks;
use std::sync::atomic::{AtomicU32, Ordering};

/// Series that an attempt holds to the filters, at most.
const SERIES_LOOKED_AT_MAX: usize = 1_024;
/// Nodes and blocks that an attempt looks into, at most, where the question is of windows: points that are not plain are
/// looked at one by one.
const WINDOWS_LOADS_MAX: u32 = 64;
/// Windows that are as much work as one of these.
const WINDOWS_A_LOAD: u32 = 16;

/// How much an attempt may do: a fraction of a millisecond.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Series that it finds, at most.
    series_max: u32,
    /// Nodes and blocks that it looks into, at most.
    loads_max: u32,
}

impl Attempt {
    /// A search, or windows: many paths a series.
    pub const OF_MANY_PATHS: Attempt = Attempt { series_max: 8, loads_max: 256 };
    /// A total: two paths a series, what there is and when it was last. (With 8 series here too, a total of 200 took 1.15
    /// times as long, by turns: the way to another thread and back.)
    pub const OF_TWO_PATHS: Attempt = Attempt { series_max: 256, loads_max: 2_048 };
}

/// What is left of an attempt; `u32::MAX`: it is none.
pub(super) struct Left {
    loads: AtomicU32,
    series_max: AtomicU32,
}

impl Left {
    /// No attempt.
    pub(super) fn no_attempt() -> Left {
        Left { loads: AtomicU32::new(u32::MAX), series_max: AtomicU32::new(u32::MAX) }
    }

    fn set(&self, loads: u32, series_max: u32) {
        self.loads.store(loads, Ordering::Relaxed);
        self.series_max.store(series_max, Ordering::Relaxed);
    }

    fn loads(&self) -> u32 {
        self.loads.load(Ordering::Relaxed)
    }

    /// Whether it is one.
    pub(super) fn is_attempt(&self) -> bool {
        self.loads() < u32::MAX
    }

    /// How one more child's content may be asked for.
    pub(super) fn asks(&self) -> Asks {
        match self.loads() {
            u32::MAX => Asks::Anything,
            0 => Asks::Nothing,
            left => {
                self.loads.store(left - 1, Ordering::Relaxed);
                Asks::InMemory
            }
        }
    }

    /// Whether so many series may be held to the filters.
    pub(super) fn may_look_at(&self, series: usize) -> bool {
        series <= SERIES_LOOKED_AT_MAX || !self.is_attempt()
    }

    /// How many of so many series may be found.
    pub(super) fn series_max(&self, series: usize) -> usize {
        series.min(self.series_max.load(Ordering::Relaxed) as usize)
    }
}

impl MetricView {
    /// Asks without reading anything from disk, and for a short while only. What takes more fails with `Deferred`; ask again
    /// where blocking is allowed. So may what anybody else asks of this view meanwhile. None: of the past it is not tried.
    pub fn attempt<T>(&self, most: Attempt, ask: impl FnOnce() -> T) -> Option<T> {
        if self.reading.revision.is_some() {
            return None;
        }
        self.reading.left.set(most.loads_max, most.series_max);
        let answer = ask();
        self.reading.left.set(u32::MAX, u32::MAX);
        Some(answer)
    }

    /// Windows that may still be reckoned; `usize::MAX`: it is no attempt.
    pub fn windows_max(&self) -> usize {
        match self.reading.left.loads() {
            u32::MAX => usize::MAX,
            left => (left.min(WINDOWS_LOADS_MAX) * WINDOWS_A_LOAD) as usize,
        }
    }

    /// So many will be, no more than may be.
    pub fn take_windows(&self, windows: usize) {
        let left = self.reading.left.loads();
        if left < u32::MAX {
            let taken = windows.div_ceil(WINDOWS_A_LOAD as usize) as u32;
            self.reading.left.loads.store(left.min(WINDOWS_LOADS_MAX).saturating_sub(taken), Ordering::Relaxed);
        }
    }
}
