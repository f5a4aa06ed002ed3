//! `milepost points`: the raw points.

use super::connection::Server;
use super::error::Error;
use super::facts;
use super::figure::{count, readable};
use super::json;
use super::moment::Reader;
use super::output::{self, Format, OutputArgs};
use super::range::IntervalArgs;
use super::selection::{ChosenSeries, ViewArgs};
use super::table::Table;
use crate::proto::v1 as pb;
use clap::Args;
use std::collections::BTreeSet;

/// The raw points, by series and time. Openings are not among them.
#[derive(Args, Debug)]
pub struct PointsArgs {
    #[command(flatten)]
    series: ChosenSeries,
    #[command(flatten)]
    interval: IntervalArgs,
    #[command(flatten)]
    view: ViewArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Reads a whole stream of points, written one by one, into one response.
pub(super) async fn read(request: pb::ReadPointsRequest, server: &Server) -> Result<pb::ReadPointsResponse, Error> {
    let mut stream = server.query().read_points(request).await?.into_inner();
    let mut whole = pb::ReadPointsResponse::default();
    while let Some(message) = stream.message().await? {
        if message.answer.is_some() {
            whole.answer = message.answer;
        }
        for series in message.series {
            match whole.series.last_mut() {
                Some(last) if last.labels == series.labels => last.points.extend(series.points),
                _ => whole.series.push(series),
            }
        }
    }
    Ok(whole)
}

pub(super) async fn run(args: PointsArgs, server: &Server) -> Result<String, Error> {
    let zone = args.view.zone.as_ref();
    let (start, end) = args.interval.ends(zone)?;
    let request = pb::ReadPointsRequest {
        selection: Some(args.series.selection()),
        start,
        end,
        as_of: args.view.as_of(&args.series.metric, server).await?,
        form: pb::read_points_request::Form::Points.into(),
    };
    let response = read(request, server).await?;
    if args.output.output == Format::Json {
        return json::text("ReadPointsResponse", &response);
    }
    let answer = response.answer.clone().unwrap_or_default();
    let reader = Reader::new(zone, &answer.time_zone);
    let labels: BTreeSet<&String> = response.series.iter().flat_map(|s| s.labels.keys()).collect();
    let plain = args.output.output == Format::Csv;
    let rows = response.series.iter().flat_map(|series| {
        series.points.iter().map(|point| {
            let mut cells: Vec<String> =
                labels.iter().map(|l| series.labels.get(*l).cloned().unwrap_or_default()).collect();
            cells.extend(point_cells(point, &reader, plain));
            cells
        })
    });
    if plain {
        let mut header: Vec<&str> = labels.iter().map(|l| l.as_str()).collect();
        header.extend(["time", "end_time", "value", "start_time", "restated"]);
        return output::csv(&header, rows);
    }
    let mut table = Table::new()
        .lefts(labels.iter().copied())
        .left("time")
        .left("to")
        .right("value")
        .left("counted since")
        .left("restated");
    let mut points = 0_i64;
    for row in rows {
        table.row(row);
        points += 1;
    }
    let title = facts::title(&args.series.metric, &answer.unit, ", points", &reader);
    let body = if table.is_empty() {
        String::new()
    } else {
        table.without_blank("to").without_blank("counted since").without_blank("restated").render() + "\n"
    };
    Ok(format!("{title}{body}{}. Revision {}.\n", count(points, "point"), answer.revision))
}

fn point_cells(point: &pb::Point, reader: &Reader, plain: bool) -> Vec<String> {
    let text = |time: &prost_types::Timestamp| if plain { reader.exact(Some(time)) } else { reader.short(time) };
    let time = match &point.at {
        Some(pb::point::At::Time(time)) => text(time),
        Some(pb::point::At::Date(date)) => date.clone(),
        None => String::new(),
    };
    let end = match &point.end {
        Some(pb::point::End::EndTime(time)) => text(time),
        Some(pb::point::End::EndDate(date)) => date.clone(),
        None => String::new(),
    };
    let start = point.start_time.as_ref().map(text).unwrap_or_default();
    let restated = match (point.restated, plain) {
        (restated, true) => restated.to_string(),
        (true, false) => "restated".into(),
        (false, false) => String::new(),
    };
    let value = if plain { point.value.clone() } else { readable(&point.value) };
    vec![time, end, value, start, restated]
}
