//! How time is cut into windows, as said on the command line.

use super::error::Error;
use crate::domain::calendar::Zone;
use crate::proto::v1::{Calendar, MonthDay, calendar};
use clap::{Args, ValueEnum};
use std::str::FromStr;

/// How time is cut into windows.
#[derive(Args, Debug, Clone)]
pub(super) struct CalendarArgs {
    /// A window's length: minute, hour, day, week, month, quarter, year, "2 weeks"..., or "period" for the metric's own
    #[arg(long, value_name = "LENGTH")]
    by: Option<Length>,
    #[command(flatten)]
    starts: StartArgs,
}

/// Where weeks and years start.
#[derive(Args, Debug, Clone)]
pub(super) struct StartArgs {
    /// The day a week starts [default: the metric's, else monday]
    #[arg(long, value_name = "DAY", ignore_case = true, hide_possible_values = true)]
    week_start: Option<Day>,
    /// The day quarters and years start from, MM-DD, as 04-06 [default: the metric's, else 01-01]
    #[arg(long, value_name = "MM-DD", value_parser = parse_month_day)]
    year_start: Option<MonthDay>,
}

/// A number of units of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Length {
    unit: calendar::Unit,
    count: i32,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// What a running total begins anew with.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Restart {
    Year,
    Quarter,
    Month,
}

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Length, String> {
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(split);
        let wrong = || format!("{text:?} is not a length, as month or \"2 weeks\"");
        let count = if number.is_empty() { 1 } else { number.parse().map_err(|_| wrong())? };
        let unit = unit.trim().to_ascii_lowercase();
        let unit = match unit.strip_suffix('s').unwrap_or(&unit) {
            "period" => calendar::Unit::Unspecified,
            "minute" => calendar::Unit::Minute,
            "hour" => calendar::Unit::Hour,
            "day" => calendar::Unit::Day,
            "week" => calendar::Unit::Week,
            "month" => calendar::Unit::Month,
            "quarter" => calendar::Unit::Quarter,
            "year" => calendar::Unit::Year,
            _ => return Err(wrong()),
        };
        if count < 1 || (unit == calendar::Unit::Unspecified && count != 1) {
            return Err(wrong());
        }
        Ok(Length { unit, count })
    }
}

impl Length {
    /// `month`, `2 weeks`.
    fn text(self) -> String {
        let unit = match self.unit {
            calendar::Unit::Unspecified => "period".into(),
            unit => unit.as_str_name().to_ascii_lowercase(),
        };
        if self.count == 1 { unit } else { format!("{} {unit}s", self.count) }
    }
}

impl Day {
    pub(super) fn to_proto(self) -> calendar::DayOfWeek {
        match self {
            Day::Monday => calendar::DayOfWeek::Monday,
            Day::Tuesday => calendar::DayOfWeek::Tuesday,
            Day::Wednesday => calendar::DayOfWeek::Wednesday,
            Day::Thursday => calendar::DayOfWeek::Thursday,
            Day::Friday => calendar::DayOfWeek::Friday,
            Day::Saturday => calendar::DayOfWeek::Saturday,
            Day::Sunday => calendar::DayOfWeek::Sunday,
        }
    }
}

impl Restart {
    pub(super) fn unit(self) -> calendar::Unit {
        match self {
            Restart::Year => calendar::Unit::Year,
            Restart::Quarter => calendar::Unit::Quarter,
            Restart::Month => calendar::Unit::Month,
        }
    }
}

/// `04-06`: month, then day.
pub(super) fn parse_month_day(text: &str) -> Result<MonthDay, String> {
    let wrong = || format!("{text:?} is not MM-DD with a day up to 28, as 04-06");
    let (month, day) = text.split_once('-').ok_or_else(wrong)?;
    let (month, day) = (month.parse().map_err(|_| wrong())?, day.parse().map_err(|_| wrong())?);
    if (1..=12).contains(&month) && (1..=28).contains(&day) { Ok(MonthDay { month, day }) } else { Err(wrong()) }
}

impl CalendarArgs {
    /// The calendar asked for, None for one window. A restart's own periods are the windows where no length is given.
    pub(super) fn calendar(&self, zone: Option<&Zone>, restart: Option<Restart>) -> Result<Option<Calendar>, Error> {
        let starts = &self.starts;
        let says_more = starts.week_start.is_some() || starts.year_start.is_some();
        let length = match (self.by, restart) {
            (Some(length), _) => length,
            (None, Some(restart)) => Length { unit: restart.unit(), count: 1 },
            (None, None) if says_more => {
                return Err(Error::Usage("--week-start and --year-start say how windows are cut: add --by".into()));
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(Calendar {
            unit: length.unit.into(),
            count: length.count,
            time_zone: zone.map(|z| z.name().to_owned()).unwrap_or_default(),
            week_start: starts.week_start.map_or(0, |day| day.to_proto().into()),
            year_start: starts.year_start,
        }))
    }

    /// For a title: `by month`, or nothing.
    pub(super) fn title(&self, restart: Option<Restart>) -> String {
        let by = self.by.map(|length| format!(" by {}", length.text())).unwrap_or_default();
        let again = restart.map(|r| format!(", starting again each {}", r.unit().as_str_name().to_ascii_lowercase()));
        by + &again.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        for (text, unit, count) in [
            ("month", calendar::Unit::Month, 1),
            ("months", calendar::Unit::Month, 1),
            ("2 weeks", calendar::Unit::Week, 2),
            ("15minutes", calendar::Unit::Minute, 15),
            ("Quarter", calendar::Unit::Quarter, 1),
            ("period", calendar::Unit::Unspecified, 1),
        ] {
            assert_eq!(text.parse(), Ok(Length { unit, count }), "{text}");
        }
        for wrong in ["", "fortnight", "0 days", "-1 day", "2", "2 periods", "99999999999 days", "1.5 days"] {
            assert!(wrong.parse::<Length>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn month_days() {
        assert_eq!(parse_month_day("04-06"), Ok(MonthDay { month: 4, day: 6 }));
        for wrong in ["", "4", "13-01", "00-10", "02-29", "04-00", "a-b", "04-06-01"] {
            assert!(parse_month_day(wrong).is_err(), "{wrong}");
        }
    }
}
