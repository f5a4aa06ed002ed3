//! RetractPoints and SetOpeningBalance.

use super::write::{NOBODY, faulty};
use super::{Ingest, Outcome};
use crate::domain::definition::Definition;
use crate::domain::limit::BATCH_POINTS_MAX;
use crate::domain::name::{ComponentName, MetricName};
use crate::engine::batch::{Batch, Change, Filter, Refused, Retraction};
use crate::engine::view::MetricView;
use crate::proto::v1::{RetractPointsRequest, SetOpeningBalanceRequest, retract_points_request::What};
use crate::service::convert::refused::{self, Asked, Part};
use crate::service::convert::{self, change};
use crate::service::fault::{Fault, Faults, Reason};
use crate::store::StoreError;
use std::sync::Arc;

/// One metric, and the fields of the call that name its time and value.
struct AskedOne {
    definition: Option<Arc<Definition>>,
    time: &'static str,
    value: &'static str,
}

impl Asked for AskedOne {
    fn field(&self, _at: (u32, u32), part: Part) -> String {
        let field = match part {
            Part::Metric => "metric",
            Part::Time | Part::End => self.time,
            Part::Value => self.value,
        };
        field.to_owned()
    }

    fn definition(&self, _at: (u32, u32)) -> Option<Arc<Definition>> {
        self.definition.clone()
    }
}

impl Ingest {
    /// Takes points back.
    pub(super) async fn retract(&self, request: RetractPointsRequest) -> Outcome {
        let what = match request.what {
            Some(What::Interval(_)) => "interval",
            _ => "times",
        };
        let judged = |definition: Option<&Definition>| change::retraction(&request, definition);
        self.change(&request.metric, &request.request_id, (what, what), judged, |change| Batch {
            reason: request.reason.clone(),
            validate_only: request.validate_only,
            ..change
        })
        .await
    }

    /// Sets a series' opening balance.
    pub(super) async fn set_opening(&self, request: SetOpeningBalanceRequest) -> Outcome {
        let time = match request.at {
            Some(crate::proto::v1::set_opening_balance_request::At::Date(_)) => "date",
            _ => "time",
        };
        let judged = |definition: Option<&Definition>| change::opening(&request, definition);
        self.change(&request.metric, &request.request_id, (time, "value"), judged, |change| Batch {
            reason: request.note.clone(),
            validate_only: request.validate_only,
            ..change
        })
        .await
    }

    /// Judges the form of a call about one metric, and writes what it comes to. `judge` gets the metric's
    /// definition, None where it is not there, and answers None only then.
    async fn change(
        &self,
        metric: &str,
        request_id: &str,
        (time, value): (&'static str, &'static str),
        judge: impl Fn(Option<&Definition>) -> Result<Option<Change>, Faults>,
        complete: impl FnOnce(Batch) -> Batch,
    ) -> Outcome {
        let Some(name) = MetricName::parse(metric) else {
            return Err(judge(None).err().unwrap_or_else(|| {
                convert::metric_name(metric, "metric").err().map(Faults::from).unwrap_or_default()
            }));
        };
        let component = name.component();
        let staying = self.definitions.stay().await;
        let view = self.view(&component).await?;
        let retry = self.is_retry(&component, request_id);
        let metric = match view.metric(&name) {
            // The engine refuses it too, once it knows that the batch is no retry.
            Err(_) if retry => None,
            metric => metric.map_err(|error| refused::store(&error))?,
        };
        let there = metric.as_ref().map(|metric| metric.definition.clone());
        let definition = there.or_else(|| if retry { view.last_definition(&name) } else { None });
        let judged = match judge(definition.as_deref()) {
            Err(faults) => Err(faults),
            Ok(None) => Err(convert::not_found(&name, "metric").into()),
            Ok(Some(change)) => match (retry, metric, &change) {
                (false, Some(metric), Change::Retract { filters, what, .. }) => {
                    check_size(metric, filters.clone(), what.clone(), time).await.map(|()| change)
                }
                _ => Ok(change),
            },
        };
        let change = match judged {
            Ok(change) => change,
            Err(faults) => return Err(self.faulty_one(&component, request_id, faults).await),
        };
        let batch = complete(Batch {
            component,
            who: NOBODY.to_owned(),
            request_id: request_id.to_owned(),
            reason: String::new(),
            validate_only: false,
            change,
        });
        let asked = AskedOne { definition, time, value };
        let answer = self.engine.submit(batch).await;
        drop(staying);
        let answered = match answer {
            Ok(answer) => answer.await.unwrap_or(Err(Refused::Closing)),
            Err(error) => Err(error),
        };
        answered.map_err(|error| refused::refused(error, &asked))
    }
}

impl Ingest {
    /// What a call that is wrong in itself is told: that its id was used, maybe by a batch that is on its way, where
    /// it was.
    async fn faulty_one(&self, component: &ComponentName, request_id: &str, faults: Faults) -> Faults {
        if request_id.is_empty() {
            return faults;
        }
        let reused = match self.engine.remembers_then(component, NOBODY, request_id).await {
            Ok(reused) => reused.await.unwrap_or(Err(Refused::Closing)),
            Err(error) => Err(error),
        };
        faulty(reused, faults)
    }
}

/// A retraction is a batch: it is held to as many points as one. `field` says which points.
async fn check_size(
    metric: MetricView,
    filters: Vec<Filter>,
    what: Retraction,
    field: &'static str,
) -> Result<(), Faults> {
    // walks from memory to disk
    let count = tokio::task::spawn_blocking(move || retracted_points(&metric, &filters, &what));
    let count = count.await.map_err(|_| refused::draining())?.map_err(|error| refused::store(&error))?;
    if count <= BATCH_POINTS_MAX as u64 {
        return Ok(());
    }
    let why = format!("takes back up to {count} points; at most {BATCH_POINTS_MAX} at once, so say fewer");
    Err(Fault::new(Reason::TooLarge, field, why).with("points", count).into())
}

fn retracted_points(metric: &MetricView, filters: &[Filter], what: &Retraction) -> Result<u64, StoreError> {
    let series = metric.series(filters)?;
    match what {
        Retraction::Times(times) => Ok(times.len() as u64 * series.len() as u64),
        Retraction::Interval(interval) => {
            let counts = series.iter().map(|series| Ok(series.span(*interval)?.map_or(0, |span| span.count)));
            counts.sum()
        }
    }
}
