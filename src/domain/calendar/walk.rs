//! Windows one after the other, cheaper than one at a time.

use super::Calendar;
use crate::domain::time::{Interval, Time};

/// Finds windows, quickest where each time asked for lies in the window of the one before, or near after it.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    calendar: &'a Calendar,
    last: Interval,
    /// The zone's stretch of the last time.
    stretch: usize,
}

impl Calendar {
    /// A cursor over its windows.
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor { calendar: self, last: Interval::new(Time::MAX, Time::MIN), stretch: 0 }
    }

    /// The windows that touch the interval, whole, in order; none where it is empty.
    pub fn windows(&self, interval: Interval) -> impl Iterator<Item = Interval> + '_ {
        let mut cursor = self.cursor();
        let mut next = (!interval.is_empty()).then_some(interval.start);
        std::iter::from_fn(move || {
            let window = cursor.window(next?);
            next = (window.end < interval.end).then_some(window.end);
            Some(window)
        })
    }
}

impl Cursor<'_> {
    /// [`Calendar::window`].
    #[inline]
    pub fn window(&mut self, t: Time) -> Interval {
        if !self.last.contains(t) {
            let place = self.calendar.place(t, self.stretch);
            self.last = place.window;
            self.stretch = place.stretch;
        }
        self.last
    }

    /// [`Calendar::is_boundary`].
    pub fn is_boundary(&mut self, t: Time) -> bool {
        self.window(t).start == t
    }
}
