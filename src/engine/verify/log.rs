//! Every record of the log: that it decodes, that positions and revisions follow each other, that recorded time does
//! not go back, and that the log goes on where the folds end.

use super::folds::Folded;
use super::{Go, Touches, Verifying};
use crate::domain::name::ComponentName;
use crate::domain::time::Time;
use crate::engine::effect::read_effect;
use crate::store::{Position, Record};
use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow::{self, Continue};

/// What the log comes to.
#[derive(Default)]
pub(super) struct Logged {
    /// Its first and its last position; None: it is empty.
    pub positions: Option<(Position, Position)>,
    /// The request ids it holds.
    pub ids: HashSet<[u8; 16]>,
    /// The first record of each component: its revision, whether it made that, and where it is.
    pub first: BTreeMap<ComponentName, (i64, bool, Position)>,
    last: BTreeMap<ComponentName, i64>,
    last_record_times: BTreeMap<ComponentName, Time>,
}

impl Verifying<'_> {
    /// Every record that the log still gives.
    pub(super) fn log(&mut self) -> ControlFlow<(), Logged> {
        let store = self.shared.loader.store().clone();
        let mut logged = Logged::default();
        let mut faults = Vec::new();
        let read = store.read_log(Position(0), &mut |position, record| {
            self.counts.records += 1;
            for what in logged.take(position, &record) {
                faults.push((format!("log record {}", position.0), Touches::component(&record.component), what));
            }
        });
        for (record, touches, what) in faults {
            self.wrong(&record, Some(touches), what)?;
        }
        if let Err(error) = read {
            self.damage(error, None)?;
        }
        Continue(logged)
    }

    /// The folds were read after the log: they reach its first record at least, and revisions go on from theirs.
    pub(super) fn join(&mut self, logged: &Logged, folded: &Folded) -> Go {
        let Some((first, _)) = logged.positions else { return Continue(()) };
        if first.0 > folded.reach.0 + 1 {
            let what = format!("records {} to {} are in no fold and not in the log", folded.reach.0 + 1, first.0 - 1);
            self.wrong("the log", None, what)?;
        }
        for (component, (revision, made, position)) in &logged.first {
            let before = folded.revisions.get(component).copied().unwrap_or(0);
            // A log that begins within the folds goes on from some revision of theirs.
            let follows =
                if *position <= folded.reach { *revision <= before } else { *revision == before + i64::from(*made) };
            if !follows {
                let what = format!("the log goes on with revision {revision}, and the folds end with {before}");
                self.wrong("the log", Some(Touches::component(component)), what)?;
            }
        }
        Continue(())
    }
}

impl Logged {
    fn take(&mut self, position: Position, record: &Record) -> Vec<String> {
        let mut faults = Vec::new();
        let (first, last) = self.positions.unwrap_or((position, Position(position.0.wrapping_sub(1))));
        if position.0 != last.0.wrapping_add(1) {
            faults.push(format!("it follows record {}", last.0));
        }
        self.positions = Some((first, position));
        // Of each component: a group lists one component's batches after the other's.
        let before = self.last_record_times.insert(record.component.clone(), record.record_time);
        if before.is_some_and(|before| record.record_time < before) {
            faults.push(format!("recorded time goes back to {}", record.record_time));
        }
        let effect = match read_effect(&record.series, &record.body) {
            Ok(effect) => effect,
            Err(error) => {
                faults.push(error.to_string());
                return faults;
            }
        };
        let made = effect.changes();
        self.first.entry(record.component.clone()).or_insert((record.revision, made, position));
        let before = self.last.insert(record.component.clone(), record.revision);
        if before.is_some_and(|before| record.revision != before + i64::from(made)) {
            faults.push(format!("revision {} does not follow", record.revision));
        }
        self.ids.extend(effect.memo.map(|memo| memo.fingerprint));
        faults
    }
}
