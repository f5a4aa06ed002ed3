//! Dates of the Gregorian calendar as days from 1970-01-01, and back.

/// Seconds of an even day.
pub const DAY_SECONDS: i64 = 86_400;

/// Days from 1970-01-01 to the given date; the month (1 to 12) and day are taken to exist.
///
/// Exact for every year that fits a thousand times over in `i64`.
pub fn days_of(year: i64, month: i64, day: i64) -> i64 {
    // Years are made to start in March, so that the leap day is the last one.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month (1 to 12) and day of the date that lies so many days after 1970-01-01.
pub fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days of a month (1 to 12).
pub fn month_days(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// `YYYY-MM-DD` as days from 1970-01-01; None where it is of another form or there is no such day.
pub fn parse(text: &[u8]) -> Option<i64> {
    if text.len() != 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let (year, month, day) = (digits(&text[..4])?, digits(&text[5..7])?, digits(&text[8..])?);
    let exists = (1..=12).contains(&month) && (1..=month_days(year, month)).contains(&day);
    exists.then(|| days_of(year, month, day))
}

/// A number of at most 18 decimal digits and nothing else.
pub fn digits(text: &[u8]) -> Option<i64> {
    let fits = (1..=18).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    fits.then(|| text.iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse_and_consecutive() {
        assert_eq!(days_of(1970, 1, 1), 0);
        assert_eq!(days_of(2000, 2, 29), 11_016);
        let (mut year, mut month, mut day) = (1599, 12, 31);
        for days in days_of(year, month, day)..=days_of(2401, 1, 1) {
            assert_eq!(date_of(days), (year, month, day));
            assert_eq!(days_of(year, month, day), days);
            day += 1;
            if day > month_days(year, month) {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn only_dates_that_exist_in_their_one_form() {
        assert_eq!(parse(b"1970-01-02"), Some(1));
        assert_eq!(parse(b"0001-01-01"), Some(days_of(1, 1, 1)));
        assert_eq!(parse(b"2016-02-29"), Some(days_of(2016, 2, 29)));
        for text in [
            "",
            "2015-02-29",
            "1900-02-29",
            "2015-13-01",
            "2015-00-01",
            "2015-01-00",
            "2015-04-31",
            "2015-1-1",
            "15-01-01",
            "+015-01-01",
            "-015-01-01",
            "2015/01/01",
            "2015-01-01 ",
            "20150101",
            "2015-01-1x",
            "２015-01-0",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
