//! Points written and taken back, and opening balances set.

use std::collections::BTreeSet;

use milepost::proto::v1::*;

use super::{
    Answered, Balance, Event, Kept, Labels, Life, Nanos, Oracle, Refused, Remembered, Row, SeriesState, State,
    body::{self, Body, Put, What},
    calendar,
    catalogue::default_end,
    component, decimal, instant_of_date, nanos, play, select,
};

impl Oracle {
    pub fn write_points(&mut self, request: &WritePointsRequest, now: i64) -> Result<WritePointsResponse, Refused> {
        let name = request.series.first().expect("a batch has points").metric.clone();
        self.once(&name, &request.request_id, |oracle| oracle.write(request, now))
    }

    pub fn retract_points(
        &mut self,
        request: &RetractPointsRequest,
        now: i64,
    ) -> Result<RetractPointsResponse, Refused> {
        self.once(&request.metric, &request.request_id, |oracle| oracle.retract(request, now))
    }

    pub fn set_opening_balance(
        &mut self,
        request: &SetOpeningBalanceRequest,
        now: i64,
    ) -> Result<SetOpeningBalanceResponse, Refused> {
        self.once(&request.metric, &request.request_id, |oracle| oracle.set_opening(request, now))
    }

    /// An id that is known is judged before any other check: a body that is not even well formed is another one.
    fn once<T>(
        &mut self,
        name: &str,
        id: &str,
        write: impl FnOnce(&mut Oracle) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let book = self.books.get(component(name));
        let known = book.is_some_and(|book| book.remembered.contains_key(id));
        write(self).map_err(|refused| if known { Refused::state(Reason::RequestIdReused) } else { refused })
    }

    fn write(&mut self, request: &WritePointsRequest, now: i64) -> Result<WritePointsResponse, Refused> {
        let name = &request.series.first().expect("a batch has points").metric;
        let (body, order) = self.write_body(request)?;
        if let Some(answer) = self.replay(component(name), &request.request_id, &body)? {
            let Answered::Write(first) = answer else { unreachable!("bodies are equal") };
            return Ok(WritePointsResponse { replayed: true, ..first });
        }
        let Body::Write { puts, add, .. } = &body else { unreachable!() };
        let mut faults = Vec::new();
        let mut done = Done::default();
        for (metric, labels, at) in &order {
            let life = self.life(metric)?;
            let put = &puts[&(life.id, labels.clone(), *at)];
            match outcome(life, labels, *at, put, *add) {
                Ok(outcome) => done.take(metric, labels, *at, outcome),
                Err(reason) => faults.push(reason),
            }
        }
        // Whole series are checked as the batch would leave them, at every point of the batch.
        for (metric, labels, at) in &order {
            let life = self.life(metric)?;
            let after = played(life, done.events.iter().filter(|(of, _)| of == metric));
            faults.extend(after.get(labels).map(|s| series_faults(life.metric(), s, *at)).unwrap_or_default());
        }
        refuse(faults)?;
        let accepted_count = order.len() as i64;
        let (events, rows) = (done.events, done.rows);
        let revision = self.take(name, events, rows, &request.reason, request.validate_only, now);
        let answer = WritePointsResponse {
            revision,
            accepted_count,
            unchanged_count: done.unchanged,
            corrected_count: done.corrected,
            replayed: false,
        };
        self.remember(name, &request.request_id, request.validate_only, body, Answered::Write(answer));
        Ok(answer)
    }

