//! From a question to a plan: checked as a whole, all faults of form together, resolved against the metric's
//! definition, and bound to one revision. Only here are plans made.

mod check;
mod scene;
mod time;

pub use scene::Scene;

use self::check::Checks;
use super::ask::{
    Beside, ChangesAsk, ChangesIntervalAsk, Choice, Fill, Form, LadderAsk, MilestonesAsk, NamedLadder, PointsAsk,
    RangeAsk, TotalAsk,
};
use super::fault::{QueryError, Reason};
use crate::domain::calendar::{Calendar, Unit};
use crate::domain::definition::{Definition, Kind};
use crate::domain::ladder::{Ladder, ThresholdError, parse_threshold};
use crate::domain::limit::THRESHOLDS_MAX;
use crate::domain::time::{Interval, Time};
use crate::engine::Engine;
use std::sync::Arc;

/// `GetTotal`, ready to run.
pub struct TotalPlan {
    pub(super) scene: Scene,
    pub(super) at: Option<Time>,
}

/// What stands in each window beside the flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Totals {
    Nothing,
    AtEnd,
    Running,
}

/// `QueryRange` or `QueryCumulative`, ready to run.
pub struct RangePlan {
    pub(super) scene: Scene,
    pub(super) calendar: Option<Calendar>,
    pub(super) restart: Option<Calendar>,
    pub(super) start: Option<Time>,
    pub(super) end: Option<Time>,
    pub(super) fill: Fill,
    pub(super) totals: Totals,
}

/// `ListMilestones`, ready to run.
pub struct MilestonesPlan {
    pub(super) scene: Scene,
    pub(super) ladder: Ladder,
    pub(super) end: Option<Time>,
}

/// `ReadPoints`, ready to run.
pub struct PointsPlan {
    pub(super) scene: Scene,
    pub(super) start: Option<Time>,
    pub(super) end: Option<Time>,
    pub(super) form: Form,
}

/// `ListChanges`, ready to run.
pub struct ChangesPlan {
    pub(super) scene: Scene,
    pub(super) include_new: bool,
    pub(super) revisions: (i64, i64),
    pub(super) record_times: Interval,
}

impl TotalPlan {
    /// Where it is answered.
    pub fn scene(&self) -> &Scene {
        &self.scene
    }

    /// Checks and resolves a question; `Err` names every fault.
    pub async fn of(engine: &Engine, ask: TotalAsk) -> Result<TotalPlan, QueryError> {
        let (scene, at) = Scene::open(engine, &ask.head, |checks| {
            checks.refuse_gauge();
            checks.moment(ask.at.as_ref(), ["at_time", "at_date"], None)
        })
        .await?;
        Ok(TotalPlan { scene, at })
    }
}

impl RangePlan {
    /// Where it is answered.
    pub fn scene(&self) -> &Scene {
        &self.scene
    }

    /// Checks and resolves a question; `Err` names every fault.
    pub async fn of(engine: &Engine, ask: RangeAsk) -> Result<RangePlan, QueryError> {
        let (scene, checked) = Scene::open(engine, &ask.head, |checks| {
            if ask.beside != Beside::Nothing {
                checks.refuse_gauge();
            }
            let parts = ask.calendar.as_ref().map(|calendar| checks.calendar(calendar));
            let zone = parts.as_ref().map(|parts| parts.zone.clone());
            let (start, end) = checks.edges(ask.start.as_ref(), ask.end.as_ref(), "", zone.as_ref());
            let fill = checks.fill(ask.fill, ask.beside != Beside::Nothing);
            let (totals, unit) = checks.beside(ask.beside);
            let restart = unit.map(|unit| checks.restart(unit, parts.as_ref()));
            let calendar = parts.and_then(|parts| parts.calendar);
            (calendar.or_else(|| restart.clone()), restart, start, end, fill, totals)
        })
        .await?;
        let (calendar, restart, start, end, fill, totals) = checked;
        Ok(RangePlan { scene, calendar, restart, start, end, fill, totals })
    }
}

impl MilestonesPlan {
    /// Where it is answered.
    pub fn scene(&self) -> &Scene {
        &self.scene
    }

    /// Checks and resolves a question; `Err` names every fault.
    pub async fn of(engine: &Engine, ask: MilestonesAsk) -> Result<MilestonesPlan, QueryError> {
        let (scene, (ladder, end)) = Scene::open(engine, &ask.head, |checks| {
            let ladder = checks.ladder(&ask.ladder);
            (ladder, checks.moment(ask.end.as_ref(), ["end_time", "end_date"], None))
        })
        .await?;
        Ok(MilestonesPlan { scene, ladder, end })
    }
}

