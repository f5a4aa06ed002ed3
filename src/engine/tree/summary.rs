//! What is written of a stretch of a series: its extent, and what its points come to. A block has it in both copies of its
//! fold's directory and in the node above it, so that its length counts three times.

use super::Extent;
use crate::domain::aggregate::Aggregate;
use crate::domain::time::Time;
use crate::engine::codec::{Reader, Undecodable, Writer};

/// What stands before a sum: none; one as the first format had it, its numbers at their full width; one whose times are
/// told from the extent's, and whose numbers are as short as they can be, without a first start and with one. A third of
/// the first format's 118 bytes, three times for each block.
const NO_SUM: u8 = 0;
const WIDE_SUM: u8 = 1;
const SHORT_SUM: u8 = 2;
const SHORT_SUM_FROM_START: u8 = 3;

/// Writes an extent and a sum.
///
/// ```text
/// 8 bytes first key, 8 last key; zigzag varints lowest and highest revision
/// byte    0: no sum   2: a sum   3: one with a first start. Then zigzag varints (of up to 128 bits where a total is told):
///         first time - first key, last time - last key, last end - last time, first period - first time, last period -
///         last time; varints count, periods; zigzag varints sum, low, high - sum, min, max, first value, last value, and
///         with 3 first time - first start
///         1: as the first format wrote a sum. Five times as above, 8 bytes each; varints count, periods; sum, low, high,
///         16 bytes each; zigzag varints min, max, first value, last value; 0, or 1 and 8 bytes of first start
/// ```
pub fn write_summary(out: &mut Writer, extent: &Extent, sum: Option<&Aggregate>) {
    out.time(extent.first_key);
    out.time(extent.last_key);
    out.signed(extent.lowest_revision);
    out.signed(extent.highest_revision);
    let Some(a) = sum else { return out.byte(NO_SUM) };
    out.byte(if a.first_start.is_some() { SHORT_SUM_FROM_START } else { SHORT_SUM });
    let from = |time: Time, base: Time| time.0.wrapping_sub(base.0);
    out.signed(from(a.first_time, extent.first_key));
    out.signed(from(a.last_time, extent.last_key));
    out.signed(from(a.last_end, a.last_time));
    out.signed(from(a.first_period, a.first_time));
    out.signed(from(a.last_period, a.last_time));
    out.unsigned(a.count);
    out.unsigned(a.periods);
    [a.sum, a.low, a.high.wrapping_sub(a.sum)].into_iter().for_each(|v| out.total(v));
    [a.min, a.max, a.first_value, a.last_value].into_iter().for_each(|v| out.signed(v));
    if let Some(start) = a.first_start {
        out.signed(from(a.first_time, start));
    }
}

/// As `write_summary`.
pub fn read_summary(reader: &mut Reader) -> Result<(Extent, Option<Aggregate>), Undecodable> {
    let extent = Extent {
        first_key: reader.time()?,
        last_key: reader.time()?,
        lowest_revision: reader.signed()?,
        highest_revision: reader.signed()?,
    };
    let sum = match reader.byte()? {
        NO_SUM => None,
        form @ (WIDE_SUM | SHORT_SUM | SHORT_SUM_FROM_START) => Some(read_sum(reader, &extent, form)?),
        _ => return Err(Undecodable::Form("an unknown form of sum")),
    };
    Ok((extent, sum))
}