    fn retract(&mut self, request: &RetractPointsRequest, now: i64) -> Result<RetractPointsResponse, Refused> {
        let name = &request.metric;
        let life = self.life(name)?;
        let metric = life.metric();
        select::check_filters(metric, &request.filters)?;
        let what = match request.what.as_ref().expect("what is given") {
            retract_points_request::What::Times(times) => {
                let set: BTreeSet<Nanos> = times.times.iter().map(nanos).collect();
                What::Times(set.into_iter().collect())
            }
            retract_points_request::What::Interval(interval) => {
                let start = interval.start_time.as_ref().map(nanos);
                let end = interval.end_time.as_ref().map(nanos);
                select::check_interval(start, end)?;
                What::Interval(start, end)
            }
        };
        let body = Body::Retract {
            life: life.id,
            filters: request.filters.clone(),
            what: what.clone(),
            reason: request.reason.clone(),
            validate_only: request.validate_only,
        };
        if let Some(answer) = self.replay(component(name), &request.request_id, &body)? {
            let Answered::Retract(first) = answer else { unreachable!("bodies are equal") };
            return Ok(RetractPointsResponse { replayed: true, ..first });
        }
        let life = self.life(name)?;
        let metric = life.metric();
        let (mut done, mut unchanged_count) = (Done::default(), 0);
        for (labels, series) in life.state() {
            if !select::passes(metric, &request.filters, &labels) {
                continue;
            }
            let times: Vec<Nanos> = match &what {
                What::Times(times) => times.clone(),
                What::Interval(start, end) => {
                    let within = |t: &&Nanos| select::within(*start, *end, **t);
                    series.points.keys().filter(within).copied().collect()
                }
            };
            for at in times {
                match series.points.get(&at) {
                    None => unchanged_count += 1,
                    Some(old) => {
                        let outcome = Outcome { old: Some(old.clone()), now: None, kind: change::Kind::Retracted };
                        done.take(name, &labels, at, outcome);
                    }
                }
            }
        }
        let retracted_count = done.events.len() as i64;
        let mut faults = Vec::new();
        for series in played(life, done.events.iter()).values() {
            for &at in series.points.keys() {
                faults.extend(series_faults(metric, series, at));
            }
        }
        refuse(faults)?;
        let (events, rows) = (done.events, done.rows);
        let revision = self.take(name, events, rows, &request.reason, request.validate_only, now);
        let answer = RetractPointsResponse { revision, retracted_count, unchanged_count, replayed: false };
        self.remember(name, &request.request_id, request.validate_only, body, Answered::Retract(answer));
        Ok(answer)
    }

    fn set_opening(
        &mut self,
        request: &SetOpeningBalanceRequest,
        now: i64,
    ) -> Result<SetOpeningBalanceResponse, Refused> {
        let name = &request.metric;
        let life = self.life(name)?;
        let metric = life.metric();
        if metric.kind() == metric::Kind::Gauge {
            return Err(Refused::form(Reason::KindDiffers));
        }
        let labels = body::labels(metric, &request.labels)?;
        let zone = calendar::time_zone(&metric.time_zone);
        let at = match &request.at {
            None => None,
            Some(set_opening_balance_request::At::Time(time)) => Some(nanos(time)),
            Some(set_opening_balance_request::At::Date(text)) => Some(instant_of_date(&zone, text)?),
        };
        let value = match &request.value {
            None => None,
            Some(text) => Some(decimal::parse(text, metric.scale).map_err(Refused::form)?),
        };
        let body = Body::Opening {
            life: life.id,
            labels: labels.clone(),
            at,
            value,
            note: request.note.clone(),
            validate_only: request.validate_only,
        };
        if let Some(answer) = self.replay(component(name), &request.request_id, &body)? {
            let Answered::Opening(first) = answer else { unreachable!("bodies are equal") };
            return Ok(SetOpeningBalanceResponse { replayed: true, ..first });
        }
        let life = self.life(name)?;
        let metric = life.metric();
        let old = life.state().get(&labels).and_then(|series| series.opening.clone());
        let opening =
            value.map(|value| Balance { at: at.expect("an opening has a time"), value, note: request.note.clone() });
        let mut events = Vec::new();
        let mut rows = Vec::new();
        if opening != old {
            let at = opening.as_ref().or(old.as_ref()).map(|o| o.at);
            let (old, new) = (old.map(|o| o.value), opening.as_ref().map(|o| o.value));
            rows.push(row(change::Kind::Opening, name, &labels, at, old, new));
            events.push((name.clone(), Event::Opening { labels: labels.clone(), now: opening }));
        }
        let after = played(life, events.iter());
        let mut faults = Vec::new();
        if let Some(series) = after.get(&labels) {
            for &at in series.points.keys() {
                faults.extend(series_faults(metric, series, at));
            }
        }
        refuse(faults)?;
        let revision = self.take(name, events, rows, &request.note, request.validate_only, now);
        let answer = SetOpeningBalanceResponse { revision, replayed: false };
        self.remember(name, &request.request_id, request.validate_only, body, Answered::Opening(answer));
        Ok(answer)
    }

