//! What is lost, and giving it up: afterwards the store is whole again, and answers as if the lost had never been.
//!
//! It works on a store that nobody serves. What is given up is named first; then one fold is written in which the
//! series go on without it, so that a crash leaves either what was there before or all of it done.

use super::Settings;
use super::block::{Columns, Leaf};
use super::committer::State;
use super::effect::{Deed, Effect, write_effect};
use super::fold::{Fold, Folded};
use super::history::History;
use super::lost::{Lost, series_text};
use super::open::{Opened, Unreadable, open};
use super::state::{Component, Metric, Series};
use super::tree::apply::nodes;
use super::tree::child::{Body, Child, Loader};
use super::tree::{Entry, Extent};
use crate::clock::Clock;
use crate::domain::name::{ComponentName, MetricName};
use crate::domain::point::Labels;
use crate::domain::time::Time;
use crate::store::{Commit, Committed, Damage, FrameRef, Gap, Line, Position, Record, Store, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Something that is lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loss {
    /// Where the damage is.
    pub damage: Damage,
    /// How many bytes cannot be read there, where that is known.
    pub bytes: Option<u64>,
    /// The series, the metric, or the component that it touches; or that nobody knows.
    pub of: String,
    /// What of it.
    pub what: Touched,
    /// It can be given up. What cannot is to be restored from a backup.
    pub can_be_given_up: bool,
}

/// What of a series, metric or component is lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Touched {
    /// Keys from the first to the last, from a revision on.
    Keys(Time, Time, i64),
    /// All of it, from a revision on.
    All(i64),
    /// What these revisions did, from the first to the last, to any of its series.
    Revisions(i64, i64),
    /// Nothing: it only keeps the store from being opened, or a component from being served.
    Nothing,
    /// What was made, changed or deleted of its metrics.
    Catalogue,
    /// Request ids, of which the last was recorded then.
    Ids(Time),
    /// Whatever these records of the log did, from the first to the last; None: nobody knows how many there were.
    Records(Position, Option<Position>),
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { file, offset, what } = &self.damage;
        write!(f, "{}, ", self.of)?;
        match self.what {
            Touched::Keys(first, last, revision) => write!(f, "{first} to {last}, from revision {revision} on")?,
            Touched::All(revision) => write!(f, "all of it, from revision {revision} on")?,
            Touched::Revisions(first, last) => write!(f, "any series of it, revisions {first} to {last}")?,
            Touched::Nothing => write!(f, "all that it held is elsewhere")?,
            Touched::Catalogue => write!(f, "metrics made, changed or deleted")?,
            Touched::Ids(last) => write!(f, "recorded up to {last}")?,
            Touched::Records(first, Some(last)) => write!(f, "records {} to {} of the log", first.0, last.0)?,
            Touched::Records(first, None) => {
                write!(f, "record {} of the log, and nobody knows how many after it", first.0)?;
            }
        }
        write!(f, ": {file} is damaged at byte {offset}")?;
        if let Some(bytes) = self.bytes {
            write!(f, ", {bytes} bytes")?;
        }
        write!(f, ": {what}")
    }
}

/// What was given up, in a store whose series, metrics and components say so: its bytes can go.
#[derive(Default)]
pub struct GivenUp {
    /// Damaged frames that nothing refers to any more, those that were given up before among them.
    pub frames: BTreeSet<FrameRef>,
    /// What is put in the place of fold files that cannot be read, by the last position that they cover.
    pub folds: BTreeMap<Position, Vec<Line>>,
}

/// A store being put right.
pub struct Repair {
    loader: Arc<Loader>,
    settings: Settings,
    opened: Opened,
    losses: Vec<Loss>,
}

impl Repair {
    /// Looks at everything. Costs reading all blocks and runs once.
    pub fn look(store: Arc<dyn Store>, clock: &dyn Clock, settings: Settings) -> Result<Repair, StoreError> {
        let loader = Arc::new(Loader::new(store, settings.cache_bytes_max));
        let opened = open(&loader, &settings, clock.now(), Unreadable::Repaired)?;
        let losses = opened.torn.clone();
        let mut repair = Repair { loader, settings, opened, losses };
        repair.gaps();
        for component in State::clone(&repair.opened.state).values() {
            repair.component(component)?;
        }
        Ok(repair)
    }

