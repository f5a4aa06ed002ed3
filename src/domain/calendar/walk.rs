//! Windows one after the other, cheaper than one at a time.

use super::offsets::SECOND_NANOS;
use super::{Calendar, Cut, Place};
use crate::domain::date::DAY_SECONDS;
use crate::domain::time::{Interval, Time};

/// Nanoseconds of an even day.
const DAY_NANOS: u64 = (DAY_SECONDS * SECOND_NANOS).unsigned_abs();

/// Finds windows, quickest where each time asked for lies in the window of the one before, or near after it.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    calendar: &'a Calendar,
    last: Interval,
    run: Run,
    /// The zone's stretch of the last time that was not in the run.
    stretch: usize,
}

/// A stretch of time in which all windows are equally long, so that the next is found by adding.
#[derive(Clone, Copy, Debug)]
struct Run {
    span: Interval,
    step_nanos: u64,
}

impl Calendar {
    /// A cursor over its windows.
    pub fn cursor(&self) -> Cursor<'_> {
        let nowhere = Interval::new(Time::MAX, Time::MIN);
        Cursor { calendar: self, last: nowhere, run: Run { span: nowhere, step_nanos: 1 }, stretch: 0 }
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

    /// The longest run that is cheap to know and holds the window of `place`.
    fn run(&self, place: &Place) -> Run {
        let span_nanos = place.span.start.0.abs_diff(place.span.end.0);
        let alone = Run { span: place.window, step_nanos: place.window.start.0.abs_diff(place.window.end.0) };
        match self.cut {
            Cut::Months { .. } => alone,
            Cut::Days { step, .. } => {
                self.even_run(place, step).map_or(alone, |span| Run { span, step_nanos: span_nanos })
            }
            Cut::Elapsed { step_nanos } => {
                let step_nanos = step_nanos.unsigned_abs();
                let days = if DAY_NANOS.is_multiple_of(step_nanos) { self.even_run(place, 1) } else { None };
                // Else the date's own, but for a shorter last one.
                let whole = later(place.span.start, span_nanos / step_nanos * step_nanos);
                let span = days.unwrap_or(Interval::new(place.span.start, whole));
                if span.contains(place.window.start) { Run { span, step_nanos } } else { alone }
            }
        }
    }

    /// Spans of so many days of 24 hours, from the first to the last in the zone's stretch, if `place` lies in them.
    fn even_run(&self, place: &Place, days: i64) -> Option<Interval> {
        let days = days.unsigned_abs();
        let span_nanos = days.checked_mul(DAY_NANOS)?;
        let span_seconds = days.checked_mul(DAY_NANOS / SECOND_NANOS.unsigned_abs())?;
        let (start, end) = (place.span.start.0, place.span.end.0);
        let (from, to) = self.zone.offsets().even(place.stretch);
        let before = u64::try_from(start.div_euclid(SECOND_NANOS) - from).ok()? / span_seconds;
        let after = u64::try_from(to - end.div_euclid(SECOND_NANOS)).ok()? / span_seconds;
        let start = start.saturating_sub_unsigned(before * span_nanos);
        let is_even = place.span.start.0.abs_diff(end) == span_nanos;
        is_even.then(|| Interval::new(Time(start), later(Time(end), after * span_nanos)))
    }
}

impl<'a> Cursor<'a> {
    /// What it goes over.
    pub fn calendar(&self) -> &'a Calendar {
        self.calendar
    }

    /// [`Calendar::window`]; a nanosecond or two for the window of the last time, or the next.
    #[inline]
    pub fn window(&mut self, t: Time) -> Interval {
        if !self.last.contains(t) {
            self.last = self.next_in_run(t).unwrap_or_else(|| self.seek(t));
        }
        self.last
    }

    /// [`Calendar::is_boundary`].
    #[inline]
    pub fn is_boundary(&mut self, t: Time) -> bool {
        self.window(t).start == t
    }

    /// The window that comes so many after the one that holds `t`, or the last there is. Steps over runs of
    /// equal windows at once.
    pub fn after(&mut self, t: Time, windows: u64) -> Interval {
        self.window(t);
        let mut left = windows;
        while left > 0 && self.last.end < Time::MAX {
            let steps = left.min(self.left_in_run());
            if steps > 0 {
                let nanos = steps * self.run.step_nanos;
                self.last = Interval::new(later(self.last.start, nanos), later(self.last.end, nanos));
                left -= steps;
            } else {
                self.last = self.seek(self.last.end);
                left -= 1;
            }
        }
        self.last
    }

    /// Whether it is cheap to know that so many windows from `first` on all last `nanos`, the first of them from there.
    pub fn is_even(&mut self, first: Time, nanos: i64, windows: usize) -> bool {
        let window = self.window(first);
        window.start == first
            && window.end.0.checked_sub(first.0) == Some(nanos)
            && self.left_in_run() >= windows.saturating_sub(1) as u64
            && self.run.step_nanos == nanos.unsigned_abs()
    }

    /// Windows of the run after the last one.
    fn left_in_run(&self) -> u64 {
        if self.last.end < self.run.span.end {
            self.last.end.0.abs_diff(self.run.span.end.0) / self.run.step_nanos
        } else {
            0
        }
    }

    /// The window after the last one, if `t` lies in it and it in the run.
    #[inline]
    fn next_in_run(&self, t: Time) -> Option<Interval> {
        let end = self.last.end.0.checked_add_unsigned(self.run.step_nanos).map(Time)?;
        (self.last.end <= t && t < end && end <= self.run.span.end).then(|| Interval::new(self.last.end, end))
    }

    fn seek(&mut self, t: Time) -> Interval {
        let Run { span, step_nanos } = self.run;
        if span.contains(t) {
            let start = later(span.start, span.start.0.abs_diff(t.0) / step_nanos * step_nanos);
            return Interval::new(start, later(start, step_nanos));
        }
        let place = self.calendar.place(t, self.stretch);
        self.stretch = place.stretch;
        self.run = self.calendar.run(&place);
        place.window
    }
}

/// `t` so many nanoseconds later.
fn later(t: Time, nanos: u64) -> Time {
    Time(t.0.saturating_add_unsigned(nanos))
}
