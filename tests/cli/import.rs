//! `milepost import`: good rows go in, bad ones to the rejects file, twice is once, and interrupted is no harm.

use crate::served::{Served, ran};
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

const DAILY: [&str; 5] = ["a/b", "--kind", "delta", "--period", "P1D"];

fn import<'a>(file: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["import", file, "--metric", "a/b", "--time-column", "day", "--value-column", "n"];
    args.extend(more);
    args
}

#[test]
fn good_rows_go_in_and_bad_ones_are_named() {
    let served = Served::with(&[&DAILY[..], &["--scale", "1"]].concat());
    let text = "\
day,n,note
2020-01-01,1332.0,plain
2020-01-02,\"14,800,000\",separators
2020-01-03,,empty
2020-13-01,5,no such month
2020-01-04T12:00:00Z,5,noon
2020-01-05,1.55,too fine
2020-01-06,\"1,5\",comma
2020-01-07
2020-01-08,142.9m,suffix
2020-01-09,99999999999999999999,too large
";
    served.file("in.csv", text);
    let ran = served.run(&import("in.csv", &[]));
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""), "{}", ran.out);
    assert_eq!(
        ran.out,
        "\
10 rows: 3 new. Revision 2.
7 rows rejected, with the reasons in in.csv.rejects.csv; the first: line 4, value: it is empty, and absent is not zero
"
    );
    let rejects = std::fs::read_to_string(served.path("in.csv.rejects.csv")).expect("the rejects file");
    let rows: Vec<csv::StringRecord> = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(rejects.as_bytes())
        .records()
        .map(|r| r.expect("CSV"))
        .collect();
    assert!(rejects.starts_with("line,reason,day,n,note\n"), "{rejects}");
    let expected = [
        ("4", "value: it is empty"),
        ("5", "time: there is no day 2020-13-01"),
        ("6", "MISALIGNED: "),
        ("7", "value: 1.55 has more digits than the metric's scale of 1"),
        ("8", "value: \"1,5\" is not a figure"),
        ("9", "it has 1 columns, the header 3"),
        ("11", "value: 99999999999999999999 does not fit 64 bits"),
    ];
    assert_eq!(rows.len(), expected.len(), "{rejects}");
    for (row, (line, reason)) in rows.iter().zip(expected) {
        assert!(&row[0] == line && row[1].starts_with(reason), "line {line}: {row:?}");
    }
    assert_eq!(rows[2].iter().skip(2).collect::<Vec<_>>(), ["2020-01-04T12:00:00Z", "5", "noon"], "the row as it was");
    assert_eq!(served.ok(&["total", "a/b", "-o", "csv"]), "total,marks\n157701332.0,\n");

    // Mended, the rejects file itself is imported; its own rejects go away with the last fault.
    let mended = "line,reason,day,n,note\n6,x,2020-01-04,5,noon\n";
    served.file("mended.csv", mended);
    served.file("mended.csv.rejects.csv", "line,reason,day,n,note\n6,old,,,\n");
    assert_eq!(served.ok(&import("mended.csv", &[])), "1 row: 1 new. Revision 3.\n");
    assert!(!served.path("mended.csv.rejects.csv").exists());
}

#[test]
fn faults_that_only_the_server_sees_leave_the_rest_of_the_batch_in() {
    let served = Served::with(&["a/b", "--kind", "cumulative"]);
    served.file(
        "in.csv",
        "day,n\n2020-01-01,10\n2020-01-02,20\n2020-01-03,15\n2020-01-04,12\n2020-01-05,25\n2020-01-06,24\n",
    );
    let first = served.run(&import("in.csv", &["--rejects", "bad.csv"]));
    assert_eq!(first.code, Some(1), "{first:?}");
    assert!(first.out.starts_with("6 rows: 3 new. Revision 2.\n3 rows rejected"), "{}", first.out);
    let rejects = std::fs::read_to_string(served.path("bad.csv")).expect("the rejects file");
    let lines: Vec<&str> = rejects.lines().skip(1).map(|l| l.split(',').next().expect("a line")).collect();
    assert_eq!(lines, ["4", "5", "7"], "{rejects}");
    assert_eq!(rejects.matches("LEVEL_FELL").count(), 3, "{rejects}");
    assert_eq!(served.ok(&["points", "a/b", "-o", "csv"]).lines().count(), 1 + 3);

    let restated = served.ok(&import("in.csv", &["--restated"]));
    assert!(
        restated.starts_with("6 rows: 3 new, 3 corrected. Revision 3.\n"),
        "restated is part of a value: {restated}"
    );
    assert_eq!(served.ok(&["total", "a/b", "-o", "csv"]), "total,marks\n24,\n");
}

