//! One batch of points, from the message to the engine's answer.

use super::{Ingest, Outcome};
use crate::domain::definition::Definition;
use crate::domain::name::{ComponentName, MetricName};
use crate::engine::AsOf;
use crate::engine::batch::{Ack, Refused};
use crate::engine::view::View;
use crate::proto::v1::{WritePointsRequest, columns::Times};
use crate::service::convert::batch::{self, Converted, Known, Metrics};
use crate::service::convert::refused::{self, Asked, Part};
use crate::service::fault::Faults;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Nobody says who they are yet.
pub(super) const NOBODY: &str = "";
/// Points of a batch above which it is converted beside the tasks that serve connections: some 0.5 ms.
const POINTS_INLINE_MAX: usize = 20_000;

/// A batch on its way: judged in form, and queued at the engine in the order of `submit`'s calls.
pub(super) enum Submitted {
    /// Refused before the engine saw it.
    Refused(Faults),
    /// Refused, unless its id is that of a batch before it: that would be told instead.
    Faulty {
        /// Whether it is.
        reused: oneshot::Receiver<Result<bool, Refused>>,
        /// What is wrong with it.
        faults: Faults,
        /// Its points count as in flight until it is answered.
        permit: OwnedSemaphorePermit,
    },
    /// The engine's answer is to come.
    Queued {
        /// The answer.
        answer: oneshot::Receiver<Result<Ack, Refused>>,
        /// Names the fields of faults.
        asked: Box<AskedPoints>,
        /// Its points count as in flight until it is answered.
        permit: OwnedSemaphorePermit,
    },
}

impl Submitted {
    /// Waits for the answer.
    pub(super) async fn answer(self) -> Outcome {
        match self {
            Submitted::Refused(faults) => Err(faults),
            Submitted::Faulty { reused, faults, permit } => {
                let reused = reused.await.unwrap_or(Err(Refused::Closing));
                drop(permit);
                Err(faulty(reused, faults))
            }
            Submitted::Queued { answer, asked, permit } => {
                let answer = answer.await.unwrap_or(Err(Refused::Closing));
                drop(permit);
                answer.map_err(|error| refused::refused(error, &*asked))
            }
        }
    }
}

/// A request and the metrics it was read with.
pub(super) struct AskedPoints {
    request: WritePointsRequest,
    metrics: Metrics,
}

impl AskedPoints {
    /// Lets go of labels and packed numbers, which no fault against the state names: while the engine works, and not once it
    /// has answered.
    fn keep_names_only(&mut self) {
        for series in &mut self.request.series {
            series.labels = BTreeMap::new();
            if let Some(columns) = &mut series.columns {
                (columns.units, columns.start_times) = (Vec::new(), Vec::new());
                if let Some(Times::Fixed(fixed)) = &mut columns.times {
                    fixed.unix_nanos = Vec::new();
                }
            }
        }
    }
}

impl Asked for AskedPoints {
    fn field(&self, at: (u32, u32), part: Part) -> String {
        let (entry, point) = at;
        let series = self.request.series.get(entry as usize);
        let packed = series.is_some_and(|series| series.columns.is_some());
        match part {
            Part::Metric => format!("series[{entry}].metric"),
            Part::Time => batch::time_field(&self.request, at),
            Part::Value if packed => format!("series[{entry}].columns.units[{point}]"),
            Part::Value => format!("series[{entry}].points[{point}].value"),
            Part::End if packed => batch::time_field(&self.request, at),
            Part::End => format!("series[{entry}].points[{point}].end_time"),
        }
    }

    fn definition(&self, at: (u32, u32)) -> Option<Arc<Definition>> {
        let series = self.request.series.get(at.0 as usize)?;
        Some(self.metrics.get(&series.metric)?.definition.clone())
    }
}

impl Ingest {
    /// Judges a batch's form and hands it to the engine, without waiting for what the engine says.
    pub(super) async fn submit(&self, request: WritePointsRequest) -> Submitted {
        match self.judge_and_queue(request).await {
            Ok(submitted) => submitted,
            Err(faults) => Submitted::Refused(faults),
        }
    }

