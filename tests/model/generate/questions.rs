//! Random questions of every shape, near what is there.

use milepost::proto::v1::{list_milestones_request::Ladder, *};

use super::{Chance, DAY, HOUR, SECOND, World, ZONES, date_at, is_date, stamp};
use crate::{
    ask::Ask,
    oracle::{Nanos, Oracle, State, calendar::Rule, decimal},
};

/// Windows of a question, at most: the answers stay readable, and the oracle is slow.
const WINDOWS_MAX: Nanos = 120;

/// Periods of the metric in one window, at most.
const PERIODS_MAX: Nanos = 800;

impl World {
    pub(super) fn question(&self, chance: &mut Chance, oracle: &Oracle, metric: &Metric) -> Ask {
        let state = oracle.now(&metric.name);
        let selection = Some(selection(chance, metric));
        let as_of = self.as_of(chance, oracle, metric);
        let page_size = chance.pick(&[0, 0, 0, 1, 2, 3, 7, 20]);
        let zone = &metric.time_zone;
        match chance.within(0, 100) {
            0..18 if metric.kind() != metric::Kind::Gauge || chance.percent(10) => {
                let at = self.edge(chance, metric, &state, 70);
                let at = at.map(|at| match said(chance, zone, at) {
                    Said::Time(time) => get_total_request::At::AtTime(time),
                    Said::Date(text) => get_total_request::At::AtDate(text),
                });
                let page_token = String::new();
                Ask::Total(GetTotalRequest { selection, at, as_of, page_size, page_token })
            }
            0..66 => {
                let ever = oracle.times_ever(&metric.name);
                self.windows(chance, metric, (&state, &ever), selection, as_of, page_size)
            }
            66..84 => {
                let end = self.edge(chance, metric, &state, 30);
                let end = end.map(|at| match said(chance, zone, at) {
                    Said::Time(time) => list_milestones_request::End::EndTime(time),
                    Said::Date(text) => list_milestones_request::End::EndDate(text),
                });
                let ladder = Some(ladder(chance, metric, oracle.magnitude(&metric.name) + 1));
                let page_token = String::new();
                let request = ListMilestonesRequest { selection, ladder, as_of, end, page_size, page_token };
                Ask::Milestones(request)
            }
            84..91 => {
                let (start, end) = self.interval(chance, metric, &state);
                let form = chance.pick(&[0, 1, 2]);
                let selection = selection.map(|s| Selection { group_by: Vec::new(), ..s });
                let request = ReadPointsRequest {
                    selection,
                    start: start.map(|at| match said(chance, zone, at) {
                        Said::Time(time) => read_points_request::Start::StartTime(time),
                        Said::Date(text) => read_points_request::Start::StartDate(text),
                    }),
                    end: end.map(|at| match said(chance, zone, at) {
                        Said::Time(time) => read_points_request::End::EndTime(time),
                        Said::Date(text) => read_points_request::End::EndDate(text),
                    }),
                    as_of,
                    form,
                };
                Ask::Read(request)
            }
            91..97 => self.changes(chance, oracle, metric, selection, page_size),
            97 => match chance.within(0, 3) {
                0 => Ask::Metric(GetMetricRequest { name: metric.name.clone() }),
                1 => Ask::Components(ListComponentsRequest { page_size, page_token: String::new() }),
                _ => {
                    let component = chance.pick(&["", "c", "d"]).to_owned();
                    Ask::Metrics(ListMetricsRequest { component, page_size, page_token: String::new() })
                }
            },
            _ => Ask::Series(ListSeriesRequest {
                metric: metric.name.clone(),
                filters: filters(chance, metric),
                page_size,
                page_token: String::new(),
            }),
        }
    }

