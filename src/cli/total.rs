//! `milepost total`: the exact number of all that happened before an instant.

use super::connection::Server;
use super::error::Error;
use super::facts::{self, group_cells};
use super::figure::readable;
use super::json;
use super::moment::{Moment, Reader};
use super::output::{self, Format, OutputArgs};
use super::page::{PAGE_ROWS, joined};
use super::selection::{SelectionArgs, ViewArgs};
use super::table::Table;
use super::windows::mark_names;
use crate::proto::v1 as pb;
use clap::Args;

/// How many so far, or before an instant: exact, opening balances included.
#[derive(Args, Debug)]
pub struct TotalArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Everything before this date or RFC 3339 time counts [default: everything known]
    #[arg(long, value_name = "TIME")]
    at: Option<Moment>,
    #[command(flatten)]
    view: ViewArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: TotalArgs, server: &Server) -> Result<String, Error> {
    let zone = args.view.zone.as_ref();
    let request = pb::GetTotalRequest {
        selection: Some(args.selection.selection()),
        at: args.at.as_ref().map(|m| m.in_zone(zone)).transpose()?.map(Into::into),
        as_of: args.view.as_of(args.selection.metric(), server).await?,
        page_size: PAGE_ROWS,
        page_token: String::new(),
    };
    let client = server.query();
    let response: pb::GetTotalResponse = joined(request, |r| {
        let mut client = client.clone();
        async move { client.get_total(r).await }
    })
    .await?;
    if args.output.output == Format::Json {
        return json::text("GetTotalResponse", &response);
    }
    let answer = response.answer.clone().unwrap_or_default();
    let reader = Reader::new(zone, &answer.time_zone);
    if args.output.output == Format::Csv {
        csv(&args, &response)
    } else {
        Ok(table(&args, &response, &answer, &reader))
    }
}

fn table(args: &TotalArgs, response: &pb::GetTotalResponse, answer: &pb::Answer, reader: &Reader) -> String {
    let at = answer.interval.as_ref().and_then(|i| i.end_time.as_ref());
    let more = at.map(|t| format!(" before {}", reader.short(t))).unwrap_or_default();
    let group_by = args.selection.group_by();
    let mut table = Table::new().lefts(group_by).right("total").left("marks");
    for total in &response.totals {
        let mut cells = group_cells(group_by, &total.group);
        cells.push(total.total.as_ref().map_or("nothing counted yet".into(), |t| readable(t)));
        cells.push(facts::marks(&total.marks));
        table.row(cells);
    }
    let body = if table.is_empty() { "No groups.\n".into() } else { table.without_blank("marks").render() };
    let marks = facts::mark_notes(response.totals.iter().map(|t| t.marks.as_slice()));
    let marks = if marks.is_empty() { marks } else { format!("\n{marks}") };
    let title = facts::title(args.selection.metric(), &answer.unit, &format!(", total{more}"), reader);
    format!("{title}{body}{marks}{}", facts::notes(answer, reader))
}

fn csv(args: &TotalArgs, response: &pb::GetTotalResponse) -> Result<String, Error> {
    let group_by = args.selection.group_by();
    let mut header: Vec<&str> = group_by.iter().map(String::as_str).collect();
    header.extend(["total", "marks"]);
    let rows = response.totals.iter().map(|total| {
        let mut cells = group_cells(group_by, &total.group);
        cells.push(total.total.clone().unwrap_or_default());
        cells.push(mark_names(&total.marks));
        cells
    });
    output::csv(&header, rows)
}
