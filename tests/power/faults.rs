//! The n-th operation of the disk fails, for n = 0, 1, 2 and so on until none does: reads and writes, syncs and names.
//! Whatever is done then ends with an error that says so or goes on, never with a panic; what is answered is right;
//! what is found at the next opening is what was acknowledged, with and without a power cut.

mod scenes;

use crate::batches::Batches;
use crate::compare::Revisions;
use crate::cuts::told_on_panic;
use crate::machine::{Figures, Machine, small};
use crate::sim_disk::{Counted, Fault};
use scenes::{Found, SCENES, Scene, some};
use std::time::Duration;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const FAULTS: [Fault; 4] = [Fault::Fails(EIO), Fault::Fails(ENOSPC), Fault::Short(EIO), Fault::Short(ENOSPC)];

/// How often a scene is gone through whose every operation fails in each run: which batches are one group, and what of it
/// reaches the disk, is chance, and one time finds a planted bug in every second run.
const TIMES_WHOLE: u64 = 8;

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
    match scene.found {
        Found::Acknowledged => finds_what_was_acknowledged(scene, &mut machine, &mut batches),
        Found::Backup => {
            finds_what_was_acknowledged(scene, &mut machine, &mut batches);
            machine.check_backup();
        }
        Found::Restored => {
            let cut = machine.below(2) == 0;
            machine.end(cut);
            assert!(done || machine.restore(), "it is restored when the disk works again");
            machine.check_restored();
        }
        Found::Repaired => machine.check_repaired(),
        Found::GivenUp => machine.check_given_up(),
    }
    figures.add(&machine.figures);
    came
}

fn finds_what_was_acknowledged(scene: &Scene, machine: &mut Machine, batches: &mut Batches) {
    if machine.is_running() && scene.goes_on {
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
        machine.figures.late_cuts += 1;
        machine.end(true);
        machine.recover();
    }
    assert!(some(machine, batches, 3) && machine.fold());
    machine.end(true);
    machine.recover();
    machine.compare_all();
}

fn fault_number(fault: Fault) -> u64 {
    FAULTS.iter().position(|one| *one == fault).expect("it is one of them") as u64
}

/// One part of the scenes: so that parts go beside each other, and a campaign can be cut into pieces.
fn every_operation_fails(part: usize) {
    // A campaign may say of which scenes: those whose names hold this.
    let named = std::env::var("MILEPOST_FAULTS_SCENE").unwrap_or_default();
    let scenes: Vec<&Scene> = SCENES[part].iter().filter(|scene| scene.name.contains(&named)).collect();
    let campaign = crate::said("MILEPOST_FAULTS");
    let seeds = campaign.unwrap_or(1);
    let first = crate::said("MILEPOST_FAULTS_SEED").unwrap_or(1);
    let mut figures = Figures::default();
    let mut failures = 0;
    for seed in first..first + seeds {
        for scene in &scenes {
            // Each run: every operation with every fault; else, and of backups and repairs, with one of them, in turn.
            let each_run = crate::each_run() && scene.found == Found::Acknowledged;
            let whole = campaign.is_some() || each_run || scene.whole;
            let turns = if whole { FAULTS.len() } else { 1 };
            let times = if scene.whole { TIMES_WHOLE } else { 1 };
            for (turn, time) in (0..turns).flat_map(|turn| (0..times).map(move |time| (turn, time))) {
                let seed = seed ^ time << 32;
                let mut at = 0;
                loop {
                    let fault = FAULTS[(turn + at as usize) % FAULTS.len()];
                    let told = format!("{}, {fault:?} at {at}, seed {seed}", scene.name);
                    if !told_on_panic(&told, || fails_at(scene, at, fault, seed, &mut figures)) {
                        break;
                    }
                    at += if campaign.is_some() { 1 } else { scene.every };
                    failures += 1;
                }
                assert!(at > 0 || scene.name == "a retry", "{} has operations that can fail", scene.name);
            }
        }
    }
    let last = first + seeds - 1;
    println!("seeds {first} to {last}: {failures} operations failed, in {} scenes: {figures:?}", scenes.len());
}

#[test]
fn whatever_operation_of_a_write_fails_what_was_acknowledged_stays() {
    every_operation_fails(0);
}

#[test]
fn whatever_operation_of_keeping_fails_what_was_acknowledged_stays() {
    every_operation_fails(1);
}

#[test]
fn whatever_operation_of_reading_fails_what_was_acknowledged_stays() {
    every_operation_fails(2);
}
