//! The first points of a packed block, unpacked as far as they are wanted: whoever asks a block once, for a total or where
//! one was first reached, needs half of it, and none of what makes it quick to be asked again.

use super::super::column::Column;
use super::super::columns::Columns;
use super::{EVEN, FORMAT, FORMAT_PCO, HAS_END, PCO, RUNS, UNPACKED_POINTS_MAX, VARINTS, unpack_column};
use crate::domain::time::Time;
use crate::engine::codec::{Reader, Undecodable};
use pco::FULL_BATCH_N;
use pco::standalone::{DecompressorItem, FileDecompressor};

/// What a packed block begins with.
struct Head<'a> {
    flags: u8,
    times: Column,
    /// At the values.
    rest: Reader<'a>,
}

/// None: its times are not even.
fn head(bytes: &[u8]) -> Result<Option<Head<'_>>, Undecodable> {
    let mut rest = Reader(bytes);
    if rest.format(FORMAT)? <= FORMAT_PCO {
        return Ok(None);
    }
    let count = rest.unsigned()? as usize;
    if count > UNPACKED_POINTS_MAX {
        return Err(Undecodable::Form("a block of too many points"));
    }
    let flags = rest.byte()?;
    if rest.byte()? != EVEN {
        return Ok(None);
    }
    let times = unpack_column(&mut rest, EVEN, true, count)?;
    match times.ascends() {
        true => Ok(Some(Head { flags, times, rest })),
        false => Err(Undecodable::Form("points out of order")),
    }
}

/// The times of a packed block where they are even: nothing is unpacked for them.
pub fn unpack_times(bytes: &[u8]) -> Result<Option<Column>, Undecodable> {
    Ok(head(bytes)?.map(|head| head.times))
}

/// The first points of a packed block: those before `end`, and of these, where there is a level, those up to where their
/// values come to it; some more may follow. Their revisions are left out. None: the block is of another form than most, and
/// to be unpacked whole. Cost: 3 ns a point.
pub fn unpack_first(bytes: &[u8], end: Time, level: Option<i128>) -> Result<Option<Columns>, Undecodable> {
    let Some(Head { flags, times, mut rest }) = head(bytes)? else { return Ok(None) };
    if flags & !HAS_END != 0 || rest.byte()? != PCO {
        return Ok(None);
    }
    let values = rest.bytes()?;
    pass(&mut rest, times.len())?;
    let length = match flags & HAS_END != 0 {
        false => 0,
        true if rest.byte()? != EVEN => return Ok(None),
        true => match (rest.signed()?, rest.signed()?) {
            (length, 0) => length,
            _ => return Ok(None),
        },
    };
    rest.end()?;
    let Some(values) = first_numbers(values, times.len(), times.at_or_above(end.0), level)? else { return Ok(None) };
    let mut first = Column::default();
    first.extend(&times, 0..values.len());
    let none = Column::of(0, values.len());
    Ok(Some(Columns {
        times: first,
        ends: Column::of(length, values.len()),
        values: values.into(),
        revisions: none.clone(),
        starts: none.clone(),
        restated: none,
    }))
}

/// Passes a column of so many numbers.
fn pass(rest: &mut Reader, count: usize) -> Result<(), Undecodable> {
    let numbers = match rest.byte()? {
        EVEN => 2,
        VARINTS => count as u64,
        PCO => return rest.bytes().map(drop),
        RUNS => rest.unsigned()?.checked_mul(2).ok_or(Undecodable::Form("a column of too many numbers"))?,
        _ => return Err(Undecodable::Form("an unknown form of column")),
    };
    (0..numbers).try_for_each(|_| rest.unsigned().map(drop))
}

/// At least the first `wanted` of `count` numbers, or those up to where they come to a level. None: they are packed
/// otherwise than in one piece.
fn first_numbers(
    packed: &[u8],
    count: usize,
    wanted: usize,
    level: Option<i128>,
) -> Result<Option<Vec<i64>>, Undecodable> {
    let form = |_| Undecodable::Form("a column does not unpack");
    let (file, packed) = FileDecompressor::new(packed).map_err(form)?;
    let DecompressorItem::Chunk(mut chunk) = file.chunk_decompressor::<i64, _>(packed).map_err(form)? else {
        return Ok(None);
    };
    if chunk.n() != count {
        return Ok(None);
    }
    // It unpacks whole batches.
    let mut numbers = vec![0; wanted.next_multiple_of(FULL_BATCH_N).min(count)];
    let (mut unpacked, mut sum) = (0, 0);
    for batch in numbers.chunks_mut(FULL_BATCH_N) {
        chunk.read(batch).map_err(form)?;
        unpacked += batch.len();
        if let Some(level) = level {
            sum += batch.iter().map(|number| i128::from(*number)).sum::<i128>();
            if sum >= level {
                break;
            }
        }
    }
    numbers.truncate(unpacked);
    Ok(Some(numbers))
}

