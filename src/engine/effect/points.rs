//! Changed keys in the body of a log record.
//!
//! Format 3, in columns as they are in memory, so that a point costs the log what its value costs (with evenly spaced
//! times and ends all as long after them 2 bytes where format 2 took 10):
//!
//! ```text
//! byte     1: some end is not its time   2: some start   4: some restated   8: taken back
//! varint   keys n
//! columns of times and, unless taken back, values, and as the flags say: ends - times, starts (time - start + 1,
//! 0: none), restated (0/1). Each:
//!   byte   0 even: zigzag varints first and step
//!          1 to 8: zigzag varint lowest, then n times so many bytes, low ones first: the number less the lowest
//! ```
//!
//! Formats 1 and 2, which are still read:
//!
//! ```text
//! varint   keys n
//! byte     1: evenly spaced
//! time     the first, and a zigzag varint step; unless evenly spaced n - 1 zigzag varints, each from the one before
//! n times  byte 0xff taken back (then all are), or a point's value
//! ```

use crate::domain::time::Time;
use crate::engine::block::{Column, Columns};
use crate::engine::codec::{Reader, Undecodable, Writer};
use crate::engine::tree::apply::Changes;

const HAS_END: u8 = 1;
const HAS_START: u8 = 2;
const HAS_RESTATED: u8 = 4;
const TAKEN_BACK: u8 = 8;
const EVEN: u8 = 0;
/// In formats 1 and 2: no point's value begins so.
const NO_POINT: u8 = 0xff;
/// Points of a series in one record at most, whatever it says of itself.
const POINTS_MAX: usize = 1 << 24;

/// The first format that has columns.
pub(super) const FORMAT_COLUMNS: u8 = 3;

pub(super) fn write_changes(out: &mut Writer, changes: &Changes) {
    let points = match changes {
        Changes::Set(points) => points,
        Changes::TakenBack(times) => {
            out.byte(TAKEN_BACK);
            out.unsigned(times.len() as u64);
            return write_column(out, times);
        }
    };
    let others = [(&points.ends, HAS_END), (&points.starts, HAS_START), (&points.restated, HAS_RESTATED)];
    let present = || others.iter().filter(|(column, _)| !column.is_zero());
    out.byte(present().fold(0, |flags, (_, flag)| flags | flag));
    out.unsigned(points.len() as u64);
    write_column(out, &points.times);
    write_column(out, &points.values);
    present().for_each(|(column, _)| write_column(out, column));
}

fn write_column(out: &mut Writer, column: &Column) {
    match column {
        Column::Even { first, step, .. } => {
            out.byte(EVEN);
            out.signed(*first);
            out.signed(*step);
        }
        Column::Each(_) | Column::Near { .. } => {
            let (lowest, highest) = column.bounds().unwrap_or((0, 0));
            let widest = highest.wrapping_sub(lowest) as u64;
            let width = (u64::BITS - widest.leading_zeros()).div_ceil(8).max(1) as u8;
            out.byte(width);
            out.signed(lowest);
            let write = match width {
                1 => write_numbers::<1>,
                2 => write_numbers::<2>,
                3 => write_numbers::<3>,
                4 => write_numbers::<4>,
                5 => write_numbers::<5>,
                6 => write_numbers::<6>,
                7 => write_numbers::<7>,
                _ => write_numbers::<8>,
            };
            write(out, &column.numbers(0..column.len()), lowest);
        }
    }
}

fn write_numbers<const WIDTH: usize>(out: &mut Writer, numbers: &[i64], lowest: i64) {
    let from = out.0.len();
    out.0.resize(from + numbers.len() * WIDTH, 0);
    for (place, number) in out.0[from..].chunks_exact_mut(WIDTH).zip(numbers) {
        place.copy_from_slice(&number.wrapping_sub(lowest).to_le_bytes()[..WIDTH]);
    }
}

/// As `write_changes`, or as earlier formats wrote them; at least one key, in order.
pub(super) fn read_changes(reader: &mut Reader, format: u8) -> Result<Changes, Undecodable> {
    let changes = if format < FORMAT_COLUMNS { read_rows(reader)? } else { read_columns(reader)? };
    match changes.is_empty() {
        true => Err(Undecodable::Form("a series of which nothing changes")),
        false if !changes.times().ascends() => Err(Undecodable::Form("keys out of order")),
        false => Ok(changes),
    }
}

