//! `milepost series`: the series of a metric.

use super::connection::Server;
use super::error::Error;
use super::figure::readable;
use super::json;
use super::label;
use super::moment::Reader;
use super::output::{self, Format, OutputArgs};
use super::page::{PAGE_ROWS, joined};
use super::selection::ChosenSeries;
use super::table::Table;
use crate::proto::v1 as pb;
use clap::Args;

/// The series of a metric that have a point or an opening balance.
#[derive(Args, Debug)]
pub struct SeriesArgs {
    #[command(flatten)]
    selected: ChosenSeries,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: SeriesArgs, server: &Server) -> Result<String, Error> {
    let selection = args.selected.selection();
    let request = pb::ListSeriesRequest {
        metric: selection.metric,
        filters: selection.filters,
        page_size: PAGE_ROWS,
        page_token: String::new(),
    };
    let client = server.catalog();
    let response: pb::ListSeriesResponse = joined(request, |r| {
        let mut client = client.clone();
        async move { client.list_series(r).await }
    })
    .await?;
    if args.output.output == Format::Json {
        return json::text("ListSeriesResponse", &response);
    }
    let metric = server.metric(&args.selected.metric).await?;
    let reader = Reader::new(None, if metric.time_zone.is_empty() { "UTC" } else { &metric.time_zone });
    if args.output.output == Format::Csv {
        let mut header: Vec<&str> = metric.label_names.iter().map(String::as_str).collect();
        header.extend(["point_count", "first_point_time", "last_point_time", "opening_time", "opening_value"]);
        let rows = response.series.iter().map(|series| {
            let opening = series.opening.as_ref();
            let mut cells = super::facts::group_cells(&metric.label_names, &series.labels);
            cells.extend([
                series.point_count.to_string(),
                reader.exact(series.first_point_time.as_ref()),
                reader.exact(series.last_point_time.as_ref()),
                reader.exact(opening.and_then(|o| o.time.as_ref())),
                opening.map(|o| o.value.clone()).unwrap_or_default(),
            ]);
            cells
        });
        return output::csv(&header, rows);
    }
    let mut table =
        Table::new().left("series").right("points").left("first point").left("last point").left("opening balance");
    for series in &response.series {
        let opening = series
            .opening
            .as_ref()
            .map(|o| format!("{} before {}", readable(&o.value), reader.short_or_blank(o.time.as_ref())));
        table.row(vec![
            if series.labels.is_empty() { "(the metric itself)".into() } else { label::text(&series.labels) },
            readable(&series.point_count.to_string()),
            reader.short_or_blank(series.first_point_time.as_ref()),
            reader.short_or_blank(series.last_point_time.as_ref()),
            opening.unwrap_or_default(),
        ]);
    }
    if table.is_empty() {
        return Ok(format!("{} has no series yet.\n", args.selected.metric));
    }
    let counted = format!("{} series", readable(&response.series.len().to_string()));
    let body = table.without_blank("opening balance").render();
    Ok(format!("{body}\n{counted}; dates in {}.\n", reader.zone_name()))
}