    /// The batch by meaning, and its keys in the order of the request.
    #[allow(clippy::type_complexity)]
    fn write_body(&self, request: &WritePointsRequest) -> Result<(Body, Vec<(String, Labels, Nanos)>), Refused> {
        let add = request.mode() == write_points_request::Mode::Add;
        if add && request.request_id.is_empty() {
            return Err(Refused::form(Reason::FieldRequired));
        }
        let mut puts = std::collections::BTreeMap::new();
        let mut order = Vec::new();
        let (mut missing, mut is_additive) = (None, true);
        for entry in &request.series {
            let life = match self.life(&entry.metric) {
                Ok(life) => life,
                // A fault of the state: those of form in later entries come first.
                Err(refused) => {
                    missing = missing.or(Some(refused));
                    continue;
                }
            };
            let metric = life.metric();
            is_additive &= metric.kind() == metric::Kind::Delta;
            let labels = body::labels(metric, &entry.labels)?;
            for put in body::puts(metric, entry) {
                let (at, mut put) = put?;
                if !add && metric.kind() == metric::Kind::Delta {
                    put.end = put.end.or(Some(default_end(metric, at)));
                }
                let same = !add && puts.get(&(life.id, labels.clone(), at)) == Some(&put);
                match puts.insert((life.id, labels.clone(), at), put) {
                    Some(_) if !same => return Err(Refused::form(Reason::DuplicatePoint)),
                    Some(_) => {}
                    None => order.push((entry.metric.clone(), labels.clone(), at)),
                }
            }
        }
        // The mode comes behind the points.
        if add && !is_additive {
            return Err(Refused::form(Reason::KindDiffers));
        }
        if let Some(refused) = missing {
            return Err(refused);
        }
        let (reason, validate_only) = (request.reason.clone(), request.validate_only);
        Ok((Body::Write { add, reason, validate_only, puts }, order))
    }

    fn replay(&self, component: &str, id: &str, body: &Body) -> Result<Option<Answered>, Refused> {
        let known = self.books.get(component).and_then(|book| book.remembered.get(id));
        match known {
            Some(known) if known.body == *body => Ok(Some(known.answer.clone())),
            Some(_) => Err(Refused::state(Reason::RequestIdReused)),
            None => Ok(None),
        }
    }

    fn remember(&mut self, name: &str, id: &str, validate_only: bool, body: Body, answer: Answered) {
        if !id.is_empty() && !validate_only {
            self.book(name).remembered.insert(id.to_owned(), Remembered { body, answer });
        }
    }

    /// Commits what changes something; the revision that the answer says.
    fn take(
        &mut self,
        name: &str,
        events: Vec<(String, Event)>,
        rows: Vec<Row>,
        reason: &str,
        validate_only: bool,
        now: i64,
    ) -> i64 {
        if events.is_empty() || validate_only {
            return self.book(name).revision();
        }
        let revision = self.commit(name, now);
        let recorded = self.last_recorded;
        let book = self.book(name);
        for row in rows {
            book.changes.push(Row { revision, recorded, reason: reason.to_owned(), ..row });
        }
        for (metric, event) in events {
            book.metrics.get_mut(&metric).expect("it was checked").log.push((revision, event));
        }
        revision
    }
}

/// What a put, or a retraction, makes of one key.
struct Outcome {
    old: Option<Kept>,
    now: Option<Kept>,
    kind: change::Kind,
}

/// What a whole batch does.
#[derive(Default)]
struct Done {
    events: Vec<(String, Event)>,
    rows: Vec<Row>,
    unchanged: i64,
    corrected: i64,
}

