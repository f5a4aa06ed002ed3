//! Checks of times, dates and calendars.

use super::super::ask::{CalendarAsk, Choice, Moment};
use super::super::fault::{Reason, cut};
use super::check::Checks;
use crate::domain::calendar::{Calendar, DateError, MonthDay, Period, Unit, Weekday, Zone};
use crate::domain::limit::{CALENDAR_COUNT_MAX, CALENDAR_YEARS_MAX};
use crate::domain::time::Time;

const WEEKDAYS: [Weekday; 7] = [
    Weekday::Monday,
    Weekday::Tuesday,
    Weekday::Wednesday,
    Weekday::Thursday,
    Weekday::Friday,
    Weekday::Saturday,
    Weekday::Sunday,
];

/// A calendar's parts, what was unset being the metric's.
pub(super) struct CalendarParts {
    pub(super) zone: Zone,
    pub(super) week_start: Weekday,
    pub(super) year_start: MonthDay,
    /// None where the unit is at fault.
    pub(super) calendar: Option<Calendar>,
}

impl Checks {
    fn zone(&self) -> Zone {
        self.definition().map_or_else(Zone::utc, |definition| definition.zone.clone())
    }

    fn week_start(&self) -> Weekday {
        self.definition().map_or(Weekday::Monday, |definition| definition.week_start)
    }

    fn year_start(&self) -> MonthDay {
        self.definition().map_or(MonthDay { month: 1, day: 1 }, |definition| definition.year_start)
    }

    /// An instant, or a date's first one in the zone (None: the metric's). `fields`: what each is called.
    pub(super) fn moment(&mut self, ask: Option<&Moment>, fields: [&str; 2], zone: Option<&Zone>) -> Option<Time> {
        match ask? {
            Moment::Instant { seconds, nanos } => self.instant(*seconds, *nanos, fields[0]),
            Moment::Date(text) => {
                let zone = zone.cloned().unwrap_or_else(|| self.zone());
                zone.first_instant(text).map_err(|error| self.date_fault(text, &zone, error, fields[1])).ok()
            }
        }
    }

    fn date_fault(&mut self, text: &str, zone: &Zone, error: DateError, field: &str) {
        let shown = cut(text).to_owned();
        let what = match error {
            DateError::Malformed => format!("{shown:?} is no date; write it as YYYY-MM-DD"),
            DateError::Skipped => {
                format!("{shown} never was in {}: the zone skipped it; give another date, or a time", zone.name())
            }
            DateError::OutOfRange => format!("{shown} is outside the years 1900 to 2200"),
        };
        let metadata = [("date", shown), ("time_zone", zone.name().to_owned())];
        self.fault(Reason::TimeInvalid, field, what, &metadata);
    }

