//! `milepost push`: points from the command line.

use super::connection::Server;
use super::error::Error;
use super::figure::{self, count};
use super::json;
use super::label::{Label, series_labels};
use super::moment::{Moment, parse_zone, to_proto};
use super::output::{self, Format, OutputArgs};
use super::selection::zone_for;
use crate::domain::calendar::Zone;
use crate::proto::v1 as pb;
use clap::Args;
use std::str::FromStr;

/// Write points of one series: one atomic batch, on stable storage before it is answered.
///
/// A value takes the place of the one that is there; the same value again changes nothing.
#[derive(Args, Debug)]
pub struct PushArgs {
    /// The metric, COMPONENT/METRIC, as govuk-pay/payments
    metric: String,
    /// A date or RFC 3339 time, and an exact value: 2016-08-29=1, 2026-08-17=142.9m, 2026-08-17=14,800,000
    #[arg(required = true, value_name = "TIME=VALUE")]
    points: Vec<TimeValue>,
    /// A label of the series; repeat for each of the metric's labels
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<Label>,
    /// The zone whose midnight a date is [default: the metric's]
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    zone: Option<Zone>,
    /// DELTA: the value is of several periods, up to this date or RFC 3339 time (one point only)
    #[arg(long, value_name = "TIME")]
    end: Option<Moment>,
    /// CUMULATIVE: counted from zero since this date or RFC 3339 time
    #[arg(long, value_name = "TIME")]
    start: Option<Moment>,
    /// CUMULATIVE: a published figure put right; may be below the report before it
    #[arg(long)]
    restated: bool,
    /// Add to what is there instead of taking its place (DELTA only)
    #[arg(long, requires = "request_id")]
    add: bool,
    /// Names this batch: sent again, it gets the first answer and changes nothing
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Kept with every change that the batch makes
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Check and answer, but change nothing
    #[arg(long)]
    validate_only: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// `TIME=VALUE` as written, and as read.
#[derive(Clone, Debug)]
pub(super) struct TimeValue {
    pub(super) written: String,
    pub(super) moment: Moment,
    pub(super) value: String,
}

impl FromStr for TimeValue {
    type Err = String;

    fn from_str(text: &str) -> Result<TimeValue, String> {
        let (time, value) =
            text.split_once('=').ok_or_else(|| format!("{text:?} is not TIME=VALUE, as 2016-08-29=1"))?;
        Ok(TimeValue { written: text.into(), moment: time.trim().parse()?, value: figure::plain(value)? })
    }
}

pub(super) async fn run(args: PushArgs, server: &Server) -> Result<String, Error> {
    if args.end.is_some() && args.points.len() > 1 {
        return Err(Error::Usage("--end is of one point: push the others on their own".into()));
    }
    let zone = args.zone.as_ref();
    let start_time = match &args.start {
        Some(moment) => {
            let zone = zone_for(&[moment], zone, &args.metric, server).await?;
            Some(to_proto(moment.instant(&zone)?))
        }
        None => None,
    };
    let end = args.end.as_ref().map(|m| m.in_zone(zone)).transpose()?;
    let mut points = Vec::with_capacity(args.points.len());
    for point in &args.points {
        points.push(pb::Point {
            at: Some(point.moment.in_zone(zone)?.into()),
            value: point.value.clone(),
            end: end.clone().map(Into::into),
            start_time,
            restated: args.restated,
        });
    }
    let mode = if args.add { pb::write_points_request::Mode::Add } else { pb::write_points_request::Mode::Set };
    let request = pb::WritePointsRequest {
        request_id: args.request_id.clone().unwrap_or_default(),
        series: vec![pb::SeriesPoints {
            metric: args.metric.clone(),
            labels: series_labels(&args.labels)?,
            points,
            columns: None,
        }],
        mode: mode.into(),
        reason: args.reason.clone().unwrap_or_default(),
        validate_only: args.validate_only,
    };
    let written =
        args.points.iter().enumerate().map(|(i, p)| (format!("series[0].points[{i}]"), p.written.clone())).collect();
    let answered = server.ingest().write_points(request).await;
    let response = answered.map_err(|status| Error::from(status).with_written(written))?.into_inner();
    match args.output.output {
        Format::Json => json::text("WritePointsResponse", &response),
        Format::Csv => output::csv(
            &["revision", "accepted_count", "unchanged_count", "corrected_count", "replayed"],
            [vec![
                response.revision.to_string(),
                response.accepted_count.to_string(),
                response.unchanged_count.to_string(),
                response.corrected_count.to_string(),
                response.replayed.to_string(),
            ]],
        ),
        Format::Table => Ok(sentence(&response, args.add, args.validate_only)),
    }
}

fn sentence(response: &pb::WritePointsResponse, add: bool, validate_only: bool) -> String {
    let new = response.accepted_count - response.unchanged_count - response.corrected_count;
    let parts = [
        (new, if add { "added" } else { "new" }),
        (response.corrected_count, "corrected"),
        (response.unchanged_count, "unchanged"),
    ];
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let replayed = if response.replayed { " This request was answered before: nothing was changed now." } else { "" };
    let checked = if validate_only { "Checked, nothing written: " } else { "" };
    format!(
        "{checked}{}: {}. Revision {}.{replayed}\n",
        count(response.accepted_count, "point"),
        parts.join(", "),
        response.revision
    )
}
