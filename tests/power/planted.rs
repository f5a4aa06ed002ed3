//! Bugs are planted, and these tests must fail: a simulated disk that forgives them proves nothing.

use milepost::planted::Bug;
use std::process::{Command, Output};

const CUTS: &str = "cuts::nothing_acknowledged_is_lost_at_a_power_cut";
const WRITES: &str = "faults::whatever_operation_of_a_write_fails_what_was_acknowledged_stays";
const REFUSED: &str = "store_alone::a_refused_group_never_comes_back";
const FLIPS: &str = "flips::no_flipped_bit_is_believed";

/// Runs one test of this program with a bug in it.
fn run(test: &str, planted: &str, seed: u64) -> Output {
    let program = std::env::current_exe().expect("this program has a place");
    let run = Command::new(program)
        .args([test, "--exact"])
        .env("MILEPOST_PLANTED", planted)
        .env("MILEPOST_EACH_RUN", "")
        .env("MILEPOST_CUTS", "2500")
        .env("MILEPOST_CUTS_SEED", seed.to_string())
        .env("MILEPOST_FAULTS_SEED", seed.to_string())
        .env("RUST_BACKTRACE", "0")
        .output();
    run.expect("this program runs")
}

fn is_caught(bug: Bug, test: &str) -> bool {
    let caught = (1..=2).any(|seed| {
        let output = run(test, &format!("{bug:?}"), seed);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.contains("running 1 test"), "{test} is a test: {told}");
        !output.status.success() && told.contains("test result: FAILED")
    });
    println!("{bug:?} in {test}: {}", if caught { "caught" } else { "NOT caught" });
    caught
}

/// Two at a time: each is a process of its own.
fn all_are_caught(bugs: &[(Bug, &str)]) {
    let (one, other) = bugs.split_at(bugs.len() / 2);
    let missed = |bugs: &[(Bug, &str)]| -> Vec<Bug> {
        bugs.iter().filter(|(bug, test)| !is_caught(*bug, test)).map(|(bug, _)| *bug).collect()
    };
    let missed = std::thread::scope(|scope| {
        let one = scope.spawn(|| missed(one));
        let other = missed(other);
        [one.join().expect("it ends"), other].concat()
    });
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn bugs_of_the_log_and_of_folds_are_caught() {
    all_are_caught(&[
        (Bug::SkipSync, CUTS),
        (Bug::AcknowledgeBeforeSync, CUTS),
        (Bug::TrimTooEarly, CUTS),
        (Bug::ServeUnsyncedTail, WRITES),
        (Bug::RenameBeforeSync, CUTS),
        (Bug::RemoveBeforeWriting, CUTS),
        (Bug::SkipDirectorySync, CUTS),
        (Bug::RetrySync, WRITES),
        (Bug::KeepRefusedGroup, REFUSED),
        (Bug::KeepRefusedGroup, WRITES),
        (Bug::IgnoreFrameCrc, FLIPS),
    ]);
}

#[test]
fn bugs_of_the_engine_are_caught() {
    all_are_caught(&[
        (Bug::SkipDedup, CUTS),
        (Bug::ForgetHighestPrefix, CUTS),
        (Bug::KeepReplacedBlock, CUTS),
        (Bug::OverlayTwice, CUTS),
        (Bug::ForgetIdsInFold, CUTS),
        (Bug::ForgetOpeningInFold, CUTS),
        (Bug::ForgetPastInFold, CUTS),
        (Bug::StaleIndex, CUTS),
    ]);
}