fn read_sum(reader: &mut Reader, extent: &Extent, form: u8) -> Result<Aggregate, Undecodable> {
    let time = |reader: &mut Reader, base: Time| match form {
        WIDE_SUM => reader.time(),
        _ => Ok(Time(base.0.wrapping_add(reader.signed()?))),
    };
    let total = |reader: &mut Reader, base: i128| match form {
        WIDE_SUM => reader.wide(),
        _ => Ok(base.wrapping_add(reader.total()?)),
    };
    let (first_time, last_time) = (time(reader, extent.first_key)?, time(reader, extent.last_key)?);
    let last_end = time(reader, last_time)?;
    let (first_period, last_period) = (time(reader, first_time)?, time(reader, last_time)?);
    let (count, periods) = (reader.unsigned()?, reader.unsigned()?);
    let (sum, low) = (total(reader, 0)?, total(reader, 0)?);
    let high = total(reader, sum)?;
    let (min, max) = (reader.signed()?, reader.signed()?);
    let (first_value, last_value) = (reader.signed()?, reader.signed()?);
    let first_start = match form {
        WIDE_SUM => reader.optional_time()?,
        SHORT_SUM_FROM_START => Some(Time(first_time.0.wrapping_sub(reader.signed()?))),
        _ => None,
    };
    Ok(Aggregate {
        first_time,
        last_time,
        last_end,
        count,
        periods,
        first_period,
        last_period,
        sum,
        min,
        max,
        low,
        high,
        first_value,
        last_value,
        first_start,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::definition::Kind;
    use crate::domain::point::Point;
    use proptest::prelude::*;

    fn times() -> impl Strategy<Value = Time> {
        prop_oneof![any::<i64>(), 0..100i64].prop_map(Time)
    }

    /// Any numbers at all, whether an aggregate can have them or not: a damaged one may.
    fn sums() -> impl Strategy<Value = Aggregate> {
        let totals = (any::<i128>(), any::<i128>(), any::<i128>(), 0u32..128);
        let values = (any::<i64>(), any::<i64>(), any::<i64>(), any::<i64>(), 0u32..64);
        let ends = (times(), times(), times(), times(), times(), prop::option::of(times()));
        (ends, any::<u64>(), any::<u64>(), totals, values).prop_map(|(times, count, periods, totals, values)| {
            let (total, value) = (|v: i128| v >> totals.3, |v: i64| v >> values.4);
            Aggregate {
                first_time: times.0,
                last_time: times.1,
                last_end: times.2,
                first_period: times.3,
                last_period: times.4,
                first_start: times.5,
                count,
                periods,
                sum: total(totals.0),
                low: total(totals.1),
                high: total(totals.2),
                min: value(values.0),
                max: value(values.1),
                first_value: value(values.2),
                last_value: value(values.3),
            }
        })
    }

    fn extents() -> impl Strategy<Value = Extent> {
        (times(), times(), any::<i64>(), any::<i64>()).prop_map(
            |(first_key, last_key, lowest_revision, highest_revision)| Extent {
                first_key,
                last_key,
                lowest_revision,
                highest_revision,
            },
        )
    }

    /// As the first format had it.
    fn wide(extent: &Extent, sum: Option<&Aggregate>) -> Vec<u8> {
        let mut out = Writer::default();
        [extent.first_key, extent.last_key].into_iter().for_each(|t| out.time(t));
        [extent.lowest_revision, extent.highest_revision].into_iter().for_each(|r| out.signed(r));
        out.byte(u8::from(sum.is_some()));
        if let Some(a) = sum {
            [a.first_time, a.last_time, a.last_end, a.first_period, a.last_period]
                .into_iter()
                .for_each(|t| out.time(t));
            out.unsigned(a.count);
            out.unsigned(a.periods);
            [a.sum, a.low, a.high].into_iter().for_each(|v| out.0.extend_from_slice(&v.to_le_bytes()));
            [a.min, a.max, a.first_value, a.last_value].into_iter().for_each(|v| out.signed(v));
            out.optional_time(a.first_start);
        }
        out.0
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(extent in extents(), sum in prop::option::of(sums())) {
            let mut out = Writer::default();
            write_summary(&mut out, &extent, sum.as_ref());
            for bytes in [out.0, wide(&extent, sum.as_ref())] {
                let mut reader = Reader(&bytes);
                prop_assert_eq!(read_summary(&mut reader), Ok((extent, sum)));
                prop_assert_eq!(reader.end(), Ok(()));
                for cut in 0..bytes.len() {
                    prop_assert!(read_summary(&mut Reader(&bytes[..cut])).is_err());
                }
            }
        }
    }

    #[test]
    fn points_of_every_day_take_a_third_of_what_they_took() {
        const SECOND: i64 = 1_000_000_000;
        let begin = 1_700_000_000 * SECOND;
        let points: Vec<Point> = (0..4_096).map(|i| Point::at(Time(begin + i * SECOND), 30 + i * 7 % 40)).collect();
        let sum = Aggregate::of_all(Kind::Delta, points.iter().copied(), None).expect("there are points");
        let (first_key, last_key) = (sum.first_time, sum.last_time);
        let extent = Extent { first_key, last_key, lowest_revision: 70, highest_revision: 71 };
        let mut out = Writer::default();
        write_summary(&mut out, &extent, Some(&sum));
        assert_eq!((out.0.len(), wide(&extent, Some(&sum)).len()), (39, 118));
    }

    #[test]
    fn an_unknown_form_is_refused() {
        let extent = Extent { first_key: Time(1), last_key: Time(2), lowest_revision: 1, highest_revision: 1 };
        let mut bytes = wide(&extent, None);
        *bytes.last_mut().expect("a flag") = 4;
        assert_eq!(read_summary(&mut Reader(&bytes)), Err(Undecodable::Form("an unknown form of sum")));
    }
}
