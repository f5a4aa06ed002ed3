//! Everything an engine tells of what it keeps, question by question, as text: to be compared.

use milepost::domain::definition::{Definition, Kind};
use milepost::domain::name::{ComponentName, MetricName};
use milepost::domain::point::{Opening, Point};
use milepost::domain::time::{Interval, Time};
use milepost::engine::view::{ChangeKind, ChangeRow, ChangesAsk, MetricView, SeriesView};
use milepost::engine::{AsOf, Engine, ViewError};
use milepost::store::StoreError;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Times are told in hours.
pub const HOUR: i64 = 3_600_000_000_000;

/// What was asked, and the answer.
pub type Told = BTreeMap<String, Result<String, StoreError>>;

fn hour(time: Time) -> String {
    match (time.0 / HOUR, time.0 % HOUR) {
        (hours, 0) => hours.to_string(),
        (hours, nanos) => format!("{hours}+{nanos}"),
    }
}

fn point(point: &Point) -> String {
    let mut text = format!("{}={}", hour(point.time), point.value);
    if point.end != point.time.plus(HOUR) && point.end != point.time {
        text += &format!("..{}", hour(point.end));
    }
    if let Some(start) = point.start {
        text += &format!(" since {}", hour(start));
    }
    if point.restated {
        text += " restated";
    }
    text
}

fn opening(opening: Option<&Opening>) -> String {
    opening.map_or("none".to_string(), |o| format!("{} at {} ({})", o.value, hour(o.time), o.note))
}

/// Of one series: its points, spans and crossings.
fn of_series(series: &SeriesView, kind: Kind, name: &str, told: &mut Told) {
    told.insert(format!("{name} opening"), series.opening().map(opening));
    for (from, to) in [(0, 30), (30, 60), (60, 200)] {
        let interval = Interval::new(Time(from * HOUR), Time(to * HOUR));
        let points = series.points(interval, usize::MAX);
        let text = points.map(|points| points.iter().map(point).collect::<Vec<_>>().join(" "));
        told.insert(format!("{name} points {from} to {to}"), text);
    }
    for at in [0, 17, 40, 41, 80, 1_000] {
        let span = series.span(Interval::new(Time::MIN, Time(at * HOUR)));
        let text = span.map(|span| match span {
            None => "nothing".to_string(),
            Some(a) => format!(
                "{} in {} of {} periods, {} to {}, low {} high {}",
                a.sum, a.count, a.periods, a.min, a.max, a.low, a.high
            ),
        });
        told.insert(format!("{name} before {at}"), text);
        let last = series.last_before(Time(at * HOUR));
        told.insert(format!("{name} last before {at}"), last.map(|p| p.as_ref().map_or("none".into(), point)));
    }
    for level in [1i128, 50, 500] {
        let found = series.reach(Interval::ALL, level);
        let text = found.map(|found| match found {
            None => "never".to_string(),
            // Of levels there is no prefix sum.
            Some(c) if kind == Kind::Gauge => format!("{}, {}", hour(c.point.time), c.after),
            Some(c) => format!("{}, from {} to {}", hour(c.point.time), c.before, c.after),
        });
        told.insert(format!("{name} reaches {level}"), text);
    }
}

/// Spelled out, so that a field more does not change what was told before it.
fn definition(d: &Definition) -> String {
    let kind = match d.kind {
        Kind::Delta => "DELTA",
        Kind::Cumulative => "CUMULATIVE",
        Kind::Gauge => "GAUGE",
    };
    format!(
        "{} \"{}\" \"{}\" {} {kind} scale {} labels {} period {} zone {} year from {}-{} overdue {:?} made {} changed {}",
        d.name,
        d.display_name,
        d.description,
        d.unit,
        d.scale,
        d.label_names.join(","),
        d.period.map_or("none".to_string(), |period| period.text()),
        d.zone.name(),
        d.year_start.month,
        d.year_start.day,
        d.overdue_after_nanos,
        hour(d.create_time),
        hour(d.update_time),
    )
}

