//! What is done while the disk fails, one scene for each thing that is asked of a store.

use crate::batches::Batches;
use crate::compare::{Refusals, Revisions};
use crate::cuts::first_metrics;
use crate::machine::Machine;
use crate::oracle::{Deed, Sent};
use std::collections::BTreeMap;

/// What comes before it, and itself. False: it failed, or the process ended.
pub struct Scene {
    pub name: &'static str,
    pub before: fn(&mut Machine, &mut Batches),
    pub done: fn(&mut Machine, &mut Batches) -> bool,
    /// Where it runs still it is used some more before it ends.
    pub goes_on: bool,
    /// Each fault at each operation, in every run.
    pub whole: bool,
    /// Else at one operation of so many: a repair reads all that there is, twice, and takes long. A campaign goes through
    /// all of them.
    pub every: u64,
    pub found: Found,
}

/// What is found after a scene.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// What was acknowledged.
    Acknowledged,
    /// That, and the backup can be restored.
    Backup,
    /// A restored store.
    Restored,
    /// A store without what was lost.
    Repaired,
    /// A store in which what may be touched is refused.
    GivenUp,
}

const SCENE: Scene = Scene {
    name: "",
    before: folded,
    done: |_, _| true,
    goes_on: true,
    whole: false,
    every: 1,
    found: Found::Acknowledged,
};

pub fn some(machine: &mut Machine, batches: &mut Batches, count: u64) -> bool {
    (0..count).all(|_| {
        let next = batches.next(&machine.oracle);
        machine.send(vec![next])
    })
}

fn opened(machine: &mut Machine, batches: &mut Batches) {
    machine.open().expect("the disk works");
    assert!(machine.send(first_metrics()) && some(machine, batches, 12));
}

fn folded(machine: &mut Machine, batches: &mut Batches) {
    opened(machine, batches);
    assert!(machine.fold() && some(machine, batches, 10) && machine.send(first_metrics()));
}

fn backed_up(machine: &mut Machine, batches: &mut Batches) {
    folded(machine, batches);
    assert!(machine.back_up() && machine.fold() && some(machine, batches, 5));
}

fn one(deed: Deed) -> Vec<Sent> {
    vec![Sent { component: 0, id: "fault".to_string(), reason: "fault".to_string(), deed }]
}

fn points(value: i64) -> Vec<(usize, usize, BTreeMap<i64, i64>)> {
    vec![(1, 0, (0..30).map(|hour| (hour, value + hour)).collect()), (1, 1, BTreeMap::from([(70, value)]))]
}

fn catalogue(deed: Deed) -> Vec<Sent> {
    vec![Sent { id: String::new(), ..one(deed).remove(0) }]
}

/// Batches that are one group but for the first: each with an id of its own.
fn group() -> Vec<Sent> {
    let number = |number: i64| Sent { id: format!("group {number}"), ..one(Deed::Set(points(number))).remove(0) };
    (0..12).map(number).collect()
}

/// A batch that no segment has room for beside others: it gets one of its own.
fn large() -> Vec<Sent> {
    vec![Sent { id: "large".to_string(), reason: "x".repeat(9_000), ..one(Deed::Set(points(7))).remove(0) }]
}

/// Three parts: what writes, what keeps, and what opens and reads.
pub const SCENES: [&[Scene]; 3] = [&WRITES, &KEEPS, &READS];

const WRITES: [Scene; 13] = [
    // The process ends at once: nothing that is written later covers what was refused.
    Scene {
        name: "a group, of which the process ends",
        done: |m, _| m.send(group()),
        goes_on: false,
        whole: true,
        ..SCENE
    },
    Scene { name: "set", done: |m, _| m.send(one(Deed::Set(points(3)))), ..SCENE },
    Scene {
        name: "correct",
        before: |m, b| {
            folded(m, b);
            assert!(m.send(catalogue(Deed::Set(points(3)))) && m.fold());
        },
        done: |m, _| m.send(one(Deed::Set(points(5)))),
        ..SCENE
    },
    Scene {
        name: "a retry",
        before: |m, b| {
            folded(m, b);
            assert!(m.send(one(Deed::Add(points(3)))));
        },
        done: |m, _| m.send(one(Deed::Add(points(3)))),
        ..SCENE
    },
    Scene { name: "add", done: |m, _| m.send(one(Deed::Add(points(3)))), ..SCENE },
    Scene { name: "retract hours", done: |m, _| m.send(one(Deed::RetractHours(1, None, (3..9).collect()))), ..SCENE },
    Scene { name: "retract a span", done: |m, _| m.send(one(Deed::RetractSpan(1, None, 0, 40))), ..SCENE },
    Scene { name: "an opening", done: |m, _| m.send(one(Deed::Opening(1, 0, Some((-3, 5))))), ..SCENE },
    Scene {
        name: "create",
        done: |m, _| m.send(catalogue(Deed::Delete(2))) && m.send(catalogue(Deed::Create(2, "again".into()))),
        ..SCENE
    },
    Scene { name: "update", done: |m, _| m.send(catalogue(Deed::Describe(1, "other".into()))), ..SCENE },
    Scene { name: "delete", done: |m, _| m.send(catalogue(Deed::Delete(0))), ..SCENE },
    Scene {
        name: "several in flight, and a new segment",
        done: |m, b| {
            (0..4).all(|_| {
                let sent = [b.next(&m.oracle), one(Deed::Set(points(b.below(1_000) as i64))).remove(0)];
                // The second has an id of its own each time.
                let [first, mut second] = sent;
                second.id = format!("segment {}", b.below(u64::MAX));
                m.send(vec![second]) && m.send(vec![first])
            })
        },
        ..SCENE
    },
    Scene { name: "a segment of its own", done: |m, _| m.send(large()), ..SCENE },
];

