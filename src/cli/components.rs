//! `milepost components`: the components there are.

use super::connection::Server;
use super::error::Error;
use super::figure::readable;
use super::json;
use super::output::{self, Format, OutputArgs};
use super::page::{PAGE_ROWS, joined};
use super::table::Table;
use crate::proto::v1 as pb;
use clap::Args;

/// The components that have, or had, a metric.
#[derive(Args, Debug)]
pub struct ComponentsArgs {
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: ComponentsArgs, server: &Server) -> Result<String, Error> {
    let request = pb::ListComponentsRequest { page_size: PAGE_ROWS, page_token: String::new() };
    let client = server.catalog();
    let response: pb::ListComponentsResponse = joined(request, |r| {
        let mut client = client.clone();
        async move { client.list_components(r).await }
    })
    .await?;
    match args.output.output {
        Format::Json => json::text("ListComponentsResponse", &response),
        Format::Csv => output::csv(
            &["name", "metric_count", "revision"],
            response
                .components
                .iter()
                .map(|c| vec![c.name.clone(), c.metric_count.to_string(), c.revision.to_string()]),
        ),
        Format::Table => {
            let mut table = Table::new().left("component").right("metrics").right("revision");
            for c in &response.components {
                table.row(vec![c.name.clone(), readable(&c.metric_count.to_string()), c.revision.to_string()]);
            }
            Ok(if table.is_empty() { "No components yet.\n".into() } else { table.render() })
        }
    }
}
