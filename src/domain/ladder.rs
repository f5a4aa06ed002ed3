//! Thresholds, and the ladders they make.

use super::decimal::{self, DecimalError};
use super::limit::THRESHOLD_MAX;

/// Why a text is not a threshold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ThresholdError {
    /// Not decimal text with an optional `k`, `m` or `bn`.
    Malformed,
    /// Finer than the metric's scale.
    TooFine,
    /// Does not fit.
    OutOfRange,
}

/// Rungs in ascending order, ordinals from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ladder {
    /// These, ascending, distinct.
    List(Vec<i128>),
    /// Every multiple of a step above 0.
    Every(i128),
    /// 1, 2, 5, 10, ... times this unit (10^scale).
    OneTwoFive(i128),
    /// 1, 10, 100, ... times this unit (10^scale).
    PowersOfTen(i128),
}

/// `1m`, `2.5bn`, `10k`, `-3.5` in units of 10^-scale. Exact; at most [`THRESHOLD_MAX`] from zero.
pub fn parse_threshold(text: &str, scale: u8) -> Result<i128, ThresholdError> {
    let suffixes = [("k", 3), ("m", 6), ("bn", 9)];
    let (number, zeros) = suffixes
        .iter()
        .find_map(|&(suffix, zeros)| text.strip_suffix(suffix).map(|number| (number, zeros)))
        .unwrap_or((text, 0));
    let units = decimal::parse_units(number, u32::from(scale) + zeros).map_err(|error| match error {
        DecimalError::Malformed => ThresholdError::Malformed,
        DecimalError::TooFine => ThresholdError::TooFine,
        DecimalError::OutOfRange => ThresholdError::OutOfRange,
    })?;
    if units.unsigned_abs() > THRESHOLD_MAX.unsigned_abs() { Err(ThresholdError::OutOfRange) } else { Ok(units) }
}

impl Ladder {
    /// A list of thresholds in any order; equal ones are one.
    pub fn of(mut thresholds: Vec<i128>) -> Ladder {
        thresholds.sort_unstable();
        thresholds.dedup();
        Ladder::List(thresholds)
    }

    /// The rung with that ordinal (from 1); None above the last, or beyond [`THRESHOLD_MAX`].
    pub fn rung(&self, ordinal: u64) -> Option<i128> {
        let index = ordinal.checked_sub(1)?;
        let power = |exponent: u64| 10_i128.checked_pow(u32::try_from(exponent).ok()?);
        let rung = match self {
            Ladder::List(rungs) => return rungs.get(usize::try_from(index).ok()?).copied(),
            Ladder::Every(step) => step.checked_mul(i128::from(ordinal))?,
            Ladder::OneTwoFive(unit) => {
                let digit = [1, 2, 5][usize::try_from(index % 3).ok()?];
                unit.checked_mul(digit)?.checked_mul(power(index / 3)?)?
            }
            Ladder::PowersOfTen(unit) => unit.checked_mul(power(index)?)?,
        };
        (rung <= THRESHOLD_MAX).then_some(rung)
    }

