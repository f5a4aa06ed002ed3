//! `milepost metric delete`.

use crate::cli::connection::Server;
use crate::cli::error::Error;
use crate::cli::json;
use crate::cli::output::{self, Format, OutputArgs};
use crate::proto::v1 as pb;
use clap::Args;

/// Delete a metric with all that was ever kept of it: no revision answers for it any more.
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// COMPONENT/METRIC, as govuk-pay/payments
    name: String,
    /// Even if it has points or opening balances
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(in crate::cli) async fn run(args: DeleteArgs, server: &Server) -> Result<String, Error> {
    let request = pb::DeleteMetricRequest { name: args.name.clone(), force: args.force };
    let response = server.catalog().delete_metric(request).await?.into_inner();
    match args.output.output {
        Format::Json => json::text("DeleteMetricResponse", &response),
        Format::Csv => output::csv(&["name", "revision"], [vec![args.name, response.revision.to_string()]]),
        Format::Table => Ok(format!("{} deleted. Revision {}.\n", args.name, response.revision)),
    }
}
