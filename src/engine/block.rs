//! A leaf of a series' tree: its points in order of time, each with the revision that made it what it is.

mod above;
pub mod column;
pub mod columns;
mod packed;
mod sums;

use crate::domain::aggregate::Aggregate;
use crate::domain::calendar::Calendar;
use crate::domain::definition::Kind;
use crate::domain::point::Point;
pub use column::Column;
pub use columns::{Columns, Row};
pub use packed::{pack, packed_with, unpack, unpack_first, unpack_times};
use std::ops::Range;
use std::sync::OnceLock;
pub use sums::Sums;

/// Points a chunk: what a query inside a block adds up one by one at most twice. What chunks come to takes as much memory
/// as half a byte a point.
pub const CHUNK_POINTS: usize = 256;
/// A decoded block.
#[derive(Debug, Default)]
pub struct Leaf {
    /// Its points.
    pub columns: Columns,
    /// What each `CHUNK_POINTS` points come to; made when a query first needs a part of the block.
    chunks: OnceLock<Box<[Aggregate]>>,
    /// None: its points are not plain. Made when a query first adds up a part of the block.
    sums: OnceLock<Option<Sums>>,
}

impl Leaf {
    /// A leaf of these points.
    pub fn new(columns: Columns) -> Leaf {
        Leaf { columns, ..Leaf::default() }
    }

    /// Running sums of its points, where they are plain.
    pub fn sums(&self, kind: Kind) -> Option<&Sums> {
        self.sums.get_or_init(|| Sums::of(kind, &self.columns)).as_ref()
    }

    /// What each `CHUNK_POINTS` points come to.
    pub fn chunks(&self, kind: Kind, periods: Option<&Calendar>) -> &[Aggregate] {
        self.chunks.get_or_init(|| {
            let count = self.columns.len();
            let starts = (0..count).step_by(CHUNK_POINTS);
            starts
                .filter_map(|from| summed(kind, &self.columns, from..(from + CHUNK_POINTS).min(count), periods))
                .collect()
        })
    }

    /// Bytes in memory, roughly.
    pub fn bytes(&self) -> usize {
        Leaf::bytes_of(self.columns.len(), self.columns.bytes())
    }

    /// Bytes in memory of so many points whose columns take so many, roughly.
    pub fn bytes_of(points: usize, columns: usize) -> usize {
        columns + Sums::bytes(points) + points.div_ceil(CHUNK_POINTS) * size_of::<Aggregate>()
    }
}

/// What the points of a range come to; None: there is none. Cost: below 1 ns a point where they are plain and do not
/// fall below 0, 1 ns where they do, else some 4 ns.
pub fn summed(kind: Kind, columns: &Columns, range: Range<usize>, periods: Option<&Calendar>) -> Option<Aggregate> {
    match is_plain(kind, columns) {
        true if periods.is_none() => sum_plain(columns, range),
        _ => Aggregate::of_all(kind, columns.points(range), periods),
    }
}

/// Whether the steps of all points are their values, and all end as long after their times.
fn adds_values(kind: Kind, columns: &Columns) -> bool {
    let same_ends = matches!(columns.ends, Column::Even { first, step: 0, .. } if first >= 0);
    let no_starts = matches!(columns.starts, Column::Even { first: 0, step: 0, .. });
    kind != Kind::Cumulative && same_ends && no_starts
}

/// Whether points are added up without looking at more than their values.
fn is_plain(kind: Kind, columns: &Columns) -> bool {
    !matches!(columns.values, Column::Even { .. }) && adds_values(kind, columns)
}