fn read_columns(reader: &mut Reader) -> Result<Changes, Undecodable> {
    let flags = reader.byte()?;
    let count = u32::try_from(reader.unsigned()?).map_err(|_| Undecodable::Form("too many keys"))? as usize;
    if flags == TAKEN_BACK {
        return Ok(Changes::TakenBack(read_column(reader, count)?));
    }
    if count > POINTS_MAX || flags >= TAKEN_BACK {
        return Err(Undecodable::Form("too many points, or unknown ones"));
    }
    let mut column = |present: bool| if present { read_column(reader, count) } else { Ok(Column::of(0, count)) };
    Ok(Changes::Set(Columns {
        times: column(true)?,
        values: column(true)?,
        revisions: Column::of(0, count),
        ends: column(flags & HAS_END != 0)?,
        starts: column(flags & HAS_START != 0)?,
        restated: column(flags & HAS_RESTATED != 0)?,
    }))
}

fn read_column(reader: &mut Reader, count: usize) -> Result<Column, Undecodable> {
    let read = match reader.byte()? {
        EVEN => {
            let column = Column::evenly(reader.signed()?, reader.signed()?, count);
            return column.ok_or(Undecodable::Form("numbers that do not fit"));
        }
        1 => read_numbers::<1>,
        2 => read_numbers::<2>,
        3 => read_numbers::<3>,
        4 => read_numbers::<4>,
        5 => read_numbers::<5>,
        6 => read_numbers::<6>,
        7 => read_numbers::<7>,
        8 => read_numbers::<8>,
        _ => return Err(Undecodable::Form("an unknown form of column")),
    };
    let lowest = reader.signed()?;
    read(reader, lowest, count).map(Column::from)
}

fn read_numbers<const WIDTH: usize>(reader: &mut Reader, lowest: i64, count: usize) -> Result<Vec<i64>, Undecodable> {
    let length = count.checked_mul(WIDTH).ok_or(Undecodable::Form("too many numbers"))?;
    let one = |bytes: &[u8]| {
        let mut wide = [0; 8];
        wide[..WIDTH].copy_from_slice(bytes);
        lowest.wrapping_add(i64::from_le_bytes(wide))
    };
    Ok(reader.take(length)?.chunks_exact(WIDTH).map(one).collect())
}

