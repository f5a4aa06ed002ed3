//! `milepost metric list`.

use super::definition::{csv, kind_text};
use crate::cli::connection::Server;
use crate::cli::error::Error;
use crate::cli::json;
use crate::cli::output::{Format, OutputArgs};
use crate::cli::page::{PAGE_ROWS, joined};
use crate::cli::table::Table;
use crate::proto::v1 as pb;
use clap::Args;

/// List the metrics.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only those of this component
    #[arg(default_value = "", hide_default_value = true)]
    component: String,
    #[command(flatten)]
    output: OutputArgs,
}

pub(in crate::cli) async fn run(args: ListArgs, server: &Server) -> Result<String, Error> {
    let response = all(&args.component, server).await?;
    match args.output.output {
        Format::Json => json::text("ListMetricsResponse", &response),
        Format::Csv => csv(&response.metrics),
        Format::Table => Ok(table(&response.metrics)),
    }
}

/// Every metric of a component, or of all where it is empty.
pub(in crate::cli) async fn all(component: &str, server: &Server) -> Result<pb::ListMetricsResponse, Error> {
    let request =
        pb::ListMetricsRequest { component: component.into(), page_size: PAGE_ROWS, page_token: String::new() };
    let client = server.catalog();
    joined(request, |r| {
        let mut client = client.clone();
        async move { client.list_metrics(r).await }
    })
    .await
}

fn table(metrics: &[pb::Metric]) -> String {
    let mut table = Table::new()
        .left("metric")
        .left("kind")
        .left("period")
        .left("unit")
        .right("scale")
        .left("labels")
        .left("zone")
        .left("display name");
    for m in metrics {
        table.row(vec![
            m.name.clone(),
            kind_text(m),
            if m.period.is_empty() { "irregular".into() } else { m.period.clone() },
            m.unit.clone(),
            m.scale.to_string(),
            m.label_names.join(", "),
            if m.time_zone.is_empty() { "UTC".into() } else { m.time_zone.clone() },
            m.display_name.clone(),
        ]);
    }
    if table.is_empty() {
        return "No metrics yet. Make one: milepost metric create COMPONENT/METRIC --kind delta --period P1D\n".into();
    }
    table.without_blank("unit").without_blank("labels").without_blank("display name").render()
}
