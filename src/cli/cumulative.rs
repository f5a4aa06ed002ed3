//! `milepost cumulative`: flow by window, and the total at each window's end.

use super::calendar::{CalendarArgs, Restart};
use super::connection::Server;
use super::error::Error;
use super::facts;
use super::json;
use super::moment::Reader;
use super::output::{Format, OutputArgs};
use super::page::{PAGE_ROWS, joined};
use super::range::{Fill, IntervalArgs};
use super::selection::{SelectionArgs, ViewArgs};
use super::windows::{Figures, Windows};
use crate::proto::v1 as pb;
use clap::Args;

/// What happened window by window, and the total at each window's end.
///
/// The total is of everything before that instant, opening balances included, whatever --from says. With
/// --restart it is a running total that begins anew with each year, quarter or month.
#[derive(Args, Debug)]
pub struct CumulativeArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    calendar: CalendarArgs,
    /// Begin the running total anew with each; without --by these are the windows
    #[arg(long, value_enum)]
    restart: Option<Restart>,
    #[command(flatten)]
    interval: IntervalArgs,
    /// What stands where nothing counts: zero
    #[arg(long, value_enum)]
    fill: Option<Fill>,
    #[command(flatten)]
    view: ViewArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: CumulativeArgs, server: &Server) -> Result<String, Error> {
    let zone = args.view.zone.as_ref();
    let calendar = args.calendar.calendar(zone, args.restart)?;
    // With a calendar the zone goes along in it, and dates are the server's to resolve.
    let (start, end) = args.interval.ends(if calendar.is_some() { None } else { zone })?;
    let request = pb::QueryCumulativeRequest {
        selection: Some(args.selection.selection()),
        calendar,
        start,
        end,
        fill: args.fill.map_or(0, |f| f.to_proto().into()),
        restart: args.restart.map_or(0, |r| r.unit().into()),
        as_of: args.view.as_of(args.selection.metric(), server).await?,
        page_size: PAGE_ROWS,
        page_token: String::new(),
    };
    let client = server.query();
    let response: pb::QueryCumulativeResponse = joined(request, |r| {
        let mut client = client.clone();
        async move { client.query_cumulative(r).await }
    })
    .await?;
    if args.output.output == Format::Json {
        return json::text("QueryCumulativeResponse", &response);
    }
    let answer = response.answer.unwrap_or_default();
    let reader = Reader::new(zone, &answer.time_zone);
    let windows = Windows {
        title: facts::title(args.selection.metric(), &answer.unit, &args.calendar.title(args.restart), &reader),
        answer: &answer,
        rows: &response.windows,
        group_by: args.selection.group_by(),
        figures: if args.restart.is_some() { Figures::FlowAndRunning } else { Figures::FlowAndTotal },
        reader: &reader,
    };
    if args.output.output == Format::Csv { windows.csv() } else { Ok(windows.table()) }
}
