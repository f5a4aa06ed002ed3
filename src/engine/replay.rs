//! What the log has beyond the folds: outcomes are applied, nothing is judged again. What is damaged is carried on as
//! lost, and the rest goes on around it.

use super::Settings;
use super::batch::Ack;
use super::codec::Undecodable;
use super::committer::remembered;
use super::effect::{Around, Deed, Effect, SeriesKey, apply_lost, read_effect, read_list};
use super::open::Opened;
use super::state::Component;
use super::tree::child::Loader;
use crate::domain::name::ComponentName;
use crate::planted::{self, Bug};
use crate::store::{Damage, Logged, Position, Record, StoreError};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

/// Bytes of the log from which on it is decoded ahead: of fewer it is not worth a thread.
const READ_AHEAD_FROM_BYTES: u64 = 4 << 20;
/// Records that are decoded ahead, at most; each may be of 10,000 series.
const READ_AHEAD_MAX: usize = 4;

/// What was read of the log.
enum Read {
    /// A record, and what it did.
    Whole(Record, Result<Effect, Undecodable>),
    /// It was acknowledged, and what it did is lost.
    Lost(Record, Damage),
    /// Revisions may be missing from here on.
    GivenUp,
}

impl Read {
    fn of(logged: Logged) -> Read {
        match logged {
            Logged::Whole(record) => {
                let effect = read_effect(&record.series, &record.body);
                Read::Whole(record, effect)
            }
            Logged::Lost(record, damage) => Read::Lost(record, damage),
            Logged::GivenUp => Read::GivenUp,
        }
    }
}

/// Goes through the log.
pub struct Replay<'a> {
    /// What is made of it.
    pub opened: &'a mut Opened,
    /// Reads children.
    pub loader: &'a Arc<Loader>,
    /// Sizes.
    pub settings: &'a Settings,
    /// Something cannot be read and was given up: revisions may be missing.
    given_up: bool,
    /// The store is opened to be repaired.
    repairs: bool,
}

/// Revisions of a component that are missing, in a store that is opened to be repaired.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missing {
    /// The component.
    pub component: ComponentName,
    /// The first of them.
    pub first: i64,
    /// The last of them.
    pub last: i64,
    /// Between these positions of the log, both without.
    pub between: (Position, Position),
}

