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
pub fn parse(text: &str, scale: u8) -> Result<i64, DecimalError> {
    let units = parse_units(text, u32::from(scale))?;
    i64::try_from(units).map_err(|_| DecimalError::OutOfRange)
}

/// The same in 128 bits, for any number of digits after the point.
///
/// Of a text with several faults the first of the enum is named. Takes time in the length of the text only.
pub(super) fn parse_units(text: &str, scale: u32) -> Result<i128, DecimalError> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return Err(DecimalError::Malformed),
        Some(parts) => parts,
        None => (text, ""),
    };
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return Err(DecimalError::Malformed);
    }
    let kept = fraction.len().min(scale as usize);
    let (fraction, finer) = fraction.split_at(kept);
    if finer.bytes().any(|digit| digit != b'0') {
        return Err(DecimalError::TooFine);
    }
    let padding = std::iter::repeat_n(b'0', scale as usize - kept);
    let mut units: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()).chain(padding) {
        // Negative as it grows, for there is one more below zero than above.
        let digit = i128::from(digit - b'0');
        units = units.checked_mul(10).and_then(|units| units.checked_sub(digit)).ok_or(DecimalError::OutOfRange)?;
    }
    if negative { Ok(units) } else { units.checked_neg().ok_or(DecimalError::OutOfRange) }
}

/// Units of 10^-scale as text with exactly `scale` digits after the point.
pub fn format(units: i128, scale: u8) -> String {
    if scale == 0 {
        return units.to_string();
    }
    let sign = if units < 0 { "-" } else { "" };
    format!("{sign}{}", magnitude(units.unsigned_abs(), scale))
}

/// The mean `sum / count` (count > 0) rounded half to even, with six digits more than the scale.
pub fn format_mean(sum: i128, count: u64, scale: u8) -> String {
    const FINER: u128 = 1_000_000;
    debug_assert!(count > 0, "a mean is of something");
    let count = u128::from(count.max(1));
    let (mut units, rest) = (sum.unsigned_abs() / count, sum.unsigned_abs() % count);
    // Below 2^64 times 10^6: in parts nothing overflows, whatever the sum.
    let (mut millionths, rest) = (rest * FINER / count, rest * FINER % count);
    if rest * 2 > count || (rest * 2 == count && millionths % 2 == 1) {
        millionths += 1;
    }
    if millionths == FINER {
        (units, millionths) = (units + 1, 0);
    }
    let sign = if sum < 0 && (units, millionths) != (0, 0) { "-" } else { "" };
    let point = if scale == 0 { "." } else { "" };
    format!("{sign}{}{point}{millionths:06}", magnitude(units, scale))
}

fn magnitude(units: u128, scale: u8) -> String {
    if scale == 0 {
        return units.to_string();
    }
    let scale = usize::from(scale);
    let digits = format!("{units:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{whole}.{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_units() {
        for (text, scale, expected) in [
            ("0", 0, Ok(0)),
            ("-0", 0, Ok(0)),
            ("-0.00", 2, Ok(0)),
            ("007", 0, Ok(7)),
            ("1332.0", 0, Ok(1_332)),
            ("12.50", 2, Ok(1_250)),
            ("12.5", 2, Ok(1_250)),
            ("12", 9, Ok(12_000_000_000)),
            ("-0.05", 2, Ok(-5)),
            ("9223372036854775807", 0, Ok(i64::MAX)),
            ("-9223372036854775808.000", 0, Ok(i64::MIN)),
            ("9223372036854775808", 0, Err(DecimalError::OutOfRange)),
            ("9223372036854775807", 1, Err(DecimalError::OutOfRange)),
            ("1.5", 0, Err(DecimalError::TooFine)),
            ("0.001", 2, Err(DecimalError::TooFine)),
        ] {
            assert_eq!(parse(text, scale), expected, "{text} at scale {scale}");
        }
        for text in
            ["", "-", "+1", "1e3", ".5", "-.5", "1.", "1..2", "1.2.3", "1,000", " 1", "1 ", "0x1", "--1", "٣", "NaN"]
        {
            assert_eq!(parse(text, 2), Err(DecimalError::Malformed), "{text}");
        }
        let padded = format!("-{}1.5{}", "0".repeat(100_000), "0".repeat(100_000));
        assert_eq!(parse(&padded, 1), Ok(-15));
        assert_eq!(parse(&"9".repeat(100_000), 0), Err(DecimalError::OutOfRange));
    }

    #[test]
    fn units_and_texts() {
        for (units, scale, expected) in [
            (0, 0, "0"),
            (0, 2, "0.00"),
            (-5, 2, "-0.05"),
            (5, 9, "0.000000005"),
            (-1_250, 2, "-12.50"),
            (i128::MIN, 0, "-170141183460469231731687303715884105728"),
            (i128::MAX, 9, "170141183460469231731687303715.884105727"),
        ] {
            assert_eq!(format(units, scale), expected);
        }
    }

    #[test]
    fn means() {
        for (sum, count, scale, expected) in [
            (10, 4, 0, "2.500000"),
            (1, 3, 0, "0.333333"),
            (-2, 3, 2, "-0.00666667"),
            (1, 2_000_000, 0, "0.000000"),
            (3, 2_000_000, 0, "0.000002"),
            (-1, 2_000_000, 0, "0.000000"),
            (5_999_999, 6_000_000, 0, "1.000000"),
            (0, 7, 9, "0.000000000000000"),
            (i128::MIN, 1, 0, "-170141183460469231731687303715884105728.000000"),
            (i128::MAX, u64::MAX, 0, "9223372036854775808.500000"),
        ] {
            assert_eq!(format_mean(sum, count, scale), expected, "{sum} / {count}");
        }
    }
}
