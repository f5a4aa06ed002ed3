//! Metrics made, changed and deleted; series listed.

use milepost::proto::v1::*;

use super::{Book, Life, Nanos, Oracle, Refused, Row, calendar::Rule, nanos, select, timestamp};

impl Oracle {
    pub fn create_metric(&mut self, request: &CreateMetricRequest, now: i64) -> Result<CreateMetricResponse, Refused> {
        let asked = resolved(request.metric.as_ref().expect("a metric is given"));
        if let Ok(life) = self.life(&asked.name) {
            let kept = life.metric().clone();
            if identity(&kept) != identity(&asked) {
                return Err(Refused::state(Reason::MetricDiffers));
            }
            let revision = self.book(&asked.name).revision();
            return Ok(CreateMetricResponse { metric: Some(kept), revision });
        }
        let revision = self.commit(&asked.name, now);
        let mut metric = asked;
        metric.create_time = Some(timestamp(self.last_recorded));
        metric.update_time = metric.create_time;
        self.lives += 1;
        let life = Life { id: self.lives, definitions: vec![(revision, metric.clone())], log: Vec::new() };
        self.note_metric(&metric.name, revision, None, Some(0));
        self.book(&metric.name).metrics.insert(metric.name.clone(), life);
        Ok(CreateMetricResponse { metric: Some(metric), revision })
    }

    pub fn update_metric(&mut self, request: &UpdateMetricRequest, now: i64) -> Result<UpdateMetricResponse, Refused> {
        let asked = request.metric.as_ref().expect("a metric is given");
        let life = self.life(&asked.name)?;
        let before = life.metric().clone();
        let written = !life.log.is_empty();
        let mask = match &request.update_mask {
            Some(mask) if !mask.paths.is_empty() => mask.paths.clone(),
            _ => set_fields(asked),
        };
        let mut after = before.clone();
        for path in &mask {
            match path.as_str() {
                "display_name" => after.display_name = asked.display_name.clone(),
                "description" => after.description = asked.description.clone(),
                "unit" => after.unit = asked.unit.clone(),
                "kind" => after.kind = asked.kind,
                "scale" => after.scale = asked.scale,
                "label_names" => after.label_names = asked.label_names.clone(),
                "period" => after.period = asked.period.clone(),
                "time_zone" => after.time_zone = asked.time_zone.clone(),
                "week_start" => after.week_start = asked.week_start,
                "year_start" => after.year_start = asked.year_start,
                "overdue_after" => after.overdue_after = asked.overdue_after,
                _ => return Err(Refused::form(Reason::FieldInvalid)),
            }
        }
        let after = resolved(&after);
        if written && identity(&after) != identity(&before) {
            return Err(Refused::state(Reason::MetricInUse));
        }
        if after == before {
            let revision = self.book(&asked.name).revision();
            return Ok(UpdateMetricResponse { metric: Some(before), revision });
        }
        let revision = self.commit(&asked.name, now);
        let after = Metric { update_time: Some(timestamp(self.last_recorded)), ..after };
        self.note_metric(&asked.name, revision, Some(0), Some(0));
        let life = self.book(&asked.name).metrics.get_mut(&asked.name).expect("it is there");
        life.definitions.push((revision, after.clone()));
        Ok(UpdateMetricResponse { metric: Some(after), revision })
    }

    pub fn delete_metric(&mut self, request: &DeleteMetricRequest, now: i64) -> Result<DeleteMetricResponse, Refused> {
        if !self.life(&request.name)?.state().is_empty() && !request.force {
            return Err(Refused::state(Reason::MetricInUse));
        }
        let revision = self.commit(&request.name, now);
        let book = self.book(&request.name);
        book.metrics.remove(&request.name);
        // All that was ever kept of it is gone; that there was such a metric is not.
        book.changes.retain(|c| c.metric != request.name || c.kind == change::Kind::Metric);
        self.note_metric(&request.name, revision, Some(0), None);
        Ok(DeleteMetricResponse { revision })
    }

    pub fn get_metric(&self, request: &GetMetricRequest) -> Result<GetMetricResponse, Refused> {
        Ok(GetMetricResponse { metric: Some(self.life(&request.name)?.metric().clone()) })
    }