    fn windows(
        &self,
        chance: &mut Chance,
        metric: &Metric,
        (state, ever): (&State, &[Nanos]),
        selection: Option<Selection>,
        as_of: Option<AsOf>,
        page_size: i32,
    ) -> Ask {
        use query_range_request::Fill;
        let (start, end) = self.interval(chance, metric, state);
        let restart = match chance.within(0, 10) {
            0 => calendar::Unit::Month,
            1 => calendar::Unit::Quarter,
            2 => calendar::Unit::Year,
            _ => calendar::Unit::Unspecified,
        };
        let low = start.iter().chain(ever).min().copied().unwrap_or(self.base);
        let high = end.iter().chain(ever).max().copied().unwrap_or(self.base);
        let calendar = chance.percent(75).then(|| calendar(chance, metric, high - low)).flatten();
        let is_gauge = metric.kind() == metric::Kind::Gauge;
        let fill = match chance.within(0, 100) {
            0..55 => Fill::Unspecified,
            55..97 if is_gauge => Fill::Previous,
            55..97 => Fill::Zero,
            _ if is_gauge => Fill::Zero,
            _ => Fill::Previous,
        } as i32;
        let own = &metric.time_zone;
        let zone = calendar.as_ref().map(|c| &c.time_zone).filter(|z| !z.is_empty()).unwrap_or(own);
        let page_token = String::new();
        if !is_gauge && chance.percent(60) || is_gauge && chance.percent(4) {
            let start = start.map(|at| match said(chance, zone, at) {
                Said::Time(time) => query_cumulative_request::Start::StartTime(time),
                Said::Date(text) => query_cumulative_request::Start::StartDate(text),
            });
            let end = end.map(|at| match said(chance, zone, at) {
                Said::Time(time) => query_cumulative_request::End::EndTime(time),
                Said::Date(text) => query_cumulative_request::End::EndDate(text),
            });
            let restart = restart as i32;
            let request =
                QueryCumulativeRequest { selection, calendar, start, end, fill, restart, as_of, page_size, page_token };
            return Ask::Cumulative(request);
        }
        let start = start.map(|at| match said(chance, zone, at) {
            Said::Time(time) => query_range_request::Start::StartTime(time),
            Said::Date(text) => query_range_request::Start::StartDate(text),
        });
        let end = end.map(|at| match said(chance, zone, at) {
            Said::Time(time) => query_range_request::End::EndTime(time),
            Said::Date(text) => query_range_request::End::EndDate(text),
        });
        let request = QueryRangeRequest { selection, calendar, start, end, fill, as_of, page_size, page_token };
        Ask::Range(request)
    }

    fn changes(
        &self,
        chance: &mut Chance,
        oracle: &Oracle,
        metric: &Metric,
        selection: Option<Selection>,
        page_size: i32,
    ) -> Ask {
        let component = metric.name.split('/').next().expect("a name has a component");
        let last = oracle.revision(component).max(1);
        let selection = selection.map(|s| Selection { group_by: Vec::new(), ..s });
        let interval = match chance.within(0, 4) {
            0 => {
                let start_revision = chance.within(0, last + 1);
                let later = start_revision + chance.within(1, 9);
                let end_revision = chance.pick(&[0, later]);
                let revisions = RevisionInterval { start_revision, end_revision };
                Some(list_changes_request::Interval::Revisions(revisions))
            }
            1 => {
                let at = oracle.recorded(component, chance.within(1, last + 1));
                let interval = Interval { start_time: at.map(stamp), end_time: None };
                Some(list_changes_request::Interval::RecordTimes(interval))
            }
            _ => None,
        };
        Ask::Changes(ListChangesRequest {
            selection,
            include_new: chance.percent(60),
            interval,
            page_size,
            page_token: String::new(),
        })
    }

    fn as_of(&self, chance: &mut Chance, oracle: &Oracle, metric: &Metric) -> Option<AsOf> {
        let component = metric.name.split('/').next().expect("a name has a component");
        let last = oracle.revision(component);
        if last == 0 || oracle.metric(&metric.name).is_none() {
            return None;
        }
        let revision = chance.within(1, last + 1);
        let as_of = match chance.within(0, 100) {
            0..22 => as_of::AsOf::Revision(revision),
            22..32 => {
                let at = oracle.recorded(component, revision).expect("it is there");
                let at = at + Nanos::from(chance.within(-1, 2));
                as_of::AsOf::Time(stamp(at.min(self.now.into())))
            }
            32 => as_of::AsOf::Revision(last + 1),
            33 => as_of::AsOf::Time(stamp(Nanos::from(self.now) + 1)),
            _ => return None,
        };
        Some(AsOf { as_of: Some(as_of) })
    }

    fn edge(&self, chance: &mut Chance, metric: &Metric, state: &State, given: i64) -> Option<Nanos> {
        chance.percent(given).then(|| self.near(chance, metric, state))
    }

