//! `milepost metric get`.

use super::definition::text;
use crate::cli::connection::Server;
use crate::cli::error::Error;
use crate::cli::output::OutputArgs;
use crate::proto::v1 as pb;
use clap::Args;

/// Show a metric's definition.
#[derive(Args, Debug)]
pub struct GetArgs {
    /// COMPONENT/METRIC, as govuk-pay/payments
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

pub(in crate::cli) async fn run(args: GetArgs, server: &Server) -> Result<String, Error> {
    let response = server.catalog().get_metric(pb::GetMetricRequest { name: args.name }).await?.into_inner();
    text(args.output.output, "GetMetricResponse", &response, response.metric.as_ref(), "")
}
