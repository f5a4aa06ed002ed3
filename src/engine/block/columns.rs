//! Points in columns: 8 bytes a point where times are even and one batch made them all, up to 48 where nothing is even.

use super::column::Column;
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
    pub times: Column,
    /// Values.
    pub values: Column,
    /// Revisions; 0 where none made it yet.
    pub revisions: Column,
    /// `end - time` of each.
    pub ends: Column,
    /// `time - start + 1` of each, 0 for none.
    pub starts: Column,
    /// 1 for restated.
    pub restated: Column,
}

impl Columns {
    /// How many points.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The time of the `i`th point.
    pub fn time(&self, i: usize) -> Time {
        Time(self.times.at(i))
    }

    /// When the `i`th point ends.
    pub fn end(&self, i: usize) -> Time {
        Time(self.times.at(i).wrapping_add(self.ends.at(i)))
    }

    /// The `i`th point.
    pub fn point(&self, i: usize) -> Point {
        let time = self.times.at(i);
        let start = self.starts.at(i);
        Point {
            time: Time(time),
            value: self.values.at(i),
            end: self.end(i),
            start: (start != 0).then(|| Time(time.wrapping_sub(start.wrapping_sub(1)))),
            restated: self.restated.at(i) != 0,
        }
    }

    /// The `i`th point and its revision.
    pub fn row(&self, i: usize) -> Row {
        Row { point: self.point(i), revision: self.revisions.at(i) }
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
        self.times.at_or_above(t.0)
    }

    /// Index of the point at `t`.
    pub fn find(&self, t: Time) -> Option<usize> {
        let at = self.at_or_after(t);
        (self.times.get(at) == Some(t.0)).then_some(at)
    }

    /// One more point, later than all before.
    pub fn push(&mut self, row: &Row) {
        self.push_point(&row.point, row.revision);
    }

    /// One more point, later than all before, made what it is by this revision.
    pub fn push_point(&mut self, point: &Point, revision: i64) {
        self.times.push(point.time.0);
        self.values.push(point.value);
        self.revisions.push(revision);
        self.ends.push(point.end.0.wrapping_sub(point.time.0));
        self.starts.push(start_of(point));
        self.restated.push(i64::from(point.restated));
    }

    /// The `i`th point becomes another one of its time.
    pub fn set(&mut self, i: usize, row: &Row) {
        let Row { point, revision } = row;
        self.values.set(i, point.value);
        self.revisions.set(i, *revision);
        self.ends.set(i, point.end.0.wrapping_sub(point.time.0));
        self.starts.set(i, start_of(point));
        self.restated.set(i, i64::from(point.restated));
    }

    /// The same, with room for so many more points: appending to it copies each number once.
    pub fn with_room(&self, more: usize) -> Columns {
        Columns {
            times: self.times.with_room(more),
            values: self.values.with_room(more),
            revisions: self.revisions.with_room(more),
            ends: self.ends.with_room(more),
            starts: self.starts.with_room(more),
            restated: self.restated.with_room(more),
        }
    }

    /// Makes room for so many more points.
    pub fn reserve(&mut self, more: usize) {
        let all = [&mut self.times, &mut self.values, &mut self.revisions, &mut self.ends, &mut self.starts];
        all.into_iter().chain([&mut self.restated]).for_each(|column| column.reserve(more));
    }

    /// The points of a range of others, later than all before.
    pub fn extend(&mut self, others: &Columns, range: Range<usize>) {
        self.revisions.extend(&others.revisions, range.clone());
        self.extend_points(others, range);
    }

    /// The points of a range of others, later than all before, made what they are by this revision.
    pub fn extend_as(&mut self, others: &Columns, range: Range<usize>, revision: i64) {
        self.revisions.extend(&Column::of(revision, range.len()), 0..range.len());
        self.extend_points(others, range);
    }

    fn extend_points(&mut self, others: &Columns, range: Range<usize>) {
        self.times.extend(&others.times, range.clone());
        self.values.extend(&others.values, range.clone());
        self.ends.extend(&others.ends, range.clone());
        self.starts.extend(&others.starts, range.clone());
        self.restated.extend(&others.restated, range);
    }