impl<'a> Replay<'a> {
    /// Nothing yet.
    pub fn new(opened: &'a mut Opened, loader: &'a Arc<Loader>, settings: &'a Settings, repairs: bool) -> Replay<'a> {
        let given_up = !opened.torn.is_empty() || opened.hole.is_some();
        Replay { opened, loader, settings, given_up, repairs }
    }

    /// All of it. A long one is read and decoded by a thread of its own while it is applied.
    pub fn run(mut self) -> Result<(), StoreError> {
        let store = self.loader.store().clone();
        let from = if planted::is(Bug::OverlayTwice) { Position(0) } else { self.opened.folded };
        if store.log_bytes() < READ_AHEAD_FROM_BYTES {
            let mut taken = Ok(());
            store.read_log(from, &mut |position, logged| {
                if taken.is_ok() {
                    taken = self.take(position, Read::of(logged));
                }
            })?;
            return taken;
        }
        std::thread::scope(|scope| {
            let (found, records) = sync_channel(READ_AHEAD_MAX);
            let reading = scope.spawn(move || {
                store.read_log(from, &mut |position, logged| {
                    // Where that fails nobody wants to know any more.
                    let _ = found.send((position, Read::of(logged)));
                })
            });
            let taken = records.iter().try_for_each(|(position, read)| self.take(position, read));
            drop(records);
            reading.join().expect("reading the log does not panic")?;
            taken
        })
    }

    fn take(&mut self, position: Position, read: Read) -> Result<(), StoreError> {
        self.opened.last_position = position;
        match read {
            Read::Whole(record, effect) => {
                let effect = effect.map_err(|e| undecodable(position, e))?;
                self.apply(position, &record, &effect)
            }
            Read::Lost(record, damage) => self.lose(position, &record, damage),
            Read::GivenUp => {
                self.given_up = true;
                Ok(())
            }
        }
    }

    /// The component to be changed by a record that makes its revision or not; None: it is damaged, and waits. It is taken
    /// out of the state, so that it is changed in place: nobody reads an older one.
    fn component(&mut self, position: Position, record: &Record, makes: bool) -> Option<Component> {
        self.opened.last_record_time = self.opened.last_record_time.max(record.record_time);
        let there = self.opened.state.remove(&record.component);
        let mut component = there.map_or_else(|| Component::new(record.component.clone()), Arc::unwrap_or_clone);
        if component.damaged.is_some() {
            self.opened.state.insert(record.component.clone(), Arc::new(component));
            return None;
        }
        let before = record.revision - i64::from(makes);
        if self.given_up && component.revision < before {
            let between = (component.position, position);
            let (component_name, first) = (component.name.clone(), component.revision + 1);
            self.opened.missing.push(Missing { component: component_name, first, last: before, between });
            // The first that the log says of a component goes on from the folds.
            match self.opened.hole.is_some() && component.position <= self.opened.folded {
                true => self.opened.lose_revisions(&mut component, before),
                false => component.leave_out_revisions(before, record.record_time),
            }
        }
        Some(component)
    }

    fn put(&mut self, position: Position, mut component: Component, record: &Record) -> Result<(), StoreError> {
        if component.revision != record.revision {
            return Err(bad(position, "its revision does not follow"));
        }
        component.position = position;
        self.opened.state.insert(record.component.clone(), Arc::new(component));
        Ok(())
    }

    /// The component waits, for what is damaged cannot be told apart from the rest of it.
    fn damaged(&mut self, mut component: Component, error: StoreError) {
        tracing::error!(%error, component = %component.name, "a component is damaged and not served");
        component.damaged = Some(error);
        self.opened.state.insert(component.name.clone(), Arc::new(component));
    }

    fn apply(&mut self, position: Position, record: &Record, effect: &Effect) -> Result<(), StoreError> {
        let Some(mut component) = self.component(position, record, effect.changes()) else { return Ok(()) };
        if self.given_up {
            self.note_skipped(&component, effect);
        }
        self.opened.dirty.note(effect, &component);
        let mut around = Around {
            settings: self.settings,
            loader: self.loader,
            replaced_nodes: &mut self.opened.dirty.replaced_nodes,
            bytes_added: 0,
        };
        let before = self.repairs.then(|| component.clone());
        match (effect.apply(&mut component, record.record_time, &mut around), before) {
            (Err(StoreError::Damaged { file, offset, what, .. }), Some(before)) => {
                // The log goes on from a damaged block: what the record did is lost with it.
                return self.lose_of(position, before, record, Damage { file, offset, what });
            }
            (Err(error @ StoreError::Damaged { .. }), None) => {
                self.damaged(component, error);
                return Ok(());
            }
            (applied, _) => applied?,
        }
        self.opened.memtable_bytes += around.bytes_added;
        self.remember(&record.component, effect, record);
        self.put(position, component, record)
    }

    fn remember(&mut self, component: &ComponentName, effect: &Effect, record: &Record) {
        let Some(memo) = &effect.memo else { return };
        let [accepted, unchanged, corrected] = record.counts;
        let revision = record.revision;
        let ack = Ack { revision, accepted, unchanged, corrected, replayed: false, definition: None };
        let first = remembered(memo, &ack, record.record_time);
        self.opened.ids.insert(memo.fingerprint, &first);
        self.opened.dirty.ids.push((component.clone(), memo.fingerprint, first));
    }

    /// What is written to a metric whose making cannot be read is lost with it.
    fn note_skipped(&mut self, component: &Component, effect: &Effect) {
        let keys: Vec<&SeriesKey> = match &effect.deed {
            Deed::Points(series) => series.iter().map(|deed| &deed.key).collect(),
            Deed::Opening(key, _) => vec![key],
            _ => Vec::new(),
        };
        for key in keys {
            let known = component.lost.iter().any(|lost| lost.id == key.metric_id);
            if component.skips(&key.metric, key.metric_id) && !known {
                let first = component.revision + 1;
                self.opened.unmade.entry((component.name.clone(), key.metric.clone())).or_insert(first);
            }
        }
    }

    fn lose(&mut self, position: Position, record: &Record, damage: Damage) -> Result<(), StoreError> {
        // A list of format 1 does not say whether it made a revision: that it did not is as it was before.
        let things = read_list(&record.series).map_err(|e| undecodable(position, e))?;
        let makes = things.is_none_or(|things| !things.is_empty());
        let Some(component) = self.component(position, record, makes) else { return Ok(()) };
        self.lose_of(position, component, record, damage)
    }

    fn lose_of(
        &mut self,
        position: Position,
        mut component: Component,
        record: &Record,
        damage: Damage,
    ) -> Result<(), StoreError> {
        let error = StoreError::from(damage.clone());
        match apply_lost(&mut component, record, &damage).map_err(|e| undecodable(position, e))? {
            None => {
                self.damaged(component, error);
                Ok(())
            }
            Some(keys) => {
                tracing::error!(%error, component = %component.name, revision = record.revision, "a batch is lost");
                self.opened.dirty.note_lost(keys, &record.component);
                self.put(position, component, record)
            }
        }
    }
}

fn undecodable(position: Position, error: Undecodable) -> StoreError {
    error.in_file(format!("log record {}", position.0))
}

fn bad(position: Position, what: &str) -> StoreError {
    Damage { file: format!("log record {}", position.0), offset: 0, what: what.to_string() }.into()
}
