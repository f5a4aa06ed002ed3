//! `milepost metric update`.

use super::definition::{DefinitionArgs, Kind, text};
use crate::cli::connection::Server;
use crate::cli::error::Error;
use crate::cli::output::OutputArgs;
use crate::proto::v1 as pb;
use clap::Args;

/// Change what is said of a metric's definition. Once written to, only --display-name, --description and
/// --overdue-after may change. An empty text empties a field.
#[derive(Args, Debug)]
pub struct UpdateArgs {
    /// COMPONENT/METRIC, as govuk-pay/payments
    name: String,
    /// What a point says: what happened in a period, the running total as reported, or a level
    #[arg(long, value_enum, ignore_case = true)]
    kind: Option<Kind>,
    #[command(flatten)]
    definition: DefinitionArgs,
    /// Back to the default: two periods, or never where the metric is irregular
    #[arg(long, conflicts_with = "overdue_after")]
    no_overdue_after: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(in crate::cli) async fn run(args: UpdateArgs, server: &Server) -> Result<String, Error> {
    let (metric, mut paths) = args.definition.metric(args.name, args.kind);
    if args.no_overdue_after {
        paths.push("overdue_after".into());
    }
    if paths.is_empty() {
        return Err(Error::Usage("nothing to change: say --display-name, --description or another field".into()));
    }
    let request = pb::UpdateMetricRequest { metric: Some(metric), update_mask: Some(prost_types::FieldMask { paths }) };
    let response = server.catalog().update_metric(request).await?.into_inner();
    text(args.output.output, "UpdateMetricResponse", &response, response.metric.as_ref(), "")
}
