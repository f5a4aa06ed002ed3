//! Times as people write and read them: dates where they are midnights, RFC 3339 where they are not.

use super::error::Error;
use crate::domain::calendar::{DateError, Zone};
use crate::domain::time::Time;
use crate::proto::v1 as pb;
use jiff::tz::TimeZone;
use prost_types::{Duration, Timestamp};
use std::str::FromStr;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// A time as written on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// `2016-08-29`: the first instant of that date in some zone.
    Date(String),
    /// Any RFC 3339 text.
    Instant(Time),
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Moment, String> {
        let b = text.as_bytes();
        if b.len() == 10
            && b.iter().enumerate().all(|(i, c)| if i == 4 || i == 7 { *c == b'-' } else { c.is_ascii_digit() })
        {
            let date: jiff::civil::Date = text.parse().map_err(|_| format!("there is no day {text}"))?;
            return Ok(Moment::Date(date.to_string()));
        }
        let instant: jiff::Timestamp = text
            .parse()
            .map_err(|_| format!("{text:?} is neither a date (2016-08-29) nor RFC 3339 (2016-08-29T12:00:00Z)"))?;
        i64::try_from(instant.as_nanosecond())
            .map(|nanos| Moment::Instant(Time(nanos)))
            .map_err(|_| format!("{text} is not in the years 1900 to 2200"))
    }
}

impl Moment {
    /// A date becomes an instant where a zone is given; without one it stays a date, for the server to resolve.
    pub(super) fn in_zone(&self, zone: Option<&Zone>) -> Result<Moment, Error> {
        match (self, zone) {
            (Moment::Date(_), Some(zone)) => Ok(Moment::Instant(self.instant(zone)?)),
            _ => Ok(self.clone()),
        }
    }

    /// The instant it is in a zone.
    pub(super) fn instant(&self, zone: &Zone) -> Result<Time, Error> {
        match self {
            Moment::Instant(time) => Ok(*time),
            Moment::Date(date) => first_instant(zone, date).map_err(Error::Failed),
        }
    }
}

/// The first instant of a date in a zone, or why there is none.
pub(super) fn first_instant(zone: &Zone, date: &str) -> Result<Time, String> {
    zone.first_instant(date).map_err(|e| match e {
        DateError::Malformed => format!("there is no day {date}"),
        DateError::Skipped => format!("{} skipped the date {date}", zone.name()),
        DateError::OutOfRange => format!("{date} is not in the years 1900 to 2200"),
    })
}

/// Every `oneof` of the contract that offers a time or a date, from a [`Moment`].
macro_rules! time_or_date {
    ($($oneof:path { $time:ident, $date:ident })*) => {$(
        impl From<Moment> for $oneof {
            fn from(moment: Moment) -> Self {
                match moment {
                    Moment::Date(date) => Self::$date(date),
                    Moment::Instant(time) => Self::$time(to_proto(time)),
                }
            }
        }
    )*};
}

time_or_date! {
    pb::point::At { Time, Date }
    pb::point::End { EndTime, EndDate }
    pb::set_opening_balance_request::At { Time, Date }
    pb::get_total_request::At { AtTime, AtDate }
    pb::query_range_request::Start { StartTime, StartDate }
    pb::query_range_request::End { EndTime, EndDate }
    pb::query_cumulative_request::Start { StartTime, StartDate }
    pb::query_cumulative_request::End { EndTime, EndDate }
    pb::list_milestones_request::End { EndTime, EndDate }
    pb::read_points_request::Start { StartTime, StartDate }
    pb::read_points_request::End { EndTime, EndDate }
}

/// A zone's name on the command line.
pub(super) fn parse_zone(text: &str) -> Result<Zone, String> {
    Zone::parse(text).ok_or_else(|| format!("{text:?} is not an IANA time zone, as Europe/London"))
}

/// To the contract's time.
pub(super) fn to_proto(time: Time) -> Timestamp {
    Timestamp {
        seconds: time.0.div_euclid(NANOS_PER_SECOND),
        nanos: i32::try_from(time.0.rem_euclid(NANOS_PER_SECOND)).expect("a remainder below 10^9 fits 32 bits"),
    }
}

/// From the contract's time, held to what fits.
pub(super) fn from_proto(time: &Timestamp) -> Time {
    Time(time.seconds.saturating_mul(NANOS_PER_SECOND).saturating_add(i64::from(time.nanos)))
}

