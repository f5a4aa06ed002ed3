//! Instants and half-open intervals of them.

use std::fmt;

use super::date::{self, DAY_SECONDS, digits};
use super::limit::{TIME_MAX, TIME_MIN};

const SECOND_NANOS: i64 = 1_000_000_000;

/// An instant: nanoseconds since 1970-01-01T00:00:00Z. Years 1677 to 2262 fit; input is held to 1900 to 2200.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub i64);

impl Time {
    /// Before every instant that input can name: "no lower bound".
    pub const MIN: Time = Time(i64::MIN);
    /// After every instant that input can name: "no upper bound".
    pub const MAX: Time = Time(i64::MAX);

    /// Whether input may name it: the years 1900 to 2200, in UTC.
    pub fn is_input(self) -> bool {
        (TIME_MIN..=TIME_MAX).contains(&self)
    }

    /// A `google.protobuf.Timestamp`. None outside the years 1900 to 2200, or where `nanos` is not 0 to 999,999,999.
    pub fn from_seconds_nanos(seconds: i64, nanos: i32) -> Option<Time> {
        let nanos = i64::from(nanos);
        if !(0..SECOND_NANOS).contains(&nanos) {
            return None;
        }
        let time = Time(seconds.checked_mul(SECOND_NANOS)?.checked_add(nanos)?);
        time.is_input().then_some(time)
    }

    /// What is wrong with a `google.protobuf.Timestamp` that `from_seconds_nanos` refuses, as its sender most likely
    /// wrote it.
    pub fn refused(seconds: i64, nanos: i32) -> String {
        match jiff::Timestamp::new(seconds, nanos).ok().filter(|_| nanos >= 0) {
            Some(time) => format!("{time} is outside the years 1900 to 2200"),
            None => format!(
                "{seconds} seconds and {nanos} nanos are no time; seconds count from 1970-01-01T00:00:00Z, nanos are 0 \
                 to 999999999"
            ),
        }
    }

    /// As a `google.protobuf.Timestamp`: seconds, and 0 to 999,999,999 nanoseconds after them.
    pub fn to_seconds_nanos(self) -> (i64, i32) {
        let nanos = i32::try_from(self.0.rem_euclid(SECOND_NANOS)).expect("a second has fewer nanoseconds than 2^31");
        (self.0.div_euclid(SECOND_NANOS), nanos)
    }

    /// RFC 3339 with any offset, `2016-08-29T00:00:00.5+01:00`; digits finer than nanoseconds must be zeros, and a
    /// leap second is the second after it, as in Unix time.
    pub fn parse(text: &str) -> Result<Time, TimeError> {
        let seconds_and_nanos = parse_rfc3339(text.as_bytes()).ok_or(TimeError::Malformed)?;
        Time::from_seconds_nanos(seconds_and_nanos.0, seconds_and_nanos.1).ok_or(TimeError::OutOfRange)
    }

    /// This instant `nanos` later, held to what fits.
    pub fn plus(self, nanos: i64) -> Time {
        Time(self.0.saturating_add(nanos))
    }

    /// The next instant there is: turns `time <= T` into `time < T.next()`.
    pub fn next(self) -> Time {
        self.plus(1)
    }
}

/// RFC 3339 in UTC.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        jiff::Timestamp::from_nanosecond(i128::from(self.0)).map_err(|_| fmt::Error)?.fmt(f)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a time here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeError {
    /// It is not RFC 3339, or there is no such day.
    Malformed,
    /// Outside the years 1900 to 2200, in UTC.
    OutOfRange,
}

