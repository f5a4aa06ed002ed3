//! Windows and periods of real calendars, found by looking at one local date after the other.

use std::{cell::RefCell, collections::HashMap};

use jiff::{
    Timestamp,
    civil::{Date, date},
    tz::TimeZone,
};
use milepost::proto::v1::{Calendar, Metric, MonthDay, calendar::Unit};

/// Nanoseconds since 1970-01-01 UTC, wide enough that nothing overflows.
pub type Nanos = i128;

const MINUTE: Nanos = 60_000_000_000;

/// How time is cut: `count` units, in a zone, from the calendar's origin.
#[derive(Clone, Debug)]
pub struct Rule {
    unit: Unit,
    count: i64,
    zone: TimeZone,
    /// 1 Monday to 7 Sunday.
    week_start: i64,
    year_start: (i8, i8),
}

impl Rule {
    /// The metric's own periods; an irregular metric has none.
    pub fn of_metric(metric: &Metric) -> Option<Rule> {
        let (unit, count) = period(&metric.period)?;
        Some(Rule::new(unit, count, &metric.time_zone, metric.week_start, metric.year_start.as_ref()))
    }

    /// A query's calendar: what it leaves unset is the metric's own. None: no unit is said.
    pub fn of_calendar(calendar: &Calendar, metric: &Metric) -> Option<Rule> {
        let times = i64::from(calendar.count.max(1));
        let (unit, count) = match calendar.unit() {
            Unit::Unspecified => {
                let (unit, count) = period(&metric.period)?;
                (unit, count * times)
            }
            unit => (unit, times),
        };
        let zone = if calendar.time_zone.is_empty() { &metric.time_zone } else { &calendar.time_zone };
        let week = if calendar.week_start == 0 { metric.week_start } else { calendar.week_start };
        let year = calendar.year_start.as_ref().or(metric.year_start.as_ref());
        Some(Rule::new(unit, count, zone, week, year))
    }

    /// The restarts of a running total: single units of the same calendar.
    pub fn of_restart(unit: Unit, calendar: Option<&Calendar>, metric: &Metric) -> Rule {
        let mut calendar = calendar.cloned().unwrap_or_default();
        calendar.set_unit(unit);
        calendar.count = 1;
        Rule::of_calendar(&calendar, metric).expect("the unit is said")
    }

    fn new(unit: Unit, count: i64, zone: &str, week: i32, year: Option<&MonthDay>) -> Rule {
        Rule {
            unit,
            count,
            zone: time_zone(zone),
            week_start: i64::from(week.max(1)),
            year_start: year.map_or((1, 1), |y| (y.month as i8, y.day as i8)),
        }
    }

    /// The window with `start <= at < end`.
    pub fn holding(&self, at: Nanos) -> (Nanos, Nanos) {
        let day = self.day_holding(at);
        match self.unit {
            Unit::Minute | Unit::Hour => {
                let unit = if self.unit == Unit::Hour { 60 * MINUTE } else { MINUTE };
                let length = unit * Nanos::from(self.count);
                let (start, end) = (self.first(day), self.first(day + 1));
                let from = start + (at - start) / length * length;
                (from, end.min(from + length))
            }
            Unit::Day => self.block_of_days(day, 0, self.count),
            Unit::Week => {
                // 1970-01-01 was a Thursday, day 4 of the week.
                let origin = -((4 - self.week_start).rem_euclid(7));
                self.block_of_days(day, origin, 7 * self.count)
            }
            Unit::Month => self.block_of_months(day, (1, 1), self.count),
            Unit::Quarter => self.block_of_months(day, self.year_start, 3 * self.count),
            Unit::Year => self.block_of_months(day, self.year_start, 12 * self.count),
            Unit::Unspecified => unreachable!("a rule has a unit"),
        }
    }

    /// The window with `start < at <= end`.
    pub fn ending(&self, at: Nanos) -> (Nanos, Nanos) {
        self.holding(at - 1)
    }