/// Formats 1 and 2.
fn read_rows(reader: &mut Reader) -> Result<Changes, Undecodable> {
    let count = reader.count()?;
    let even = reader.byte()? != 0;
    let mut times = Vec::with_capacity(count);
    if count > 0 {
        let (mut time, step) = (reader.time()?, reader.signed()?);
        times.push(time.0);
        for _ in 1..count {
            time = Time(time.0.wrapping_add(if even { step } else { reader.signed()? }));
            times.push(time.0);
        }
    }
    if reader.0.first() == Some(&NO_POINT) {
        return match reader.take(count)?.iter().all(|byte| *byte == NO_POINT) {
            true => Ok(Changes::TakenBack(times.into())),
            false => Err(Undecodable::Form("points among what is taken back")),
        };
    }
    let one = |time: i64| match reader.0.first() {
        Some(&NO_POINT) => Err(Undecodable::Form("no point among points")),
        _ => reader.point_value(Time(time)),
    };
    Ok(Changes::Set(times.into_iter().map(one).collect::<Result<Vec<_>, _>>()?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::point::Point;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// As formats 1 and 2 wrote them, kept here as it was.
    fn write_rows(out: &mut Writer, changes: &[(Time, Option<Point>)]) {
        out.unsigned(changes.len() as u64);
        let step = changes.get(1).map_or(0, |second| second.0.0.wrapping_sub(changes[0].0.0));
        let even = changes.windows(2).all(|pair| pair[1].0.0.wrapping_sub(pair[0].0.0) == step);
        out.byte(u8::from(even));
        if let Some((first, _)) = changes.first() {
            out.time(*first);
            out.signed(step);
            if !even {
                changes.windows(2).for_each(|pair| out.signed(pair[1].0.0.wrapping_sub(pair[0].0.0)));
            }
        }
        for (_, point) in changes {
            match point {
                None => out.byte(0xff),
                Some(point) => out.point_value(point),
            }
        }
    }

    /// Any number below 2 to any power, of either sign.
    fn number() -> impl Strategy<Value = i64> {
        (any::<i64>(), 0u32..64).prop_map(|(number, shift)| number >> shift)
    }

    /// Points in order: values of any width, ends and starts near, far and none.
    fn points() -> impl Strategy<Value = Vec<Point>> {
        let value = prop_oneof![number(), 0..9i64, Just(i64::MIN), Just(i64::MAX)];
        let one =
            (1i64..9, value, 0i64..3, proptest::option::weighted(0.3, 0i64..1 << 40), proptest::bool::weighted(0.1));
        (-(1i64 << 60)..1 << 60, any::<bool>(), vec(one, 1..40)).prop_map(|(first, even, points)| {
            let mut time = Time(first);
            let one = |(step, value, length, start, restated): (i64, i64, i64, Option<i64>, bool)| {
                time = time.plus(if even { 7 } else { step });
                let start = start.map(|before| Time(time.0 - before));
                Point { time, value, end: Time(time.0 + length), start, restated }
            };
            points.into_iter().map(one).collect()
        })
    }

    fn read(bytes: &[u8], format: u8) -> Result<Changes, Undecodable> {
        let mut reader = Reader(bytes);
        let changes = read_changes(&mut reader, format)?;
        reader.end().map(|()| changes)
    }

    proptest! {
        /// What is written is read, in this format and in those before it; cut short it is refused.
        #[test]
        fn what_was_written_is_read(points in points(), taken_back: bool, cut in any::<prop::sample::Index>()) {
            let keys = points.iter().map(|point| (point.time, (!taken_back).then_some(*point))).collect::<Vec<_>>();
            let times: Vec<i64> = points.iter().map(|point| point.time.0).collect();
            let changes = if taken_back { Changes::TakenBack(times.into()) } else { Changes::Set(points.into()) };
            let told: Vec<_> = (0..changes.len()).map(|i| (changes.time(i), changes.point(i))).collect();
            prop_assert_eq!(&told, &keys);
            for format in [1, 2, 3] {
                let mut out = Writer::default();
                if format < 3 { write_rows(&mut out, &keys) } else { write_changes(&mut out, &changes) }
                prop_assert_eq!(read(&out.0, format), Ok(changes.clone()));
                let cut = cut.index(out.0.len());
                prop_assert!(read(&out.0[..cut], format).is_err(), "{} of {:?}", cut, out.0);
            }
        }
    }

    /// Each form, byte by byte as it is drawn above.
    #[test]
    fn a_body_is_as_it_is_drawn() {
        let point = |time: i64, value: i64| Point { end: Time(time + 5), ..Point::at(Time(time), value) };
        let bytes = |changes: Changes| {
            let mut out = Writer::default();
            write_changes(&mut out, &changes);
            out.0
        };
        let even = vec![point(10, -3), point(20, 700), point(30, 0)];
        let drawn = [1, 3, 0, 20, 20, 2, 5, 0, 0, 0xbf, 2, 3, 0, 0, 10, 0];
        assert_eq!(bytes(Changes::Set(even.into())), drawn);
        let report = |time: i64, start: i64| Point { start: Some(Time(start)), ..Point::at(Time(time), 4) };
        let odd = vec![report(10, 10), report(11, 11), Point { restated: true, ..report(100, 99) }];
        let drawn = [6, 3, 1, 20, 0, 1, 90, 0, 8, 0, 1, 2, 0, 0, 1, 1, 0, 0, 0, 1];
        assert_eq!(bytes(Changes::Set(odd.into())), drawn);
        assert_eq!(bytes(Changes::TakenBack(vec![1, 3, 4].into())), [8, 3, 1, 2, 0, 2, 3]);
        let wide = vec![Point::at(Time(1), i64::MIN), Point::at(Time(2), i64::MAX)];
        let written = bytes(Changes::Set(wide.into()));
        assert_eq!(written[..6], [0, 2, 0, 2, 2, 8]);
        assert_eq!(written[16..], [[0; 8], [255; 8]].concat());
    }

    /// Bytes that nobody wrote, though their checksum fits.
    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |bytes: &[u8], format: u8| read(bytes, format).is_err();
        assert!(!refused(&[0, 2, 0, 2, 2, 0, 4, 0], 3), "two points: what the others differ from");
        assert!(refused(&[0, 2, 0, 2, 0, 0, 4, 0], 3), "one time twice");
        assert!(refused(&[0, 2, 0, 2, 1, 0, 4, 0], 3), "times that descend");
        assert!(refused(&[0, 0, 0, 2, 2, 0, 4, 0], 3), "no key");
        assert!(refused(&[0, 2, 9, 2, 2, 0, 4, 0], 3), "a form that is not known");
        assert!(refused(&[16, 2, 0, 2, 2, 0, 4, 0], 3), "a flag that is not known");
        assert!(refused(&[9, 2, 0, 2, 2], 3), "taken back with ends");
        let many = [&[0], &[0x80; 3][..], &[1 << 4, 0, 2, 2, 0, 4, 0]].concat();
        assert!(refused(&many, 3), "more points than a batch can have");
        let mut mixed = Writer::default();
        write_rows(&mut mixed, &[(Time(1), None), (Time(2), Some(Point::at(Time(2), 3)))]);
        assert!(refused(&mixed.0, 2));
        let mut mixed = Writer::default();
        write_rows(&mut mixed, &[(Time(1), Some(Point::at(Time(1), 3))), (Time(2), None)]);
        assert!(refused(&mixed.0, 2));
    }
}
