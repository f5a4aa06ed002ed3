//! Decimals and ladders: exact both ways, against plain arithmetic.

use milepost::domain::decimal::{self, DecimalError};
use milepost::domain::ladder::{Ladder, parse_threshold};
use milepost::domain::limit::THRESHOLD_MAX;
use proptest::prelude::*;

fn any_units() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), -2_000i64..2_000, Just(i64::MIN), Just(i64::MAX)]
}

fn any_level() -> impl Strategy<Value = i128> {
    prop_oneof![any::<i128>(), any::<i64>().prop_map(i128::from), -100i128..3_000, Just(i128::MIN), Just(i128::MAX)]
}

fn any_ladder() -> impl Strategy<Value = Ladder> {
    let unit = (0u32..10).prop_map(|scale| 10_i128.pow(scale));
    prop_oneof![
        prop::collection::vec(-50i128..50, 0..12).prop_map(Ladder::of),
        prop_oneof![1i128..30, 1..=THRESHOLD_MAX].prop_map(Ladder::Every),
        unit.clone().prop_map(Ladder::OneTwoFive),
        unit.prop_map(Ladder::PowersOfTen),
    ]
}

proptest! {
    #[test]
    fn what_is_formatted_is_read_back(units in any_units(), scale in 0u8..=9, zeros in 0usize..40) {
        let text = decimal::format(i128::from(units), scale);
        prop_assert_eq!(text.split_once('.').map_or(0, |(_, fraction)| fraction.len()), usize::from(scale));
        prop_assert_eq!(decimal::parse(&text, scale), Ok(units));
        // Zeros in front and behind say nothing.
        let digits = text.trim_start_matches('-');
        let sign = if units < 0 { "-" } else { "" };
        let point = if scale == 0 { "." } else { "" };
        let padded = format!("{sign}{}{digits}{point}0{}", "0".repeat(zeros), "0".repeat(zeros));
        prop_assert_eq!(decimal::parse(&padded, scale), Ok(units));
        prop_assert_eq!(decimal::parse(&format!("{text}{point}01"), scale), Err(DecimalError::TooFine));
    }

    #[test]
    fn beyond_64_bits_is_refused(units in any::<i128>(), scale in 0u8..=9) {
        let expected = i64::try_from(units).map_err(|_| DecimalError::OutOfRange);
        prop_assert_eq!(decimal::parse(&decimal::format(units, scale), scale), expected);
    }

    #[test]
    fn any_text_is_a_value_of_the_form_or_malformed(text in "[-+.0-9e ]{0,12}", scale in 0u8..=9) {
        let body = text.strip_prefix('-').unwrap_or(&text);
        let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let is_form = body.split_once('.').map_or(number(body), |(whole, fraction)| number(whole) && number(fraction));
        prop_assert_eq!(decimal::parse(&text, scale) != Err(DecimalError::Malformed), is_form, "{}", text);
    }

    /// The text is within half a millionth of a unit of the mean, and at half it is even.
    #[test]
    fn a_mean_is_the_nearest_or_the_even(
        sum in prop_oneof![-1i128 << 100..1i128 << 100, -5_000i128..5_000], count in prop_oneof![1u64..2_000, any::<u64>()],
        scale in 0u8..=9,
    ) {
        let count = count.max(1);
        let text = decimal::format_mean(sum, count, scale);
        let (whole, fraction) = text.split_once('.').expect("a point");
        prop_assert_eq!(fraction.len(), usize::from(scale) + 6);
        let millionths: i128 = format!("{whole}{fraction}").parse().expect("digits");
        prop_assert!(millionths != 0 || !text.starts_with('-'));
        let (sum, count) = (sum.checked_mul(1_000_000).expect("below 2^120"), i128::from(count));
        // twice |mean - text| <= 1 millionth, in counts: only their difference is multiplied.
        let rest = sum - (sum / count) * count;
        let error = 2 * (rest - (millionths - sum / count) * count).abs();
        prop_assert!(error < count || (error == count && millionths % 2 == 0), "{} / {}: {}", sum, count, text);
    }

    #[test]
    fn thresholds_are_exact(units in 1i64..i64::MAX, scale in 0u8..=9, suffix in prop::sample::select(vec![("", 0u8), ("k", 3), ("m", 6), ("bn", 9)])) {
        // So many units, written in thousands, millions or billions.
        let text = format!("{}{}", decimal::format(i128::from(units), scale + suffix.1), suffix.0);
        prop_assert_eq!(parse_threshold(&text, scale), Ok(i128::from(units)));
    }

    #[test]
    fn rungs_ascend_and_the_first_above_is_the_first(ladder in any_ladder(), level in any_level(), near in prop_oneof![1u64..10, 1u64..120]) {
        let level = match ladder.rung(near) {
            Some(rung) if level % 3 != 0 => rung - 1 + level % 3,
            _ => level,
        };
        prop_assert_eq!(ladder.rung(0), None);
        let _ = ladder.rung(u64::MAX);
        match ladder.first_above(level) {
            Some(ordinal) => {
                prop_assert!(ladder.rung(ordinal).expect("a rung") > level);
                prop_assert!(ordinal == 1 || ladder.rung(ordinal - 1).expect("a rung") <= level);
            }
            None => prop_assert!((1..200).all(|n| ladder.rung(n).is_none_or(|rung| rung <= level))),
        }
        let rungs: Vec<i128> = (1..150).map_while(|n| ladder.rung(n)).collect();
        prop_assert!(rungs.is_sorted_by(|a, b| a < b));
        prop_assert!(rungs.iter().all(|&rung| rung <= THRESHOLD_MAX));
    }
}
