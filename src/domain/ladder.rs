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