const KEEPS: [Scene; 11] = [
    Scene { name: "fold", before: opened, done: |m, _| m.fold(), ..SCENE },
    Scene { name: "a second fold, which trims", done: |m, _| m.fold(), ..SCENE },
    Scene {
        name: "trim",
        before: |m, b| {
            folded(m, b);
            assert!(m.fold() && m.send(large()));
        },
        done: |m, _| m.trim(),
        ..SCENE
    },
    Scene {
        name: "a sweep",
        before: |m, b| {
            // Blocks, runs and records that later ones take the place of, and a metric that is deleted.
            folded(m, b);
            for value in 0..3 {
                assert!(m.send(catalogue(Deed::Set(points(value)))) && m.fold());
            }
            assert!(m.send(catalogue(Deed::Delete(0))) && m.fold());
        },
        done: |m, _| m.sweep(),
        ..SCENE
    },
    Scene { name: "close", done: |m, _| m.close(), goes_on: false, ..SCENE },
    Scene { name: "a backup", done: |m, _| m.back_up(), found: Found::Backup, ..SCENE },
    Scene { name: "a second backup", before: backed_up, done: |m, _| m.back_up(), found: Found::Backup, ..SCENE },
    Scene {
        name: "restore",
        before: |m, b| {
            backed_up(m, b);
            assert!(m.back_up());
            m.end(false);
        },
        done: |m, _| m.restore(),
        found: Found::Restored,
        ..SCENE
    },
    Scene {
        name: "repair",
        before: |m, b| {
            folded(m, b);
            m.lose_a_batch();
        },
        done: |m, _| m.repair(),
        found: Found::Repaired,
        ..SCENE
    },
    Scene {
        name: "repair of a component's own frames",
        before: |m, b| {
            folded(m, b);
            assert!(m.fold() && some(m, b, 6) && m.fold() && some(m, b, 3));
            m.damage_own_frames();
        },
        done: |m, _| m.repair(),
        found: Found::GivenUp,
        every: 11,
        ..SCENE
    },
    Scene {
        name: "repair of a fold file",
        before: |m, b| {
            folded(m, b);
            assert!(m.fold() && m.send(one(Deed::Set(points(4)))) && some(m, b, 2) && m.fold());
            // An opening lets go of all that is folded but the last group.
            m.end(false);
            assert!(m.open().is_ok() && some(m, b, 3));
            m.damage_last_fold();
        },
        done: |m, _| m.repair(),
        found: Found::GivenUp,
        every: 11,
        ..SCENE
    },
];

const READS: [Scene; 8] = [
    Scene { name: "a new store", before: |_, _| {}, done: |m, _| m.open().is_ok(), ..SCENE },
    Scene {
        name: "open what was closed",
        before: |m, b| {
            folded(m, b);
            assert!(m.close());
            m.end(false);
        },
        done: |m, _| m.open().is_ok(),
        ..SCENE
    },
    // Its index was not closed: it is built anew.
    Scene {
        name: "open what was killed",
        before: |m, b| {
            folded(m, b);
            m.end(false);
        },
        done: |m, _| m.open().is_ok(),
        ..SCENE
    },
    Scene {
        name: "open after a cut",
        before: |m, b| {
            folded(m, b);
            m.end(true);
        },
        done: |m, _| m.open().is_ok(),
        ..SCENE
    },
    // The log holds what it held.
    Scene {
        name: "open without the newest fold file",
        before: |m, b| {
            folded(m, b);
            assert!(m.fold() && some(m, b, 2) && m.fold());
            m.damage_last_fold();
        },
        done: |m, _| m.open().is_ok(),
        ..SCENE
    },
    // Sums, points, milestones, openings and changes of every series, now and at every revision.
    Scene {
        name: "read",
        before: |m, b| {
            folded(m, b);
            assert!(m.fold());
        },
        done: |m, _| {
            m.compare_with(Revisions::All, Refusals::Some);
            true
        },
        ..SCENE
    },
    Scene { name: "verify", done: |m, _| m.verify(), ..SCENE },
    Scene {
        name: "verify what nobody serves",
        before: |m, b| {
            folded(m, b);
            m.end(false);
        },
        done: |m, _| m.look(),
        ..SCENE
    },
];
