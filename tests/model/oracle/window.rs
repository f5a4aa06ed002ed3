//! Totals, and flows by window.

use milepost::proto::v1::{window::Mark, *};

use super::{
    Nanos, Oracle, Refused,
    calendar::Rule,
    decimal,
    select::{Edge, Group, View, check_interval, instant, within, within_ending},
    steps::Flow,
    timestamp,
};

type Edges = (Option<Nanos>, Option<Nanos>);

impl Oracle {
    pub fn get_total(&self, request: &GetTotalRequest, now: i64) -> Result<GetTotalResponse, Refused> {
        let view = self.view(request.selection.as_ref(), request.as_of.as_ref(), now)?;
        view.refuse_gauge()?;
        let edge = request.at.as_ref().map(|at| match at {
            get_total_request::At::AtTime(time) => Edge::Time(time),
            get_total_request::At::AtDate(text) => Edge::Date(text),
        });
        let at = instant(&view.metric.time_zone, edge)?;
        let totals = view
            .groups
            .iter()
            .map(|group| Total {
                group: group.values.clone(),
                total: view.total(group, at).map(|total| view.text(total)),
                marks: mid_period(view.is_mid_period(group, None, at)),
            })
            .collect();
        let answer = Some(view.answer(&view.metric.time_zone, None, at));
        Ok(GetTotalResponse { answer, totals, next_page_token: String::new() })
    }

    pub fn query_range(&self, request: &QueryRangeRequest, now: i64) -> Result<QueryRangeResponse, Refused> {
        let view = self.view(request.selection.as_ref(), request.as_of.as_ref(), now)?;
        let start = request.start.as_ref().map(|at| match at {
            query_range_request::Start::StartTime(time) => Edge::Time(time),
            query_range_request::Start::StartDate(text) => Edge::Date(text),
        });
        let end = request.end.as_ref().map(|at| match at {
            query_range_request::End::EndTime(time) => Edge::Time(time),
            query_range_request::End::EndDate(text) => Edge::Date(text),
        });
        let plan = Plan::new(&view, request.calendar.as_ref(), start, end, request.fill(), None)?;
        view.check_levels()?;
        let (answer, windows) = plan.answer(false);
        Ok(QueryRangeResponse { answer: Some(answer), windows, next_page_token: String::new() })
    }

    pub fn query_cumulative(
        &self,
        request: &QueryCumulativeRequest,
        now: i64,
    ) -> Result<QueryCumulativeResponse, Refused> {
        let view = self.view(request.selection.as_ref(), request.as_of.as_ref(), now)?;
        view.refuse_gauge()?;
        let start = request.start.as_ref().map(|at| match at {
            query_cumulative_request::Start::StartTime(time) => Edge::Time(time),
            query_cumulative_request::Start::StartDate(text) => Edge::Date(text),
        });
        let end = request.end.as_ref().map(|at| match at {
            query_cumulative_request::End::EndTime(time) => Edge::Time(time),
            query_cumulative_request::End::EndDate(text) => Edge::Date(text),
        });
        let restart = match request.restart() {
            calendar::Unit::Unspecified => None,
            unit => Some(Rule::of_restart(unit, request.calendar.as_ref(), &view.metric)),
        };
        let plan = Plan::new(&view, request.calendar.as_ref(), start, end, request.fill(), restart)?;
        let (answer, windows) = plan.answer(true);
        Ok(QueryCumulativeResponse { answer: Some(answer), windows, next_page_token: String::new() })
    }
}

impl View {
    /// Openings at or before T and flows before T; T unset: all.
    pub fn total(&self, group: &Group, at: Option<Nanos>) -> Option<i128> {
        let counted = &group.counted;
        let openings = counted.openings.iter().filter(|o| at.is_none_or(|at| o.at <= at));
        let flows = counted.flows.iter().filter(|flow| self.counts(None, at, flow.at));
        sum(openings.map(|o| o.amount).chain(flows.map(|flow| flow.amount)))
    }

    /// Whether what happened at `at` counts in the window.
    fn counts(&self, start: Option<Nanos>, end: Option<Nanos>, at: Nanos) -> bool {
        if self.is_cumulative() { within_ending(start, end, at) } else { within(start, end, at) }
    }

    fn flow(&self, group: &Group, (start, end): Edges) -> Option<i128> {
        let flows = group.counted.flows.iter();
        sum(flows.filter(|flow| self.counts(start, end, flow.at)).map(|flow| flow.amount))
    }

