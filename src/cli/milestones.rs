//! `milepost milestones`: when the total first reached each threshold, and what is next.

use super::connection::Server;
use super::error::Error;
use super::facts::{self, group_cells};
use super::figure::readable;
use super::json;
use super::moment::{Moment, Reader, seconds};
use super::output::{self, Format, OutputArgs};
use super::page::{PAGE_ROWS, joined};
use super::selection::{SelectionArgs, ViewArgs};
use super::table::Table;
use crate::proto::v1 as pb;
use clap::{Args, ValueEnum};

/// When the total (of a gauge: the level) first reached each threshold, and what is next.
///
/// "after X, by Y": it happened between the two; nobody knows closer. "by Y or earlier": an opening balance
/// had it already.
#[derive(Args, Debug)]
pub struct MilestonesArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    ladder: LadderArgs,
    /// Count only what happened before this date or RFC 3339 time [default: everything known]
    #[arg(long, value_name = "TIME")]
    to: Option<Moment>,
    #[command(flatten)]
    view: ViewArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The thresholds.
#[derive(Args, Debug, Clone)]
#[group(required = true, multiple = false)]
pub(super) struct LadderArgs {
    /// These thresholds, as 1m,2m,2.5bn
    #[arg(long, value_name = "LIST", value_delimiter = ',', allow_hyphen_values = true)]
    thresholds: Vec<String>,
    /// Every multiple of this, as 1m
    #[arg(long, value_name = "STEP")]
    every: Option<String>,
    /// A ladder: 1-2-5 (1, 2, 5, 10, 20, ...) or 1-10 (1, 10, 100, ...)
    #[arg(long, value_enum)]
    ladder: Option<Ladder>,
}

/// A ladder known by a name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Ladder {
    #[value(name = "1-2-5", alias = "one-two-five")]
    OneTwoFive,
    #[value(name = "1-10", alias = "powers-of-ten")]
    PowersOfTen,
}

impl LadderArgs {
    fn to_proto(&self) -> pb::list_milestones_request::Ladder {
        use pb::list_milestones_request::{Ladder as L, NamedLadder};
        match (&self.every, self.ladder) {
            (Some(every), _) => L::Every(every.trim().to_owned()),
            (None, Some(Ladder::OneTwoFive)) => L::Named(NamedLadder::OneTwoFive.into()),
            (None, Some(Ladder::PowersOfTen)) => L::Named(NamedLadder::PowersOfTen.into()),
            (None, None) => L::Thresholds(pb::ThresholdList {
                values: self.thresholds.iter().map(|t| t.trim().to_owned()).collect(),
            }),
        }
    }
}

pub(super) async fn run(args: MilestonesArgs, server: &Server) -> Result<String, Error> {
    let zone = args.view.zone.as_ref();
    let request = pb::ListMilestonesRequest {
        selection: Some(args.selection.selection()),
        ladder: Some(args.ladder.to_proto()),
        as_of: args.view.as_of(args.selection.metric(), server).await?,
        end: args.to.as_ref().map(|m| m.in_zone(zone)).transpose()?.map(Into::into),
        page_size: PAGE_ROWS,
        page_token: String::new(),
    };
    let client = server.query();
    let response: pb::ListMilestonesResponse = joined(request, |r| {
        let mut client = client.clone();
        async move { client.list_milestones(r).await }
    })
    .await?;
    if args.output.output == Format::Json {
        return json::text("ListMilestonesResponse", &response);
    }
    let answer = response.answer.unwrap_or_default();
    let reader = Reader::new(zone, &answer.time_zone);
    if args.output.output == Format::Csv {
        return csv(args.selection.group_by(), &response.milestones, &reader);
    }
    let title = facts::title(args.selection.metric(), &answer.unit, ", milestones", &reader);
    Ok(title + &table(args.selection.group_by(), &response.milestones, &reader) + &facts::notes(&answer, &reader))
}

/// A row a milestone.
pub(super) fn table(group_by: &[String], milestones: &[pb::Milestone], reader: &Reader) -> String {
    let mut table = Table::new()
        .lefts(group_by)
        .right("milestone")
        .left("reached")
        .right("total then")
        .right("over by")
        .left("since the first")
        .left("since the one before");
    for m in milestones {
        let span = |length: &Option<prost_types::Duration>| match (length, &m.reached_by) {
            (Some(length), Some(by)) => reader.span_until(length, by),
            _ => String::new(),
        };
        let mut cells = group_cells(group_by, &m.group);
        cells.extend([
            readable(&m.threshold),
            reached(m, reader),
            readable(&m.total),
            readable(&m.overshoot),
            span(&m.since_first),
            span(&m.since_previous),
        ]);
        table.row(cells);
    }
    if table.is_empty() {
        return "None reached yet.\n".into();
    }
    table.without_blank("since the first").without_blank("since the one before").render()
}

/// The bracket: what is known of when it was.
fn reached(m: &pb::Milestone, reader: &Reader) -> String {
    let by = reader.short_or_blank(m.reached_by.as_ref());
    match &m.reached_after {
        _ if m.in_opening => format!("by {by} or earlier"),
        None => format!("by {by}"),
        Some(after) if Some(after) == m.reached_by.as_ref() => format!("at {by}"),
        Some(after) => format!("after {}, by {by}", reader.short(after)),
    }
}

fn csv(group_by: &[String], milestones: &[pb::Milestone], reader: &Reader) -> Result<String, Error> {
    let mut header: Vec<&str> = group_by.iter().map(String::as_str).collect();
    header.extend(["ordinal", "threshold", "reached_after", "reached_by", "in_opening", "total_before", "total"]);
    header.extend(["overshoot", "since_first_seconds", "since_previous_seconds"]);
    let rows = milestones.iter().map(|m| {
        let mut cells = group_cells(group_by, &m.group);
        cells.extend([
            m.ordinal.to_string(),
            m.threshold.clone(),
            reader.exact(m.reached_after.as_ref()),
            reader.exact(m.reached_by.as_ref()),
            m.in_opening.to_string(),
            m.total_before.clone().unwrap_or_default(),
            m.total.clone(),
            m.overshoot.clone(),
            m.since_first.as_ref().map(seconds).unwrap_or_default(),
            m.since_previous.as_ref().map(seconds).unwrap_or_default(),
        ]);
        cells
    });
    output::csv(&header, rows)
}
