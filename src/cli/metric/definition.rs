//! A metric's definition, as said on the command line and as it reads.

use crate::cli::calendar::{Day, parse_month_day};
use crate::cli::error::Error;
use crate::cli::json;
use crate::cli::moment::{parse_zone, seconds};
use crate::cli::output::{self, Format};
use crate::domain::calendar::Zone;
use crate::proto::v1 as pb;
use clap::{Args, ValueEnum};

/// What a point of the metric says.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Kind {
    // No docs: they would stretch every option of the help over three lines.
    Delta,
    Cumulative,
    Gauge,
}

/// The parts of a definition, each only where it was said.
#[derive(Args, Debug)]
pub(super) struct DefinitionArgs {
    /// What one is, as "{payment}", GBP, s
    #[arg(long)]
    unit: Option<String>,
    /// Digits after the point, 0 (whole numbers) to 9 [default: 0]
    #[arg(long, value_name = "DIGITS", value_parser = clap::value_parser!(i32).range(0..=9))]
    scale: Option<i32>,
    /// The labels that every series has, comma-separated or repeated
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    labels: Option<Vec<String>>,
    /// ISO 8601: PT1M to PT12H, P1D, P1W, P1M, P3M, P1Y; without it the metric is irregular
    #[arg(long, value_name = "PERIOD")]
    period: Option<String>,
    /// The zone whose midnight a period starts at, as Europe/London [default: UTC]
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    zone: Option<Zone>,
    /// The day a week starts [default: monday]
    #[arg(long, value_name = "DAY", ignore_case = true, hide_possible_values = true)]
    week_start: Option<Day>,
    /// The day quarters and years start from, MM-DD, as 04-06 [default: 01-01]
    #[arg(long, value_name = "MM-DD", value_parser = parse_month_day)]
    year_start: Option<pb::MonthDay>,
    /// For people, as "Payments"
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// The team's own definition, in words
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// How long after the end of the last period the metric is overdue, as 14d or 36h [default: two periods]
    #[arg(long, value_name = "LENGTH", value_parser = parse_length)]
    overdue_after: Option<prost_types::Duration>,
}

/// `14d`, `36h`, `90m`, `2w`: elapsed time, a day is 24 hours.
fn parse_length(text: &str) -> Result<prost_types::Duration, String> {
    let wrong = || format!("{text:?} is not a length, as 14d, 36h, 90m or 2w");
    let unit = text.trim().chars().last().ok_or_else(wrong)?;
    let seconds: i64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(wrong()),
    };
    let number = text.trim().strip_suffix(unit).unwrap_or_default().trim_end();
    let count: u32 = number.parse().map_err(|_| wrong())?;
    Ok(prost_types::Duration { seconds: i64::from(count) * seconds, nanos: 0 })
}

impl DefinitionArgs {
    /// The definition said, and the names of the fields that were.
    pub(super) fn metric(self, name: String, kind: Option<Kind>) -> (pb::Metric, Vec<String>) {
        let mut said = Vec::new();
        let mut say = |is_said: bool, field: &str| {
            if is_said {
                said.push(field.to_owned());
            }
        };
        say(kind.is_some(), "kind");
        say(self.unit.is_some(), "unit");
        say(self.scale.is_some(), "scale");
        say(self.labels.is_some(), "label_names");
        say(self.period.is_some(), "period");
        say(self.zone.is_some(), "time_zone");
        say(self.week_start.is_some(), "week_start");
        say(self.year_start.is_some(), "year_start");
        say(self.display_name.is_some(), "display_name");
        say(self.description.is_some(), "description");
        say(self.overdue_after.is_some(), "overdue_after");
        let kind = match kind {
            None => pb::metric::Kind::Unspecified,
            Some(Kind::Delta) => pb::metric::Kind::Delta,
            Some(Kind::Cumulative) => pb::metric::Kind::Cumulative,
            Some(Kind::Gauge) => pb::metric::Kind::Gauge,
        };
        let metric = pb::Metric {
            name,
            display_name: self.display_name.unwrap_or_default(),
            description: self.description.unwrap_or_default(),
            unit: self.unit.unwrap_or_default(),
            kind: kind.into(),
            scale: self.scale.unwrap_or_default(),
            label_names: self.labels.unwrap_or_default().into_iter().filter(|l| !l.is_empty()).collect(),
            period: self.period.unwrap_or_default(),
            time_zone: self.zone.map(|z| z.name().to_owned()).unwrap_or_default(),
            week_start: self.week_start.map_or(0, |d| d.to_proto().into()),
            year_start: self.year_start,
            overdue_after: self.overdue_after,
            create_time: None,
            update_time: None,
        };
        (metric, said)
    }
}

