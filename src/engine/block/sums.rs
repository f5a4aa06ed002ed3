//! Running sums of a block's values: any range of its points is added up from two of them and a few values.

use super::column::FEW;
use super::{Columns, adds_values};
use crate::domain::definition::Kind;
use std::ops::Range;

/// Values from one running sum to the next: below 3 bits a point in memory. Where times are even the stretches begin at
/// multiples of it since 1970, so that days of UTC do, wherever there are points every hour, minute or second: then what
/// lies before a day is one place in memory, and the next one is beside it.
const STEP: usize = FEW;

/// Running sums of *plain* points: those whose steps are their values, and which all end as long after their times.
///
/// (Measured in one run, before and after: weeks of 200 series in a fifth of the time.)
#[derive(Debug)]
pub struct Sums {
    /// Of the values before each stretch.
    every: Box<[i64]>,
    /// By so many points the first stretch is shorter than `STEP`.
    offset: usize,
    /// No value is below 0: the highest sum on the way through any points is the sum of them all.
    pub never_falls: bool,
}

impl Sums {
    /// None: other points, or such high ones that their sums may not fit 64 bits.
    pub fn of(kind: Kind, columns: &Columns) -> Option<Sums> {
        let count = columns.len();
        let (min, max) = columns.values.bounds()?;
        let widest = i128::from(min).abs().max(i128::from(max).abs()) * count as i128;
        if !adds_values(kind, columns) || widest > i128::from(i64::MAX) {
            return None;
        }
        let since_1970 = |(first, step): (i64, i64)| first.checked_div_euclid(step).unwrap_or(0);
        let offset = columns.times.spacing().map_or(0, since_1970).rem_euclid(STEP as i64) as usize;
        let mut sum = 0;
        let part = |place: usize| {
            let before = sum;
            sum += columns.values.sum(start(place, offset)..start(place + 1, offset).min(count));
            before
        };
        let every = (0..(count + offset).div_ceil(STEP)).map(part).collect();
        Some(Sums { every, offset, never_falls: min >= 0 })
    }

    /// What the points of a range of the same columns come to. Some nanoseconds, however many they are.
    pub fn sum(&self, columns: &Columns, range: Range<usize>) -> i64 {
        if range.len() <= STEP {
            return columns.values.sum_of_few(range.start, range.len());
        }
        self.before(columns, range.end) - self.before(columns, range.start)
    }

    /// Where in a range of the same columns, whose values never fall, what they come to reaches `level`; its end where it
    /// does not. Some nanoseconds, however many they are.
    pub fn below(&self, columns: &Columns, range: Range<usize>, level: i128) -> usize {
        debug_assert!(self.never_falls, "where it falls it may have been there before");
        let level = level + i128::from(self.before(columns, range.start));
        // All sums fit 64 bits: what is above that is not reached, and what is below it is by any.
        let Ok(level) = i64::try_from(level.max(i64::MIN.into())) else { return range.end };
        let stretches = self.every.partition_point(|before| *before < level);
        let from = start(stretches.saturating_sub(1), self.offset).clamp(range.start, range.end);
        let mut sum = self.before(columns, from);
        let reaches = |i: &usize| {
            sum += columns.values.at(*i);
            sum >= level
        };
        (from..range.end).find(reaches).unwrap_or(range.end)
    }

    /// What the points before the `i`th of the same columns come to: who wants the sums of ranges that follow each other
    /// asks for one of these a range.
    #[inline]
    pub fn before(&self, columns: &Columns, i: usize) -> i64 {
        // The last running sum is that before the last `STEP` values, or fewer.
        let place = ((i + self.offset) / STEP).min(self.every.len() - 1);
        let from = start(place, self.offset);
        self.every[place] + if i > from { columns.values.sum_of_few(from, i - from) } else { 0 }
    }

    /// Bytes in memory of so many points, at most.
    pub fn bytes(points: usize) -> usize {
        (points.div_ceil(STEP) + 1) * size_of::<i64>()
    }
}

