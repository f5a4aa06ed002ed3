//! `milepost opening`: what a series' total was before a time.

use super::connection::Server;
use super::error::Error;
use super::json;
use super::label::{Label, series_labels};
use super::moment::parse_zone;
use super::output::{self, Format, OutputArgs};
use super::push::TimeValue;
use crate::domain::calendar::Zone;
use crate::proto::v1 as pb;
use clap::Args;

/// Say what a series' total was before a time; setting it again replaces it.
#[derive(Args, Debug)]
pub struct OpeningArgs {
    /// The metric, COMPONENT/METRIC, as govuk-pay/payments
    metric: String,
    /// Before this date or RFC 3339 time the total was so much: 2021-04-01=14.1m
    #[arg(value_name = "TIME=VALUE", required_unless_present = "remove", conflicts_with = "remove")]
    opening: Option<TimeValue>,
    /// The series has no opening balance any more
    #[arg(long)]
    remove: bool,
    /// A label of the series; repeat for each of the metric's labels
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<Label>,
    /// The zone whose midnight a date is [default: the metric's]
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    zone: Option<Zone>,
    /// Where the figure is from; kept with it
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Names this call: sent again, it gets the first answer and changes nothing
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Check and answer, but change nothing
    #[arg(long)]
    validate_only: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: OpeningArgs, server: &Server) -> Result<String, Error> {
    let at = args.opening.as_ref().map(|o| o.moment.in_zone(args.zone.as_ref())).transpose()?;
    let request = pb::SetOpeningBalanceRequest {
        request_id: args.request_id.unwrap_or_default(),
        metric: args.metric.clone(),
        labels: series_labels(&args.labels)?,
        at: at.map(Into::into),
        value: args.opening.as_ref().map(|o| o.value.clone()),
        note: args.note.unwrap_or_default(),
        validate_only: args.validate_only,
    };
    let response = server.ingest().set_opening_balance(request).await?.into_inner();
    match args.output.output {
        Format::Json => json::text("SetOpeningBalanceResponse", &response),
        Format::Csv => {
            output::csv(&["revision", "replayed"], [vec![response.revision.to_string(), response.replayed.to_string()]])
        }
        Format::Table => {
            let what = if args.remove { "Opening balance removed" } else { "Opening balance set" };
            let checked = if args.validate_only { "Checked, nothing written: " } else { "" };
            let replayed =
                if response.replayed { " This request was answered before: nothing was changed now." } else { "" };
            Ok(format!("{checked}{what}. Revision {}.{replayed}\n", response.revision))
        }
    }
}