    /// What of the log cannot be read, and whose it was as far as revisions that are missing say it.
    fn gaps(&mut self) {
        let gaps = self.loader.store().gaps();
        let loss = |gap: &Gap, of: String, what| Loss {
            damage: gap.damage.clone(),
            bytes: gap.bytes,
            of,
            what,
            can_be_given_up: true,
        };
        for gap in &gaps {
            if gap.last < gap.first {
                self.losses.push(loss(gap, "nothing".into(), Touched::Nothing));
                continue;
            }
            let what = Touched::Records(gap.first, Some(gap.last).filter(|_| !gap.is_bound));
            self.losses.push(loss(gap, "unknown: any series of the store".into(), what));
            for missing in &self.opened.missing {
                let (after, before) = missing.between;
                if after < gap.first && gap.last < before {
                    let what = Touched::Revisions(missing.first, missing.last);
                    self.losses.push(loss(gap, missing.component.to_string(), what));
                }
            }
        }
        // Which of several gaps held a metric's making is not known.
        let Some(gap) = gaps.iter().find(|gap| gap.first <= gap.last) else { return };
        for ((_, metric), revision) in &self.opened.unmade {
            self.losses.push(loss(gap, metric.to_string(), Touched::All(*revision)));
        }
    }

    /// What is lost, by component and series.
    pub fn losses(&self) -> &[Loss] {
        &self.losses
    }

    fn component(&mut self, component: &Component) -> Result<(), StoreError> {
        if let Some(StoreError::Damaged { file, offset, what, .. }) = &component.damaged {
            let damage = Damage { file: file.clone(), offset: *offset, what: what.clone() };
            self.found(damage, component.name.to_string(), Touched::All(component.revision), false);
            return Ok(());
        }
        for metric in &component.lost {
            self.lost(metric.name.to_string(), &metric.lost);
        }
        for metric in component.metrics.values() {
            for stored in &metric.stored_changes {
                if let Some(damage) = damage(self.loader.store().read_frame(stored.at).map(drop))? {
                    let of = format!("ListChanges of {}", metric.definition().name);
                    self.found(damage, of, Touched::Revisions(stored.first_revision, stored.last_revision), true);
                }
            }
            for series in metric.series.values() {
                self.series(component, metric, series)?;
            }
        }
        Ok(())
    }

    fn found(&mut self, damage: Damage, of: String, what: Touched, can_be_given_up: bool) {
        self.losses.push(Loss { damage, bytes: None, of, what, can_be_given_up });
    }

    fn lost(&mut self, of: String, lost: &Lost) {
        if lost.given_up {
            return;
        }
        let what = match lost.is_whole() {
            true => Touched::All(lost.revision),
            false => Touched::Keys(lost.first, lost.last, lost.revision),
        };
        self.found(lost.damage.clone(), of, what, true);
    }

    /// What is lost of a series; damaged blocks and runs leave it at once, in memory.
    fn series(&mut self, component: &Component, metric: &Arc<Metric>, series: &Series) -> Result<(), StoreError> {
        let definition = metric.definition();
        let of = series_text(&definition.name, &definition.label_names, &series.labels);
        for lost in series.lost() {
            self.lost(of.clone(), lost);
        }
        let mut found = Vec::new();
        let mut leaves = Vec::new();
        if let Some(root) = &series.root {
            self.leaves(root, &mut leaves, &mut found)?;
        }
        let torn = !found.is_empty();
        let mut runs = series.history().runs.clone();
        let mut versions = series.history().recent.clone();
        let mut torn_past = false;
        for run in &series.history().runs {
            match super::history::read_run(run, &self.loader) {
                Ok(read) => versions.extend(read),
                Err(error) => {
                    let extent = Extent {
                        first_key: run.first_key,
                        last_key: run.last_key,
                        lowest_revision: 1,
                        highest_revision: component.revision,
                    };
                    found.extend(damage(Err(error))?.map(|damage| (damage, extent)));
                    torn_past = true;
                }
            }
        }
        for (damage, extent) in found {
            let what = Touched::Keys(extent.first_key, extent.last_key, extent.lowest_revision);
            self.found(damage, of.clone(), what, true);
        }
        if torn_past {
            runs.clear();
        }
        if torn || torn_past || series.lost().iter().any(|lost| !lost.given_up) {
            let name = definition.name.clone();
            self.change(&component.name, &name, &series.labels, |kind_of, settings, series| {
                if torn {
                    series.root = rebuilt(kind_of, leaves, settings);
                }
                let aside = series.aside_mut();
                aside.lost.retain(|lost| lost.given_up);
                if torn_past {
                    aside.history = History { runs, recent: versions, anew: true };
                }
            });
        }
        Ok(())
    }

    /// The blocks below an entry; in place of a damaged one an empty one of the same keys.
    fn leaves(
        &self,
        entry: &Entry,
        into: &mut Vec<Entry>,
        found: &mut Vec<(Damage, Extent)>,
    ) -> Result<(), StoreError> {
        match self.loader.load(&entry.child) {
            Ok(Body::Node(children)) => children.iter().try_for_each(|child| self.leaves(child, into, found)),
            Ok(Body::Leaf(_)) => {
                into.push(entry.clone());
                Ok(())
            }
            Err(error) => {
                found.extend(damage(Err(error))?.map(|damage| (damage, entry.extent)));
                let empty = Child::fresh(Body::Leaf(Arc::new(Leaf::new(Columns::default()))));
                into.push(Entry { extent: entry.extent, sum: None, child: empty });
                Ok(())
            }
        }
    }