/// Line 5 is at fault, so its batch is refused. In batches of two the one behind it, in flight already, is refused
/// too: it stands below the batch before until the restatement in line 4 is in.
#[test]
fn a_refused_batch_takes_no_batch_behind_it_along() {
    let served = Served::with(&["a/b", "--kind", "cumulative"]);
    served.file(
        "in.csv",
        "day,n,again\n2019-12-31,99,\n2020-01-01,100,\n2020-01-02,60,yes\n2020-01-03,50,\n2020-01-04,70,\n2020-01-05,71,\n2020-01-06,80,\n",
    );
    for size in ["1", "2", "3", "100"] {
        let ran = served.run(&import("in.csv", &["--restated-column", "again", "--batch-points", size, "--again"]));
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            ran.out.contains("1 row rejected") && ran.out.contains("the first: line 5, LEVEL_FELL"),
            "{size}: {}",
            ran.out
        );
        assert_eq!(served.ok(&["total", "a/b", "-o", "csv"]), "total,marks\n80,\n");
        assert_eq!(served.ok(&["points", "a/b", "-o", "csv"]).lines().count(), 1 + 6);
        served.ok(&["retract", "a/b", "--from", "2019-12-31", "--reason", "once more"]);
    }
}

#[test]
fn a_key_that_comes_again_is_a_correction_once() {
    let served = Served::with(&DAILY);
    served
        .file("in.csv", "day,n\n2020-01-01,1\n2020-01-02,2\n2020-01-01,5\n2020-01-02,2\n2020-01-03,3\n2020-01-01,6\n");
    assert_eq!(
        served.ok(&import("in.csv", &[])),
        "6 rows: 3 new, 2 corrected. Revision 4.\n1 row said again what was said before in the file.\n"
    );
    let changes = ["changes", "a/b", "--from-revision", "2", "-o", "csv"];
    let before = served.ok(&changes);
    assert_eq!(before.lines().count(), 3, "both values stay visible: {before}");
    let again = served.ok(&import("in.csv", &[]));
    assert!(again.contains("3 rows left out: a later row speaks of the same point"), "{again}");
    assert!(again.contains("Revision 4."), "nothing changed: {again}");
    assert_eq!(served.ok(&changes), before, "nothing flip-flops");
    let anew = served.ok(&import("in.csv", &["--again"]));
    assert!(anew.starts_with("6 rows: 3 unchanged. Revision 4.\n"), "{anew}");
}

#[test]
fn what_was_sent_before_is_sent_anew_only_when_asked() {
    let served = Served::with(&DAILY);
    served.file("in.csv", "day,n\n2020-01-01,1\n2020-01-02,2\n");
    served.ok(&import("in.csv", &[]));
    served.ok(&["retract", "a/b", "2020-01-01", "--reason", "by mistake"]);
    assert_eq!(
        served.ok(&import("in.csv", &[])),
        "2 rows: 2 sent before. Revision 2.\n\
         What was sent before got its first answer again and changed nothing; --again sends it anew.\n"
    );
    assert_eq!(served.ok(&import("in.csv", &["--again"])), "2 rows: 1 new, 1 unchanged. Revision 4.\n");
}