    /// Whether a total of what counts in `[start, at)` counts a DELTA period that ends after it.
    fn is_mid_period(&self, group: &Group, start: Option<Nanos>, at: Option<Nanos>) -> bool {
        let Some(at) = at else { return false };
        !self.is_cumulative() && group.counted.flows.iter().any(|f| self.counts(start, Some(at), f.at) && f.to > at)
    }

    /// Whether a period or a step has some time in the window, or counts in it.
    fn touches(&self, flow: &Flow, (start, end): Edges) -> bool {
        self.counts(start, end, flow.at)
            || (end.is_none_or(|end| flow.from < end) && start.is_none_or(|start| flow.to > start))
    }

    /// Whether a period or a step lies across one of the window's edges.
    fn straddles(&self, flow: &Flow, (start, end): Edges) -> bool {
        let across = |edge: Nanos| flow.from < edge && edge < flow.to;
        self.touches(flow, (start, end)) && (start.is_some_and(across) || end.is_some_and(across))
    }

    fn points<'a>(&'a self, group: &'a Group, (start, end): Edges) -> Vec<(Nanos, i64)> {
        let points = group.series.iter().flat_map(|member| &member.state.points);
        let points = points.filter(|(at, _)| self.counts(start, end, **at));
        points.map(|(at, kept)| (*at, kept.value)).collect()
    }

    /// Times of all points and openings of a group.
    fn times(&self, group: &Group) -> Vec<Nanos> {
        let points = group.series.iter().flat_map(|member| member.state.points.keys().copied());
        points.chain(group.counted.openings.iter().map(|opening| opening.at)).collect()
    }
}

/// The windows of a question.
struct Plan<'a> {
    view: &'a View,
    zone: String,
    restart: Option<Rule>,
    fill: query_range_request::Fill,
    /// As given.
    given: Edges,
    /// As resolved.
    interval: Edges,
    windows: Vec<Edges>,
    rule: Option<Rule>,
}

