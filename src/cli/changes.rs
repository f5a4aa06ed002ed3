//! `milepost changes`: what was corrected, added to, taken back or defined anew.

use super::connection::Server;
use super::error::Error;
use super::figure::readable;
use super::json;
use super::label;
use super::moment::{Moment, Reader, to_proto};
use super::output::{self, Format, OutputArgs};
use super::page::{PAGE_ROWS, joined};
use super::selection::{ChosenSeries, zone_for};
use super::table::Table;
use crate::domain::calendar::Zone;
use crate::proto::v1 as pb;
use clap::Args;

/// What was corrected, added to, taken back or defined anew, newest first, with the old and the new value.
#[derive(Args, Debug)]
pub struct ChangesArgs {
    #[command(flatten)]
    series: ChosenSeries,
    /// New points too
    #[arg(long)]
    include_new: bool,
    /// Recorded at or after this date or RFC 3339 time
    #[arg(long, value_name = "TIME")]
    from: Option<Moment>,
    /// Recorded before this date or RFC 3339 time
    #[arg(long, value_name = "TIME")]
    to: Option<Moment>,
    /// From this revision on
    #[arg(long, value_name = "REVISION", conflicts_with_all = ["from", "to"])]
    from_revision: Option<i64>,
    /// Before this revision
    #[arg(long, value_name = "REVISION", conflicts_with_all = ["from", "to"])]
    to_revision: Option<i64>,
    /// The zone whose midnight a date is, and in which times are shown [default: the metric's]
    #[arg(long, value_name = "ZONE", value_parser = super::moment::parse_zone)]
    zone: Option<Zone>,
    #[command(flatten)]
    output: OutputArgs,
}

impl ChangesArgs {
    async fn interval(&self, server: &Server) -> Result<Option<pb::list_changes_request::Interval>, Error> {
        use pb::list_changes_request::Interval as I;
        if self.from_revision.is_some() || self.to_revision.is_some() {
            return Ok(Some(I::Revisions(pb::RevisionInterval {
                start_revision: self.from_revision.unwrap_or_default(),
                end_revision: self.to_revision.unwrap_or_default(),
            })));
        }
        let given: Vec<&Moment> = self.from.iter().chain(&self.to).collect();
        let zone = zone_for(&given, self.zone.as_ref(), &self.series.metric, server).await?;
        let time = |moment: &Moment| moment.instant(&zone).map(to_proto);
        let start_time = self.from.as_ref().map(time).transpose()?;
        let end_time = self.to.as_ref().map(time).transpose()?;
        Ok((start_time.is_some() || end_time.is_some())
            .then_some(I::RecordTimes(pb::Interval { start_time, end_time })))
    }
}

pub(super) async fn run(args: ChangesArgs, server: &Server) -> Result<String, Error> {
    let request = pb::ListChangesRequest {
        selection: Some(args.series.selection()),
        include_new: args.include_new,
        interval: args.interval(server).await?,
        page_size: PAGE_ROWS,
        page_token: String::new(),
    };
    let client = server.query();
    let response: pb::ListChangesResponse = joined(request, |r| {
        let mut client = client.clone();
        async move { client.list_changes(r).await }
    })
    .await?;
    match args.output.output {
        Format::Json => return json::text("ListChangesResponse", &response),
        Format::Csv => return csv(&response, &Reader::new(args.zone.as_ref(), "UTC")),
        Format::Table => {}
    }
    let zone = match &args.zone {
        Some(zone) => zone.name().to_owned(),
        // A metric that was deleted still has its changes: its zone is not known any more.
        None => server.metric(&args.series.metric).await.map(|m| m.time_zone).unwrap_or_default(),
    };
    let reader = Reader::new(None, if zone.is_empty() { "UTC" } else { &zone });
    Ok(table(&args.series.metric, &response, &reader))
}

fn kind(change: &pb::Change) -> &'static str {
    pb::change::Kind::try_from(change.kind).map_or("KIND_UNSPECIFIED", |k| k.as_str_name())
}

fn table(metric: &str, response: &pb::ListChangesResponse, reader: &Reader) -> String {
    let mut table = Table::new()
        .right("revision")
        .left("recorded")
        .left("change")
        .left("series")
        .left("time")
        .right("old")
        .right("new")
        .left("who")
        .left("reason");
    for change in &response.changes {
        let is_metric = change.kind == i32::from(pb::change::Kind::Metric);
        let value = |v: &Option<String>| match v {
            Some(_) if is_metric => "a definition".into(),
            Some(text) => readable(text),
            None => String::new(),
        };
        table.row(vec![
            change.revision.to_string(),
            change.record_time.as_ref().map(|t| recorded(t, reader)).unwrap_or_default(),
            kind(change).to_ascii_lowercase(),
            label::text(&change.labels),
            reader.short_or_blank(change.time.as_ref()),
            value(&change.old_value),
            value(&change.new_value),
            change.who.clone(),
            change.reason.clone(),
        ]);
    }
    let body = if table.is_empty() {
        "No changes.\n".into()
    } else {
        table.without_blank("series").without_blank("time").without_blank("who").without_blank("reason").render()
    };
    format!(
        "{metric}, changes, newest first; dates in {}\n\n{body}\nUp to revision {}.\n",
        reader.zone_name(),
        response.revision
    )
}

/// To the second: that is enough to tell when somebody did it.
fn recorded(time: &prost_types::Timestamp, reader: &Reader) -> String {
    reader.short(&prost_types::Timestamp { seconds: time.seconds, nanos: 0 })
}

fn csv(response: &pb::ListChangesResponse, reader: &Reader) -> Result<String, Error> {
    let header =
        ["revision", "record_time", "kind", "metric", "labels", "time", "old_value", "new_value", "who", "reason"];
    let rows = response.changes.iter().map(|change| {
        vec![
            change.revision.to_string(),
            reader.exact(change.record_time.as_ref()),
            kind(change).to_owned(),
            change.metric.clone(),
            label::text(&change.labels),
            reader.exact(change.time.as_ref()),
            change.old_value.clone().unwrap_or_default(),
            change.new_value.clone().unwrap_or_default(),
            change.who.clone(),
            change.reason.clone(),
        ]
    });
    output::csv(&header, rows)
}