    /// Neither, one or both edges; both mostly in order.
    fn interval(&self, chance: &mut Chance, metric: &Metric, state: &State) -> (Option<Nanos>, Option<Nanos>) {
        let start = self.edge(chance, metric, state, 50);
        let end = self.edge(chance, metric, state, 50);
        match (start, end) {
            (Some(start), Some(end)) if start > end && chance.percent(95) => (Some(end), Some(start)),
            edges => edges,
        }
    }
}

/// An edge as it is said: a date, where that is it.
enum Said {
    Time(prost_types::Timestamp),
    Date(String),
}

fn said(chance: &mut Chance, zone: &str, at: Nanos) -> Said {
    if is_date(zone, at) && chance.percent(50) {
        return Said::Date(date_at(zone, at));
    }
    Said::Time(stamp(at))
}

fn selection(chance: &mut Chance, metric: &Metric) -> Selection {
    let is_gauge = metric.kind() == metric::Kind::Gauge;
    let mut group_by = metric.label_names.clone();
    if !chance.percent(if is_gauge { 85 } else { 35 }) {
        group_by.truncate(chance.within(0, group_by.len() as i64 + 1) as usize);
    }
    if chance.percent(30) {
        group_by.reverse();
    }
    Selection { metric: metric.name.clone(), filters: filters(chance, metric), group_by }
}

pub(super) fn filters(chance: &mut Chance, metric: &Metric) -> Vec<LabelFilter> {
    let mut filters = Vec::new();
    for label in &metric.label_names {
        let value = chance.pick(&["a", "b", "\u{e9}", "none"]).to_owned();
        let other = chance.pick(&["a", "b"]).to_owned();
        let label = label.clone();
        match chance.within(0, 10) {
            0 => filters.push(LabelFilter { label, any_of: vec![value, other], none_of: vec![] }),
            1 => filters.push(LabelFilter { label, any_of: vec![], none_of: vec![value] }),
            _ => {}
        }
    }
    filters
}

/// A calendar with windows neither too many nor too long; none where the metric has no period to
/// go by and none is said.
fn calendar(chance: &mut Chance, metric: &Metric, span: Nanos) -> Option<Calendar> {
    use calendar::Unit;
    let units = [
        (Unit::Unspecified, 0),
        (Unit::Minute, 60 * SECOND),
        (Unit::Hour, HOUR),
        (Unit::Day, DAY),
        (Unit::Week, 7 * DAY),
        (Unit::Month, 30 * DAY),
        (Unit::Quarter, 91 * DAY),
        (Unit::Year, 365 * DAY),
    ];
    let own = Rule::of_metric(metric).map(|rule| rule.holding(0)).map(|(start, end)| end - start);
    let counts = [0, 1, 1, 2, 3, 5, 12, 30, 240];
    for _ in 0..40 {
        let (unit, length) = chance.pick(&units);
        let count = chance.pick(&counts);
        let length = if unit == Unit::Unspecified { own.unwrap_or(0) } else { length };
        let window = length * Nanos::from(count.max(1));
        let fits = window > 0
            && span / window <= WINDOWS_MAX
            && own.is_none_or(|own| window / own <= PERIODS_MAX)
            && window < 40 * 365 * DAY;
        if fits {
            return Some(Calendar {
                unit: unit as i32,
                count,
                time_zone: if chance.percent(50) { String::new() } else { chance.pick(&ZONES).to_owned() },
                week_start: chance.pick(&[0, 0, 1, 4, 7]),
                year_start: chance.pick(&[
                    None,
                    None,
                    Some(MonthDay { month: 4, day: 6 }),
                    Some(MonthDay { month: 2, day: 28 }),
                ]),
            });
        }
    }
    None
}

fn ladder(chance: &mut Chance, metric: &Metric, high: i128) -> Ladder {
    let is_gauge = metric.kind() == metric::Kind::Gauge;
    match chance.within(0, 10) {
        0..6 => {
            let mut values = Vec::new();
            for _ in 0..chance.within(1, 8) {
                let mut units = i128::from(chance.within(1, high.min(60) as i64 + 1));
                if is_gauge && chance.percent(30) {
                    units = -units;
                }
                values.push(decimal::text(units, metric.scale));
            }
            values.push(chance.pick(&["1m", "2.5k", "1", "5"]).to_owned());
            Ladder::Thresholds(ThresholdList { values })
        }
        6..9 => {
            let every = high / 60 + i128::from(chance.within(1, 6));
            Ladder::Every(decimal::text(every, metric.scale))
        }
        _ => Ladder::Named(chance.pick(&[1, 2])),
    }
}