impl<'a> Plan<'a> {
    fn new(
        view: &'a View,
        calendar: Option<&Calendar>,
        start: Option<Edge>,
        end: Option<Edge>,
        fill: query_range_request::Fill,
        restart: Option<Rule>,
    ) -> Result<Plan<'a>, Refused> {
        let own = &view.metric.time_zone;
        let zone = calendar.map(|c| &c.time_zone).filter(|zone| !zone.is_empty()).unwrap_or(own);
        let rule = match calendar {
            None => restart.clone(),
            Some(calendar) => {
                Some(Rule::of_calendar(calendar, &view.metric).ok_or_else(|| Refused::form(Reason::FieldRequired))?)
            }
        };
        let given = (instant(zone, start)?, instant(zone, end)?);
        check_interval(given.0, given.1)?;
        use query_range_request::Fill;
        let is_gauge = view.metric.kind() == metric::Kind::Gauge;
        if (is_gauge && fill == Fill::Zero) || (!is_gauge && fill == Fill::Previous) {
            return Err(Refused::form(Reason::FillDiffers));
        }
        let mut plan = Plan {
            view,
            zone: zone.clone(),
            restart,
            fill,
            given,
            interval: given,
            windows: vec![given],
            rule: rule.clone(),
        };
        if let Some(rule) = rule {
            plan.cut(&rule);
        }
        Ok(plan)
    }

    /// All windows of the calendar between the edges, cut at restarts and at the edges.
    fn cut(&mut self, rule: &Rule) {
        let times: Vec<Nanos> = self.view.groups.iter().flat_map(|g| self.view.times(g)).collect();
        let holding = |at: Nanos| {
            // A report of midnight belongs to the window that ended.
            let at = if self.view.is_cumulative() { at - 1 } else { at };
            let (mut start, mut end) = rule.holding(at);
            if let Some(restart) = &self.restart {
                let year = restart.holding(at);
                (start, end) = (start.max(year.0), end.min(year.1));
            }
            (start, end)
        };
        let start = self.given.0.or_else(|| times.iter().min().map(|&at| holding(at).0));
        let end = self.given.1.or_else(|| times.iter().max().map(|&at| holding(at).1));
        self.interval = (start, end);
        self.windows.clear();
        let (Some(start), Some(end)) = (start, end) else {
            return;
        };
        let mut at = start;
        while at < end {
            let mut next = rule.holding(at).1;
            if let Some(restart) = &self.restart {
                next = next.min(restart.holding(at).1);
            }
            let next = next.min(end);
            self.windows.push((Some(at), Some(next)));
            at = next;
        }
    }

    fn answer(&self, totals: bool) -> (Answer, Vec<Window>) {
        let answer = self.view.answer(&self.zone, self.interval.0, self.interval.1);
        let mut windows = Vec::new();
        for group in &self.view.groups {
            for &edges in &self.windows {
                windows.push(self.window(group, edges, totals));
            }
        }
        (answer, windows)
    }

    fn window(&self, group: &Group, edges: Edges, totals: bool) -> Window {
        let view = self.view;
        let points = view.points(group, edges);
        let text = |units: Option<i128>| units.map(|units| view.text(units));
        let mut window = Window {
            group: group.values.clone(),
            start_time: edges.0.map(timestamp),
            end_time: edges.1.map(timestamp),
            point_count: points.len() as i64,
            ..Window::default()
        };
        let mut marks = self.marks(group, edges);
        if view.metric.kind() == metric::Kind::Gauge {
            let (levels, filled) = self.levels(group, edges, &points);
            window.levels = Some(levels);
            marks.extend(filled.then_some(Mark::Filled));
        } else {
            window.flow = text(view.flow(group, edges));
            if self.is_filled(group, edges) {
                window.flow = Some(view.text(0));
                marks.push(Mark::Filled);
            }
        }
        let mut from = None;
        if let (true, Some(restart)) = (totals, &self.restart) {
            let end = edges.1.expect("a restart's windows have ends");
            let last = restart.ending(end).0;
            window.running = text(view.flow(group, (Some(last), Some(end))));
            from = Some(last);
            if edges.0.is_some_and(|start| restart.is_boundary(start)) {
                marks.push(Mark::Restarted);
            }
        } else if totals {
            window.total = text(view.total(group, edges.1));
        }
        if totals && view.is_mid_period(group, from, edges.1) {
            marks.push(Mark::MidPeriod);
        }
        marks.sort();
        window.marks = marks.into_iter().map(|mark| mark as i32).collect();
        window
    }

    fn marks(&self, group: &Group, edges: Edges) -> Vec<Mark> {
        let mut marks = Vec::new();
        if group.counted.flows.iter().any(|flow| self.view.straddles(flow, edges)) {
            marks.push(Mark::Straddled);
        }
        if edges.1.is_some_and(|end| end > self.view.evaluate) {
            marks.push(Mark::Unfinished);
        }
        if self.is_clipped(edges) {
            marks.push(Mark::Clipped);
        }
        if self.view.is_incomplete(group, edges.0, edges.1) {
            marks.push(Mark::Incomplete);
        }
        marks
    }

    /// Whether an edge that was given cut a window of the calendar.
    fn is_clipped(&self, (start, end): Edges) -> bool {
        let Some(rule) = &self.rule else { return false };
        let inside = |at: Nanos| !rule.is_boundary(at) && self.restart.as_ref().is_none_or(|r| !r.is_boundary(at));
        (start == self.given.0 && start.is_some_and(inside)) || (end == self.given.1 && end.is_some_and(inside))
    }

    fn is_filled(&self, group: &Group, edges: Edges) -> bool {
        let untouched = !group.counted.flows.iter().any(|flow| self.view.touches(flow, edges))
            && self.view.points(group, edges).is_empty();
        self.fill == query_range_request::Fill::Zero && untouched && self.may_fill(group, edges)
    }

    /// Windows that have begun, from the group's first point or opening on.
    fn may_fill(&self, group: &Group, (start, end): Edges) -> bool {
        let first = self.view.times(group).into_iter().min();
        let begun = start.is_none_or(|start| start <= self.view.evaluate);
        begun && first.is_some_and(|first| end.is_none_or(|end| first < end))
    }

    fn levels(&self, group: &Group, edges: Edges, points: &[(Nanos, i64)]) -> (GaugeLevels, bool) {
        let view = self.view;
        let text = |level: Option<i64>| level.map(|level| view.text(level.into()));
        let values = || points.iter().map(|(_, value)| *value);
        let mut levels = GaugeLevels {
            last: text(values().next_back()),
            min: text(values().min()),
            max: text(values().max()),
            mean: sum(values().map(i128::from)).map(|sum| decimal::mean(sum, points.len() as i128, view.metric.scale)),
        };
        let previous =
            edges.0.and_then(|start| view.points(group, (None, Some(start))).last().map(|(_, level)| *level));
        let fills = self.fill == query_range_request::Fill::Previous
            && points.is_empty()
            && previous.is_some()
            && self.may_fill(group, edges);
        if fills {
            levels.last = text(previous);
        }
        (levels, fills)
    }
}

fn mid_period(is: bool) -> Vec<i32> {
    if is { vec![Mark::MidPeriod as i32] } else { Vec::new() }
}

/// The sum of something; of nothing, none.
fn sum(amounts: impl Iterator<Item = i128>) -> Option<i128> {
    amounts.reduce(|sum, amount| sum + amount)
}