impl Done {
    fn take(&mut self, metric: &str, labels: &Labels, at: Nanos, outcome: Outcome) {
        if outcome.old == outcome.now {
            self.unchanged += 1;
            return;
        }
        if outcome.kind == change::Kind::Corrected {
            self.corrected += 1;
        }
        let old = outcome.old.map(|kept| kept.value);
        let new = outcome.now.as_ref().map(|kept| kept.value);
        self.rows.push(row(outcome.kind, metric, labels, Some(at), old, new));
        let event = Event::Point { labels: labels.clone(), at, now: outcome.now };
        self.events.push((metric.to_owned(), event));
    }
}

fn row(
    kind: change::Kind,
    metric: &str,
    labels: &Labels,
    at: Option<Nanos>,
    old: Option<i64>,
    new: Option<i64>,
) -> Row {
    let (metric, labels) = (metric.to_owned(), labels.clone());
    Row { kind, metric, labels, at, old, new, revision: 0, recorded: 0, reason: String::new() }
}

/// What a put makes of what is there.
fn outcome(life: &Life, labels: &Labels, at: Nanos, put: &Put, add: bool) -> Result<Outcome, Reason> {
    let metric = life.metric();
    let state = life.state();
    let old = state.get(labels).and_then(|series| series.points.get(&at)).cloned();
    let end = put.end.unwrap_or_else(|| default_end(metric, at));
    let mut now = Kept { value: put.value, end, start: put.start, restated: put.restated };
    let mut kind = change::Kind::New;
    if let Some(old) = &old {
        kind = if add { change::Kind::Added } else { change::Kind::Corrected };
        if add {
            if put.end.is_some_and(|end| end != old.end) {
                return Err(Reason::EndTimeDiffers);
            }
            now.value = old.value.checked_add(put.value).ok_or(Reason::SumOutOfRange)?;
            now.end = old.end;
        }
    }
    Ok(Outcome { old, now: Some(now), kind })
}

/// The state as a batch would leave it.
fn played<'a>(life: &Life, events: impl Iterator<Item = &'a (String, Event)>) -> State {
    let mut state = life.state();
    for (_, event) in events {
        play(&mut state, event);
    }
    state
}

/// What is wrong about the point at `at` of a series.
fn series_faults(metric: &Metric, series: &SeriesState, at: Nanos) -> Vec<Reason> {
    let Some(point) = series.points.get(&at) else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    let opening = series.opening.as_ref();
    match metric.kind() {
        metric::Kind::Delta => {
            if opening.is_some_and(|opening| at < opening.at) {
                faults.push(Reason::BeforeOpening);
            }
            let others = series.points.iter().filter(|(other, _)| **other != at);
            for (&other, kept) in others {
                let (first, second, end) = if at < other { (at, other, point.end) } else { (other, at, kept.end) };
                if first < second && second < end {
                    faults.push(Reason::PeriodsOverlap);
                }
            }
        }
        metric::Kind::Cumulative => {
            if opening.is_some_and(|opening| at <= opening.at) {
                faults.push(Reason::BeforeOpening);
            }
            let before = series.points.range(..at).next_back().map(|(t, kept)| (*t, kept.value));
            let before = before.or(opening.filter(|o| o.at < at).map(|o| (o.at, o.value)));
            let after = series.points.range(at + 1..).next();
            if fell(before, point) || after.is_some_and(|(_, next)| fell(Some((at, point.value)), next)) {
                faults.push(Reason::LevelFell);
            }
        }
        _ => {}
    }
    faults
}

/// Whether a report is below the one before it, and neither begins again nor is restated.
fn fell(before: Option<(Nanos, i64)>, report: &Kept) -> bool {
    let Some((at, level)) = before else {
        return false;
    };
    let again = report.start.is_some_and(|start| start >= at);
    !again && !report.restated && report.value < level
}

fn refuse(faults: Vec<Reason>) -> Result<(), Refused> {
    match faults.first() {
        None => Ok(()),
        Some(&first) => Err(Refused { all: faults, ..Refused::state(first) }),
    }
}
