//! A packed block, as fold files and records of series hold it, byte by byte.
//!
//! ```text
//! byte     format: 4; 3 had no runs
//! varint   points n
//! byte     1: some end is not its time   2: some start   4: some restated
//! columns of times, values, revisions, and as the flags say: ends - times, starts (time - start + 1, 0: none),
//! restated (0/1). Each:
//!   byte   0 even: zigzag varints first and step
//!          1 n zigzag varints, of times and revisions the differences from the one before
//!          2 a varint length and a `pco` standalone chunk of i64
//!          3 runs: a varint of how many, and for each a zigzag varint of its number less the one before and a varint of how often
//! ```
//!
//! Formats 1 and 2, which are still read, had no byte before a column: all were of the form 1, or all of 2.

mod first;

use super::column::Column;
use super::columns::Columns;
use crate::engine::codec::{Reader, Undecodable, Writer};
pub use first::{unpack_first, unpack_times};
use std::ops::Range;

const FORMAT_VARINTS: u8 = 1;
const FORMAT_PCO: u8 = 2;
const FORMAT: u8 = 4;
const EVEN: u8 = 0;
const VARINTS: u8 = 1;
const PCO: u8 = 2;
const RUNS: u8 = 3;
/// Points up to which varints are shorter than `pco`'s headers.
const VARINT_POINTS_MAX: usize = 64;
/// Points that a run has at least, on average, for runs to be shorter than what `pco` makes of them. (Revisions of points
/// that came a few hundred at a time take 0.01 bytes a point, where `pco` takes 0.36. Of a block of which each hundredth
/// point was corrected they take about as much as runs, and ten times as long to pack and unpack.)
const RUN_POINTS_MIN: usize = 32;
/// `pco` level: 6 takes 2 % less than 4, and some ns a point more.
const PCO_LEVEL: usize = 6;
/// Points of a block at most, whatever it says of itself: 8 MiB a column in memory. None that is written comes near.
const UNPACKED_POINTS_MAX: usize = 1 << 20;

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
        _ => pack_many(out, column),
    }
}

/// Packs more numbers than varints are short for.
fn pack_many(out: &mut Writer, column: &Column) {
    let numbers = column.numbers(0..column.len());
    match runs(&numbers, numbers.len() / RUN_POINTS_MIN) {
        Some(runs) => {
            out.byte(RUNS);
            out.unsigned(runs.len() as u64);
            let mut before = 0i64;
            for (number, count) in runs {
                out.signed(number.wrapping_sub(before));
                out.unsigned(count);
                before = number;
            }
        }
        None => {
            out.byte(PCO);
            let order = usize::from(is_nearer_its_neighbours(&numbers));
            let config = pco::ChunkConfig::default()
                .with_compression_level(PCO_LEVEL)
                .with_delta_spec(pco::DeltaSpec::TryConsecutive(order));
            let packed = pco::standalone::simple_compress(&numbers, &config)
                .expect("pco packs any i64 column of up to 2^24 values at a level it knows");
            out.bytes(&packed);
        }
    }
}

/// Whether numbers are nearer to those before them than to their mean: then it is their differences that are packed. (`pco`
/// finds out by trying, which takes a third of the time of packing; it also looks for what comes again, as days do, which
/// would save 4 % of hourly counts.)
fn is_nearer_its_neighbours(numbers: &[i64]) -> bool {
    let mean = numbers.iter().map(|number| i128::from(*number)).sum::<i128>() / numbers.len().max(1) as i128;
    let mean = i64::try_from(mean).expect("a mean lies between two of its numbers");
    let to_mean = || numbers.iter().map(|number| number.abs_diff(mean));
    let to_next = || numbers.windows(2).map(|pair| pair[0].abs_diff(pair[1]));
    // Neighbours are together no further apart than twice as far as all are from the mean: mostly that fits 64 bits.
    match to_mean().try_fold(0, u64::checked_add).filter(|sum| sum.checked_mul(2).is_some()) {
        Some(sum) => to_next().sum::<u64>() < sum,
        None => to_next().map(u128::from).sum::<u128>() < to_mean().map(u128::from).sum(),
    }
}