    /// An interval's edges; both given: the start before the end.
    pub(super) fn edges(
        &mut self,
        start: Option<&Moment>,
        end: Option<&Moment>,
        prefix: &str,
        zone: Option<&Zone>,
    ) -> (Option<Time>, Option<Time>) {
        let names = ["start_time", "start_date", "end_time", "end_date"].map(|name| format!("{prefix}{name}"));
        let from = self.moment(start, [&names[0], &names[1]], zone);
        let to = self.moment(end, [&names[2], &names[3]], zone);
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            let field = if matches!(start, Some(Moment::Date(_))) { &names[1] } else { &names[0] };
            let what = format!("the start, {from}, is not before the end, {to}");
            self.fault(
                Reason::IntervalEmpty,
                field,
                what,
                &[("start_time", from.to_string()), ("end_time", to.to_string())],
            );
        }
        (from, to)
    }

    /// A calendar, what is unset being the metric's own.
    pub(super) fn calendar(&mut self, ask: &CalendarAsk) -> CalendarParts {
        let unit = self.unit(ask.unit);
        let count = self.count(unit.map(|(unit, _)| unit), ask.count);
        let zone = self.calendar_zone(&ask.zone);
        let week_start = match usize::try_from(ask.week_start) {
            Ok(0) => self.week_start(),
            Ok(day @ 1..=7) => WEEKDAYS[day - 1],
            _ => {
                self.unknown("calendar.week_start", ask.week_start, "MONDAY to SUNDAY");
                self.week_start()
            }
        };
        let year_start = self.calendar_year_start(ask.year_start);
        let calendar = unit.zip(count).map(|((unit, times), count)| {
            Calendar::new(unit, times.saturating_mul(count), zone.clone(), week_start, year_start)
        });
        CalendarParts { zone, week_start, year_start, calendar }
    }

    /// The unit, and how many of it one window of count 1 has.
    fn unit(&mut self, ask: Choice<Unit>) -> Option<(Unit, u32)> {
        match ask {
            Choice::Known(unit) => Some((unit, 1)),
            Choice::Unknown(number) => {
                self.unknown("calendar.unit", number, "MINUTE, HOUR, DAY, WEEK, MONTH, QUARTER or YEAR");
                None
            }
            Choice::Unset => {
                let period = self.definition()?.period;
                if period.is_none() {
                    let metric = self.metric_text();
                    let what = format!("{metric} has no period of its own: say a unit, as MONTH");
                    self.fault(Reason::FieldRequired, "calendar.unit", what, &[("metric", metric.clone())]);
                }
                Some(match period? {
                    Period::Minutes(minutes) => (Unit::Minute, u32::from(minutes)),
                    Period::Day => (Unit::Day, 1),
                    Period::Week => (Unit::Week, 1),
                    Period::Month => (Unit::Month, 1),
                    Period::Quarter => (Unit::Quarter, 1),
                    Period::Year => (Unit::Year, 1),
                })
            }
        }
    }

    fn count(&mut self, unit: Option<Unit>, ask: i32) -> Option<u32> {
        let count_max = match unit {
            Some(Unit::Year) => CALENDAR_YEARS_MAX,
            Some(Unit::Quarter) => CALENDAR_YEARS_MAX * 4,
            Some(Unit::Month) => CALENDAR_YEARS_MAX * 12,
            Some(Unit::Minute | Unit::Hour | Unit::Day | Unit::Week) | None => CALENDAR_COUNT_MAX,
        };
        let count = u32::try_from(ask).ok().filter(|count| *count <= count_max);
        if count.is_none() {
            let what = format!("{ask} is no count of units: give 1 to {count_max}");
            self.fault(Reason::FieldInvalid, "calendar.count", what, &[("count", ask.to_string())]);
        }
        count.map(|count| count.max(1))
    }

    fn calendar_zone(&mut self, name: &str) -> Zone {
        if name.is_empty() {
            return self.zone();
        }
        Zone::parse(name).unwrap_or_else(|| {
            let shown = cut(name).to_owned();
            let what = format!("{shown:?} is no IANA time zone; write it as Europe/London");
            self.fault(Reason::TimeZoneUnknown, "calendar.time_zone", what, &[("time_zone", shown.clone())]);
            self.zone()
        })
    }

    fn calendar_year_start(&mut self, ask: Option<(i32, i32)>) -> MonthDay {
        let Some((month, day)) = ask else { return self.year_start() };
        if (1..=12).contains(&month)
            && (1..=28).contains(&day)
            && let (Ok(month), Ok(day)) = (u8::try_from(month), u8::try_from(day))
        {
            return MonthDay { month, day };
        }
        let what = format!("month {month}, day {day} starts no year: give month 1 to 12 and day 1 to 28");
        let metadata = [("month", month.to_string()), ("day", day.to_string())];
        self.fault(Reason::FieldInvalid, "calendar.year_start", what, &metadata);
        self.year_start()
    }

    /// Where a running total begins anew: of the calendar that was given, else of the metric.
    pub(super) fn restart(&self, unit: Unit, parts: Option<&CalendarParts>) -> Calendar {
        match parts {
            Some(parts) => Calendar::new(unit, 1, parts.zone.clone(), parts.week_start, parts.year_start),
            None => Calendar::new(unit, 1, self.zone(), self.week_start(), self.year_start()),
        }
    }
}
