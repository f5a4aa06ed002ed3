//! Calendars the slow way: one date after the other, asking jiff for every local date.

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan};
use milepost::domain::calendar::{MonthDay, Unit, Weekday};
use milepost::domain::time::{Interval, Time};

/// What a calendar is, without any of its cleverness.
#[derive(Clone, Debug)]
pub struct Naive {
    pub unit: Unit,
    pub count: u32,
    pub zone: String,
    pub week_start: Weekday,
    pub year_start: MonthDay,
}

pub fn rules(zone: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(zone).expect("an IANA zone")
}

fn epoch() -> Date {
    Date::constant(1970, 1, 1)
}

/// The first instant whose local date is `date` or later: the earliest of all instants that could be.
pub fn start_of(rules: &TimeZone, date: Date) -> Timestamp {
    let midnight = TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).expect("in range");
    let around = midnight - 30.hours();
    let mut offsets = vec![rules.to_offset(around)];
    let mut candidates = Vec::new();
    for change in rules.following(around).take_while(|change| change.timestamp() < midnight + 30.hours()) {
        candidates.push(change.timestamp());
        offsets.push(change.offset());
    }
    candidates.extend(offsets.iter().map(|offset| midnight - i64::from(offset.seconds()).seconds()));
    candidates.into_iter().filter(|&t| rules.to_datetime(t).date() >= date).min().expect("the date begins")
}

impl Naive {
    /// All windows from the one that holds `from` to the one that holds `to`.
    pub fn windows(&self, from: Timestamp, to: Timestamp) -> Vec<Interval> {
        let rules = rules(&self.zone);
        let mut date = rules.to_datetime(from).date();
        // Back to a date on which a window starts, and one more for clocks that go back over midnight.
        for _ in 0..2 {
            while !self.starts(date) {
                date = date.yesterday().expect("in range");
            }
            date = date.yesterday().expect("in range");
        }
        date = date.tomorrow().expect("in range");
        let mut starts = Vec::new();
        while starts.last().is_none_or(|&last| last <= to) {
            if self.starts(date) {
                self.push_starts(&rules, date, &mut starts);
            }
            date = date.tomorrow().expect("in range");
        }
        let whole = starts.windows(2).map(|pair| Interval::new(time(pair[0]), time(pair[1])));
        whole.filter(|window| !window.is_empty() && window.end > time(from) && window.start <= time(to)).collect()
    }

    fn push_starts(&self, rules: &TimeZone, date: Date, starts: &mut Vec<Timestamp>) {
        let step_minutes = match self.unit {
            Unit::Minute => i64::from(self.count),
            Unit::Hour => i64::from(self.count) * 60,
            _ => return starts.push(start_of(rules, date)),
        };
        let end = start_of(rules, date.tomorrow().expect("in range"));
        let mut start = start_of(rules, date);
        while start < end {
            starts.push(start);
            start += (step_minutes * 60).seconds();
        }
    }

    /// Whether a window starts on that date.
    fn starts(&self, date: Date) -> bool {
        let n = self.count as i32;
        let days = epoch().until(date).expect("in range").get_days();
        let months = (i32::from(date.year()) - 1970) * 12 + i32::from(date.month()) - 1;
        let since_year_start = months - (i32::from(self.year_start.month) - 1);
        let on_year_day = date.day() as u8 == self.year_start.day;
        match self.unit {
            Unit::Minute | Unit::Hour => true,
            Unit::Day => days.rem_euclid(n) == 0,
            Unit::Week => {
                let first = (0..7).map(|back| -back).find(|&day| self.is_week_start(day)).expect("in a week");
                (days - first).rem_euclid(7 * n) == 0
            }
            Unit::Month => date.day() == 1 && months.rem_euclid(n) == 0,
            Unit::Quarter => on_year_day && since_year_start.rem_euclid(3 * n) == 0,
            Unit::Year => on_year_day && since_year_start.rem_euclid(12 * n) == 0,
        }
    }

    fn is_week_start(&self, day: i32) -> bool {
        let date = epoch().checked_add(day.days()).expect("in range");
        date.weekday().to_monday_zero_offset() as i32 == self.week_start as i32
    }
}

pub fn time(t: Timestamp) -> Time {
    Time(i64::try_from(t.as_nanosecond()).expect("in range"))
}

pub fn timestamp(t: Time) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(t.0)).expect("in range")
}
