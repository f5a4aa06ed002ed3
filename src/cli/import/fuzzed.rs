//! A CSV file taken apart and put together without a server: what the fuzz target holds the import to. There only with
//! the feature `planted`, which only this package's own tests switch on: what it looks at is private.

use super::batch::{Writer, cut};
use super::file::{Source, load};
use super::{ImportArgs, Target};
use crate::cli::moment::from_proto;
use crate::domain::calendar::Zone;
use crate::domain::decimal;
use crate::proto::v1::{self as pb, point};
use clap::{Args, FromArgMatches};
use std::collections::HashSet;
use std::path::Path;

/// Scales that a file is read with.
const SCALE: u8 = 2;

/// Reads a file with columns `time` and `value` and, where the header has them, `channel`, `until`, `since` and
/// `restated`, and writes its rows as requests. Answers how many rows were good and how many were not.
///
/// # Panics
/// Where a row is lost, or its request says something else than the row: what a fuzz target is after.
pub fn check_import(bytes: &[u8]) -> Option<(usize, usize)> {
    let source = Source::of(bytes.to_vec(), Path::new("fuzzed.csv"), ',').ok()?;
    let has = |name: &str| source.header().iter().any(|cell| cell == name.as_bytes());
    let mut said = vec!["import", "fuzzed.csv", "--metric", "c/m", "--time-column", "time", "--value-column", "value"];
    for (column, option, value) in [
        ("channel", "--label-column", "channel=channel"),
        ("until", "--end-column", "until"),
        ("since", "--start-column", "since"),
        ("restated", "--restated-column", "restated"),
    ] {
        if has(column) {
            said.extend([option, value]);
        }
    }
    let command = ImportArgs::augment_args(clap::Command::new("import"));
    let matches = command.try_get_matches_from(said).expect("the options are those of import");
    let args = ImportArgs::from_arg_matches(&matches).expect("the options are those of import");
    let zone = Zone::parse("Europe/London").expect("there is such a zone");
    let target = Target { metric: "c/m".to_owned(), zone, scale: SCALE };
    let loaded = load(&source, &args, &target).ok()?;
    assert_eq!(loaded.rows.len() + loaded.rejects.len(), loaded.rows_read, "every row is good or is not");
    for reject in &loaded.rejects {
        assert!(!reject.reason.is_empty(), "a reject has a reason");
        source.record_at(reject.offset);
    }
    let cut = cut(&loaded, &HashSet::new(), 7);
    let writer = Writer {
        target: &target,
        rows: &loaded.rows,
        series: &loaded.series,
        reason: "",
        nonce: "",
        validate_only: false,
    };
    let mut sent = 0;
    for batch in &cut.batches {
        let written = writer.request(&batch.rows);
        for (entry, places) in written.request.series.iter().zip(&written.places) {
            assert_eq!(entry.points.len(), places.len());
            for (point, place) in entry.points.iter().zip(places) {
                let row = &loaded.rows[*place];
                assert_eq!(decimal::parse(&point.value, SCALE), Ok(row.units), "the value is the row's");
                assert_eq!(time_of(point), Some(row.time), "the time is the row's");
                assert_eq!(entry.labels, loaded.series[row.series as usize], "the labels are the row's");
                sent += 1;
            }
        }
    }
    assert_eq!(sent + cut.left_out(), loaded.rows.len(), "every good row is sent, or was said before");
    Some((loaded.rows.len(), loaded.rejects.len()))
}

fn time_of(point: &pb::Point) -> Option<crate::domain::time::Time> {
    match &point.at {
        Some(point::At::Time(time)) => Some(from_proto(time)),
        _ => None,
    }
}