/// Each number, and how often it comes, one after the other; None where that is more than so many.
fn runs(numbers: &[i64], runs_max: usize) -> Option<Vec<(i64, u64)>> {
    let all = numbers.chunk_by(|one, next| one == next).map(|run| (run[0], run.len() as u64));
    let runs: Vec<(i64, u64)> = all.take(runs_max + 1).collect();
    (runs.len() <= runs_max).then_some(runs)
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
        RUNS => {
            let mut numbers = Vec::with_capacity(count);
            let mut before = 0i64;
            for _ in 0..reader.unsigned()? {
                let (step, times) = (reader.signed()?, reader.unsigned()? as usize);
                if times > count - numbers.len() {
                    return Err(Undecodable::Form("a column of too many numbers"));
                }
                before = before.wrapping_add(step);
                numbers.resize(numbers.len() + times, before);
            }
            match numbers.len() == count {
                true => Ok(numbers.into()),
                false => Err(Undecodable::Form("a column of another length")),
            }
        }
        _ => Err(Undecodable::Form("an unknown form of column")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::point::Point;
    use crate::domain::time::Time;
    use crate::engine::block::Row;
    use proptest::prelude::*;

    /// Revisions of points that came in stretches are runs: some bytes each. Where runs are short they are none.
    #[test]
    fn long_runs_are_kept_as_runs() {
        let bytes = |column: Vec<i64>| {
            let mut out = Writer::default();
            pack_column(&mut out, true, &column.into());
            (out.0[0], out.0.len())
        };
        let stretches = |length: i64| (0..4_096).map(|i| 1_000 + 3 * (i / length)).collect();
        assert_eq!(bytes(stretches(438)), (RUNS, 2 + 10 * 3 + 1));
        assert_eq!(bytes(stretches(32)).0, RUNS);
        assert_eq!(bytes(stretches(31)).0, PCO);
    }

    /// Whether differences are packed hangs on which is shorter: noise as it is, what wanders or has a rhythm by its steps.
    #[test]
    fn what_is_packed_is_the_shorter_of_numbers_and_differences() {
        let scattered = |i: u64| {
            let k = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (k ^ (k >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(27).wrapping_mul(0x94d0_49bb_1331_11eb)
        };
        let noise = |i: i64| (scattered(i as u64) as i64) >> 55;
        let mut level = 0;
        let mut walk = |i: i64| {
            level += noise(i);
            level
        };
        let columns: [(bool, Vec<i64>); 5] = [
            (false, (0..5_000).map(noise).collect()),
            (true, (0..5_000).map(&mut walk).collect()),
            (true, (0..5_000i64).map(|i| 40 * (i % 24 - 12).abs() + noise(i) / 16).collect()),
            (true, (0..5_000).map(|i| 1_000 * i + noise(i)).collect()),
            (false, vec![i64::MIN, i64::MAX, i64::MIN, 0]),
        ];
        for (by_steps, numbers) in columns {
            let bytes = |order: usize| {
                let spec = pco::DeltaSpec::TryConsecutive(order);
                let config = pco::ChunkConfig::default().with_compression_level(PCO_LEVEL).with_delta_spec(spec);
                pco::standalone::simple_compress(&numbers, &config).expect("it packs").len()
            };
            assert_eq!(is_nearer_its_neighbours(&numbers), by_steps, "{:?}", &numbers[..4]);
            assert_eq!(bytes(1) < bytes(0), by_steps, "{:?}: {} and {}", &numbers[..4], bytes(0), bytes(1));
        }
    }

    /// Runs as they were first written, byte by byte: they are read and written so for ever.
    #[test]
    fn runs_are_kept_as_they_are_drawn() {
        let bytes = [
            &[FORMAT, 0x84, 0x01, HAS_END][..], // 132 points
            &[EVEN, 0, 20],                     // times: 0, 10, 20
            &[RUNS, 2, 10, 66, 3, 66],          // values: 66 fives, 66 threes
            &[RUNS, 2, 14, 68, 6, 64],          // revisions: 68 sevens, 64 tens
            &[EVEN, 2, 0],                      // ends: 1 after each time
        ]
        .concat();
        let (values, revisions) = (|i: i64| if i < 66 { 5 } else { 3 }, |i: i64| if i < 68 { 7 } else { 10 });
        let row =
            |i: i64| Row { point: Point::of_period(Time(10 * i), Time(10 * i + 1), values(i)), revision: revisions(i) };
        let columns: Columns = (0..132).map(row).collect();
        assert_eq!(unpack(&bytes).expect("it is a block"), columns);
        assert_eq!(pack(&columns), bytes);
    }

    #[test]
    fn a_run_says_of_itself_only_what_its_column_has_room_for() {
        for (runs, said) in [
            (&[(5, 65), (6, 65)][..], Ok(())),
            (&[(5, 65), (6, 66)], Err("a column of too many numbers")),
            (&[(5, u64::MAX), (6, 1)], Err("a column of too many numbers")),
            (&[(5, 65), (6, 64)], Err("a column of another length")),
            (&[], Err("a column of another length")),
        ] {
            let mut out = Writer::default();
            out.unsigned(runs.len() as u64);
            for (number, count) in runs {
                out.signed(*number);
                out.unsigned(*count);
            }
            let unpacked = unpack_column(&mut Reader(&out.0), RUNS, true, 130);
            assert_eq!(unpacked.map(drop), said.map_err(Undecodable::Form), "{runs:?}");
        }
    }

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
        /// What is packed is unpacked, in whatever form: short and long, in runs, evenly or not.
        #[test]
        fn what_is_packed_is_unpacked(
            runs in proptest::collection::vec((prop_oneof![0i64..3, any::<i64>()], 0usize..300), 0..8),
            step in 0i64..3, uneven: bool,
        ) {
            let numbers: Vec<i64> = runs.iter().flat_map(|(number, count)| std::iter::repeat_n(*number, *count)).collect();
            let count = numbers.len();
            let mut revisions: Vec<i64> = (0..count as i64).map(|i| i * step).collect();
            if uneven && count > 2 {
                revisions[count / 2] = -7;
            }
            let columns = Columns {
                times: Column::evenly(5, 3, count).expect("they fit"),
                values: numbers.into(),
                revisions: revisions.into(),
                ends: Column::of(0, count),
                starts: Column::of(0, count),
                restated: Column::of(0, count),
            };
            let packed = pack(&columns);
            prop_assert_eq!(unpack(&packed), Ok(columns));
            for cut in (0..packed.len()).step_by(packed.len() / 40 + 1) {
                prop_assert!(unpack(&packed[..cut]).is_err(), "cut at {}", cut);
            }
        }
    }
}