impl PointsPlan {
    /// Checks and resolves a question; `Err` names every fault.
    pub async fn of(engine: &Engine, ask: PointsAsk) -> Result<PointsPlan, QueryError> {
        let (scene, ((start, end), form)) = Scene::open(engine, &ask.head, |checks| {
            checks.refuse_group_by(&ask.head.selection);
            let edges = checks.edges(ask.start.as_ref(), ask.end.as_ref(), "", None);
            (edges, checks.form(ask.form))
        })
        .await?;
        Ok(PointsPlan { scene, start, end, form })
    }
}

impl ChangesPlan {
    /// Checks and resolves a question; `Err` names every fault. A deleted metric can be asked for too.
    pub async fn of(engine: &Engine, ask: ChangesAsk) -> Result<ChangesPlan, QueryError> {
        let (scene, (revisions, record_times)) = Scene::open_past(engine, &ask.head, |checks| {
            checks.refuse_group_by(&ask.head.selection);
            match &ask.interval {
                ChangesIntervalAsk::Unset => ((0, 0), Interval::ALL),
                ChangesIntervalAsk::Revisions(from, to) => (checks.revisions(*from, *to), Interval::ALL),
                ChangesIntervalAsk::Recorded(start, end) => {
                    let (start, end) = checks.edges(start.as_ref(), end.as_ref(), "record_times.", None);
                    ((0, 0), Interval::new(start.unwrap_or(Time::MIN), end.unwrap_or(Time::MAX)))
                }
            }
        })
        .await?;
        Ok(ChangesPlan { scene, include_new: ask.include_new, revisions, record_times })
    }
}

impl Checks {
    fn refuse_gauge(&mut self) {
        if self.kind() == Some(Kind::Gauge) {
            let metric = self.metric_text();
            self.fault(
                Reason::NotAdditive,
                "selection.metric",
                format!("{metric} is a GAUGE: levels cannot be summed; ask QueryRange for its levels"),
                &[("metric", metric.clone())],
            );
        }
    }

    fn form(&mut self, form: Choice<Form>) -> Form {
        match form {
            Choice::Known(form) => form,
            Choice::Unset => Form::Columns,
            Choice::Unknown(number) => {
                self.unknown("form", number, "COLUMNS or POINTS");
                Form::Columns
            }
        }
    }

    fn fill(&mut self, fill: Choice<Fill>, is_cumulative: bool) -> Fill {
        let (fill, word) = match fill {
            Choice::Unset | Choice::Known(Fill::Nothing) => return Fill::Nothing,
            Choice::Known(Fill::Zero) => (Fill::Zero, "ZERO"),
            Choice::Known(Fill::Previous) => (Fill::Previous, "PREVIOUS"),
            Choice::Unknown(number) => {
                self.unknown("fill", number, "ZERO or PREVIOUS");
                return Fill::Nothing;
            }
        };
        let fits = match self.kind() {
            Some(Kind::Gauge) => fill == Fill::Previous,
            Some(_) => fill == Fill::Zero,
            None => true,
        };
        if !fits || (is_cumulative && fill == Fill::Previous) {
            let fix = if fill == Fill::Zero { "a GAUGE takes PREVIOUS" } else { "only a GAUGE's levels take it" };
            self.fault(
                Reason::FillDiffers,
                "fill",
                format!("{word} does not fit the metric's kind: {fix}"),
                &[("fill", word.to_owned())],
            );
        }
        fill
    }

    fn beside(&mut self, beside: Beside) -> (Totals, Option<Unit>) {
        match beside {
            Beside::Nothing => (Totals::Nothing, None),
            Beside::Totals(Choice::Unset) => (Totals::AtEnd, None),
            Beside::Totals(Choice::Known(unit @ (Unit::Year | Unit::Quarter | Unit::Month))) => {
                (Totals::Running, Some(unit))
            }
            Beside::Totals(Choice::Known(unit)) => {
                let unit = format!("{unit:?}").to_uppercase();
                self.fault(
                    Reason::FieldInvalid,
                    "restart",
                    format!("{unit} is no restart: a running total begins anew with each YEAR, QUARTER or MONTH"),
                    &[("restart", unit.clone())],
                );
                (Totals::Running, None)
            }
            Beside::Totals(Choice::Unknown(number)) => {
                self.unknown("restart", number, "YEAR, QUARTER or MONTH");
                (Totals::Running, None)
            }
        }
    }