    /// The points of a range, on their own.
    pub fn slice(&self, range: Range<usize>) -> Columns {
        let mut part = Columns::default();
        part.extend(self, range);
        part
    }

    /// How many columns there are.
    pub const COUNT: usize = 6;

    /// Every column.
    pub fn all(&self) -> [&Column; Columns::COUNT] {
        [&self.times, &self.values, &self.revisions, &self.ends, &self.starts, &self.restated]
    }

    /// The same in less memory, where numbers are near each other.
    pub fn near(self) -> Columns {
        Columns {
            times: self.times.near(),
            values: self.values.near(),
            revisions: self.revisions.near(),
            ends: self.ends.near(),
            starts: self.starts.near(),
            restated: self.restated.near(),
        }
    }

    /// Bytes in memory, roughly.
    pub fn bytes(&self) -> usize {
        self.all().into_iter().map(Column::bytes).sum()
    }
}

/// Points that no revision made yet.
impl From<Vec<Point>> for Columns {
    fn from(points: Vec<Point>) -> Columns {
        // A column at a time: each is one loop over little state.
        let column = |number: fn(&Point) -> i64| points.iter().map(number).collect();
        Columns {
            times: column(|point| point.time.0),
            values: column(|point| point.value),
            revisions: Column::of(0, points.len()),
            ends: column(|point| point.end.0.wrapping_sub(point.time.0)),
            starts: column(start_of),
            restated: column(|point| i64::from(point.restated)),
        }
    }
}

/// `time - start + 1`, 0 for none.
fn start_of(point: &Point) -> i64 {
    point.start.map_or(0, |start| point.time.0.wrapping_sub(start.0).wrapping_add(1))
}

impl FromIterator<Row> for Columns {
    fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> Columns {
        let mut columns = Columns::default();
        rows.into_iter().for_each(|row| columns.push(&row));
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// Any numbers, the least and the greatest among them more often than not.
    fn number() -> impl Strategy<Value = i64> {
        prop_oneof![any::<i64>(), -2i64..=2, Just(i64::MIN), Just(i64::MIN + 1), Just(i64::MAX)]
    }

    proptest! {
        /// Points come back as they went in, however they went in.
        #[test]
        fn points_come_back(
            points in vec((number(), number(), number(), proptest::option::of(number()), any::<bool>()), 0..7),
            cut in 0usize..7,
        ) {
            let point = |(time, value, end, start, restated): &(i64, i64, i64, Option<i64>, bool)| Point {
                time: Time(*time),
                value: *value,
                end: Time(*end),
                start: start.map(Time),
                restated: *restated,
            };
            // `time - start + 1` is 0 for none: the one start that it cannot say is a time that no input has.
            let points: Vec<Point> = points.iter().map(point).filter(|p| p.start != Some(Time(p.time.0.wrapping_add(1)))).collect();
            let (first, then) = points.split_at(cut.min(points.len()));
            let mut columns: Columns = first.iter().map(|point| Row { point: *point, revision: 1 }).collect();
            columns.extend_as(&then.to_vec().into(), 0..then.len(), 7);
            prop_assert_eq!(columns.points(0..columns.len()).collect::<Vec<_>>(), &points[..]);
            let revisions: Vec<i64> = columns.revisions.iter().collect();
            prop_assert_eq!(revisions, [vec![1; first.len()], vec![7; then.len()]].concat());
            prop_assert_eq!(columns.slice(first.len()..points.len()).rows().map(|row| row.point).collect::<Vec<_>>(), then);
        }

        /// Found by the fuzz target `block`: a start as far away as a damaged block says overflowed. Columns that were
        /// packed by nobody, but whose checksum fits, are read without a panic, and what is read comes back the same.
        #[test]
        fn a_start_or_end_as_far_away_as_numbers_reach_is_read(time in number(), length in number(), start in number()) {
            let columns = Columns {
                times: vec![time].into(),
                values: vec![1].into(),
                revisions: vec![1].into(),
                ends: vec![length].into(),
                starts: vec![start].into(),
                restated: vec![0].into(),
            };
            let mut again = Columns::default();
            again.push(&columns.row(0));
            prop_assert_eq!(again.row(0), columns.row(0));
        }
    }
}
