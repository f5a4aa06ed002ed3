//! Planted bugs that these tests must catch.

use milepost::planted::Bug;
use std::process::{Command, Stdio};

fn passes(test: &str, bug: &str) -> bool {
    let me = std::env::current_exe().expect("this test");
    let mut command = Command::new(me);
    command.args([test, "--exact"]).env("MILEPOST_PLANTED", bug).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().expect("it runs").success()
}

#[test]
fn a_backup_that_leaves_out_the_log_is_caught() {
    let test = "whole::what_is_only_in_the_log_is_backed_up";
    let bug = format!("{:?}", Bug::BackupWithoutLog);
    assert!(!passes(test, &bug), "{bug} is not caught by {test}");
    assert!(passes(test, ""), "{test} fails without a planted bug");
}
