//! Instants, dates and durations of a request.

use crate::domain::calendar::{DateError, Zone};
use crate::domain::time::Time;
use crate::service::fault::{Fault, Reason, cut};
use prost_types::{Duration, Timestamp};

const SECOND_NANOS: i64 = 1_000_000_000;

/// An instant of a request: years 1900 to 2200, nanos 0 to 999,999,999.
pub fn time(at: &Timestamp, field: impl FnOnce() -> String) -> Result<Time, Fault> {
    let (seconds, nanos) = (at.seconds, at.nanos);
    Time::from_seconds_nanos(seconds, nanos).ok_or_else(|| {
        let why = Time::refused(seconds, nanos);
        Fault::new(Reason::TimeInvalid, field(), why).with("seconds", seconds).with("nanos", nanos)
    })
}

/// An instant as nanoseconds since 1970: years 1900 to 2200.
pub fn unix_nanos(nanos: i64, field: impl FnOnce() -> String) -> Result<Time, Fault> {
    let time = Time(nanos);
    if time.is_input() {
        return Ok(time);
    }
    Err(Fault::new(
        Reason::TimeInvalid,
        field(),
        format!("{nanos} is no time from 1900 to 2200, in nanoseconds since 1970-01-01T00:00:00Z"),
    )
    .with("unix_nanos", nanos))
}

/// The first instant of a request's date in a zone.
pub fn date(text: &str, zone: &Zone, field: impl FnOnce() -> String) -> Result<Time, Fault> {
    zone.first_instant(text).map_err(|error| {
        let shown = cut(text);
        let why = match error {
            DateError::Malformed => format!("{shown:?} is no date; write it as YYYY-MM-DD"),
            DateError::Skipped => {
                format!(
                    "{shown} never was in {}: the zone skipped that date; give another date, or a time",
                    zone.name()
                )
            }
            DateError::OutOfRange => format!("{shown} is outside the years 1900 to 2200"),
        };
        Fault::new(Reason::TimeInvalid, field(), why).with("date", text).with("time_zone", zone.name())
    })
}

/// An instant of an answer.
pub fn timestamp(time: Time) -> Timestamp {
    let (seconds, nanos) = time.to_seconds_nanos();
    Timestamp { seconds, nanos }
}

/// A span of an answer.
pub fn duration(nanos: i64) -> Duration {
    Duration { seconds: nanos / SECOND_NANOS, nanos: i32::try_from(nanos % SECOND_NANOS).expect("less than a second") }
}

/// A span of a request, in nanoseconds. None where it is malformed, or beyond 292 years.
pub fn nanos(duration: &Duration) -> Option<i64> {
    let nanos = i64::from(duration.nanos);
    let agree = nanos == 0 || duration.seconds == 0 || (nanos < 0) == (duration.seconds < 0);
    if !agree || nanos.abs() >= SECOND_NANOS {
        return None;
    }
    duration.seconds.checked_mul(SECOND_NANOS)?.checked_add(nanos)
}
