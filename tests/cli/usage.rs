//! Exit codes, help, completions, and what is said where no server answers.

use crate::served::{milepost, ran};

fn run(args: &[&str]) -> crate::served::Ran {
    let mut command = milepost();
    command.args(args);
    ran(command)
}

#[test]
fn wrong_usage_is_exit_code_2_and_says_what_is_wrong() {
    for (args, says) in [
        (&["totla", "a/b"][..], "unrecognized subcommand"),
        (&["total"], "<METRIC>"),
        (&["total", "a/b", "--at", "yesterday"], "neither a date"),
        (&["total", "a/b", "--at", "2016-02-30"], "there is no day 2016-02-30"),
        (&["total", "a/b", "--zone", "Europe/Lundun"], "not an IANA time zone"),
        (&["total", "a/b", "--as-of", "soon"], "nor a revision"),
        (&["total", "a/b", "--label", "channel"], "NAME=VALUE"),
        (&["total", "a/b", "--output", "xml"], "[possible values: table, json, csv]"),
        (&["total", "a/b", "--server", "https://localhost"], "https:// is not spoken"),
        (&["milestones", "a/b"], "--thresholds"),
        (&["milestones", "a/b", "--every", "1m", "--ladder", "1-2-5"], "cannot be used with"),
        (&["range", "a/b", "--by", "fortnight"], "is not a length"),
        (&["push", "a/b"], "TIME=VALUE"),
        (&["push", "a/b", "2016-08-29"], "is not TIME=VALUE"),
        (&["push", "a/b", "2016-08-29=1,5"], "is not a figure"),
        (&["push", "a/b", "2016-08-29=1", "--add"], "--request-id"),
        (&["retract", "a/b", "2016-08-29"], "--reason"),
        (&["retract", "a/b", "--reason", "x"], "required"),
        (&["metric", "create", "a/b"], "--kind"),
        (&["metric", "create", "a/b", "--kind", "delta", "--scale", "10"], "0..=9"),
        (&["import", "x.csv", "--metric", "a/b"], "--time-column"),
        (&["serve", "--listen", "nowhere"], "--listen"),
    ] {
        let ran = run(args);
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(says) && ran.out.is_empty(), "{args:?}: {}", ran.err);
    }
}

#[test]
fn no_server_is_exit_code_1_and_says_what_to_do() {
    // Port 1 is nobody's.
    let ran = run(&["total", "a/b", "--server", "127.0.0.1:1"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.starts_with("error: no server answers at 127.0.0.1:1: Connection refused"), "{}", ran.err);
    assert!(ran.err.contains("start one with `milepost serve`"), "{}", ran.err);
}

#[test]
fn every_command_has_help_without_internal_words() {
    let commands = "serve,push,import,opening,retract,total,range,cumulative,milestones,points,changes,series,components,completions";
    let metric = ["create", "get", "list", "update", "delete"].map(|c| vec!["metric", c]);
    for words in commands.split(',').map(|c| vec![c]).chain(metric) {
        let ran = run(&[words.clone(), vec!["--help"]].concat());
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{words:?}");
        assert!(ran.out.contains("Usage: milepost") && !ran.out.contains("batch-points"), "{words:?}: {}", ran.out);
        assert!(
            ran.out.lines().all(|line| line.starts_with("Usage:") || line.chars().count() <= 100),
            "{words:?}: {}",
            ran.out
        );
    }
}

#[test]
fn completions_are_scripts_that_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&["completions", shell]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert!(ran.out.contains("milestones") && ran.out.contains("as-of"), "{shell}");
    }
}
