//! `milepost retract`: take points back.

use super::connection::Server;
use super::error::Error;
use super::figure::count;
use super::json;
use super::label::Condition;
use super::label::filters;
use super::moment::{Moment, parse_zone, to_proto};
use super::output::{self, Format, OutputArgs};
use super::selection::zone_for;
use crate::domain::calendar::Zone;
use crate::proto::v1 as pb;
use crate::random::{SystemRandom, array};
use clap::Args;

/// Take points back: those at some times, or in an interval. Their values stay in `milepost changes`.
#[derive(Args, Debug)]
pub struct RetractArgs {
    /// The metric, COMPONENT/METRIC, as govuk-pay/payments
    metric: String,
    /// Dates or RFC 3339 times of the points
    #[arg(value_name = "TIME", required_unless_present_any = ["from", "to"], conflicts_with_all = ["from", "to"])]
    times: Vec<Moment>,
    /// Every point from this date or RFC 3339 time on
    #[arg(long, value_name = "TIME")]
    from: Option<Moment>,
    /// Every point before this date or RFC 3339 time
    #[arg(long, value_name = "TIME")]
    to: Option<Moment>,
    /// Only of series with this label value (NAME=VALUE), or without it (NAME!=VALUE); without it of every series
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<Condition>,
    /// Why; kept with every change
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The zone whose midnight a date is [default: the metric's]
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    zone: Option<Zone>,
    /// Names this call: sent again, it gets the first answer and changes nothing [default: a random one]
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Check and answer, but change nothing
    #[arg(long)]
    validate_only: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl RetractArgs {
    async fn what(&self, server: &Server) -> Result<pb::retract_points_request::What, Error> {
        let given: Vec<&Moment> = self.times.iter().chain(&self.from).chain(&self.to).collect();
        let zone = zone_for(&given, self.zone.as_ref(), &self.metric, server).await?;
        let time = |moment: &Moment| moment.instant(&zone).map(to_proto);
        if self.times.is_empty() {
            let start_time = self.from.as_ref().map(time).transpose()?;
            let end_time = self.to.as_ref().map(time).transpose()?;
            return Ok(pb::retract_points_request::What::Interval(pb::Interval { start_time, end_time }));
        }
        let times = self.times.iter().map(time).collect::<Result<_, _>>()?;
        Ok(pb::retract_points_request::What::Times(pb::Times { times }))
    }
}

pub(super) async fn run(args: RetractArgs, server: &Server) -> Result<String, Error> {
    let request = pb::RetractPointsRequest {
        // Repeating a retraction does no harm, so a fresh id will do where none is given.
        request_id: args.request_id.clone().unwrap_or_else(fresh_request_id),
        metric: args.metric.clone(),
        filters: filters(&args.labels),
        what: Some(args.what(server).await?),
        reason: args.reason.clone(),
        validate_only: args.validate_only,
    };
    let response = server.ingest().retract_points(request).await?.into_inner();
    match args.output.output {
        Format::Json => json::text("RetractPointsResponse", &response),
        Format::Csv => output::csv(
            &["revision", "retracted_count", "unchanged_count", "replayed"],
            [vec![
                response.revision.to_string(),
                response.retracted_count.to_string(),
                response.unchanged_count.to_string(),
                response.replayed.to_string(),
            ]],
        ),
        Format::Table => {
            let checked = if args.validate_only { "Checked, nothing written: " } else { "" };
            let missing = match response.unchanged_count {
                0 => String::new(),
                n => format!(", {} not there", count(n, "point")),
            };
            let replayed =
                if response.replayed { " This request was answered before: nothing was changed now." } else { "" };
            let taken = count(response.retracted_count, "point");
            Ok(format!("{checked}{taken} taken back{missing}. Revision {}.{replayed}\n", response.revision))
        }
    }
}

/// 32 hexadecimal digits that nobody has used.
pub(super) fn fresh_request_id() -> String {
    array::<16>(&SystemRandom).iter().map(|byte| format!("{byte:02x}")).collect()
}