    /// Whether a window starts at `at`.
    pub fn is_boundary(&self, at: Nanos) -> bool {
        self.holding(at).0 == at
    }

    /// All windows, whole, that touch `[start, end)`.
    pub fn windows(&self, start: Nanos, end: Nanos) -> Vec<(Nanos, Nanos)> {
        let mut windows = Vec::new();
        let mut at = start;
        while at < end {
            let window = self.holding(at);
            at = window.1;
            windows.push(window);
        }
        windows
    }

    fn block_of_days(&self, day: i64, origin: i64, length: i64) -> (Nanos, Nanos) {
        let block = origin + (day - origin).div_euclid(length) * length;
        (self.first(block), self.first(block + length))
    }

    fn block_of_months(&self, day: i64, (month, first): (i8, i8), length: i64) -> (Nanos, Nanos) {
        let on = date_of(day);
        let mut months = (i64::from(on.year()) - 1970) * 12 + i64::from(on.month() - month);
        if on.day() < first {
            months -= 1;
        }
        let block = months.div_euclid(length) * length;
        let edge = |months: i64| {
            let index = i64::from(month) - 1 + months;
            let year = 1970 + index.div_euclid(12);
            let on = date(year as i16, (index.rem_euclid(12) + 1) as i8, first);
            self.first(day_of(on))
        };
        (edge(block), edge(block + length))
    }

    /// The local date, as days since 1970-01-01, whose `[first instant, next date's)` holds `at`.
    fn day_holding(&self, at: Nanos) -> i64 {
        let near = day_of(local_date(&self.zone, at));
        (near - 2..=near + 2)
            .find(|&day| self.first(day) <= at && at < self.first(day + 1))
            .expect("some date near the local one holds it")
    }

    fn first(&self, day: i64) -> Nanos {
        let key = (self.zone.iana_name().unwrap_or_default().to_owned(), day);
        FIRST_INSTANTS
            .with_borrow_mut(|known| *known.entry(key).or_insert_with(|| first_instant_from(&self.zone, date_of(day))))
    }
}

thread_local! {
    /// First instants of dates, by zone and days since 1970-01-01: looked up over and over.
    static FIRST_INSTANTS: RefCell<HashMap<(String, i64), Nanos>> = RefCell::default();
}

/// ISO 8601 period as unit and count.
fn period(text: &str) -> Option<(Unit, i64)> {
    Some(match text {
        "" => return None,
        "P1D" => (Unit::Day, 1),
        "P1W" => (Unit::Week, 1),
        "P1M" => (Unit::Month, 1),
        "P3M" => (Unit::Quarter, 1),
        "P1Y" => (Unit::Year, 1),
        _ => {
            let text = text.strip_prefix("PT").expect("a period is valid");
            let (number, minutes) = match text.strip_suffix('H') {
                Some(number) => (number, 60),
                None => (text.strip_suffix('M').expect("a period is valid"), 1),
            };
            (Unit::Minute, number.parse::<i64>().expect("a period is valid") * minutes)
        }
    })
}

/// The zone of an IANA name; empty: UTC.
pub fn time_zone(name: &str) -> TimeZone {
    let name = if name.is_empty() { "UTC" } else { name };
    TimeZone::get(name).expect("the zone is known")
}

/// The first instant of a date in a zone; None where the zone skipped it.
pub fn first_instant(zone: &TimeZone, on: Date) -> Option<Nanos> {
    let at = first_instant_from(zone, on);
    (local_date(zone, at) == on).then_some(at)
}

