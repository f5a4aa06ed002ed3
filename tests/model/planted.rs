//! The model test checked itself: with these bugs it fails, without them it passes.

use std::process::Command;

use milepost::planted::Bug;

/// What one run of the model test comes to with this bug planted, or with none.
fn passes(test: &str, bug: Option<Bug>) -> bool {
    let mut child = Command::new(std::env::current_exe().expect("a test is a program"));
    child.args([test, "--exact"]);
    child.env_remove("MILEPOST_EACH_RUN").env_remove("MILEPOST_MODEL_SEED").env_remove("MILEPOST_PLANTED");
    child.env("MILEPOST_MODEL_RUNS", "64").env("MILEPOST_RETRIES", "400");
    if let Some(bug) = bug {
        child.env("MILEPOST_PLANTED", format!("{bug:?}"));
    }
    let output = child.output().expect("it can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("running 1 test"), "{test} is run: {text}");
    output.status.success()
}

const MODEL: &str = "campaign::the_server_answers_as_the_oracle";
const RETRIES: &str = "retried::a_batch_sent_again_counts_once";

#[test]
fn without_a_bug_they_pass() {
    assert!(passes(MODEL, None));
    assert!(passes(RETRIES, None));
}

#[test]
fn the_model_catches_them() {
    for bug in [Bug::WindowEnd, Bug::SkipDedup, Bug::ForgetHighestPrefix] {
        assert!(!passes(MODEL, Some(bug)), "{bug:?} is caught");
    }
}

#[test]
fn retries_catch_what_counts_twice() {
    assert!(!passes(RETRIES, Some(Bug::SkipDedup)));
}
