//! Raw points, and what became of them.

use milepost::proto::v1::*;

use crate::ask::SeriesRead;

use super::{
    Nanos, Oracle, Refused, Row, decimal, nanos,
    select::{self, Edge, check_interval, instant, within},
    timestamp,
};

impl Oracle {
    /// The head, and the points of each series that has some, whole.
    pub fn read_points(&self, request: &ReadPointsRequest, now: i64) -> Result<(Answer, Vec<SeriesRead>), Refused> {
        let view = self.view(request.selection.as_ref(), request.as_of.as_ref(), now)?;
        let start = request.start.as_ref().map(|at| match at {
            read_points_request::Start::StartTime(time) => Edge::Time(time),
            read_points_request::Start::StartDate(text) => Edge::Date(text),
        });
        let end = request.end.as_ref().map(|at| match at {
            read_points_request::End::EndTime(time) => Edge::Time(time),
            read_points_request::End::EndDate(text) => Edge::Date(text),
        });
        let zone = &view.metric.time_zone;
        let (start, end) = (instant(zone, start)?, instant(zone, end)?);
        check_interval(start, end)?;
        let mut series = Vec::new();
        for member in view.groups.iter().flat_map(|group| &group.series) {
            let within = |(at, _): &(&Nanos, _)| within(start, end, **at);
            let points: Vec<Point> = member
                .state
                .points
                .iter()
                .filter(within)
                .map(|(&at, kept)| Point {
                    at: Some(point::At::Time(timestamp(at))),
                    value: view.text(kept.value.into()),
                    // Said where it is not an instant; the comparison says it everywhere.
                    end: (kept.end > at).then(|| point::End::EndTime(timestamp(kept.end))),
                    start_time: kept.start.map(timestamp),
                    restated: kept.restated,
                })
                .collect();
            if !points.is_empty() {
                series.push((select::named(&view.metric, &member.labels), points));
            }
        }
        let answer = Answer { groups: Vec::new(), ..view.answer(zone, start, end) };
        Ok((answer, series))
    }

    pub fn list_changes(&self, request: &ListChangesRequest, _now: i64) -> Result<ListChangesResponse, Refused> {
        let selection = request.selection.as_ref().expect("a selection is given");
        let metric = self.life(&selection.metric)?.metric();
        select::check_filters(metric, &selection.filters)?;
        let book = &self.books[super::component(&selection.metric)];
        let mut rows: Vec<&Row> = book
            .changes
            .iter()
            .filter(|row| row.metric == selection.metric)
            .filter(|row| request.include_new || row.kind != change::Kind::New)
            .filter(|row| row.kind == change::Kind::Metric || select::passes(metric, &selection.filters, &row.labels))
            .filter(|row| match &request.interval {
                None => true,
                Some(list_changes_request::Interval::Revisions(revisions)) => {
                    row.revision >= revisions.start_revision
                        && (revisions.end_revision == 0 || row.revision < revisions.end_revision)
                }
                Some(list_changes_request::Interval::RecordTimes(times)) => {
                    let start = times.start_time.as_ref().map(nanos);
                    within(start, times.end_time.as_ref().map(nanos), row.recorded)
                }
            })
            .collect();
        rows.sort_by_key(|row| (-row.revision, row.labels.clone(), row.at));
        let changes = rows.into_iter().map(|row| change(metric, row)).collect();
        Ok(ListChangesResponse { changes, next_page_token: String::new(), revision: book.revision() })
    }
}

fn change(metric: &Metric, row: &Row) -> Change {
    let text = |value: i64| match row.kind {
        change::Kind::Metric => String::new(),
        _ => decimal::text(value.into(), metric.scale),
    };
    Change {
        kind: row.kind as i32,
        metric: row.metric.clone(),
        labels: select::named(metric, &row.labels),
        time: row.at.map(timestamp),
        old_value: row.old.map(text),
        new_value: row.new.map(text),
        revision: row.revision,
        record_time: Some(timestamp(row.recorded)),
        who: String::new(),
        reason: row.reason.clone(),
    }
}