/// Of one metric as a view has it.
pub fn of_metric(metric: &MetricView, name: &str, told: &mut Told) {
    told.insert(format!("{name} definition"), Ok(definition(&metric.definition)));
    let series = match metric.series(&[]) {
        Ok(series) => series,
        Err(error) => {
            told.insert(format!("{name} series"), Err(error));
            return;
        }
    };
    let labels: Vec<String> = series.iter().map(|s| s.labels().join(",")).collect();
    told.insert(format!("{name} series"), Ok(labels.join(" ")));
    for series in &series {
        of_series(series, metric.definition.kind, &format!("{name}{{{}}}", series.labels().join(",")), told);
    }
}

fn row(row: &ChangeRow) -> String {
    let labels = row.labels.as_ref().map_or("-".to_string(), |labels| labels.join(","));
    let defined = |d: &Option<Arc<Definition>>| d.as_ref().map_or("none".to_string(), |d| definition(d));
    let what = match &row.kind {
        ChangeKind::New(new) => format!("NEW {}", point(new)),
        ChangeKind::Corrected(old, new) => format!("CORRECTED {} to {}", point(old), point(new)),
        ChangeKind::Added(old, new) => format!("ADDED {} to {}", point(old), point(new)),
        ChangeKind::Retracted(old) => format!("RETRACTED {}", point(old)),
        ChangeKind::Opening(old, new) => format!("OPENING {} to {}", opening(old.as_ref()), opening(new.as_ref())),
        ChangeKind::Metric(old, new) => format!("METRIC {} to {}", defined(old), defined(new)),
    };
    format!("{} {labels} {} \"{}\" \"{}\" {what}", row.revision, hour(row.record_time), row.who, row.reason)
}

/// Rows of changes of a metric, page by page.
pub async fn changes(engine: &Engine, metric: &MetricName) -> Result<String, StoreError> {
    let view = view(engine, &metric.component(), AsOf::Now).await?;
    let mut ask = ChangesAsk {
        metric: metric.clone(),
        filters: Vec::new(),
        from_revision: 1,
        to_revision: i64::MAX,
        include_new: true,
        after: None,
        rows_max: 50,
    };
    let mut rows: Vec<ChangeRow> = Vec::new();
    loop {
        let more = view.changes(&ask)?;
        rows.extend(more.iter().cloned());
        let Some(last) = rows.last().filter(|_| more.len() == 50) else { break };
        ask.after = Some((last.revision, rows.iter().filter(|r| r.revision == last.revision).count()));
    }
    Ok(rows.iter().map(row).collect::<Vec<_>>().join("\n  "))
}

async fn view(
    engine: &Engine,
    component: &ComponentName,
    as_of: AsOf,
) -> Result<milepost::engine::view::View, StoreError> {
    engine.view(component, as_of).await.map_err(|error| match error {
        ViewError::Damaged(error) => error,
        other => panic!("{other}"),
    })
}

/// Asks everything at some revisions of each component: the last one, and every `step`th before it.
pub async fn everything(engine: &Engine, step: usize) -> Told {
    let mut told = Told::new();
    for component in engine.components() {
        let newest = match view(engine, &component, AsOf::Now).await {
            Ok(view) => view,
            Err(error) => {
                told.insert(format!("{component}"), Err(error));
                continue;
            }
        };
        let last = newest.revision();
        told.insert(format!("{component} last revision"), Ok(last.to_string()));
        for revision in (0..=last).rev().step_by(step) {
            let view = view(engine, &component, AsOf::Revision(revision)).await.expect("the newest is there");
            let of = format!("{component}@{revision:03}");
            told.insert(format!("{of} time"), Ok(hour(view.evaluate_time())));
            let metrics = match view.metrics() {
                Ok(metrics) => metrics,
                Err(error) => {
                    told.insert(format!("{of} metrics"), Err(error));
                    continue;
                }
            };
            for metric in metrics {
                let name = metric.definition.name.metric().to_string();
                of_metric(&metric, &format!("{of} {name}"), &mut told);
            }
        }
        let metrics = match newest.metrics() {
            Ok(metrics) => metrics,
            Err(error) => {
                told.insert(format!("{component} metrics"), Err(error));
                continue;
            }
        };
        for name in metrics.iter().map(|metric| metric.definition.name.clone()) {
            told.insert(format!("{name} changes"), changes(engine, &name).await);
        }
    }
    told
}
