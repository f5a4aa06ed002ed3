//! Where a question is answered: one metric at one revision, and which of its series.

use super::super::answer::{Answer, Edges};
use super::super::ask::Head;
use super::super::fault::{Fault, QueryError, Reason};
use super::super::group::Group;
use super::super::now::{Now, Validity};
use super::super::page::{Pin, Position, Room};
use super::check::Checks;
use crate::domain::calendar::Calendar;
use crate::domain::definition::{Definition, Kind};
use crate::domain::limit::{QUESTION_PAST_BLOCKS_MAX, QUESTION_SERIES_MAX};
use crate::domain::name::MetricName;
use crate::domain::time::Interval;
use crate::engine::batch::Filter;
use crate::engine::view::{Attempt, MetricView, SeriesView, View};
use crate::engine::{AsOf, Engine, ViewError};
use crate::store::StoreError;
use std::sync::Arc;

/// One metric at one revision, and what of it is asked for.
pub struct Scene {
    pub(in crate::query) view: View,
    pub(in crate::query) name: MetricName,
    pub(in crate::query) definition: Arc<Definition>,
    /// None: it was deleted.
    metric: Option<MetricView>,
    pub(in crate::query) now: Now,
    /// No revision, time or page was named: it is asked as of now.
    is_of_now: bool,
    pub(in crate::query) filters: Vec<Filter>,
    group_by: Vec<usize>,
    pub(in crate::query) rows_max: usize,
    pub(in crate::query) position: Position,
}

impl Scene {
    /// Checks what every question says, and with `check` the rest; takes the view. All faults together: those of
    /// form first, only then those of what is known.
    pub(super) async fn open<T>(
        engine: &Engine,
        head: &Head,
        check: impl FnOnce(&mut Checks) -> T,
    ) -> Result<(Scene, T), QueryError> {
        Scene::open_at(engine, head, false, check).await
    }

    /// The same, of a deleted metric too.
    pub(super) async fn open_past<T>(
        engine: &Engine,
        head: &Head,
        check: impl FnOnce(&mut Checks) -> T,
    ) -> Result<(Scene, T), QueryError> {
        Scene::open_at(engine, head, true, check).await
    }

    async fn open_at<T>(
        engine: &Engine,
        head: &Head,
        deleted_too: bool,
        check: impl FnOnce(&mut Checks) -> T,
    ) -> Result<(Scene, T), QueryError> {
        let pin = head.page.pin.as_ref().ok().copied().flatten();
        // Only to know which revision's definition to check against; its faults are told below, in their place.
        let as_of = pin.map_or_else(|| Checks::new(None).as_of(head.as_of), |pin| AsOf::Revision(pin.revision));
        let name = MetricName::parse(&head.selection.metric);
        let found = match &name {
            Some(name) => Some(look(engine, name, as_of).await?),
            None => None,
        };
        let metric = match found.as_ref().zip(name.as_ref()) {
            Some(((view, _), name)) => view.metric(name)?,
            None => None,
        };
        let definition = metric.as_ref().map(|metric| metric.definition.clone()).or_else(|| {
            let ((view, _), name) = found.as_ref().zip(name.as_ref())?;
            view.last_definition(name).filter(|_| deleted_too)
        });
        let mut checks = Checks::new(definition.clone());
        checks.metric_name(&head.selection.metric);
        let filters = checks.filters(&head.selection);
        let group_by = checks.group_by(&head.selection);
        let rest = check(&mut checks);
        checks.as_of(head.as_of);
        let (rows_max, _) = checks.page(head);
        let faults = checks.into_faults();
        if !faults.is_empty() {
            return Err(QueryError::Faults(faults));
        }
        let ((view, in_future), name) = found.zip(name).expect("a metric without a name is a fault");
        let definition = definition.ok_or_else(|| not_found(&name))?;
        if let Some(fault) = in_future {
            return Err(fault.into());
        }
        let now = Now::at(pin.map_or_else(|| view.evaluate_time(), |pin| pin.evaluate_time));
        let is_of_now = pin.is_none() && as_of == AsOf::Now;
        let position = pin.map_or_else(Position::default, |pin| pin.position);
        let scene = Scene { view, name, definition, metric, now, is_of_now, filters, group_by, rows_max, position };
        Ok((scene, rest))
    }

    /// What is counted.
    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    pub(in crate::query) fn kind(&self) -> Kind {
        self.definition.kind
    }

    pub(in crate::query) fn room(&self) -> Room {
        Room::new(self.rows_max)
    }

    pub(in crate::query) fn periods(&self) -> Option<&Calendar> {
        self.metric.as_ref().and_then(|metric| metric.periods.as_deref())
    }

    /// What a page token after this page pins.
    pub(in crate::query) fn pin(&self, position: Position) -> Pin {
        Pin { revision: self.view.revision(), evaluate_time: self.now.time(), position }
    }

    /// What the answer that was reckoned here holds for. None: it was not asked for as of now, from its beginning.
    pub fn validity(&self) -> Option<Validity> {
        let (component, revision) = (self.name.component(), self.view.revision());
        self.is_of_now.then(|| Validity { component, revision, from: self.now.time(), until: self.now.until() })
    }

