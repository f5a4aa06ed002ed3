//! Every record of the log: that it decodes, that positions and revisions follow each other, that recorded time does
//! not go back, and that the log goes on where the folds end.

use super::folds::Folded;
use super::{Go, Touches, Verifying};
use crate::domain::name::ComponentName;
use crate::domain::time::Time;
use crate::engine::effect::{read_effect, read_list};
use crate::store::{self, Position, Record};
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
        let (mut faults, mut lost) = (Vec::new(), Vec::new());
        let read = store.read_log(Position(0), &mut |position, read| {
            self.counts.records += 1;
            let (record, damage) = match read {
                store::Logged::Whole(record) => (record, None),
                store::Logged::Lost(record, damage) => (record, Some(damage)),
                store::Logged::GivenUp => {
                    logged.give_up(position);
                    return;
                }
            };
            for what in logged.take(position, &record, damage.is_some()) {
                faults.push((format!("log record {}", position.0), Touches::component(&record.component), what));
            }
            lost.extend(damage.map(|damage| (damage.into(), Touches::component(&record.component))));
        });
        for (damage, touches) in lost {
            self.damage(damage, Some(touches))?;
        }
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
    /// A record that was given up: revisions may be missing behind it.
    fn give_up(&mut self, position: Position) {
        let (first, _) = self.positions.unwrap_or((position, position));
        self.positions = Some((first, position));
        self.last.clear();
    }

    fn take(&mut self, position: Position, record: &Record, lost: bool) -> Vec<String> {
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
        let read = match lost {
            // A list of format 1 does not say whether a definition was among it.
            true => read_list(&record.series).map(|things| (things.is_none_or(|things| !things.is_empty()), None)),
            false => read_effect(&record.series, &record.body).map(|effect| (effect.changes(), effect.memo)),
        };
        let (made, memo) = match read {
            Ok(read) => read,
            Err(error) => {
                faults.push(error.to_string());
                return faults;
            }
        };
        self.first.entry(record.component.clone()).or_insert((record.revision, made, position));
        let before = self.last.insert(record.component.clone(), record.revision);
        if before.is_some_and(|before| record.revision != before + i64::from(made)) {
            faults.push(format!("revision {} does not follow", record.revision));
        }
        self.ids.extend(memo.map(|memo| memo.fingerprint));
        faults
    }
}
