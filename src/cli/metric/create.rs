//! `milepost metric create`.

use super::definition::{DefinitionArgs, Kind, text};
use crate::cli::connection::Server;
use crate::cli::error::Error;
use crate::cli::output::OutputArgs;
use crate::proto::v1 as pb;
use clap::Args;

/// Make a metric. An equal definition again answers the metric that is there.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// COMPONENT/METRIC, as govuk-pay/payments
    name: String,
    /// What a point says: what happened in a period, the running total as reported, or a level
    #[arg(long, value_enum, ignore_case = true)]
    kind: Kind,
    #[command(flatten)]
    definition: DefinitionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(in crate::cli) async fn run(args: CreateArgs, server: &Server) -> Result<String, Error> {
    let (metric, _) = args.definition.metric(args.name, Some(args.kind));
    let request = pb::CreateMetricRequest { metric: Some(metric) };
    let response = server.catalog().create_metric(request).await?.into_inner();
    text(args.output.output, "CreateMetricResponse", &response, response.metric.as_ref(), "")
}