    /// The series, by label values.
    pub(in crate::query) fn series(&self) -> Result<Vec<SeriesView>, QueryError> {
        let Some(metric) = &self.metric else { return Ok(Vec::new()) };
        let series = metric.series(&self.filters)?;
        let count = series.len();
        if count > QUESTION_SERIES_MAX {
            let what = format!("{count} series are more than {QUESTION_SERIES_MAX} for one question; filter them");
            return Err(Fault::new(Reason::QuestionTooCostly, "selection", what).with("series_count", count).into());
        }
        Ok(series)
    }

    /// Asks from what is in memory, for a short while: for a caller that must not block. None: that is not enough.
    pub fn attempt<T>(
        &self,
        most: Attempt,
        ask: impl FnOnce() -> Result<T, QueryError>,
    ) -> Option<Result<T, QueryError>> {
        match self.metric.as_ref()?.attempt(most, ask)? {
            Err(QueryError::Store(StoreError::Deferred)) => None,
            answer => Some(answer),
        }
    }

    /// Some windows, of `list` as many as asked for; `Deferred` where an attempt may not reckon so many.
    pub(in crate::query) fn windows(
        &self,
        windows_max: usize,
        list: impl FnOnce(usize) -> Vec<Interval>,
    ) -> Result<Vec<Interval>, QueryError> {
        let Some(metric) = &self.metric else { return Ok(list(windows_max)) };
        let most = metric.windows_max();
        let windows = list(windows_max.min(most.saturating_add(1)));
        if windows.len() > most {
            return Err(StoreError::Deferred.into());
        }
        metric.take_windows(windows.len());
        Ok(windows)
    }

    /// The groups, by their values. One where there is no `group_by`, even without series. Refused where their past is
    /// dear over `read`, the times that the answer rests on.
    pub(in crate::query) fn groups(&self, read: Interval) -> Result<Vec<Group>, QueryError> {
        let series = self.series()?;
        self.price(&series, read)?;
        Group::all(series, self.kind(), &self.group_by)
    }

    /// What was changed since the revision is made as it was, block by block: more of them than the bound are refused
    /// before the first is.
    fn price(&self, series: &[SeriesView], read: Interval) -> Result<(), QueryError> {
        let mut left = QUESTION_PAST_BLOCKS_MAX;
        for series in series {
            let changed = series.changed(read, left)?;
            let Some(less) = left.checked_sub(changed) else {
                let revision = self.view.revision();
                let what = format!(
                    "as of revision {revision} more than {QUESTION_PAST_BLOCKS_MAX} blocks would be made as they were, \
                     for they were changed since; ask for a shorter interval, fewer series or a later revision"
                );
                let fault = Fault::new(Reason::QuestionTooCostly, "as_of", what).with("revision", revision);
                return Err(fault.with("blocks_max", QUESTION_PAST_BLOCKS_MAX).into());
            };
            left = less;
        }
        Ok(())
    }

    /// The answer's head, without groups yet.
    pub(in crate::query) fn answer(&self, interval: Edges, zone: Option<&str>) -> Answer {
        let names = self.group_by.iter().map(|&index| self.definition.label_names[index].clone());
        Answer {
            interval,
            zone: zone.unwrap_or(self.definition.zone.name()).to_owned(),
            revision: self.view.revision(),
            evaluate_time: self.now.time(),
            definition: self.definition.clone(),
            group_by: names.collect(),
            groups: Vec::new(),
        }
    }
}

/// The component as asked; or as it is now, and the fault that the as-of is later.
async fn look(engine: &Engine, name: &MetricName, as_of: AsOf) -> Result<(View, Option<Fault>), QueryError> {
    let component = name.component();
    let fault = match engine.view(&component, as_of).await {
        Ok(view) => return Ok((view, None)),
        Err(ViewError::RevisionInFuture { asked, last }) => {
            let what = format!("revision {asked} is above the last one of {component}, {last}; ask for an earlier one");
            Fault::new(Reason::AsOfInFuture, "as_of.revision", what)
                .with("revision", asked)
                .with("last_revision", last)
                .with("component", &component)
        }
        Err(ViewError::TimeInFuture { asked, now }) => {
            let what = format!("{asked} is later than now, {now}; ask for an earlier time");
            Fault::new(Reason::AsOfInFuture, "as_of.time", what).with("time", asked).with("now", now)
        }
        Err(ViewError::Damaged(error)) => return Err(error.into()),
        Err(ViewError::Closed) => return Err(QueryError::Closed),
    };
    let view = engine.view(&component, AsOf::Now).await.map_err(|_| QueryError::Closed)?;
    Ok((view, Some(fault)))
}

fn not_found(name: &MetricName) -> QueryError {
    let what = format!(
        "{name} is not there; make it with CreateMetric: {{\"metric\":{{\"name\":\"{name}\",\"kind\":\"DELTA\"}}}}"
    );
    Fault::new(Reason::MetricNotFound, "selection.metric", what).with("metric", name).into()
}