    pub fn list_metrics(&self, request: &ListMetricsRequest) -> ListMetricsResponse {
        let asked = |(name, _): &(&String, _)| request.component.is_empty() || request.component == **name;
        let books = self.books.iter().filter(asked);
        let mut metrics: Vec<Metric> =
            books.flat_map(|(_, book)| book.metrics.values().map(|life| life.metric().clone())).collect();
        metrics.sort_by(|a, b| a.name.cmp(&b.name));
        ListMetricsResponse { metrics, next_page_token: String::new() }
    }

    /// Those that have, or had, a metric.
    pub fn list_components(&self) -> ListComponentsResponse {
        let books = self.books.iter().filter(|(_, book)| book.revision() > 0);
        let component = |(name, book): (&String, &Book)| Component {
            name: name.clone(),
            metric_count: book.metrics.len() as i64,
            revision: book.revision(),
        };
        ListComponentsResponse { components: books.map(component).collect(), next_page_token: String::new() }
    }

    pub fn list_series(&self, request: &ListSeriesRequest, _now: i64) -> Result<ListSeriesResponse, Refused> {
        let life = self.life(&request.metric)?;
        let metric = life.metric();
        select::check_filters(metric, &request.filters)?;
        let mut series = Vec::new();
        for (labels, state) in life.state() {
            if !select::passes(metric, &request.filters, &labels) {
                continue;
            }
            let time = |at: Option<&Nanos>| at.map(|at| timestamp(*at));
            series.push(Series {
                labels: select::named(metric, &labels),
                point_count: state.points.len() as i64,
                first_point_time: time(state.points.keys().next()),
                last_point_time: time(state.points.keys().next_back()),
                opening: state.opening.map(|opening| Opening {
                    labels: select::named(metric, &labels),
                    time: Some(timestamp(opening.at)),
                    value: super::decimal::text(opening.value.into(), metric.scale),
                    note: opening.note,
                }),
            });
        }
        Ok(ListSeriesResponse { series, next_page_token: String::new() })
    }

    fn note_metric(&mut self, name: &str, revision: i64, old: Option<i64>, new: Option<i64>) {
        let row = Row {
            kind: change::Kind::Metric,
            metric: name.to_owned(),
            labels: Vec::new(),
            at: None,
            old,
            new,
            revision,
            recorded: self.last_recorded,
            reason: String::new(),
        };
        self.book(name).changes.push(row);
    }
}

/// The definition with its defaults said.
pub fn resolved(metric: &Metric) -> Metric {
    let mut metric = metric.clone();
    if metric.time_zone.is_empty() {
        metric.time_zone = "UTC".to_owned();
    }
    metric.week_start = metric.week_start.max(1);
    metric.year_start.get_or_insert(MonthDay { month: 1, day: 1 });
    metric
}

/// What two equal definitions share.
fn identity(metric: &Metric) -> Metric {
    Metric {
        display_name: String::new(),
        description: String::new(),
        overdue_after: None,
        create_time: None,
        update_time: None,
        ..metric.clone()
    }
}

fn set_fields(metric: &Metric) -> Vec<String> {
    let set = [
        ("display_name", !metric.display_name.is_empty()),
        ("description", !metric.description.is_empty()),
        ("unit", !metric.unit.is_empty()),
        ("kind", metric.kind != 0),
        ("scale", metric.scale != 0),
        ("label_names", !metric.label_names.is_empty()),
        ("period", !metric.period.is_empty()),
        ("time_zone", !metric.time_zone.is_empty()),
        ("week_start", metric.week_start != 0),
        ("year_start", metric.year_start.is_some()),
        ("overdue_after", metric.overdue_after.is_some()),
    ];
    set.iter().filter(|(_, set)| *set).map(|(name, _)| (*name).to_owned()).collect()
}

/// Where a point at `at` ends when it does not say so.
pub fn default_end(metric: &Metric, at: Nanos) -> Nanos {
    match Rule::of_metric(metric) {
        Some(rule) if metric.kind() == metric::Kind::Delta => rule.holding(at).1,
        _ => at,
    }
}

/// `overdue_after` in nanoseconds.
pub fn overdue_after(metric: &Metric) -> Option<Nanos> {
    let after = metric.overdue_after?;
    Some(nanos(&prost_types::Timestamp { seconds: after.seconds, nanos: after.nanos }))
}
