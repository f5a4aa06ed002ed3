//! Points in columns: 24 bytes a point, and 8 more for each part of a value that some point has.

use crate::domain::point::Point;
use crate::domain::time::Time;
use std::ops::Range;

/// A point and the revision that made it what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// The point.
    pub point: Point,
    /// Since this revision.
    pub revision: i64,
}

/// Points in order of time, each time once, column by column.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Columns {
    /// Times, in nanoseconds.
    pub times: Vec<i64>,
    /// Values.
    pub values: Vec<i64>,
    /// Revisions.
    pub revisions: Vec<i64>,
    /// `end - time` of each; empty where every end is its time.
    pub ends: Vec<i64>,
    /// `time - start + 1` of each, 0 for none; empty where none has a start.
    pub starts: Vec<i64>,
    /// 1 for restated; empty where none is.
    pub restated: Vec<i64>,
}

impl Columns {
    /// Room for so many points.
    pub fn with_capacity(points: usize) -> Columns {
        let column = || Vec::with_capacity(points);
        Columns { times: column(), values: column(), revisions: column(), ..Columns::default() }
    }

    /// How many points.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// The time of the `i`th point.
    pub fn time(&self, i: usize) -> Time {
        Time(self.times[i])
    }

    /// The `i`th point.
    pub fn point(&self, i: usize) -> Point {
        let time = self.times[i];
        Point {
            time: Time(time),
            value: self.values[i],
            end: Time(self.ends.get(i).map_or(time, |length| time.wrapping_add(*length))),
            start: self.starts.get(i).filter(|s| **s != 0).map(|s| Time(time.wrapping_sub(s.wrapping_sub(1)))),
            restated: self.restated.get(i).is_some_and(|flag| *flag != 0),
        }
    }

    /// The `i`th point and its revision.
    pub fn row(&self, i: usize) -> Row {
        Row { point: self.point(i), revision: self.revisions[i] }
    }

    /// The points of a range.
    pub fn points(&self, range: Range<usize>) -> impl Iterator<Item = Point> + '_ {
        range.map(|i| self.point(i))
    }

    /// The rows.
    pub fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        (0..self.len()).map(|i| self.row(i))
    }

    /// Index of the first point at or after `t`.
    pub fn at_or_after(&self, t: Time) -> usize {
        self.times.partition_point(|time| *time < t.0)
    }

    /// Index of the point at `t`.
    pub fn find(&self, t: Time) -> Option<usize> {
        self.times.binary_search(&t.0).ok()
    }

    /// One more point, later than all before.
    pub fn push(&mut self, row: &Row) {
        let (before, point) = (self.len(), &row.point);
        self.times.push(point.time.0);
        self.values.push(point.value);
        self.revisions.push(row.revision);
        let part = |column: &mut Vec<i64>, value: i64| {
            if value != 0 || !column.is_empty() {
                column.resize(before, 0);
                column.push(value);
            }
        };
        part(&mut self.ends, point.end.0.wrapping_sub(point.time.0));
        part(&mut self.starts, point.start.map_or(0, |start| point.time.0.wrapping_sub(start.0).wrapping_add(1)));
        part(&mut self.restated, i64::from(point.restated));
    }

    /// The points of a range of others, later than all before.
    pub fn extend(&mut self, others: &Columns, range: Range<usize>) {
        let (before, after) = (self.len(), self.len() + range.len());
        self.times.extend_from_slice(&others.times[range.clone()]);
        self.values.extend_from_slice(&others.values[range.clone()]);
        self.revisions.extend_from_slice(&others.revisions[range.clone()]);
        let part = |column: &mut Vec<i64>, other: &[i64]| {
            if !other.is_empty() {
                column.resize(before, 0);
                column.extend_from_slice(&other[range.clone()]);
            } else if !column.is_empty() {
                column.resize(after, 0);
            }
        };
        part(&mut self.ends, &others.ends);
        part(&mut self.starts, &others.starts);
        part(&mut self.restated, &others.restated);
    }

    /// The points of a range, on their own.
    pub fn slice(&self, range: Range<usize>) -> Columns {
        let mut part = Columns::with_capacity(range.len());
        part.extend(self, range);
        part
    }

    /// Bytes in memory, roughly.
    pub fn bytes(&self) -> usize {
        let columns = [&self.times, &self.values, &self.revisions, &self.ends, &self.starts, &self.restated];
        columns.iter().map(|column| column.capacity() * size_of::<i64>()).sum()
    }
}

impl FromIterator<Row> for Columns {
    fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> Columns {
        let rows = rows.into_iter();
        let mut columns = Columns::with_capacity(rows.size_hint().0);
        rows.for_each(|row| columns.push(&row));
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any numbers, the least and the greatest among them more often than not.
    fn number() -> impl Strategy<Value = i64> {
        prop_oneof![any::<i64>(), -2i64..=2, Just(i64::MIN), Just(i64::MIN + 1), Just(i64::MAX)]
    }

    proptest! {
        /// Found by the fuzz target `block`: a start as far away as a damaged block says overflowed. Columns that were
        /// packed by nobody, but whose checksum fits, are read without a panic, and what is read comes back the same.
        #[test]
        fn a_start_or_end_as_far_away_as_numbers_reach_is_read(time in number(), length in number(), start in number()) {
            let columns = Columns {
                times: vec![time],
                values: vec![1],
                revisions: vec![1],
                ends: vec![length],
                starts: vec![start],
                restated: vec![0],
            };
            let mut again = Columns::default();
            again.push(&columns.row(0));
            prop_assert_eq!(again.row(0), columns.row(0));
        }
    }
}