/// Unix seconds, and nanoseconds after them.
fn parse_rfc3339(text: &[u8]) -> Option<(i64, i32)> {
    let (head, rest) = text.split_at_checked(19)?;
    let day = date::parse(&head[..10])?;
    if !matches!(head[10], b'T' | b't' | b' ') || head[13] != b':' || head[16] != b':' {
        return None;
    }
    let (hour, minute, second) = (digits(&head[11..13])?, digits(&head[14..16])?, digits(&head[17..])?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (nanos, zone) = match rest.split_first()? {
        (b'.', rest) => {
            let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (fraction(&rest[..length])?, &rest[length..])
        }
        _ => (0, rest),
    };
    let seconds = day * DAY_SECONDS + hour * 3_600 + minute * 60 + second - offset_seconds(zone)?;
    // A leap second is always the last of a UTC day.
    let is_leap = second == 60;
    (!is_leap || seconds.rem_euclid(DAY_SECONDS) == 0).then_some((seconds, nanos))
}

/// The digits after a second's point as nanoseconds.
fn fraction(text: &[u8]) -> Option<i32> {
    let (kept, finer) = text.split_at(text.len().min(9));
    if finer.iter().any(|&digit| digit != b'0') {
        return None;
    }
    let missing = u32::try_from(9 - kept.len()).ok()?;
    i32::try_from(digits(kept)? * 10_i64.pow(missing)).ok()
}

/// `Z`, `+01:00`: local time less UTC.
fn offset_seconds(text: &[u8]) -> Option<i64> {
    if matches!(text, b"Z" | b"z") {
        return Some(0);
    }
    let (sign, text) = match text.split_first()? {
        (b'+', rest) => (1, rest),
        (b'-', rest) => (-1, rest),
        _ => return None,
    };
    if text.len() != 5 || text[2] != b':' {
        return None;
    }
    let (hours, minutes) = (digits(&text[..2])?, digits(&text[3..])?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// `[start, end)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Interval {
    /// The first instant in it.
    pub start: Time,
    /// The first instant after it.
    pub end: Time,
}

impl Interval {
    /// Every instant.
    pub const ALL: Interval = Interval { start: Time::MIN, end: Time::MAX };

    /// `[start, end)`; empty where `start >= end`.
    pub fn new(start: Time, end: Time) -> Interval {
        Interval { start, end }
    }

    /// Whether no instant is in it.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Whether `t` is in it.
    pub fn contains(&self, t: Time) -> bool {
        self.start <= t && t < self.end
    }

    /// What is in both.
    pub fn intersect(&self, other: &Interval) -> Interval {
        Interval::new(self.start.max(other.start), self.end.min(other.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_read_as(text: &str, utc: &str) {
        let time = Time::parse(text).expect(text);
        assert_eq!(time.to_string(), utc, "{text}");
        let (seconds, nanos) = time.to_seconds_nanos();
        assert_eq!(Time::from_seconds_nanos(seconds, nanos), Some(time));
    }

    #[test]
    fn rfc_3339() {
        is_read_as("2016-08-29T12:00:00+01:00", "2016-08-29T11:00:00Z");
        is_read_as("2016-08-29t12:00:00z", "2016-08-29T12:00:00Z");
        is_read_as("2016-08-29 12:00:00Z", "2016-08-29T12:00:00Z");
        is_read_as("2016-02-29T23:30:00.5-00:30", "2016-03-01T00:00:00.5Z");
        is_read_as("2016-08-29T12:00:00.123456789000+05:45", "2016-08-29T06:15:00.123456789Z");
        is_read_as("1969-12-31T23:59:59.999999999-00:00", "1969-12-31T23:59:59.999999999Z");
        is_read_as("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z");
        is_read_as("2017-01-01T00:59:60.25+01:00", "2017-01-01T00:00:00.25Z");
        is_read_as("1900-01-01T00:00:00Z", "1900-01-01T00:00:00Z");
        is_read_as("2201-01-01T00:59:59.999999999+01:00", "2200-12-31T23:59:59.999999999Z");
        assert_eq!(Time::parse("1900-01-01T00:00:00Z"), Ok(TIME_MIN));
        assert_eq!(Time::parse("2200-12-31T23:59:59.999999999Z"), Ok(TIME_MAX));
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "2016-08-29",
            "2016-08-29T12:00:00",
            "2016-08-29T12:00Z",
            "2016-08-29T24:00:00Z",
            "2016-08-29T12:60:00Z",
            "2016-08-29T12:00:60Z",
            "2016-08-29T12:00:61Z",
            "2015-02-29T12:00:00Z",
            "2016-08-29T12:00:00.Z",
            "2016-08-29T12:00:00.1234567891Z",
            "2016-08-29T12:00:00,5Z",
            "2016-08-29T12:00:00+0100",
            "2016-08-29T12:00:00+01",
            "2016-08-29T12:00:00+24:00",
            "2016-08-29T12:00:00+01:60",
            "2016-08-29T12:00:00ZZ",
            "2016-08-29_12:00:00Z",
            "2016-08-29T12:00:00 Z",
            " 2016-08-29T12:00:00Z",
            "1472472000",
            "2016-08-29T12:00:0é",
        ] {
            assert_eq!(Time::parse(text), Err(TimeError::Malformed), "{text}");
        }
        for text in
            ["1899-12-31T23:59:59.999999999Z", "2201-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]
        {
            assert_eq!(Time::parse(text), Err(TimeError::OutOfRange), "{text}");
        }
    }

    #[test]
    fn timestamps() {
        assert_eq!(Time::from_seconds_nanos(0, 0), Some(Time(0)));
        assert_eq!(Time::from_seconds_nanos(-1, 999_999_999), Some(Time(-1)));
        assert_eq!(Time(-1).to_seconds_nanos(), (-1, 999_999_999));
        for (seconds, nanos) in [
            (0, -1),
            (0, 1_000_000_000),
            (i64::MAX, 0),
            (i64::MIN, 0),
            (7_289_654_400, 0),
            (-2_208_988_801, 999_999_999),
        ] {
            assert_eq!(Time::from_seconds_nanos(seconds, nanos), None, "{seconds} {nanos}");
        }
        assert_eq!(Time::from_seconds_nanos(7_289_654_399, 999_999_999), Some(TIME_MAX));
        for time in [Time::MIN, Time::MAX] {
            let (seconds, nanos) = time.to_seconds_nanos();
            assert_eq!(i128::from(seconds) * 1_000_000_000 + i128::from(nanos), i128::from(time.0));
            assert!(!time.to_string().is_empty());
        }
    }
}
