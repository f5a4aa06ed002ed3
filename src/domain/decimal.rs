//! Exact decimal text to and from integer units of 10^-scale.

/// Why a text is not a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecimalError {
    /// Not `-?digits[.digits]`.
    Malformed,
    /// A digit beyond the scale is not zero.
    TooFine,
    /// Does not fit in 64 bits.
    OutOfRange,
}

/// `-?digits[.digits]` as units of 10^-scale; digits beyond the scale must be zeros.
pub fn parse(_text: &str, _scale: u8) -> Result<i64, DecimalError> {
    todo!()
}

/// Units of 10^-scale as text with exactly `scale` digits after the point.
pub fn format(_units: i128, _scale: u8) -> String {
    todo!()
}

/// The mean `sum / count` (count > 0) rounded half to even, with six digits more than the scale.
pub fn format_mean(_sum: i128, _count: u64, _scale: u8) -> String {
    todo!()
}