#[test]
fn columns_of_labels_ends_starts_and_restatements() {
    let served = Served::with(&[&DAILY[..], &["--labels", "channel,country", "--zone", "Europe/London"]].concat());
    served.file(
        "in.csv",
        "day;until;how;n\n2020-07-01;;email;1\n2020-07-01;;text;2\n2020-07-02;2020-07-05;email;30\n2020-07-09;;;4\n",
    );
    let more = ["--label-column", "channel=how", "--label", "country=gb", "--end-column", "until", "--delimiter", ";"];
    let ran = served.run(&import("in.csv", &more));
    assert!(
        ran.out.starts_with("4 rows: 3 new. Revision 2.\n") && ran.out.contains("line 5, label channel is empty"),
        "{ran:?}"
    );
    assert_eq!(
        served.ok(&["points", "a/b", "-o", "csv"]),
        "\
channel,country,time,end_time,value,start_time,restated
email,gb,2020-07-01T00:00:00+01:00,,1,,false
email,gb,2020-07-02T00:00:00+01:00,2020-07-05T00:00:00+01:00,30,,false
text,gb,2020-07-01T00:00:00+01:00,,2,,false
"
    );

    served.ok(&["metric", "create", "a/total", "--kind", "cumulative"]);
    served.file(
        "total.csv",
        "day,n,since,again\n2020-01-02,10,2020-01-01,\n2020-01-03,8,2020-01-01,yes\n2020-01-05,3,2020-01-03,no\n",
    );
    let args = ["import", "total.csv", "--metric", "a/total", "--time-column", "day", "--value-column", "n"];
    served.ok(&[&args[..], &["--start-column", "since", "--restated-column", "again"]].concat());
    assert_eq!(served.ok(&["total", "a/total", "-o", "csv"]), "total,marks\n11,\n");
}

#[test]
fn stdin_is_a_file_too_and_checks_change_nothing() {
    let served = Served::with(&DAILY);
    let piped = |args: &[&str]| {
        let mut command = served.command(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the binary runs");
        child.stdin.take().expect("a pipe").write_all(b"\xef\xbb\xbfday,n\r\n2020-01-01,7\r\n").expect("it reads");
        String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("UTF-8")
    };
    assert_eq!(piped(&import("-", &["--validate-only"])), "Checked, nothing written: 1 row: 1 new. Revision 1.\n");
    assert_eq!(piped(&import("-", &[])), "1 row: 1 new. Revision 2.\n");
}

#[test]
fn what_cannot_be_imported_at_all_says_why() {
    let served = Served::with(&DAILY);
    served.file("in.csv", "day,n,n\n2020-01-01,7,8\n");
    served.file("labels.csv", "day,n\n2020-01-01,7\n");
    served.file("empty.csv", "");
    for (args, says) in [
        (import("none.csv", &[]), "cannot read none.csv"),
        (import("empty.csv", &[]), "is empty: a header line is needed"),
        (import("in.csv", &[]), "two columns are called n"),
        (import("labels.csv", &["--label-column", "channel=how"]), "there is no column how; the file has day, n"),
    ] {
        let err = served.refused(&args);
        assert!(err.contains(says), "{args:?}: {err}");
    }
    let mut other = import("in.csv", &[]);
    other[3] = "a/c";
    assert!(served.refused(&other).contains("METRIC_NOT_FOUND"));
    let labels = served.run(&import("labels.csv", &["--label", "channel=email"]));
    assert_eq!(labels.code, Some(1));
    assert!(labels.out.contains("LABELS_DIFFER"), "{labels:?}");
}

/// Killed in the middle, and run again: everything is there, and counted once.
#[test]
fn an_interrupted_import_is_taken_up_again() {
    const ROWS: i64 = 40_000;
    let served = Served::with(&["a/b", "--kind", "delta", "--period", "PT1M"]);
    let mut text = String::from("day,n\n");
    let start = jiff::Timestamp::from_second(1_577_836_800).expect("a time");
    for minute in 0..ROWS {
        text.push_str(&format!("{},{}\n", start + jiff::SignedDuration::from_mins(minute), minute % 10));
    }
    served.file("in.csv", &text);
    let args = import("in.csv", &["--batch-points", "50"]);
    let mut child = served.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
    let points = || -> i64 {
        let csv = served.ok(&["series", "a/b", "-o", "csv"]);
        csv.lines().nth(1).and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or_default()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while points() == 0 && Instant::now() < deadline {}
    child.kill().expect("it is killed");
    child.wait().expect("it ends");
    let before = points();
    assert!(before > 0, "it had begun");
    let again = ran(served.command(&args));
    assert_eq!(again.code, Some(0), "{again:?}");
    if before < ROWS {
        assert!(again.out.contains(" sent before"), "{}", again.out);
    }
    assert_eq!(served.ok(&["total", "a/b", "-o", "csv"]), format!("total,marks\n{},\n", ROWS / 10 * 45));
    assert_eq!(points(), ROWS);
    assert_eq!(served.ok(&["changes", "a/b", "--from-revision", "2", "-o", "csv"]).lines().count(), 1, "no correction");
}