/// A kind in words.
pub(super) fn kind_text(metric: &pb::Metric) -> String {
    pb::metric::Kind::try_from(metric.kind).map_or("?".into(), |k| k.as_str_name().to_ascii_lowercase())
}

/// One metric, a line a field that says something.
pub(super) fn sheet(metric: &pb::Metric) -> String {
    let day = pb::calendar::DayOfWeek::try_from(metric.week_start).unwrap_or_default();
    let monday = matches!(day, pb::calendar::DayOfWeek::Unspecified | pb::calendar::DayOfWeek::Monday);
    let year_start = metric.year_start.as_ref().filter(|s| (s.month, s.day) != (1, 1));
    let fields = [
        ("display name", metric.display_name.clone()),
        ("description", metric.description.clone()),
        ("kind", kind_text(metric)),
        ("unit", metric.unit.clone()),
        ("scale", metric.scale.to_string()),
        ("labels", metric.label_names.join(", ")),
        ("period", if metric.period.is_empty() { "irregular".into() } else { metric.period.clone() }),
        ("zone", if metric.time_zone.is_empty() { "UTC".into() } else { metric.time_zone.clone() }),
        ("week start", if monday { String::new() } else { day.as_str_name().to_ascii_lowercase() }),
        ("year start", year_start.map(|s| format!("{:02}-{:02}", s.month, s.day)).unwrap_or_default()),
        ("overdue after", metric.overdue_after.as_ref().map(length_text).unwrap_or_default()),
    ];
    let mut text = format!("{}\n", metric.name);
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(&format!("  {name:<13}  {value}\n"));
    }
    text
}

/// `14d`, `36h`, `90s`.
fn length_text(length: &prost_types::Duration) -> String {
    for (unit, size) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
        if length.nanos == 0 && length.seconds != 0 && length.seconds % size == 0 {
            return format!("{}{unit}", length.seconds / size);
        }
    }
    format!("{}s", seconds(length))
}

const HEADER: [&str; 11] = [
    "name",
    "kind",
    "unit",
    "scale",
    "label_names",
    "period",
    "time_zone",
    "week_start",
    "year_start",
    "display_name",
    "description",
];

/// Metrics as CSV.
pub(super) fn csv(metrics: &[pb::Metric]) -> Result<String, Error> {
    let rows = metrics.iter().map(|m| {
        let day = pb::calendar::DayOfWeek::try_from(m.week_start).unwrap_or_default();
        vec![
            m.name.clone(),
            pb::metric::Kind::try_from(m.kind).unwrap_or_default().as_str_name().to_owned(),
            m.unit.clone(),
            m.scale.to_string(),
            m.label_names.join(" "),
            m.period.clone(),
            m.time_zone.clone(),
            day.as_str_name().to_owned(),
            m.year_start.as_ref().map(|s| format!("{:02}-{:02}", s.month, s.day)).unwrap_or_default(),
            m.display_name.clone(),
            m.description.clone(),
        ]
    });
    output::csv(&HEADER, rows)
}

/// One metric in the format asked for.
pub(super) fn text<M: prost::Message>(
    format: Format,
    name: &str,
    response: &M,
    metric: Option<&pb::Metric>,
    before: &str,
) -> Result<String, Error> {
    let metric = metric.ok_or_else(|| Error::Failed(format!("the server answered {name} without a metric")))?;
    match format {
        Format::Json => json::text(name, response),
        Format::Csv => csv(std::slice::from_ref(metric)),
        Format::Table => Ok(format!("{before}{}", sheet(metric))),
    }
}

#[cfg(test)]
mod tests {
    use super::{length_text, parse_length};

    #[test]
    fn lengths_read_back() {
        for text in ["14d", "36h", "90m", "1s", "0s"] {
            assert_eq!(parse_length(text).map(|l| length_text(&l)), Ok(text.to_owned()));
        }
        assert_eq!(parse_length("2w").map(|l| length_text(&l)), Ok("14d".to_owned()));
        for wrong in ["", "d", "14", "-1d", "1.5d", "14 parsecs", "99999999999d"] {
            assert!(parse_length(wrong).is_err(), "{wrong}");
        }
    }
}
