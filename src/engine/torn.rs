//! A component of whose own frames some cannot be read, in a store that is opened to be repaired: whom what they held may
//! have touched. What it cannot have touched is served; what it may have is refused from then on, for good.
//!
//! - A page of records: every series whose last record is older. A later record says all that the one on the page did,
//!   and blocks and runs have lines of their own. Where the record of a series is nowhere, so that nobody knows whose it
//!   is, every metric may miss it.
//! - The component's record: nothing, where its length says that it told of no change of the catalogue. Otherwise every
//!   metric, for it may be deleted, but those of which there are records from before and from after it: they were written
//!   to, so only their texts can have changed, and go on with those that are known. A metric that was made in it is gone.
//! - Facts of revisions, changes, request ids: their lines say which (see `open`).

use super::batch::MetricId;
use super::fold::frames::{
    FrameKind, SeriesRecord, may_tell_of_catalogue, read_batches_line, read_ids_line, read_whose,
};
use super::lost::{Lost, LostMetric, series_text};
use super::repair::{Loss, Touched};
use super::state::Component;
use crate::domain::time::Time;
use crate::planted::{self, Bug};
use crate::store::{Damage, FrameRef, Line, Position};
use std::collections::{BTreeMap, HashMap};

/// What is known of a component while its frames are read.
#[derive(Default)]
pub struct Torn {
    pages: Vec<(Position, Damage)>,
    catalogues: Vec<(Position, Damage)>,
    /// The fold of the last record of each series.
    recorded: HashMap<u64, Position>,
    /// The folds of the first and of the last record of a series of each metric.
    written: HashMap<MetricId, (Position, Position)>,
    /// What series that are made later get, as of each fold.
    next_series: BTreeMap<Position, u64>,
    /// Ids that were met anywhere: nothing else may get them.
    highest: (u64, u64),
    losses: Vec<Loss>,
}

/// Series that are refused, and what is listed.
pub struct Marked {
    /// Where the damage is, by series.
    pub series: HashMap<u64, Damage>,
    /// What is lost.
    pub losses: Vec<Loss>,
}

impl Torn {
    /// A frame cannot be read.
    pub fn lose(&mut self, line: &Line, kind: FrameKind, (at, bytes): (FrameRef, u64), damage: Damage) {
        match kind {
            FrameKind::SeriesPage => self.pages.push((at.fold, damage)),
            FrameKind::Component if may_tell_of_catalogue(&line.summary, bytes) => {
                self.catalogues.push((at.fold, damage));
            }
            FrameKind::Batches => {
                let (first, count) = read_batches_line(&line.summary).unwrap_or_default();
                let of = format!("when and by whom, in {}", line.component);
                self.list(damage, of, Touched::Revisions(first, first + count - 1));
            }
            FrameKind::Ids => {
                let last = read_ids_line(&line.summary).unwrap_or(Time::MIN);
                self.list(damage, format!("request ids of {}", line.component), Touched::Ids(last));
            }
            _ => self.list(damage, format!("nothing of {}", line.component), Touched::Nothing),
        }
    }

    fn list(&mut self, damage: Damage, of: String, what: Touched) {
        self.losses.push(Loss { damage, bytes: None, of, what, can_be_given_up: true });
    }

    /// A line of a block or a run was read.
    pub fn stretch(&mut self, line: &Line) {
        if let Ok((metric, series)) = read_whose(&line.summary) {
            self.met(metric, series);
        }
    }

    /// A record of a series was read.
    pub fn record(&mut self, fold: Position, record: &SeriesRecord) {
        self.met(record.metric, record.id);
        self.recorded.insert(record.id, fold);
        self.written.entry(record.metric).or_insert((fold, fold)).1 = fold;
    }

    /// A component's record was read.
    pub fn component(&mut self, fold: Position, next_series: u64) {
        self.next_series.insert(fold, next_series);
    }

    /// Something says that these ids were given away; 0: it says nothing of one.
    pub fn met(&mut self, metric: MetricId, series: u64) {
        self.highest = (self.highest.0.max(metric.0), self.highest.1.max(series));
    }

    /// Marks the metrics that may be touched. Answers the series that may be, and all that is to be listed.
    pub fn mark(mut self, component: &mut Component) -> Marked {
        component.pass_over(MetricId(self.highest.0), self.highest.1);
        let mut series = HashMap::new();
        let pages = if planted::is(Bug::ServeTouched) { Vec::new() } else { std::mem::take(&mut self.pages) };
        for (fold, damage) in pages {
            let older = self.recorded.iter().filter(|(_, last)| **last < fold);
            series.extend(older.map(|(id, _)| (*id, damage.clone())));
            let next = self.next_series.range(fold..).next().map_or(component.next_series, |(_, next)| *next);
            match (1..next).any(|id| !self.recorded.contains_key(&id)) {
                true => self.refuse(component, &damage, |_| true),
                false => self.list(damage, format!("a page of {}", component.name), Touched::Nothing),
            }
        }
        for (fold, damage) in std::mem::take(&mut self.catalogues) {
            let written = std::mem::take(&mut self.written);
            let was_there = |id| written.get(&id).is_some_and(|(first, last)| *first < fold && fold < *last);
            self.list(damage.clone(), format!("the catalogue of {}", component.name), Touched::Catalogue);
            self.refuse(component, &damage, |id| !was_there(id));
            self.written = written;
        }
        Marked { series, losses: self.losses }
    }

    fn refuse(&mut self, component: &mut Component, damage: &Damage, may_be: impl Fn(MetricId) -> bool) {
        for (name, metric) in component.metrics.clone() {
            let id = metric.id;
            if may_be(id) {
                self.list(damage.clone(), name.to_string(), Touched::All(1));
                if !component.is_refused(id) {
                    let lost = Lost::for_good(damage.clone());
                    component.lost.push(LostMetric { name, id, skips: false, lost });
                }
            }
        }
    }
}

impl Marked {
    /// Marks a series that may be touched.
    pub fn series(&mut self, component: &Component, record: &mut SeriesRecord) {
        let Some(damage) = self.series.remove(&record.id) else { return };
        let metric = component.metrics.values().find(|metric| metric.id == record.metric);
        if let Some(metric) = metric {
            let definition = metric.definition();
            let of = series_text(&definition.name, &definition.label_names, &record.labels);
            let (what, bytes) = (Touched::All(1), None);
            self.losses.push(Loss { damage: damage.clone(), bytes, of, what, can_be_given_up: true });
        }
        if !record.lost.iter().any(|lost| lost.given_up) {
            record.lost.push(Lost::for_good(damage));
        }
    }
}
