//! A zone's rules as one table of stretches of constant offset: which date it is, and when a date begins.

use crate::domain::date::DAY_SECONDS;

/// Nanoseconds of a second.
pub(super) const SECOND_NANOS: i64 = 1_000_000_000;

/// A stretch of time in which the zone's offset from UTC does not change. All in seconds.
struct Stretch {
    /// UTC, inclusive; the first stretch has no beginning.
    from: i64,
    /// Local time less UTC.
    offset: i64,
    /// The local time, exclusive, that clocks have reached by the end of this stretch, in it or before it.
    reach: i64,
}

/// A date that does not last 24 hours; one that the zone skipped lasts 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct UnevenDay {
    /// Days from 1970-01-01.
    pub day: i64,
    /// How long it lasts.
    pub seconds: i64,
}

/// Every offset that a zone has had and will have in the years that fit in a [`Time`](crate::domain::time::Time).
pub(super) struct Offsets {
    stretches: Vec<Stretch>,
    uneven: Vec<UnevenDay>,
}

impl Offsets {
    /// Reads the rules once; some 0.1 ms and 20 KiB for a zone that changes its clocks twice a year.
    pub fn of(rules: &jiff::tz::TimeZone) -> Offsets {
        let first = jiff::Timestamp::from_nanosecond(i128::from(i64::MIN)).expect("1677 is within jiff's years");
        let last = i64::MAX / SECOND_NANOS;
        let offset = i64::from(rules.to_offset(first).seconds());
        let mut stretches = vec![Stretch { from: i64::MIN, offset, reach: i64::MAX }];
        let changes = rules.following(first).map(|change| (change.timestamp().as_second(), change.offset().seconds()));
        let mut reach = i64::MIN;
        for (from, offset) in changes.take_while(|&(from, _)| from <= last) {
            let offset = i64::from(offset);
            let before = stretches.last_mut().expect("there is a first stretch");
            // A change of the name only, or of what counts as daylight saving.
            if before.offset == offset {
                continue;
            }
            reach = reach.max(from + before.offset);
            before.reach = reach;
            stretches.push(Stretch { from, offset, reach: i64::MAX });
        }
        let mut offsets = Offsets { stretches, uneven: Vec::new() };
        offsets.uneven = offsets.find_uneven();
        offsets
    }

    fn find_uneven(&self) -> Vec<UnevenDay> {
        let mut uneven: Vec<UnevenDay> = Vec::new();
        for pair in self.stretches.windows(2) {
            let (before, after) = (pair[1].from + pair[0].offset, pair[1].from + pair[1].offset);
            let nearby = before.min(after).div_euclid(DAY_SECONDS) - 1..=before.max(after).div_euclid(DAY_SECONDS) + 1;
            for day in nearby {
                let seconds = self.start_of(day + 1, 0) - self.start_of(day, 0);
                if seconds != DAY_SECONDS && uneven.last().is_none_or(|last| last.day < day) {
                    uneven.push(UnevenDay { day, seconds });
                }
            }
        }
        uneven
    }

    /// The dates that do not last 24 hours, from day `from` to before day `to`.
    pub fn uneven(&self, from: i64, to: i64) -> &[UnevenDay] {
        let start = self.uneven.partition_point(|uneven| uneven.day < from);
        let end = self.uneven.partition_point(|uneven| uneven.day < to);
        &self.uneven[start..end.max(start)]
    }

    /// The number of the stretch that holds the UTC second; `hint` is one to try first.
    #[inline]
    pub fn stretch(&self, second: i64, hint: usize) -> usize {
        for guess in [hint, hint + 1] {
            let begun = self.stretches.get(guess).is_some_and(|stretch| stretch.from <= second);
            if begun && self.stretches.get(guess + 1).is_none_or(|next| second < next.from) {
                return guess;
            }
        }
        self.stretches.partition_point(|stretch| stretch.from <= second) - 1
    }

    /// The UTC seconds, both within it, between which the stretch's clocks only tell what they had not told before.
    /// Dates that begin and end there (the end included) last 24 hours.
    pub fn even(&self, stretch: usize) -> (i64, i64) {
        let Stretch { from, offset, .. } = self.stretches[stretch];
        let told = stretch.checked_sub(1).map_or(i64::MIN, |before| self.stretches[before].reach - offset);
        let next = self.stretches.get(stretch + 1).map_or(i64::MAX, |next| next.from - 1);
        (from.max(told).max(i64::MIN / SECOND_NANOS), next.min(i64::MAX / SECOND_NANOS))
    }

    /// The local date, in days from 1970-01-01, of a UTC second in the stretch of that number.
    #[inline]
    pub fn date(&self, second: i64, stretch: usize) -> i64 {
        (second + self.stretches[stretch].offset).div_euclid(DAY_SECONDS)
    }

    /// The first UTC second whose local date is `day` or later; `hint` is a stretch to try first.
    ///
    /// So a midnight that the zone skipped is the first instant after it, of a midnight that it had twice
    /// the first counts, and a date that it skipped begins (and ends) where the next begins.
    #[inline]
    pub fn start_of(&self, day: i64, hint: usize) -> i64 {
        let local = day.saturating_mul(DAY_SECONDS);
        let reached = |number: usize| local < self.stretches[number].reach;
        let right = reached(hint) && (hint == 0 || !reached(hint - 1));
        let number = if right { hint } else { self.stretches.partition_point(|stretch| stretch.reach <= local) };
        let stretch = &self.stretches[number];
        stretch.from.max(local.saturating_sub(stretch.offset))
    }
}
