//! The only door to the time of day, so that tests can set it.

#![allow(clippy::disallowed_methods)]

use crate::domain::time::Time;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Says what time it is.
pub trait Clock: Send + Sync + 'static {
    /// Now, by the server's clock. May go back; whoever records times holds them up.
    fn now(&self) -> Time;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// A moment on a clock that never goes back and says no time of day: for how long things take and may take. Nothing
/// that is kept or answered depends on it.
pub fn instant() -> Instant {
    Instant::now()
}

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Stands at `time`.
    pub fn at(time: Time) -> ManualClock {
        ManualClock(AtomicI64::new(time.0))
    }

    /// Stands at `time` from now on.
    pub fn set(&self, time: Time) {
        self.0.store(time.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Time {
        Time(self.0.load(Ordering::SeqCst))
    }
}