/// The first instant at which the local date is `on` or, where that was skipped, later.
/// It is where the clock shows midnight, or where it was put forward over midnight.
fn first_instant_from(zone: &TimeZone, on: Date) -> Nanos {
    let utc = TimeZone::UTC.to_timestamp(on.at(0, 0, 0, 0)).expect("in range");
    let (low, high) = (utc - 48 * HOUR, utc + 48 * HOUR);
    let mut candidates = Vec::new();
    let mut offsets = vec![zone.to_offset(low)];
    for transition in zone.following(low).take_while(|t| t.timestamp() <= high) {
        offsets.push(transition.offset());
        candidates.push(transition.timestamp());
    }
    for offset in offsets {
        candidates.push(utc - jiff::SignedDuration::from_secs(i64::from(offset.seconds())));
    }
    candidates.sort();
    let first = candidates.into_iter().find(|&at| zone.to_datetime(at).date() >= on);
    first.expect("midnight comes").as_nanosecond()
}

const HOUR: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

fn local_date(zone: &TimeZone, at: Nanos) -> Date {
    zone.to_datetime(Timestamp::from_nanosecond(at).expect("in range")).date()
}

fn day_of(on: Date) -> i64 {
    let since = on.since((jiff::Unit::Day, date(1970, 1, 1))).expect("in range");
    i64::from(since.get_days())
}

fn date_of(day: i64) -> Date {
    date(1970, 1, 1).checked_add(jiff::Span::new().days(day)).expect("in range")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(unit: Unit, count: i32, zone: &str) -> Rule {
        let calendar = Calendar { unit: unit as i32, count, time_zone: zone.into(), ..Default::default() };
        Rule::of_calendar(&calendar, &Metric::default()).unwrap()
    }

    fn at(text: &str) -> Nanos {
        text.parse::<Timestamp>().unwrap().as_nanosecond()
    }

    #[test]
    fn a_day_of_23_hours_is_a_day() {
        let day = rule(Unit::Day, 1, "Europe/London").holding(at("2024-03-31T12:00:00Z"));
        assert_eq!(day, (at("2024-03-31T00:00:00Z"), at("2024-03-31T23:00:00Z")));
        let last = rule(Unit::Hour, 12, "Europe/London").holding(at("2024-03-31T22:00:00Z"));
        assert_eq!(last, (at("2024-03-31T12:00:00Z"), at("2024-03-31T23:00:00Z")));
    }

    #[test]
    fn a_skipped_date_has_no_period() {
        let apia = time_zone("Pacific/Apia");
        assert_eq!(first_instant(&apia, date(2011, 12, 30)), None);
        let start = at("2011-12-29T10:00:00Z");
        assert_eq!(first_instant(&apia, date(2011, 12, 29)), Some(start));
        let days = rule(Unit::Day, 1, "Pacific/Apia").windows(start, start + 2 * 1440 * MINUTE);
        assert_eq!(days.len(), 2);
        assert_eq!(days[1].0, start + 1440 * MINUTE);
    }

    #[test]
    fn quarters_start_from_the_year_start() {
        let mut calendar = Calendar { time_zone: "Europe/London".into(), ..Default::default() };
        calendar.set_unit(Unit::Quarter);
        calendar.year_start = Some(MonthDay { month: 4, day: 6 });
        let rule = Rule::of_calendar(&calendar, &Metric::default()).unwrap();
        let quarter = rule.holding(at("2024-04-05T12:00:00Z"));
        assert_eq!(quarter, (at("2024-01-06T00:00:00Z"), at("2024-04-05T23:00:00Z")));
    }

    #[test]
    fn weeks_in_pairs_count_from_that_of_1970_01_01() {
        let pair = rule(Unit::Week, 2, "UTC").holding(0);
        assert_eq!(pair, (at("1969-12-29T00:00:00Z"), at("1970-01-12T00:00:00Z")));
    }

    #[test]
    fn a_date_whose_midnight_is_skipped_starts_when_the_clock_was_put_forward() {
        let first = first_instant(&time_zone("America/Sao_Paulo"), date(2018, 11, 4));
        assert_eq!(first, Some(at("2018-11-04T03:00:00Z")));
    }
}
