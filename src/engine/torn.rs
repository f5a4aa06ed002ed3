//! A component of whose own frames some cannot be read, in a store that is opened to be repaired: whom what they held may
//! have touched. What it cannot have touched is served; what it may have is refused from then on, for good.
//!
//! - A page of records: every series whose last record is older. A later record says all that the one on the page did,
//!   and blocks and runs have lines of their own. Where the record of a series is nowhere, so that nobody knows whose it
//!   is, every metric may miss it.
//! - The component's record: nothing, where its length says that it told of no change of the catalogue. Otherwise every
//!   metric, for it may be deleted, but those of which there are records from before and from after it: they were written
//!   to, so only their texts can have changed, and go on with those that are known. A metric that was made in it is gone.
//! - A whole fold file: every metric that was made before the component's next revision that is known, unless that follows
//!   on the last one before the file, or all records that the file covered are known to be others'. What lies in later
//!   files may rest on what is lost.
//! - Facts of revisions, changes, request ids: their lines say which (see `open`).

use super::batch::MetricId;
use super::fold::frames::{
    FrameKind, SeriesRecord, batches_line, ids_line, may_tell_of_catalogue, read_batches_line, read_ids_line,
    read_whose,
};
use super::lost::{Lost, LostMetric, series_text};
use super::repair::{Loss, Touched};
use super::state::Component;
use crate::domain::time::Time;
use crate::planted::{self, Bug};
use crate::store::{Damage, FrameRef, Gap, Line, Position};
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
    /// What folds say of revisions: the fold, the first, the last.
    facts: Vec<(Position, i64, i64)>,
    /// Ids that were met anywhere: nothing else may get them.
    highest: (u64, u64),
    losses: Vec<Loss>,
    /// Fold files that cannot be read.
    gaps: Vec<Gap>,
    holes: Vec<Hole>,
}

/// A fold file that cannot be read, as far as it is of a component.
struct Hole {
    /// What it covers, and why it cannot be read.
    gap: Gap,
    /// The last revision before it.
    before: i64,
    /// The first revision after it, and the fold that says so.
    next: Option<(i64, Position)>,
    /// Another such file lies before that.
    is_told_later: bool,
}

/// Series that are refused, and what is listed.
#[derive(Default)]
pub struct Marked {
    /// Where the damage is, by series.
    pub series: HashMap<u64, Damage>,
    /// What is lost.
    pub losses: Vec<Loss>,
    /// What is put in the place of fold files that cannot be read, by the last position that they cover.
    pub lines: Vec<(Position, Line)>,
    /// Nobody knows how many revisions the last of these files held.
    pub is_open_ended: bool,
}

impl Torn {
    /// Of a store in which these fold files cannot be read.
    pub fn new(gaps: &[Gap]) -> Torn {
        Torn { gaps: gaps.to_vec(), ..Torn::default() }
    }

    /// The last file before a fold that cannot be read.
    pub fn damage_before(&self, fold: Position) -> Option<&Damage> {
        self.gaps.iter().rfind(|gap| gap.last < fold).map(|gap| &gap.damage)
    }

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

    /// A line says of revisions which they are.
    pub fn facts(&mut self, fold: Position, first: i64, count: i64) {
        self.facts.push((fold, first, first + count - 1));
    }

    /// All lines were read. Answers how many revisions each of these files held of the component, where that is known.
    pub fn pass(&mut self) -> Vec<Option<i64>> {
        let hole = |gap: &Gap| {
            let before = self.facts.iter().filter(|(fold, ..)| *fold < gap.first).map(|(.., last)| *last).max();
            let after = self.facts.iter().filter(|(fold, ..)| *fold > gap.last);
            let next = after.map(|(fold, first, _)| (*first, *fold)).min();
            let lies_between = |other: &Gap| other.first > gap.last && next.is_some_and(|(_, fold)| other.last < fold);
            let is_told_later = self.gaps.iter().any(lies_between);
            Hole { gap: gap.clone(), before: before.unwrap_or(0), next, is_told_later }
        };
        self.holes = self.gaps.iter().map(hole).collect();
        self.holes.iter().map(|hole| hole.next.map(|(next, _)| next - 1 - hole.before)).collect()
    }

    /// A component's record was read.
    pub fn component(&mut self, fold: Position, revision: i64, next_series: u64) {
        // Its revision goes on from here, though no facts say it.
        self.facts(fold, revision + 1, 0);
        self.next_series.insert(fold, next_series);
    }

    /// Something says that these ids were given away; 0: it says nothing of one.
    pub fn met(&mut self, metric: MetricId, series: u64) {
        self.highest = (self.highest.0.max(metric.0), self.highest.1.max(series));
    }

    /// Marks the metrics that may be touched. Answers the series that may be, and all that is to be listed. `told`: every
    /// record of the one fold file that cannot be read is known to be somebody's.
    pub fn mark(mut self, component: &mut Component, told: bool, now: Time) -> Marked {
        component.pass_over(MetricId(self.highest.0), self.highest.1);
        let mut series = HashMap::new();
        for (fold, damage) in std::mem::take(&mut self.pages) {
            let older = self.recorded.iter().filter(|(_, last)| **last < fold);
            if !planted::is(Bug::ServeTouched) {
                series.extend(older.map(|(id, _)| (*id, damage.clone())));
            }
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
        let is_open_ended = !told && self.holes.last().is_some_and(|hole| hole.next.is_none());
        let lines =
            std::mem::take(&mut self.holes).into_iter().flat_map(|hole| self.lose_fold(component, hole, told, now));
        let lines = lines.collect();
        Marked { series, losses: self.losses, lines, is_open_ended }
    }

    /// Marks what a file may have held. Answers the lines that say from then on what of the component is lost with it.
    fn lose_fold(&mut self, component: &mut Component, hole: Hole, told: bool, now: Time) -> Vec<(Position, Line)> {
        let Hole { gap, before, next, is_told_later } = hole;
        let missing = next.map(|(next, _)| next - 1 - before);
        if told && missing.is_none_or(|missing| missing == 0) {
            return Vec::new();
        }
        if missing != Some(0) {
            let of = format!("the catalogue of {}", component.name);
            self.list(gap.damage.clone(), of, Touched::Catalogue);
            let made = |id: MetricId| component.catalog.iter().find(|change| change.id == id && change.old.is_none());
            let is_later = |id: &MetricId| next.zip(made(*id)).is_some_and(|((next, _), made)| made.revision >= next);
            let later: Vec<MetricId> = component.metrics.values().map(|metric| metric.id).filter(is_later).collect();
            self.refuse(component, &gap.damage, |id| !later.contains(&id));
        }
        // Recorded time never goes back in a component.
        let first = next.and_then(|(next, _)| component.batch(next)).map_or(now, |facts| facts.record_time);
        self.list(gap.damage.clone(), format!("request ids of {}", component.name), Touched::Ids(first));
        component.lose_ids(first, gap.damage.clone());
        let facts = missing.filter(|missing| *missing > 0 && !is_told_later);
        let facts = facts.map(|missing| batches_line(&component.name, before + 1, missing));
        let lines = [Some(ids_line(&component.name, first)), facts];
        lines.into_iter().flatten().map(|line| (gap.last, line)).collect()
    }

    fn refuse(&mut self, component: &mut Component, damage: &Damage, may_be: impl Fn(MetricId) -> bool) {
        for (name, metric) in component.metrics.clone() {
            let id = metric.id;
            if may_be(id) {
                self.list(damage.clone(), name.to_string(), Touched::All(1));
                if !component.is_refused(id) && !planted::is(Bug::ServeTouched) {
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
