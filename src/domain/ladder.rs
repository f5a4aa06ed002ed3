//! Thresholds, and the ladders they make.

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

/// `1m`, `2.5bn`, `10k`, `-3.5` in units of 10^-scale. Exact.
pub fn parse_threshold(_text: &str, _scale: u8) -> Result<i128, ThresholdError> {
    todo!()
}

impl Ladder {
    /// The rung with that ordinal (from 1); None above the last, or beyond what fits.
    pub fn rung(&self, _ordinal: u64) -> Option<i128> {
        todo!()
    }

    /// Ordinal of the lowest rung strictly above `level`; None where there is none.
    pub fn first_above(&self, _level: i128) -> Option<u64> {
        todo!()
    }
}