fn sum_plain(columns: &Columns, range: Range<usize>) -> Option<Aggregate> {
    let values = &columns.values;
    let (min, max) = values.bounds_of(range.clone())?;
    let (first, last) = (range.start, range.end - 1);
    let (first_value, last_value) = (values.at(first), values.at(last));
    let widest = i128::from(min).abs().max(i128::from(max).abs()) * range.len() as i128;
    let (sum, low, high) = if widest > i128::from(i64::MAX) {
        prefixes(values.numbers(range.clone()).iter().map(|v| i128::from(*v)), i128::from(first_value))
    } else if min >= 0 {
        // Without a list of them: a quarter of the committer's time in corrections of many series.
        let sum = values.sum(range.clone()).into();
        (sum, i128::from(first_value), sum)
    } else {
        let (sum, low, high) = prefixes(values.numbers(range.clone()).iter().copied(), first_value);
        (sum.into(), low.into(), high.into())
    };
    let (first_time, last_time) = (columns.time(first), columns.time(last));
    Some(Aggregate {
        first_time,
        last_time,
        last_end: columns.point(last).end,
        count: range.len() as u64,
        periods: 0,
        first_period: first_time,
        last_period: last_time,
        sum,
        min,
        max,
        low,
        high,
        first_value,
        last_value,
        first_start: None,
    })
}

/// Sum, and lowest and highest sum on the way to it.
fn prefixes<N: Copy + Ord + std::ops::Add<Output = N> + Default>(
    values: impl Iterator<Item = N>,
    first: N,
) -> (N, N, N) {
    values.fold((N::default(), first, first), |(sum, low, high), value| {
        let sum = sum + value;
        (sum, low.min(sum), high.max(sum))
    })
}

/// Adds up points in order of time.
pub struct Summing<'a> {
    kind: Kind,
    periods: Option<&'a Calendar>,
    /// What has been added comes to.
    pub total: Option<Aggregate>,
}

impl<'a> Summing<'a> {
    /// Nothing yet.
    pub fn new(kind: Kind, periods: Option<&'a Calendar>) -> Summing<'a> {
        Summing { kind, periods, total: None }
    }

    /// One more point, later than all before.
    pub fn add(&mut self, point: &Point) {
        self.join(&Aggregate::of(self.kind, point, self.periods));
    }

    /// Points of a block, later than all before.
    pub fn add_all(&mut self, columns: &Columns, range: Range<usize>) {
        if let Some(sum) = summed(self.kind, columns, range, self.periods) {
            self.join(&sum);
        }
    }

    /// Whether `add_all` costs less than to put what its chunks come to together.
    pub fn is_plain(&self, columns: &Columns) -> bool {
        self.periods.is_none() && is_plain(self.kind, columns)
    }

    /// A stretch, later than all before.
    pub fn join(&mut self, right: &Aggregate) {
        self.total = Some(match &self.total {
            None => *right,
            Some(left) => left.then(self.kind, right),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Time;
    use proptest::prelude::*;

    proptest! {
        /// However points are added up, they come to the same as one by one; the widest values too.
        #[test]
        fn plain_points_are_added_up_as_any(
            values in proptest::collection::vec(prop_oneof![0i64..9, -9i64..9, any::<i64>(), Just(i64::MIN)], 0..200),
            small in 0u32..64,
            length in 0i64..3,
            from in 0usize..200,
            to in 0usize..200,
        ) {
            let values: Vec<i64> = values.into_iter().map(|value| value >> small).collect();
            let point = |(i, value): (usize, &i64)| Point::of_period(Time(10 * i as i64), Time(10 * i as i64 + length), *value);
            let rows = values.iter().enumerate().map(point).map(|point| Row { point, revision: 1 });
            let columns: Columns = rows.collect();
            let range = from.min(to).min(values.len())..from.max(to).min(values.len());
            for kind in [Kind::Delta, Kind::Gauge, Kind::Cumulative] {
                let one_by_one = Aggregate::of_all(kind, columns.points(range.clone()), None);
                prop_assert_eq!(&summed(kind, &columns, range.clone(), None), &one_by_one);
                prop_assert_eq!(&summed(kind, &columns.clone().near(), range.clone(), None), &one_by_one);
            }
        }
    }
}
