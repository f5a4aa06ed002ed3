//! IANA time zones by name.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use jiff::tz::TimeZoneDatabase;

use super::offsets::{Offsets, SECOND_NANOS};
use crate::domain::date;
use crate::domain::time::Time;

/// An IANA time zone. Cheap to clone; its rules are those built into the program, not the machine's.
#[derive(Clone)]
pub struct Zone {
    name: Arc<str>,
    offsets: Arc<Offsets>,
}

/// Zones asked for so far: at most as many as IANA has names (some 600).
static KNOWN: LazyLock<RwLock<HashMap<Arc<str>, Zone>>> = LazyLock::new(Default::default);

/// UTC, which nearly everybody asks for.
static UTC: LazyLock<Zone> =
    LazyLock::new(|| Zone { name: "UTC".into(), offsets: Arc::new(Offsets::of(&jiff::tz::TimeZone::UTC)) });

/// Why a text names no date here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DateError {
    /// It is not `YYYY-MM-DD`, or there is no such day.
    Malformed,
    /// The zone skipped that date.
    Skipped,
    /// Outside the years 1900 to 2200.
    OutOfRange,
}

impl Zone {
    /// UTC.
    pub fn utc() -> Zone {
        UTC.clone()
    }

    /// None where the name is not an IANA zone's, as IANA writes it: `Europe/London`, not `europe/london` or `+01:00`.
    ///
    /// Some 0.1 ms for a zone's first time, then a look-up.
    pub fn parse(name: &str) -> Option<Zone> {
        if name == "UTC" {
            return Some(Zone::utc());
        }
        if let Some(zone) = KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Some(zone.clone());
        }
        let rules = TimeZoneDatabase::bundled().get(name).ok()?;
        if rules.is_unknown() || rules.iana_name() != Some(name) {
            return None;
        }
        let zone = Zone { name: name.into(), offsets: Arc::new(Offsets::of(&rules)) };
        KNOWN.write().unwrap_or_else(PoisonError::into_inner).insert(zone.name.clone(), zone.clone());
        Some(zone)
    }

    /// The IANA name, as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first instant of a date `YYYY-MM-DD` in the zone. Errors: not a date; skipped by the zone; an instant
    /// outside the years 1900 to 2200 (UTC).
    pub fn first_instant(&self, date: &str) -> Result<Time, DateError> {
        let day = date::parse(date.as_bytes()).ok_or(DateError::Malformed)?;
        let second = self.offsets.start_of(day, 0);
        let time = second.checked_mul(SECOND_NANOS).map(Time).filter(|time| time.is_input());
        let time = time.ok_or(DateError::OutOfRange)?;
        if self.offsets.start_of(day + 1, 0) == second { Err(DateError::Skipped) } else { Ok(time) }
    }

    pub(super) fn offsets(&self) -> &Offsets {
        &self.offsets
    }
}

/// Zones of one name are one zone.
impl PartialEq for Zone {
    fn eq(&self, other: &Zone) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