#[cfg(test)]
mod tests {
    use super::super::{pack, unpack};
    use super::*;
    use proptest::prelude::*;

    /// Columns in every form that a block has them in: even or not, short or long.
    fn columns() -> impl Strategy<Value = Columns> {
        let value = prop_oneof![9 => -3i64..40, 1 => any::<i64>()];
        let odd = || proptest::bool::weighted(0.1);
        (proptest::collection::vec(value, 1..900), 1i64..9, odd(), 0i64..3, odd(), odd(), odd(), 1usize..400).prop_map(
            |(values, step, is_uneven, length, ends_differ, starts, restated, run)| {
                let count = values.len();
                let odd = |number: i64| (0..count as i64).map(|i| number * (i % 2)).collect::<Vec<_>>().into();
                let mut times: Vec<i64> = (0..count as i64).map(|i| 7 + step * i).collect();
                times[count - 1] += i64::from(is_uneven);
                Columns {
                    times: times.into(),
                    values: values.into(),
                    revisions: (0..count).map(|i| 3 + (i / run) as i64).collect::<Vec<_>>().into(),
                    ends: if ends_differ { odd(length) } else { Column::of(length, count) },
                    starts: odd(i64::from(starts)),
                    restated: odd(i64::from(restated)),
                }
            },
        )
    }

    proptest! {
        /// They are the first points of the block, and all that were wanted: those before the end, or up to where the values
        /// come to the level. Only blocks of another form are left to be unpacked whole.
        #[test]
        fn the_first_points_are_those_of_the_block(
            columns in columns(), end in -20i64..8_000, level in proptest::option::of(-100i128..30_000),
        ) {
            let packed = pack(&columns);
            let all = unpack(&packed).expect("it was packed");
            let times = unpack_times(&packed).expect("it was packed");
            prop_assert_eq!(times, matches!(all.times, Column::Even { .. }).then(|| all.times.clone()));
            let Some(first) = unpack_first(&packed, Time(end), level).expect("it was packed") else {
                let is_even = |column: &Column| matches!(column, Column::Even { .. });
                let has_same_ends = matches!(all.ends, Column::Even { step: 0, .. } | Column::Even { count: 1, .. });
                let is_plain = is_even(&all.times) && has_same_ends && all.starts.is_zero() && all.restated.is_zero();
                prop_assert!(!is_plain || packed_as(&packed) != PCO, "most blocks are of this form");
                return Ok(());
            };
            let count = first.len();
            prop_assert_eq!(first.points(0..count).collect::<Vec<_>>(), all.points(0..count).collect::<Vec<_>>());
            let wanted = all.at_or_after(Time(end));
            let sums = all.values.iter().take(wanted).scan(0i128, |sum, value| { *sum += i128::from(value); Some(*sum) });
            let reached = level.and_then(|level| sums.clone().position(|sum| sum >= level));
            prop_assert!(count >= reached.map_or(wanted, |at| at + 1), "{} of {}, {:?}", count, wanted, reached);
            // No more than the batch that holds the last one; where sums fall the level is seen at the end of a batch only.
            let never_falls = all.values.iter().all(|value| value >= 0);
            let needed = reached.filter(|_| never_falls).map_or(wanted, |at| at + 1);
            prop_assert!(count < needed + FULL_BATCH_N, "{} unpacked for {}", count, needed);
            for cut in (0..packed.len()).step_by(packed.len() / 40 + 1) {
                prop_assert!(unpack_first(&packed[..cut], Time(end), level).is_err(), "cut at {}", cut);
            }
            // Bytes that nobody wrote, though their checksum fits, end no thread.
            for place in (0..packed.len()).step_by(packed.len() / 40 + 1) {
                let mut flipped = packed.clone();
                flipped[place] ^= 1 << (place % 8);
                if let Ok(Some(first)) = unpack_first(&flipped, Time(end), level) {
                    prop_assert!(first.times.ascends() && first.values.len() == first.len());
                }
            }
        }
    }

    /// The form of the values.
    fn packed_as(bytes: &[u8]) -> u8 {
        let Some(Head { mut rest, .. }) = head(bytes).expect("it was packed") else { return EVEN };
        rest.byte().expect("there is a form")
    }
}
