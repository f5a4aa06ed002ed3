//! A leaf of a series' tree: its points in order of time, each with the revision that made it what it is.
//!
//! A packed block:
//!
//! ```text
//! byte     format: 3
//! varint   points n
//! byte     1: some end is not its time   2: some start   4: some restated
//! columns of times, values, revisions, and as the flags say: ends - times, starts (time - start + 1, 0: none),
//! restated (0/1). Each:
//!   byte   0 even: zigzag varints first and step
//!          1 n zigzag varints, of times and revisions the differences from the one before
//!          2 a varint length and a `pco` standalone chunk of i64
//! ```
//!
//! Formats 1 and 2, which are still read, had no byte before a column: all were of the form 1, or all of 2.

pub mod column;
pub mod columns;
mod sums;

use super::codec::{Reader, Undecodable, Writer};
use crate::domain::aggregate::Aggregate;
use crate::domain::calendar::Calendar;
use crate::domain::definition::Kind;
use crate::domain::point::Point;
pub use column::Column;
pub use columns::{Columns, Row};
use std::ops::Range;
use std::sync::OnceLock;
pub use sums::Sums;

const FORMAT_VARINTS: u8 = 1;
const FORMAT_PCO: u8 = 2;
const FORMAT: u8 = 3;
const EVEN: u8 = 0;
const VARINTS: u8 = 1;
const PCO: u8 = 2;
/// Points up to which varints are shorter than `pco`'s headers.
const VARINT_POINTS_MAX: usize = 64;
/// `pco` level: 4 packs at 19 ns a point; 8 saves 1 to 2 % at twice the time.
const PCO_LEVEL: usize = 4;
/// Points a chunk: what a query inside a block adds up one by one at most twice. What chunks come to takes as much memory
/// as half a byte a point.
pub const CHUNK_POINTS: usize = 256;
/// Points of a block at most, whatever it says of itself: 8 MiB a column in memory. None that is written comes near.
const UNPACKED_POINTS_MAX: usize = 1 << 20;

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
    let part = columns.values.numbers(range.clone());
    let (first, last) = (range.start, range.end.checked_sub(1)?);
    let (first_value, last_value) = (*part.first()?, *part.last()?);
    let (min, max) = part.iter().fold((i64::MAX, i64::MIN), |(min, max), v| (min.min(*v), max.max(*v)));
    let widest = i128::from(min).abs().max(i128::from(max).abs()) * part.len() as i128;
    let (sum, low, high) = if widest > i128::from(i64::MAX) {
        prefixes(part.iter().map(|v| i128::from(*v)), i128::from(first_value))
    } else if min >= 0 {
        let sum = part.iter().sum::<i64>().into();
        (sum, i128::from(first_value), sum)
    } else {
        let (sum, low, high) = prefixes(part.iter().copied(), first_value);
        (sum.into(), low.into(), high.into())
    };
    let (first_time, last_time) = (columns.time(first), columns.time(last));
    Some(Aggregate {
        first_time,
        last_time,
        last_end: columns.point(last).end,
        count: part.len() as u64,
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

const HAS_END: u8 = 1;
const HAS_START: u8 = 2;
const HAS_RESTATED: u8 = 4;

/// Packs points.
pub fn pack(columns: &Columns) -> Vec<u8> {
    let present = |column: &Column, flag: u8| if column.is_zero() { 0 } else { flag };
    let flags = present(&columns.ends, HAS_END)
        | present(&columns.starts, HAS_START)
        | present(&columns.restated, HAS_RESTATED);
    let mut out = Writer::default();
    out.byte(FORMAT);
    out.unsigned(columns.len() as u64);
    out.byte(flags);
    pack_column(&mut out, true, &columns.times);
    pack_column(&mut out, false, &columns.values);
    pack_column(&mut out, true, &columns.revisions);
    for (column, flag) in [(&columns.ends, HAS_END), (&columns.starts, HAS_START), (&columns.restated, HAS_RESTATED)] {
        if flags & flag != 0 {
            pack_column(&mut out, false, column);
        }
    }
    out.0
}

fn pack_column(out: &mut Writer, differences: bool, column: &Column) {
    match column {
        Column::Even { first, step, .. } => {
            out.byte(EVEN);
            out.signed(*first);
            out.signed(*step);
        }
        _ if column.len() <= VARINT_POINTS_MAX => {
            out.byte(VARINTS);
            let mut before = 0i64;
            for number in column.iter() {
                out.signed(if differences { number.wrapping_sub(before) } else { number });
                before = number;
            }
        }
        _ => {
            out.byte(PCO);
            let config = pco::ChunkConfig::default().with_compression_level(PCO_LEVEL);
            let packed = pco::standalone::simple_compress(&column.numbers(0..column.len()), &config)
                .expect("pco packs any i64 column of up to 2^24 values at a level it knows");
            out.bytes(&packed);
        }
    }
}

/// A short packed block with points added that are later than all of its own, made what they are by this revision: its
/// numbers are copied as they are packed. None: it is to be unpacked for that. (With it, and series looked for twice and not
/// five times by label values in one piece, pushes of one point to 100,000 series cost 0.64 of the processor time.)
pub fn packed_with(packed: &[u8], points: &Columns, range: Range<usize>, revision: i64) -> Option<Vec<u8>> {
    let mut reader = Reader(packed);
    if reader.byte().ok()? != FORMAT {
        return None;
    }
    let (count, flags) = (reader.unsigned().ok()? as usize, reader.byte().ok()?);
    if count + range.len() > VARINT_POINTS_MAX {
        return None;
    }
    let mut out = Writer(Vec::with_capacity(packed.len() + 16 * range.len()));
    out.byte(FORMAT);
    out.unsigned((count + range.len()) as u64);
    out.byte(flags);
    let revisions = Column::of(revision, range.end);
    let mut column = |more: &Column, differences: bool| match reader.byte().ok()? {
        EVEN => {
            let mut column = Column::evenly(reader.signed().ok()?, reader.signed().ok()?, count)?;
            column.extend(more, range.clone());
            pack_column(&mut out, differences, &column);
            Some(())
        }
        VARINTS => {
            let (from, mut last) = (reader.0, 0i64);
            for _ in 0..count {
                last = reader.signed().ok()?.wrapping_add(if differences { last } else { 0 });
            }
            out.byte(VARINTS);
            out.0.extend_from_slice(&from[..from.len() - reader.0.len()]);
            for number in range.clone().map(|i| more.at(i)) {
                out.signed(if differences { number.wrapping_sub(last) } else { number });
                last = number;
            }
            Some(())
        }
        _ => None,
    };
    column(&points.times, true)?;
    column(&points.values, false)?;
    column(&revisions, true)?;
    for (more, flag) in [(&points.ends, HAS_END), (&points.starts, HAS_START), (&points.restated, HAS_RESTATED)] {
        match flags & flag != 0 {
            true => column(more, false)?,
            false if range.clone().all(|i| more.at(i) == 0) => {}
            false => return None,
        }
    }
    reader.end().ok()?;
    Some(out.0)
}

/// Unpacks what `pack` packed. Any other bytes are an error, never a panic.
pub fn unpack(bytes: &[u8]) -> Result<Columns, Undecodable> {
    let mut reader = Reader(bytes);
    let format = reader.format(FORMAT)?;
    let count = reader.unsigned()? as usize;
    if count > UNPACKED_POINTS_MAX {
        return Err(Undecodable::Form("a block of too many points"));
    }
    let flags = reader.byte()?;
    let mut column = |differences: bool, present: bool| -> Result<Column, Undecodable> {
        if !present {
            return Ok(Column::of(0, count));
        }
        let form = match format {
            FORMAT_VARINTS => VARINTS,
            FORMAT_PCO => PCO,
            _ => reader.byte()?,
        };
        unpack_column(&mut reader, form, differences, count)
    };
    let columns = Columns {
        times: column(true, true)?,
        values: column(false, true)?,
        revisions: column(true, true)?,
        ends: column(false, flags & HAS_END != 0)?,
        starts: column(false, flags & HAS_START != 0)?,
        restated: column(false, flags & HAS_RESTATED != 0)?,
    };
    reader.end()?;
    match columns.times.ascends() {
        true => Ok(columns),
        false => Err(Undecodable::Form("points out of order")),
    }
}

fn unpack_column(reader: &mut Reader, form: u8, differences: bool, count: usize) -> Result<Column, Undecodable> {
    match form {
        EVEN => Column::evenly(reader.signed()?, reader.signed()?, count)
            .ok_or(Undecodable::Form("numbers that do not fit")),
        VARINTS if count > reader.0.len() => Err(Undecodable::Form("a column of too many numbers")),
        VARINTS => {
            let mut before = 0i64;
            let one = |_| {
                let number = reader.signed()?;
                before = if differences { before.wrapping_add(number) } else { number };
                Ok(before)
            };
            (0..count).map(one).collect::<Result<Vec<i64>, Undecodable>>().map(Column::from)
        }
        PCO => {
            let numbers: Vec<i64> = pco::standalone::simple_decompress(reader.bytes()?)
                .map_err(|_| Undecodable::Form("a column does not unpack"))?;
            if numbers.len() == count {
                Ok(numbers.into())
            } else {
                Err(Undecodable::Form("a column of another length"))
            }
        }
        _ => Err(Undecodable::Form("an unknown form of column")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Time;
    use proptest::prelude::*;

    /// Any number below 2 to any power, of either sign.
    fn number() -> impl Strategy<Value = i64> {
        (any::<i64>(), 0u32..64).prop_map(|(number, shift)| number >> shift)
    }

    proptest! {
        /// Points that are added to a packed block are what they are where it is unpacked for that, and as short; it is, where
        /// it gets long or says less of each point than they do.
        #[test]
        fn what_is_added_packed_is_what_is_added(
            points in proptest::collection::vec((1i64..4, number(), 0i64..2, 0i64..2, any::<bool>(), 0i64..3), 2..70),
            even: bool, plain in 0usize..4, at in any::<prop::sample::Index>(), from in 0usize..3,
        ) {
            let (mut time, mut revision) = (0, 1);
            let one = |(i, (step, value, length, start, restated, later)): (usize, &(i64, i64, i64, i64, bool, i64))| {
                time += if even { 2 } else { *step };
                revision += later;
                let says = i >= plain * points.len() / 3;
                let mut point = Point::of_period(Time(time), Time(time + if says { *length } else { 0 }), *value);
                point.start = (says && *start > 0).then_some(Time(time - start));
                point.restated = says && *restated;
                Row { point, revision }
            };
            let rows: Vec<Row> = points.iter().enumerate().map(one).collect();
            let (before, more) = rows.split_at(1 + at.index(rows.len() - 1));
            let before: Columns = before.iter().copied().collect();
            let more: Columns = more.iter().copied().collect();
            let range = from.min(more.len() - 1)..more.len();
            let mut all = before.clone();
            all.extend_as(&more, range.clone(), revision);
            match packed_with(&pack(&before), &more, range.clone(), revision) {
                Some(packed) => {
                    prop_assert_eq!(unpack(&packed), Ok(all.clone()));
                    prop_assert_eq!(packed, pack(&all));
                }
                None => {
                    let says = |columns: &Columns| [&columns.ends, &columns.starts, &columns.restated].map(|c| !c.is_zero());
                    prop_assert!(all.len() > VARINT_POINTS_MAX || says(&before) != says(&all));
                }
            }
        }
    }

    #[test]
    fn a_block_says_of_itself_only_as_many_points_as_memory_is_for() {
        let even = |count| Columns {
            times: Column::evenly(0, 1, count).expect("they fit"),
            values: Column::of(5, count),
            revisions: Column::of(1, count),
            ends: Column::of(0, count),
            starts: Column::of(0, count),
            restated: Column::of(0, count),
        };
        let most = even(UNPACKED_POINTS_MAX);
        assert_eq!(unpack(&pack(&most)), Ok(most));
        let refused = unpack(&pack(&even(UNPACKED_POINTS_MAX + 1)));
        assert_eq!(refused, Err(Undecodable::Form("a block of too many points")));
    }

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
                prop_assert_eq!(summed(kind, &columns, range.clone(), None), one_by_one);
            }
        }
    }
}
