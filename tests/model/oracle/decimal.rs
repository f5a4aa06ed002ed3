//! Decimal text to units of 10^-scale and back, digit by digit.

use milepost::proto::v1::Reason;

/// `-?digits[.digits]`, digits beyond the scale zeros, as 64-bit units.
pub fn parse(text: &str, scale: i32) -> Result<i64, Reason> {
    let units = parse_wide(text, scale)?;
    i64::try_from(units).map_err(|_| Reason::ValueOutOfRange)
}

/// The same without the bound of 64 bits.
fn parse_wide(text: &str, scale: i32) -> Result<i128, Reason> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match rest.split_once('.') {
        Some((_, "")) => return Err(Reason::ValueInvalid),
        Some((whole, fraction)) => (whole, fraction),
        None => (rest, ""),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return Err(Reason::ValueInvalid);
    }
    let mut units: i128 = 0;
    let mut push = |digit: u8| -> Result<(), Reason> {
        units = units
            .checked_mul(10)
            .and_then(|u| u.checked_add(i128::from(digit - b'0')))
            .ok_or(Reason::ValueOutOfRange)?;
        Ok(())
    };
    for digit in whole.bytes() {
        push(digit)?;
    }
    let fraction = fraction.as_bytes();
    for place in 0..scale as usize {
        push(*fraction.get(place).unwrap_or(&b'0'))?;
    }
    if fraction.iter().skip(scale as usize).any(|&d| d != b'0') {
        return Err(Reason::ValueInvalid);
    }
    Ok(if negative { -units } else { units })
}

/// A threshold: decimal text, or with `k`, `m` or `bn` behind it.
pub fn threshold(text: &str, scale: i32) -> Result<i128, Reason> {
    let (number, zeros) = if let Some(number) = text.strip_suffix("bn") {
        (number, 9)
    } else if let Some(number) = text.strip_suffix('m') {
        (number, 6)
    } else if let Some(number) = text.strip_suffix('k') {
        (number, 3)
    } else {
        (text, 0)
    };
    // 2.5bn at scale 0 is 25 x 10^8: the digits allowed are those of the scale and of the suffix.
    parse_wide(number, scale + zeros).map_err(|_| Reason::ThresholdInvalid)
}

/// Always with `scale` digits after the point.
pub fn text(units: i128, scale: i32) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let digits = format!("{:0width$}", units.unsigned_abs(), width = scale as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// `sum / count` at six digits more than the scale, half to even.
pub fn mean(sum: i128, count: i128, scale: i32) -> String {
    let scaled = sum * 1_000_000;
    let (mut quotient, rest) = (scaled.div_euclid(count), scaled.rem_euclid(count));
    if rest * 2 > count || (rest * 2 == count && quotient % 2 != 0) {
        quotient += 1;
    }
    text(quotient, scale + 6)
}

#[test]
fn text_is_exact() {
    assert_eq!(parse("1332.0", 0), Ok(1332));
    assert_eq!(parse("-12.5", 2), Ok(-1250));
    assert_eq!(parse("0.001", 2), Err(Reason::ValueInvalid));
    assert_eq!(parse("9223372036854775808", 0), Err(Reason::ValueOutOfRange));
    assert_eq!(threshold("2.5bn", 0), Ok(2_500_000_000));
    assert_eq!(threshold("2.5", 0), Err(Reason::ThresholdInvalid));
    assert_eq!(text(-5, 2), "-0.05");
    assert_eq!(text(7, 0), "7");
    assert_eq!(mean(1, 2, 0), "0.500000");
    assert_eq!(mean(-1, 3, 0), "-0.333333");
    assert_eq!(mean(1, 2_000_000, 0), "0.000000");
    assert_eq!(mean(3, 2_000_000, 0), "0.000002");
}
