//! The harnesses of this folder are held to what they must catch: with a bug planted they fail.

use milepost::planted::Bug;
use std::process::Command;

/// Whether a test of this binary passes with a bug planted (None: without one).
fn passes(test: &str, bug: Option<Bug>) -> bool {
    let mut child = Command::new(std::env::current_exe().expect("this binary"));
    child.args([test, "--exact"]).env_remove("MILEPOST_EACH_RUN");
    child.env("MILEPOST_PLANTED", bug.map_or(String::new(), |bug| format!("{bug:?}")));
    if bug.is_some() {
        // Histories are chance: the first one that finds the bug ends it, and nobody reads which.
        child.env("MILEPOST_SWEEP_RUNS", "400").env("PROPTEST_MAX_SHRINK_ITERS", "0");
    }
    let output = child.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("running 1 test"), "there is a test {test}: {text}");
    output.status.success()
}

#[test]
fn damage_that_is_cut_folded_away_or_not_looked_at_is_caught() {
    let test = "lost::what_is_lost_is_refused_and_the_rest_is_served";
    assert!(passes(test, None));
    for bug in [Bug::CutDamage, Bug::FoldDamageAway, Bug::IgnoreRecordCrc] {
        assert!(!passes(test, Some(bug)), "{bug:?} is caught");
    }
}

#[test]
fn what_was_given_up_and_is_served_or_counted_again_is_caught() {
    let test = "own_frames::what_a_component_keeps_of_its_own_is_given_up_and_the_rest_is_served";
    assert!(passes(test, None));
    for bug in [Bug::ServeTouched, Bug::ForgetLostIds] {
        assert!(!passes(test, Some(bug)), "{bug:?} is caught");
    }
}

#[test]
fn a_salvaged_log_that_does_not_tell_or_ends_too_early_is_caught() {
    let test = "gaps::what_of_the_log_cannot_be_read_is_given_up_and_the_rest_is_served";
    assert!(passes(test, None));
    for bug in [Bug::ForgetGap, Bug::StopAtGap] {
        assert!(!passes(test, Some(bug)), "{bug:?} is caught");
    }
}

#[test]
fn a_number_that_is_one_off_in_an_even_column_is_caught() {
    let test = "deltas_are_what_was_written";
    assert!(passes(test, None));
    assert!(!passes(test, Some(Bug::UnevenColumn)));
}

#[test]
fn a_sweep_that_takes_what_somebody_reads_or_what_lives_is_caught() {
    let test = "sweep::swept_or_not_the_answers_are_the_same";
    assert!(passes(test, None));
    for bug in [Bug::SweepUnderViews, Bug::SweepLivingPage] {
        assert!(!passes(test, Some(bug)), "{bug:?} is caught");
    }
}