/// Writes times as they read in one zone.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    zone: TimeZone,
    name: String,
}

impl Reader {
    /// In the zone asked for, else in the answer's; a name that is not known reads as UTC.
    pub(super) fn new(asked: Option<&Zone>, answer: &str) -> Reader {
        let name = asked.map_or(answer, Zone::name);
        match TimeZone::get(name) {
            Ok(zone) => Reader { zone, name: name.into() },
            Err(_) => Reader { zone: TimeZone::UTC, name: "UTC".into() },
        }
    }

    /// The zone's name.
    pub(super) fn zone_name(&self) -> &str {
        &self.name
    }

    fn local(&self, time: &Timestamp) -> jiff::ZonedDateTime {
        let nanos = i128::from(from_proto(time).0);
        jiff::Timestamp::from_nanosecond(nanos)
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .to_zoned_datetime(self.zone.clone())
    }

    /// A date where it is the date's first instant, else date, time of day and offset.
    pub(super) fn short(&self, time: &Timestamp) -> String {
        let local = self.local(time);
        if local.start_of_day().is_ok_and(|start| start == local) {
            return local.date().to_string();
        }
        let (second, nanos) = (local.second(), local.subsec_nanosecond());
        let clock = match (second, nanos) {
            (0, 0) => "%H:%M",
            (_, 0) => "%H:%M:%S",
            _ => "%H:%M:%S%.f",
        };
        let offset = if self.zone == TimeZone::UTC { "Z" } else { "%:z" };
        local.strftime(&format!("%Y-%m-%d {clock}{offset}")).to_string()
    }

    /// The same, or nothing where there is no time.
    pub(super) fn short_or_blank(&self, time: Option<&Timestamp>) -> String {
        time.map(|t| self.short(t)).unwrap_or_default()
    }

    /// The date alone.
    pub(super) fn date(&self, time: &Timestamp) -> String {
        self.local(time).date().to_string()
    }

    /// RFC 3339 with the zone's offset: exact, and it starts with the local date.
    pub(super) fn exact(&self, time: Option<&Timestamp>) -> String {
        let Some(time) = time else { return String::new() };
        let local = self.local(time);
        let clock = if local.subsec_nanosecond() == 0 { "%H:%M:%S" } else { "%H:%M:%S%.f" };
        let offset = if self.zone == TimeZone::UTC { "Z" } else { "%:z" };
        local.strftime(&format!("%Y-%m-%dT{clock}{offset}")).to_string()
    }

    /// How long it took until `end`, in the two largest units that say something: `4 years 2 months`.
    pub(super) fn span_until(&self, length: &Duration, end: &Timestamp) -> String {
        let nanos = i128::from(length.seconds) * i128::from(NANOS_PER_SECOND) + i128::from(length.nanos);
        let end = self.local(end);
        let Ok(start) = jiff::Timestamp::from_nanosecond(end.timestamp().as_nanosecond() - nanos) else {
            return format!("{} s", length.seconds);
        };
        let start = start.to_zoned_datetime(self.zone.clone());
        let options = jiff::ZonedDateTimeDifference::new(&end).largest(jiff::Unit::Year).smallest(jiff::Unit::Second);
        let Ok(span) = start.until(options) else { return format!("{} s", length.seconds) };
        let parts = [
            (i64::from(span.get_years()), "year"),
            (i64::from(span.get_months()), "month"),
            (i64::from(span.get_days()), "day"),
            (i64::from(span.get_hours()), "hour"),
            (span.get_minutes(), "minute"),
            (span.get_seconds(), "second"),
        ];
        let Some(first) = parts.iter().position(|(n, _)| *n != 0) else { return "0 days".into() };
        let words = |(n, unit): &(i64, &str)| format!("{n} {unit}{}", if *n == 1 { "" } else { "s" });
        match parts.get(first + 1).filter(|(n, _)| *n != 0) {
            Some(second) => format!("{} {}", words(&parts[first]), words(second)),
            None => words(&parts[first]),
        }
    }
}

/// A protobuf duration in seconds, as plain decimal text.
pub(super) fn seconds(length: &Duration) -> String {
    if length.nanos == 0 {
        return length.seconds.to_string();
    }
    let text = format!("{}.{:09}", length.seconds, length.nanos.unsigned_abs());
    text.trim_end_matches('0').to_owned()
}
