//! Figures as people write them (`14,800,000`, `142.9m`), made plain; and plain ones made readable.

/// Digits that a suffix stands for.
fn exponent(suffix: &str) -> Option<usize> {
    match suffix {
        "" => Some(0),
        "k" => Some(3),
        "m" => Some(6),
        "bn" => Some(9),
        _ => None,
    }
}

/// Plain decimal text of a figure: separators between groups of three digits and `k`, `m`, `bn` are made exact.
///
/// Separators are a comma, an underscore, an apostrophe or a space; only groups of three, so that `1,5` is not
/// taken for 15.
pub(super) fn plain(text: &str) -> Result<String, String> {
    let text = text.trim();
    let wrong = || format!("{text:?} is not a figure, as 1332, -12.50, 14,800,000 or 142.9m");
    let (sign, rest) = match text.strip_prefix(['-', '\u{2212}']) {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let split = rest.rfind(|c: char| c.is_ascii_digit()).map_or(0, |last| last + 1);
    let (number, suffix) = rest.split_at(split);
    let exponent = exponent(&suffix.trim().to_ascii_lowercase()).ok_or_else(wrong)?;
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) => (whole, fraction),
        None => (number, ""),
    };
    let whole = without_separators(whole).ok_or_else(wrong)?;
    let bare_point = number.contains('.') && fraction.is_empty();
    if whole.is_empty() || bare_point || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let mut digits = whole;
    let (moved, left) = fraction.split_at(fraction.len().min(exponent));
    digits.push_str(moved);
    digits.extend(std::iter::repeat_n('0', exponent - moved.len()));
    let digits = match digits.trim_start_matches('0') {
        "" => "0",
        trimmed => trimmed,
    };
    Ok(if left.is_empty() { format!("{sign}{digits}") } else { format!("{sign}{digits}.{left}") })
}

/// `14,800,000` to `14800000`; None where a separator does not part groups of three digits.
fn without_separators(whole: &str) -> Option<String> {
    let is_separator = |c: char| matches!(c, ',' | '_' | '\'' | ' ' | '\u{a0}' | '\u{202f}');
    let groups: Vec<&str> = whole.split(is_separator).collect();
    let digits_only = groups.iter().all(|g| g.bytes().all(|b| b.is_ascii_digit()));
    let well_parted =
        groups.len() == 1 || ((1..=3).contains(&groups[0].len()) && groups[1..].iter().all(|g| g.len() == 3));
    (digits_only && well_parted).then(|| groups.concat())
}

/// `14800000.50` to `14,800,000.50`: for people only.
pub(super) fn readable(plain: &str) -> String {
    let (sign, rest) = plain.strip_prefix('-').map_or(("", plain), |rest| ("-", rest));
    let (whole, fraction) = rest.find('.').map_or((rest, ""), |point| rest.split_at(point));
    let mut text = String::with_capacity(plain.len() + whole.len() / 3);
    text.push_str(sign);
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(c);
    }
    text.push_str(fraction);
    text
}

/// The same, or nothing where there is no figure.
pub(super) fn readable_or_blank(plain: Option<&String>) -> String {
    plain.map(|p| readable(p)).unwrap_or_default()
}

/// A count with its noun: `1 point`, `1,204 points`.
pub(super) fn count(n: impl Into<i128>, noun: &str) -> String {
    let n: i128 = n.into();
    format!("{} {noun}{}", readable(&n.to_string()), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::{plain, readable};
    use proptest::prelude::*;

    #[test]
    fn figures_are_made_exact() {
        for (written, expected) in [
            ("1", "1"),
            ("1332.0", "1332.0"),
            ("14,800,000", "14800000"),
            ("14 800 000", "14800000"),
            ("14\u{a0}800", "14800"),
            ("-1,000.50", "-1000.50"),
            ("142.9m", "142900000"),
            ("142.9 million", ""),
            ("142.9 M", "142900000"),
            ("1.0000001m", "1000000.1"),
            ("2.5bn", "2500000000"),
            ("10K", "10000"),
            ("0.5k", "500"),
            ("007", "7"),
            ("0", "0"),
            ("-0.0", "-0.0"),
            ("\u{2212}5", "-5"),
            ("1,5", ""),
            ("1,50,000", ""),
            (",100", ""),
            ("1.", ""),
            (".5", ""),
            ("", ""),
            ("£1.5", ""),
            ("1e6", ""),
            ("--1", ""),
            ("1.2.3", ""),
            ("m", ""),
        ] {
            match plain(written) {
                Ok(text) => assert_eq!(text, expected, "{written}"),
                Err(message) => {
                    assert!(expected.is_empty() && message.contains("is not a figure"), "{written}: {message}")
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_made_readable_reads_back(text in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,9})?") {
            prop_assert_eq!(plain(&readable(&text)).expect("it is a figure"), text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,20}") {
            if let Ok(figure) = plain(&text) {
                let digits = figure.strip_prefix('-').unwrap_or(&figure);
                prop_assert!(digits.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())));
            }
        }
    }
}
