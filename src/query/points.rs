//! `ReadPoints`: the raw points, series by series, a run at a time.

use super::answer::{Answer, Edges};
use super::ask::Form;
use super::fault::QueryError;
use super::plan::PointsPlan;
use crate::domain::limit::READ_RUN_POINTS_MAX;
use crate::domain::point::Labels;
use crate::engine::view::Columns;

/// Points of one series that follow each other.
pub struct Run {
    /// The series.
    pub labels: Labels,
    /// At least one.
    pub points: Columns,
}

impl PointsPlan {
    /// The head of the answer.
    pub fn answer(&self) -> Answer {
        self.scene.answer(self.edges(), None)
    }

    /// How points are told.
    pub fn form(&self) -> Form {
        self.form
    }

    fn edges(&self) -> Edges {
        Edges { start: self.start, end: self.end }
    }

    /// Hands all points to `take`, by series, then by time; ends early where it answers false.
    pub fn run(&self, mut take: impl FnMut(Run) -> bool) -> Result<(), QueryError> {
        for series in self.scene.series()? {
            let mut interval = self.edges().interval();
            loop {
                let points = series.columns(interval, READ_RUN_POINTS_MAX)?;
                let Some(last) = points.len().checked_sub(1) else { break };
                let is_last = points.len() < READ_RUN_POINTS_MAX;
                interval.start = points.time(last).next();
                if !take(Run { labels: series.labels().clone(), points }) {
                    return Ok(());
                }
                if is_last {
                    break;
                }
            }
        }
        Ok(())
    }
}