    fn ladder(&mut self, ask: &LadderAsk) -> Ladder {
        let one = 10_i128.pow(u32::from(self.scale()));
        match ask {
            LadderAsk::Unset => {
                let how = "say which thresholds: a list, every, or a named ladder";
                self.fault(Reason::FieldRequired, "thresholds", how.to_owned(), &[]);
                Ladder::List(Vec::new())
            }
            LadderAsk::List(texts) => self.thresholds(texts),
            LadderAsk::Every(text) => Ladder::Every(self.threshold(text, "every", false).unwrap_or(one)),
            LadderAsk::Named(Choice::Known(NamedLadder::OneTwoFive)) => Ladder::OneTwoFive(one),
            LadderAsk::Named(Choice::Known(NamedLadder::PowersOfTen)) => Ladder::PowersOfTen(one),
            LadderAsk::Named(Choice::Unset) => {
                let how = "name the ladder: ONE_TWO_FIVE or POWERS_OF_TEN";
                self.fault(Reason::FieldRequired, "named", how.to_owned(), &[]);
                Ladder::PowersOfTen(one)
            }
            LadderAsk::Named(Choice::Unknown(number)) => {
                self.unknown("named", *number, "ONE_TWO_FIVE or POWERS_OF_TEN");
                Ladder::PowersOfTen(one)
            }
        }
    }

    fn thresholds(&mut self, texts: &[String]) -> Ladder {
        let count = texts.len();
        if count == 0 {
            let how = "give at least one threshold, as \"1m\"";
            self.fault(Reason::FieldRequired, "thresholds.values", how.to_owned(), &[]);
        }
        if count > THRESHOLDS_MAX {
            let how = format!("{count} thresholds are more than {THRESHOLDS_MAX}; ask for fewer, or for `every`");
            self.fault(Reason::TooLarge, "thresholds.values", how, &[("count", count.to_string())]);
            return Ladder::List(Vec::new());
        }
        let any = self.kind() == Some(Kind::Gauge);
        let mut rungs: Vec<i128> = texts
            .iter()
            .enumerate()
            .filter_map(|(i, text)| self.threshold(text, &format!("thresholds.values[{i}]"), any))
            .collect();
        rungs.sort_unstable();
        rungs.dedup();
        Ladder::List(rungs)
    }

    /// `any`: of a gauge's list, which may be at or below 0.
    fn threshold(&mut self, text: &str, field: &str, any: bool) -> Option<i128> {
        let scale = self.scale();
        let shown = super::fault::cut(text).to_owned();
        let (reason, why) = match parse_threshold(text, scale) {
            Ok(rung) if any || rung > 0 || self.definition().is_none() => return Some(rung),
            Ok(_) => (Reason::ThresholdInvalid, "is not above 0".to_owned()),
            Err(ThresholdError::Malformed) => {
                (Reason::ThresholdInvalid, "is no threshold; write it as 1000000, 1m, 2.5bn or 10k".to_owned())
            }
            Err(ThresholdError::TooFine) => {
                (Reason::ThresholdInvalid, format!("is finer than the metric's scale of {scale} digits"))
            }
            Err(ThresholdError::OutOfRange) => (Reason::ValueOutOfRange, "is more than can be counted".to_owned()),
        };
        self.fault(reason, field, format!("{shown:?} {why}"), &[("threshold", shown.clone())]);
        None
    }

    fn revisions(&mut self, from: i64, to: i64) -> (i64, i64) {
        for (value, field) in [(from, "revisions.start_revision"), (to, "revisions.end_revision")] {
            if value < 0 {
                let what = format!("{value} is no revision: they count from 1; 0 is no bound");
                self.fault(Reason::FieldInvalid, field, what, &[("revision", value.to_string())]);
            }
        }
        if from > 0 && to > 0 && from >= to {
            self.fault(
                Reason::IntervalEmpty,
                "revisions.end_revision",
                format!("start_revision {from} is not before end_revision {to}"),
                &[("start_revision", from.to_string()), ("end_revision", to.to_string())],
            );
        }
        (from, to)
    }
}

/// What a question that has no definition to check against is checked with.
pub(super) fn scale_of(definition: Option<&Arc<Definition>>) -> u8 {
    definition.map_or(9, |definition| definition.scale)
}
