//! What counts, and when: the openings and the flows of a group's series.

use milepost::proto::v1::*;

use super::{Labels, Nanos, SeriesState, select::Member};

/// So much before this time.
#[derive(Clone, Debug)]
pub struct Opens {
    pub labels: Labels,
    pub at: Nanos,
    pub amount: i128,
    pub note: String,
}

/// So much happened between `from` and `to`.
#[derive(Clone, Debug)]
pub struct Flow {
    /// DELTA: the point's time. CUMULATIVE: the report's.
    pub at: Nanos,
    /// DELTA: `[from, to)`, an instant where they are equal. CUMULATIVE: `(from, to]`.
    pub from: Nanos,
    pub to: Nanos,
    pub amount: i128,
}

/// All that counts in a group, unsorted.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    pub openings: Vec<Opens>,
    pub flows: Vec<Flow>,
}

impl Counted {
    pub fn of(metric: &Metric, series: &[Member]) -> Counted {
        let mut counted = Counted::default();
        for Member { labels, state, .. } in series {
            if metric.kind() == metric::Kind::Gauge {
                continue;
            }
            if let Some(opening) = &state.opening {
                counted.openings.push(Opens {
                    labels: labels.clone(),
                    at: opening.at,
                    amount: opening.value.into(),
                    note: opening.note.clone(),
                });
            }
            match metric.kind() {
                metric::Kind::Delta => counted.points(state),
                _ => counted.reports(labels, state),
            }
        }
        counted
    }

    fn points(&mut self, state: &SeriesState) {
        for (&at, point) in &state.points {
            self.flows.push(Flow { at, from: at, to: point.end, amount: point.value.into() });
        }
    }

    fn reports(&mut self, labels: &Labels, state: &SeriesState) {
        let mut before = state.opening.as_ref().map(|o| (o.at, i128::from(o.value)));
        for (&at, report) in &state.points {
            let level = i128::from(report.value);
            let flow = match (before, report.start) {
                (None, None) => None,
                (None, Some(start)) => Some((start, level)),
                (Some((at, _)), Some(start)) if start >= at => Some((start, level)),
                (Some((at, before)), _) => Some((at, level - before)),
            };
            match flow {
                Some((from, amount)) => self.flows.push(Flow { at, from, to: at, amount }),
                None => self.openings.push(Opens { labels: labels.clone(), at, amount: level, note: String::new() }),
            }
            before = Some((at, level));
        }
    }
}
