//! `milepost range`: flows, of a gauge levels, window by window.

use super::calendar::CalendarArgs;
use super::connection::Server;
use super::error::Error;
use super::facts;
use super::json;
use super::moment::{Moment, Reader};
use super::output::{Format, OutputArgs};
use super::page::{PAGE_ROWS, joined};
use super::selection::{SelectionArgs, ViewArgs};
use super::windows::{Figures, Windows};
use crate::proto::v1 as pb;
use clap::{Args, ValueEnum};

/// What happened, window by window.
///
/// Without --by there is one window. A window in which nothing counts has no figure: absent is not zero.
#[derive(Args, Debug)]
pub struct RangeArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    calendar: CalendarArgs,
    #[command(flatten)]
    interval: IntervalArgs,
    /// What stands where nothing counts: zero (flows), previous (a gauge's last level)
    #[arg(long, value_enum)]
    fill: Option<Fill>,
    #[command(flatten)]
    view: ViewArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// From when to when.
#[derive(Args, Debug, Clone)]
pub(super) struct IntervalArgs {
    /// From this date or RFC 3339 time on [default: from the first of the selection]
    #[arg(long, value_name = "TIME")]
    pub(super) from: Option<Moment>,
    /// Up to, and not with, this date or RFC 3339 time [default: to the last]
    #[arg(long, value_name = "TIME")]
    pub(super) to: Option<Moment>,
}

/// What stands where nothing counts.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Fill {
    Zero,
    Previous,
}

impl Fill {
    pub(super) fn to_proto(self) -> pb::query_range_request::Fill {
        match self {
            Fill::Zero => pb::query_range_request::Fill::Zero,
            Fill::Previous => pb::query_range_request::Fill::Previous,
        }
    }
}

impl IntervalArgs {
    /// Both ends: dates become instants in `zone` where one is given.
    pub(super) fn ends<S: From<Moment>, E: From<Moment>>(
        &self,
        zone: Option<&crate::domain::calendar::Zone>,
    ) -> Result<(Option<S>, Option<E>), Error> {
        let start = self.from.as_ref().map(|m| m.in_zone(zone)).transpose()?;
        let end = self.to.as_ref().map(|m| m.in_zone(zone)).transpose()?;
        Ok((start.map(S::from), end.map(E::from)))
    }
}

pub(super) async fn run(args: RangeArgs, server: &Server) -> Result<String, Error> {
    let zone = args.view.zone.as_ref();
    let calendar = args.calendar.calendar(zone, None)?;
    // With a calendar the zone goes along in it, and dates are the server's to resolve.
    let (start, end) = args.interval.ends(if calendar.is_some() { None } else { zone })?;
    let request = pb::QueryRangeRequest {
        selection: Some(args.selection.selection()),
        calendar,
        start,
        end,
        fill: args.fill.map_or(0, |f| f.to_proto().into()),
        as_of: args.view.as_of(args.selection.metric(), server).await?,
        page_size: PAGE_ROWS,
        page_token: String::new(),
    };
    let client = server.query();
    let response: pb::QueryRangeResponse = joined(request, |r| {
        let mut client = client.clone();
        async move { client.query_range(r).await }
    })
    .await?;
    if args.output.output == Format::Json {
        return json::text("QueryRangeResponse", &response);
    }
    let answer = response.answer.unwrap_or_default();
    let reader = Reader::new(zone, &answer.time_zone);
    let gauge = answer.kind == i32::from(pb::metric::Kind::Gauge);
    let windows = Windows {
        title: facts::title(args.selection.metric(), &answer.unit, &args.calendar.title(None), &reader),
        answer: &answer,
        rows: &response.windows,
        group_by: args.selection.group_by(),
        figures: if gauge { Figures::Levels } else { Figures::Flow },
        reader: &reader,
    };
    if args.output.output == Format::Csv { windows.csv() } else { Ok(windows.table()) }
}
