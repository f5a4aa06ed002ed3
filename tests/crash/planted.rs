//! The harness held to itself: with a bug planted in the server, each campaign fails.

use milepost::planted::Bug;
use std::process::Command;

const KILLS: &str = "kills::nothing_acknowledged_is_lost_to_kills";
const CUTS: &str = "cuts::nothing_acknowledged_is_lost_to_power_cuts";
const CYCLES: &str = "cycles::a_disk_that_gets_full_again_and_again_loses_nothing";

/// Whether a test of this program passes with a bug planted, and what it said; None: it was skipped.
fn passes(test: &str, times: &str, bug: Option<Bug>) -> Option<(bool, String)> {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([test, "--exact", "--nocapture"]).env_remove("MILEPOST_EACH_RUN").env("RUST_BACKTRACE", "0");
    for name in ["MILEPOST_CRASH_KILLS", "MILEPOST_FUSE_CUTS", "MILEPOST_FULL_CYCLES"] {
        command.env(name, times);
    }
    for name in ["MILEPOST_CRASH_SEED", "MILEPOST_FUSE_SEED", "MILEPOST_FULL_SEED"] {
        command.env(name, "77");
    }
    match bug {
        Some(bug) => command.env("MILEPOST_PLANTED", format!("{bug:?}")),
        None => command.env_remove("MILEPOST_PLANTED"),
    };
    let done = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(said.contains("running 1 test"), "{said}");
    if said.contains("\nskipped: ") {
        println!("skipped, as {test} is");
        return None;
    }
    Some((done.status.success(), said))
}

/// `times` is what it may take: the first failure ends it.
fn caught(test: &str, times: &str, bug: Bug) {
    if let Some((passed, said)) = passes(test, times, Some(bug)) {
        assert!(!passed, "{bug:?} is not caught by {test}");
        assert!(said.contains("panicked at tests/crash/"), "it failed, but not for what it found: {said}");
        let found = said.lines().skip_while(|line| !line.contains("panicked at")).nth(1).unwrap_or_default();
        println!("{bug:?}: {}", found.chars().take(200).collect::<String>());
    }
}

#[test]
fn without_a_bug_they_pass() {
    for (test, times) in [(KILLS, "5"), (CUTS, "2"), (CYCLES, "3")] {
        if let Some((passed, said)) = passes(test, times, None) {
            assert!(passed, "{said}");
        }
    }
}

#[test]
fn kills_catch_retries_that_count_twice() {
    caught(KILLS, "20", Bug::SkipDedup);
}

#[test]
fn kills_catch_a_log_that_lets_go_too_early() {
    caught(KILLS, "40", Bug::TrimTooEarly);
}

#[test]
fn kills_catch_a_log_that_is_replayed_over_its_folds() {
    caught(KILLS, "40", Bug::OverlayTwice);
}

#[test]
fn power_cuts_catch_a_sync_that_is_left_out() {
    caught(CUTS, "20", Bug::SkipSync);
}