    fn change(
        &mut self,
        component: &ComponentName,
        name: &MetricName,
        labels: &Labels,
        change: impl FnOnce(crate::domain::definition::Kind, &Settings, &mut Series),
    ) {
        let dirty = self.opened.dirty.components.entry(component.clone()).or_default();
        let component = self.opened.state.get_mut(component).expect("it was just looked at");
        let metric = Arc::make_mut(component).metrics.get_mut(name).expect("it was just looked at");
        let metric = Arc::make_mut(metric);
        let kind = metric.definition().kind;
        let series = metric.series.get_mut(labels).expect("it was just looked at");
        dirty.extend([series.id]);
        change(kind, &self.settings, Arc::make_mut(series));
    }

    /// Goes on without what is lost, for good. The index is not closed: it is built anew when the store is opened.
    /// Refused where a component as a whole is damaged: nothing is changed then.
    pub fn give_up(mut self) -> Result<GivenUp, StoreError> {
        if let Some(error) = &self.opened.damaged {
            return Err(error.clone());
        }
        let dead = GivenUp { frames: self.damaged_frames()?, folds: std::mem::take(&mut self.opened.lines) };
        let goes = |component: &&Arc<Component>| component.lost.iter().any(|lost| !lost.lost.given_up);
        let names: Vec<ComponentName> = self.opened.state.values().filter(goes).map(|c| c.name.clone()).collect();
        for name in names {
            let component = self.opened.state.get_mut(&name).expect("it was just found");
            Arc::make_mut(component).lost.retain(|lost| lost.lost.given_up);
            self.opened.dirty.components.entry(name).or_default();
        }
        let store = self.loader.store().clone();
        let through = if self.opened.last_position > self.opened.folded {
            self.opened.last_position
        } else {
            let Some(position) = self.reached(&*store)? else { return Ok(dead) };
            position
        };
        let fold = Fold {
            state: self.opened.state,
            dirty: self.opened.dirty,
            through,
            memtable_bytes: 0,
            is_awaited: Arc::default(),
        };
        match fold.run(&self.loader, &self.settings) {
            Folded::Done(_) => store.trim(through).map(|()| dead),
            Folded::Failed { error, .. } => Err(error),
        }
    }

    /// A place in the log beyond all that is lost, for the fold to reach; None: there is nothing to be folded.
    fn reached(&self, store: &dyn Store) -> Result<Option<Position>, StoreError> {
        let Some(first) = self.opened.dirty.components.keys().next() else { return Ok(None) };
        let component = self.opened.state.get(first).expect("what is dirty is there");
        let nobody: Arc<str> = "".into();
        let nothing = Effect { memo: None, who: nobody.clone(), reason: nobody, added: false, deed: Deed::Nothing };
        let (series, body) = write_effect(&nothing);
        let record = Record {
            component: first.clone(),
            record_time: self.opened.last_record_time,
            revision: component.revision,
            counts: [0; 3],
            series: series.into(),
            body: body.into(),
        };
        let commit = Commit { component: first.clone(), judged_at: component.position, records: vec![record] };
        match store.commit(&[commit])?.pop() {
            Some(Committed::Done(positions)) => Ok(positions.last().copied()),
            _ => unreachable!("an embedded store loses no race"),
        }
    }

    /// Frames that cannot be read: all that was referred to has just been looked at, and is given up.
    fn damaged_frames(&self) -> Result<BTreeSet<FrameRef>, StoreError> {
        let store = self.loader.store();
        let mut frames = Vec::new();
        store.read_lines(&mut |_, at| frames.push(at))?;
        let mut damaged = BTreeSet::new();
        for at in frames {
            if damage(store.read_frame(at).map(drop))?.is_some() {
                damaged.insert(at);
            }
        }
        Ok(damaged)
    }
}

/// Damage of what was read; other errors end the repair.
fn damage(read: Result<(), StoreError>) -> Result<Option<Damage>, StoreError> {
    match read {
        Ok(()) => Ok(None),
        Err(StoreError::Damaged { file, offset, what, .. }) => Ok(Some(Damage { file, offset, what })),
        Err(error) => Err(error),
    }
}

/// A tree of these blocks.
fn rebuilt(kind: crate::domain::definition::Kind, mut level: Vec<Entry>, settings: &Settings) -> Option<Entry> {
    while level.len() > 1 {
        level = nodes(kind, level, settings.node_children_max, true);
    }
    level.pop()
}
