//! The n-th operation of the disk fails, for n = 0, 1, 2 and so on until none does: reads and writes, syncs and names.
//! Whatever is done then ends with an error that says so or goes on, never with a panic; what is answered is right;
//! what is found at the next opening is what was acknowledged, with and without a power cut.

use crate::batches::Batches;
use crate::compare::{Refusals, Revisions};
use crate::cuts::{first_metrics, told_on_panic};
use crate::machine::{Figures, Machine, small};
use crate::oracle::{Deed, Sent};
use crate::sim_disk::{Counted, Fault};
use std::collections::BTreeMap;
use std::time::Duration;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const FAULTS: [Fault; 4] = [Fault::Fails(EIO), Fault::Fails(ENOSPC), Fault::Short(EIO), Fault::Short(ENOSPC)];

/// What is done while the disk fails: what comes before it, and itself. False: it failed, or the process ended.
struct Scene {
    name: &'static str,
    before: fn(&mut Machine, &mut Batches),
    done: fn(&mut Machine, &mut Batches) -> bool,
}

fn some(machine: &mut Machine, batches: &mut Batches, count: u64) -> bool {
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

fn one(deed: Deed) -> Vec<Sent> {
    vec![Sent { component: 0, id: "fault".to_string(), reason: "fault".to_string(), deed }]
}

fn points(value: i64) -> Vec<(usize, usize, BTreeMap<i64, i64>)> {
    vec![(1, 0, (0..30).map(|hour| (hour, value + hour)).collect()), (1, 1, BTreeMap::from([(70, value)]))]
}

fn catalogue(deed: Deed) -> Vec<Sent> {
    vec![Sent { id: String::new(), ..one(deed).remove(0) }]
}

const SCENES: [Scene; 17] = [
    Scene { name: "a new store", before: |_, _| {}, done: |m, _| m.open().is_ok() },
    Scene { name: "set", before: folded, done: |m, _| m.send(one(Deed::Set(points(3)))) },
    Scene { name: "add", before: folded, done: |m, _| m.send(one(Deed::Add(points(3)))) },
    Scene {
        name: "retract hours",
        before: folded,
        done: |m, _| m.send(one(Deed::RetractHours(1, None, (3..9).collect()))),
    },
    Scene { name: "retract a span", before: folded, done: |m, _| m.send(one(Deed::RetractSpan(1, None, 0, 40))) },
    Scene { name: "an opening", before: folded, done: |m, _| m.send(one(Deed::Opening(1, 0, Some((-3, 5))))) },
    Scene {
        name: "create",
        before: folded,
        done: |m, _| m.send(catalogue(Deed::Delete(2))) && m.send(catalogue(Deed::Create(2, "again".into()))),
    },
    Scene { name: "describe", before: folded, done: |m, _| m.send(catalogue(Deed::Describe(1, "other".into()))) },
    Scene { name: "delete", before: folded, done: |m, _| m.send(catalogue(Deed::Delete(0))) },
    Scene {
        name: "several in flight, and a new segment",
        before: folded,
        done: |m, b| {
            (0..4).all(|_| {
                let sent = [b.next(&m.oracle), one(Deed::Set(points(b.below(1_000) as i64))).remove(0)];
                // The second has an id of its own each time.
                let [first, mut second] = sent;
                second.id = format!("segment {}", b.below(u64::MAX));
                m.send(vec![second]) && m.send(vec![first])
            })
        },
    },
    Scene { name: "fold", before: opened, done: |m, _| m.fold() },
    Scene { name: "a second fold, which trims", before: folded, done: |m, _| m.fold() },
    Scene { name: "close", before: folded, done: |m, _| m.close() },
    Scene {
        name: "open what was closed",
        before: |m, b| {
            folded(m, b);
            assert!(m.close());
            m.end(false);
        },
        done: |m, _| m.open().is_ok(),
    },
    Scene {
        name: "open what was killed",
        before: |m, b| {
            folded(m, b);
            m.end(false);
        },
        done: |m, _| m.open().is_ok(),
    },
    Scene {
        name: "open after a cut",
        before: |m, b| {
            folded(m, b);
            m.end(true);
        },
        done: |m, _| m.open().is_ok(),
    },
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
    },
];

/// One scene with one fault. False: the fault never came.
fn fails_at(scene: &Scene, at: u64, fault: Fault, seed: u64, figures: &mut Figures) -> bool {
    let mut batches = Batches::new(seed);
    let mut machine = Machine::new(seed ^ at << 8 ^ (fault_number(fault) << 40), small());
    (scene.before)(&mut machine, &mut batches);
    machine.disk.plan(at, Counted::All, fault);
    let done = (scene.done)(&mut machine, &mut batches);
    let came = machine.disk.has_failed();
    machine.disk.unplan();
    assert!(done || came, "it fails only where the disk does");
    if machine.is_running() && scene.name != "close" {
        machine.compare(Revisions::Some);
        let goes_on = machine.engine().poisoned().is_none();
        let next = batches.next(&machine.oracle);
        let taken = machine.send(vec![next.clone()]) || {
            // On a disk that was full the reserve is made again, at most every half second.
            std::thread::sleep(Duration::from_millis(if goes_on { 600 } else { 0 }));
            machine.send(vec![next])
        };
        assert_eq!(taken, goes_on, "it takes writes where it does not say that it takes none");
        assert!(!goes_on || machine.fold(), "it folds when the disk works again");
    }
    let late_cut = machine.below(3) == 0;
    let cut_at_once = machine.below(2) == 0;
    machine.end(!late_cut && cut_at_once);
    let unanswered = machine.recover();
    assert!(unanswered.iter().all(|sent| machine.retry(sent)));
    if late_cut {
        // What the failed sync gave up was read until now.
        machine.end(true);
        machine.recover();
    }
    assert!(some(&mut machine, &mut batches, 3) && machine.fold());
    machine.end(true);
    machine.recover();
    machine.compare_all();
    figures.add(&machine.figures);
    came
}

fn fault_number(fault: Fault) -> u64 {
    FAULTS.iter().position(|one| *one == fault).expect("it is one of them") as u64
}

#[test]
fn whatever_operation_fails_what_was_acknowledged_stays() {
    let campaign = crate::said("MILEPOST_FAULTS");
    let (seeds, whole) = (campaign.unwrap_or(1), campaign.is_some() || crate::each_run());
    let first = crate::said("MILEPOST_FAULTS_SEED").unwrap_or(1);
    let mut figures = Figures::default();
    let mut failures = 0;
    for seed in first..first + seeds {
        for scene in &SCENES {
            // Each run: every operation with every fault; else with one of them, in turn.
            for turn in 0..if whole { FAULTS.len() } else { 1 } {
                let mut at = 0;
                loop {
                    let fault = FAULTS[(turn + at as usize) % FAULTS.len()];
                    let told = format!("{}, {fault:?} at {at}, seed {seed}", scene.name);
                    if !told_on_panic(&told, || fails_at(scene, at, fault, seed, &mut figures)) {
                        break;
                    }
                    at += 1;
                    failures += 1;
                }
                assert!(at > 2, "{} has operations that can fail", scene.name);
            }
        }
    }
    println!(
        "seeds {first} to {}: {failures} operations failed, in {} scenes: {figures:?}",
        first + seeds - 1,
        SCENES.len()
    );
}
