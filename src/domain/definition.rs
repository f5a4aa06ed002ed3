//! A metric's definition.

use super::calendar::{Calendar, MonthDay, Period, Weekday, Zone};
use super::name::MetricName;
use super::time::Time;

/// What a point of a metric says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Kind {
    /// What happened in a period, or at an instant.
    Delta,
    /// The running total as reported.
    Cumulative,
    /// A level; never summed.
    Gauge,
}

/// What is counted, and how. Built only from checked parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Definition {
    /// `component/metric`.
    pub name: MetricName,
    /// For people.
    pub display_name: String,
    /// The team's own words.
    pub description: String,
    /// What one is.
    pub unit: String,
    /// What a point says.
    pub kind: Kind,
    /// Digits after the point, 0 to 9.
    pub scale: u8,
    /// The labels of every series.
    pub label_names: Vec<String>,
    /// None: irregular.
    pub period: Option<Period>,
    /// Whose midnight a period starts at.
    pub zone: Zone,
    /// The day a week starts.
    pub week_start: Weekday,
    /// The day quarters and years start from.
    pub year_start: MonthDay,
    /// Nanoseconds after the end of the last period present; None: two periods, or never where irregular.
    pub overdue_after_nanos: Option<i64>,
    /// When the metric was made (recorded time).
    pub create_time: Time,
    /// When the definition last changed (recorded time).
    pub update_time: Time,
}

impl Definition {
    /// As the contract says where nothing else is said: irregular, whole numbers, without labels; days are those of UTC, weeks
    /// begin on Mondays and years with January. It was never made.
    pub fn new(name: MetricName, kind: Kind) -> Definition {
        Definition {
            name,
            display_name: String::new(),
            description: String::new(),
            unit: String::new(),
            kind,
            scale: 0,
            label_names: Vec::new(),
            period: None,
            zone: Zone::utc(),
            week_start: Weekday::Monday,
            year_start: MonthDay { month: 1, day: 1 },
            overdue_after_nanos: None,
            create_time: Time::default(),
            update_time: Time::default(),
        }
    }

    /// The metric's periods as a calendar; None where it is irregular.
    pub fn periods(&self) -> Option<Calendar> {
        self.period.map(|p| Calendar::of_period(p, self.zone.clone(), self.week_start, self.year_start))
    }

    /// The fields, by their proto names, in which two definitions of one name differ, leaving out what may
    /// change at any time (`display_name`, `description`, `overdue_after`) and the server's times.
    pub fn differing_fields(&self, other: &Definition) -> Vec<&'static str> {
        let mut fields = Vec::new();
        let mut check = |differs: bool, field| {
            if differs {
                fields.push(field);
            }
        };
        check(self.unit != other.unit, "unit");
        check(self.kind != other.kind, "kind");
        check(self.scale != other.scale, "scale");
        check(self.label_names != other.label_names, "label_names");
        check(self.period != other.period, "period");
        check(self.zone != other.zone, "time_zone");
        check(self.week_start != other.week_start, "week_start");
        check(self.year_start != other.year_start, "year_start");
        fields
    }
}