    /// Ordinal of the lowest rung strictly above `level`; None where there is none.
    pub fn first_above(&self, level: i128) -> Option<u64> {
        match self {
            Ladder::List(rungs) => {
                let below = rungs.partition_point(|&rung| rung <= level);
                (below < rungs.len()).then_some(below as u64 + 1)
            }
            Ladder::Every(step) => {
                let below = level.max(0).checked_div(*step)?;
                let ordinal = u64::try_from(below).ok()?.checked_add(1)?;
                self.rung(ordinal).map(|_| ordinal)
            }
            // A hundred rungs at most: each third or each is ten times higher.
            Ladder::OneTwoFive(_) | Ladder::PowersOfTen(_) => (1..)
                .map_while(|ordinal| Some((ordinal, self.rung(ordinal)?)))
                .find(|&(_, rung)| rung > level)
                .map(|(ordinal, _)| ordinal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds() {
        for (text, scale, expected) in [
            ("1m", 0, Ok(1_000_000)),
            ("2.5bn", 0, Ok(2_500_000_000)),
            ("10k", 2, Ok(1_000_000)),
            ("0.5k", 0, Ok(500)),
            ("1.0000m", 0, Ok(1_000_000)),
            ("-3.5", 1, Ok(-35)),
            ("500", 0, Ok(500)),
            ("0", 0, Ok(0)),
            ("1000000000000000000000000000bn", 0, Ok(THRESHOLD_MAX)),
            ("1000000000000000000000000001bn", 0, Err(ThresholdError::OutOfRange)),
            ("-1000000000000000000000000001bn", 0, Err(ThresholdError::OutOfRange)),
            ("1000000000000000000000000000000000bn", 9, Err(ThresholdError::OutOfRange)),
            ("0.0015k", 0, Err(ThresholdError::TooFine)),
            ("1.5", 0, Err(ThresholdError::TooFine)),
        ] {
            assert_eq!(parse_threshold(text, scale), expected, "{text}");
        }
        for text in ["", "m", "1M", "1K", "1b", "1tn", "1 m", "1mm", "1km", "1e6", "+1m", "1_000", "1,000", "m1", "bn"]
        {
            assert_eq!(parse_threshold(text, 0), Err(ThresholdError::Malformed), "{text}");
        }
    }

    #[test]
    fn rungs_of_named_ladders() {
        let rungs = |ladder: &Ladder| (1..8).map_while(|n| ladder.rung(n)).collect::<Vec<_>>();
        assert_eq!(rungs(&Ladder::OneTwoFive(100)), [100, 200, 500, 1_000, 2_000, 5_000, 10_000]);
        assert_eq!(rungs(&Ladder::PowersOfTen(1)), [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000]);
        assert_eq!(rungs(&Ladder::Every(30)), [30, 60, 90, 120, 150, 180, 210]);
        assert_eq!(rungs(&Ladder::of(vec![5, -1, 5, 3])), [-1, 3, 5]);
    }

    #[test]
    fn the_rung_above_a_rung_is_the_next() {
        for (ladder, level, expected) in [
            (Ladder::List(vec![3, 5]), 2, Some(1)),
            (Ladder::List(vec![3, 5]), 3, Some(2)),
            (Ladder::List(vec![3, 5]), 5, None),
            (Ladder::Every(10), -1, Some(1)),
            (Ladder::Every(10), 0, Some(1)),
            (Ladder::Every(10), 9, Some(1)),
            (Ladder::Every(10), 10, Some(2)),
            (Ladder::OneTwoFive(1), 2, Some(3)),
            (Ladder::OneTwoFive(1), 9, Some(4)),
            (Ladder::PowersOfTen(100), 100, Some(2)),
        ] {
            assert_eq!(ladder.first_above(level), expected, "{ladder:?} above {level}");
        }
    }

    #[test]
    fn ladders_end_without_overflow() {
        assert_eq!(Ladder::PowersOfTen(1).rung(37), Some(THRESHOLD_MAX));
        assert_eq!(Ladder::PowersOfTen(1).rung(38), None);
        assert_eq!(Ladder::OneTwoFive(1).rung(u64::MAX), None);
        assert_eq!(Ladder::Every(1).first_above(i128::from(u64::MAX)), None);
        assert_eq!(Ladder::Every(1).first_above(i128::MIN), Some(1));
        assert_eq!(Ladder::Every(THRESHOLD_MAX).first_above(THRESHOLD_MAX), None);
        assert_eq!(Ladder::OneTwoFive(1).first_above(i128::MAX), None);
        assert_eq!(Ladder::Every(0).first_above(5), None);
        assert_eq!(Ladder::List(Vec::new()).first_above(i128::MIN), None);
    }
}