/// Where a stretch begins.
fn start(place: usize, offset: usize) -> usize {
    (place * STEP).saturating_sub(offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::point::Point;
    use crate::domain::time::Time;
    use crate::engine::block::Row;
    use proptest::prelude::*;

    /// Of points every hour, quarter of an hour, minute or second, from any of them on, every day of UTC begins a stretch: what
    /// lies before it is one place in memory.
    #[test]
    fn days_begin_stretches() {
        const SECOND: i64 = 1_000_000_000;
        for step in [3_600, 900, 60, 1].map(|seconds| seconds * SECOND) {
            for first in [-7, 0, 5, 100].map(|i| 1_700_000_000 * SECOND / step * step + i * step) {
                let row = |i: i64| Row { point: Point::at(Time(first + i * step), i % 9), revision: 1 };
                let columns: Columns = (0..3 * 86_400 * SECOND / step).map(row).collect();
                let sums = Sums::of(Kind::Delta, &columns).expect("they are plain");
                let days: Vec<usize> =
                    (0..columns.len()).filter(|i| columns.time(*i).0 % (86_400 * SECOND) == 0).collect();
                assert_eq!(days.len(), 3);
                for day in days {
                    assert_eq!(start((day + sums.offset) / STEP, sums.offset), day, "{first} {step}");
                }
            }
        }
    }

    proptest! {
        /// A range's sum is that of its values one by one, wherever there are running sums; and they are there for all
        /// plain points that cannot leave 64 bits.
        #[test]
        fn a_range_is_the_sum_of_its_values(
            values in prop_oneof![
                proptest::collection::vec(prop_oneof![0i64..9, -9i64..9, any::<i64>()], 0..200),
                (0i64..9, 0usize..200).prop_map(|(value, count)| vec![value; count]),
            ],
            small in 0u32..64, length in 0i64..3, uneven: bool, from in 0usize..200, to in 0usize..200, level: i64,
            first in -999i64..999, step in 1i64..30, gap: bool,
        ) {
            let values: Vec<i64> = values.into_iter().map(|value| value >> small).collect();
            let time = |i: usize| first + step * i as i64 + i64::from(gap && i > 20);
            let end = |i: usize| Time(time(i) + length + i64::from(uneven && i == 1));
            let point = |(i, value): (usize, &i64)| Point::of_period(Time(time(i)), end(i), *value);
            let columns: Columns =
                values.iter().enumerate().map(point).map(|point| Row { point, revision: 1 }).collect();
            let range = from.min(to).min(values.len())..from.max(to).min(values.len());
            let kinds = [Kind::Delta, Kind::Gauge, Kind::Cumulative];
            // However the numbers are held.
            for (kind, columns) in kinds.into_iter().flat_map(|kind| [(kind, columns.clone()), (kind, columns.clone().near())]) {
                let widest = values.iter().map(|value| i128::from(*value).abs()).max().unwrap_or(0);
                let fits = widest * values.len() as i128 <= i128::from(i64::MAX);
                let is_plain = kind != Kind::Cumulative && !(uneven && values.len() > 1) && !values.is_empty();
                let sums = Sums::of(kind, &columns);
                prop_assert_eq!(sums.is_some(), fits && is_plain);
                let Some(sums) = sums else { continue };
                let expected: i128 = values[range.clone()].iter().map(|value| i128::from(*value)).sum();
                prop_assert_eq!(i128::from(sums.sum(&columns, range.clone())), expected);
                let before: i128 = values[..range.start].iter().map(|value| i128::from(*value)).sum();
                prop_assert_eq!(i128::from(sums.before(&columns, range.start)), before);
                prop_assert_eq!(sums.never_falls, values.iter().all(|value| *value >= 0));
                for level in [expected - 1, expected, expected + 1, expected / 2, expected / 2 + 1, level.into()] {
                    let mut sum = 0;
                    let reaches = |i: &usize| {
                        sum += i128::from(values[*i]);
                        sum >= level
                    };
                    let reached = range.clone().find(reaches).unwrap_or(range.end);
                    prop_assert!(!sums.never_falls || sums.below(&columns, range.clone(), level) == reached);
                }
                prop_assert!(sums.every.len() * size_of::<i64>() <= Sums::bytes(values.len()));
            }
        }
    }
}