    async fn judge_and_queue(&self, request: WritePointsRequest) -> Result<Submitted, Faults> {
        let permit = self.permit(batch::points_in_flight(&request)).await?;
        let (component, names) = batch::names(&request);
        let Some(component) = component else {
            let faults = batch::batch(&request, NOBODY, &Metrics::new()).err();
            return Err(faults.expect("a batch without a well-formed metric's name has a fault"));
        };
        let _staying = self.definitions.stay().await;
        let view = self.view(&component).await?;
        let retry = self.is_retry(&component, &request.request_id);
        let metrics = metrics(&view, &component, &names, retry)?;
        let (mut asked, converted) = convert(request, metrics).await?;
        let request_id = &asked.request.request_id;
        let faults = match converted {
            Ok(converted) if converted.unknown.is_empty() => {
                // handed in here, awaited later: so a stream's batches are judged in its order, many in flight
                let answer = self.engine.submit(converted.batch).await;
                let answer = answer.map_err(|error| refused::refused(error, &*asked))?;
                asked.keep_names_only();
                return Ok(Submitted::Queued { answer, asked, permit });
            }
            Ok(converted) if retry => batch::unknown_metrics(&converted.unknown),
            Ok(converted) => self.state_faults(converted, &asked).await,
            Err(faults) => faults,
        };
        if request_id.is_empty() {
            return Err(faults);
        }
        // A first answer had no fault, so this is another body, where the id was used before: maybe by a batch that
        // is on its way. The engine knows, in the order of what is handed in.
        match self.engine.remembers_then(&component, NOBODY, request_id).await {
            Ok(reused) => Ok(Submitted::Faulty { reused, faults, permit }),
            Err(error) => Err(faulty(Err(error), faults)),
        }
    }

    /// Waits until the batch's points may be in flight. A batch over the bound on batches is refused later, and
    /// is not converted.
    async fn permit(&self, points: usize) -> Result<OwnedSemaphorePermit, Faults> {
        let permits = u32::try_from(points).expect("so many are never in flight");
        self.points.clone().acquire_many_owned(permits).await.map_err(|_| refused::draining().into())
    }

    pub(super) async fn view(&self, component: &ComponentName) -> Result<View, Faults> {
        self.engine.view(component, AsOf::Now).await.map_err(|error| refused::view(&error, "").into())
    }

    /// Whether the first answer to the id is remembered: then it stands before any check of form. One that is on its
    /// way may be missed: what is wrong in form is refused only after `remembers_then`.
    pub(super) fn is_retry(&self, component: &ComponentName, request_id: &str) -> bool {
        !request_id.is_empty() && self.engine.remembers(component, NOBODY, request_id)
    }

    /// All faults against the state of a batch with metrics that are not there: those of the others are found by
    /// asking the engine to judge only.
    async fn state_faults(&self, converted: Converted, asked: &AskedPoints) -> Faults {
        let mut faults = batch::unknown_metrics(&converted.unknown);
        let mut batch = converted.batch;
        let crate::engine::batch::Change::Points { series, .. } = &batch.change else { return faults };
        if !series.is_empty() {
            batch.validate_only = true;
            batch.request_id = String::new();
            if let Err(error) = self.engine.write(batch).await {
                match error {
                    Refused::State(_) => faults.append(refused::refused(error, asked)),
                    _ => return refused::refused(error, asked),
                }
            }
        }
        faults
    }
}

/// What a batch that is wrong in itself is told: before anything else, that its id was used.
pub(super) fn faulty(reused: Result<bool, Refused>, faults: Faults) -> Faults {
    /// Nothing that the engine may say of an id names a field.
    struct NoFields;
    impl Asked for NoFields {
        fn field(&self, _: (u32, u32), _: Part) -> String {
            String::new()
        }
        fn definition(&self, _: (u32, u32)) -> Option<Arc<Definition>> {
            None
        }
    }
    match reused {
        Ok(true) => refused::reused().into(),
        Ok(false) => faults,
        Err(error) => refused::refused(error, &NoFields),
    }
}

/// The metrics of the batch that are there; of a retry also those that were.
fn metrics(view: &View, component: &ComponentName, names: &[MetricName], retry: bool) -> Result<Metrics, Faults> {
    let mut known = Metrics::default();
    for name in names.iter().filter(|name| name.component() == *component) {
        let there = match view.metric(name) {
            Err(_) if retry => None,
            metric => metric.map_err(|error| refused::store(&error))?,
        };
        let there = there.map(|metric| Known { definition: metric.definition, periods: metric.periods });
        let was = || if retry { view.last_definition(name).map(Known::of) } else { None };
        if let Some(metric) = there.or_else(was) {
            known.insert(name.to_string(), metric);
        }
    }
    Ok(known)
}

/// Converts a small batch here, a large one beside the tasks that serve connections.
async fn convert(
    request: WritePointsRequest,
    metrics: Metrics,
) -> Result<(Box<AskedPoints>, Result<Converted, Faults>), Faults> {
    let large = batch::point_count(&request) > POINTS_INLINE_MAX;
    let asked = Box::new(AskedPoints { request, metrics });
    let work = move || {
        let converted = batch::batch(&asked.request, NOBODY, &asked.metrics);
        (asked, converted)
    };
    if large {
        return tokio::task::spawn_blocking(work).await.map_err(|_| refused::draining().into());
    }
    Ok(work())
}
