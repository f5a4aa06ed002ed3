//! `milepost import`: the points of a CSV file, in batches over one stream, safe to repeat.

mod batch;
mod file;
#[cfg(feature = "planted")]
pub mod fuzzed;
mod rejects;
mod sender;
mod stored;

use super::Report;
use super::connection::Server;
use super::error::Error;
use super::figure::{count, readable};
use super::label::{Label, series_labels};
use super::moment::{Moment, parse_zone};
use super::retract::fresh_request_id;
use super::selection::zone_of;
use crate::domain::calendar::Zone;
use crate::domain::time::Time;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use sender::{Sender, Tally};
use std::path::PathBuf;

/// Write the points of a CSV file with a header line. Good rows go in; bad ones go to a rejects file, with their
/// line numbers and reasons.
///
/// Rows take effect in the order of the file: where a key (series, time) comes again, the later row is a
/// correction. Interrupted, or run twice, it does no harm: batches carry request ids made from what is in them.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// The file; - reads stdin
    file: PathBuf,
    /// The metric, COMPONENT/METRIC, as govuk-pay/payments
    #[arg(long)]
    metric: String,
    /// The column of dates or RFC 3339 times
    #[arg(long, value_name = "COLUMN")]
    time_column: String,
    /// The column of values: 1332.0, 14,800,000, 142.9m
    #[arg(long, value_name = "COLUMN")]
    value_column: String,
    /// The column that holds a label's values; repeat for more
    #[arg(long = "label-column", value_name = "LABEL=COLUMN")]
    label_columns: Vec<Label>,
    /// A label that every row has; repeat for more
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<Label>,
    /// DELTA: the column of ends, dates or RFC 3339 times; empty cells: one period
    #[arg(long, value_name = "COLUMN")]
    end_column: Option<String>,
    /// CUMULATIVE: every value is counted from zero since this date or RFC 3339 time
    #[arg(long, value_name = "TIME", conflicts_with = "start_column")]
    start: Option<Moment>,
    /// CUMULATIVE: the column that says since when a value is counted from zero
    #[arg(long, value_name = "COLUMN")]
    start_column: Option<String>,
    /// CUMULATIVE: every value may be below the one before it
    #[arg(long, conflicts_with = "restated_column")]
    restated: bool,
    /// CUMULATIVE: the column that says (yes, true, 1) that a value may be below the one before it
    #[arg(long, value_name = "COLUMN")]
    restated_column: Option<String>,
    /// The zone whose midnight a date is [default: the metric's]
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    zone: Option<Zone>,
    /// What parts the columns
    #[arg(long, value_name = "CHARACTER", default_value = ",")]
    delimiter: char,
    /// Where bad rows go [default: FILE.rejects.csv]
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Kept with every change that the import makes
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Send what was sent before under new request ids, to take effect anew
    #[arg(long)]
    again: bool,
    /// Check every batch and answer, but change nothing
    #[arg(long)]
    validate_only: bool,
    /// Points in a batch at most
    #[arg(long, value_name = "COUNT", default_value_t = batch::POINTS_MAX, hide = true,
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    batch_points: usize,
}

/// What the points are written to.
#[derive(Debug)]
struct Target {
    metric: String,
    zone: Zone,
    scale: u8,
}

/// A row that can be sent.
#[derive(Clone, Debug)]
struct Row {
    line: u64,
    /// Where its record begins in the file, for the rejects file.
    offset: usize,
    /// Index of its labels.
    series: u32,
    time: Time,
    units: i64,
    end: Option<Time>,
    start: Option<Time>,
    restated: bool,
}

impl Row {
    fn key(&self) -> (u32, Time) {
        (self.series, self.time)
    }

    fn same_value(&self, other: &Row) -> bool {
        (self.units, self.end, self.start, self.restated) == (other.units, other.end, other.start, other.restated)
    }
}

/// A row that cannot, and why.
#[derive(Clone, Debug)]
struct Reject {
    line: u64,
    offset: usize,
    reason: String,
}

pub(super) async fn run(args: ImportArgs, server: &Server) -> Result<Report, Error> {
    let metric = server.metric(&args.metric).await?;
    let zone = args.zone.clone().map_or_else(|| zone_of(&metric.time_zone), Ok)?;
    let target = Target { metric: args.metric.clone(), zone, scale: u8::try_from(metric.scale).unwrap_or_default() };
    let source = file::Source::open(&args.file, args.delimiter)?;
    let mut loaded = file::load(&source, &args, &target)?;
    let stored = stored::repeated_keys(&loaded, &target, server).await?;
    let cut = batch::cut(&loaded, &stored, args.batch_points);
    let nonce = if args.again { fresh_request_id() } else { String::new() };
    let writer = batch::Writer {
        target: &target,
        rows: &loaded.rows,
        series: &loaded.series,
        reason: args.reason.as_deref().unwrap_or_default(),
        nonce: &nonce,
        validate_only: args.validate_only,
    };
    let mut sender = Sender::new(server, &writer, progress(loaded.rows.len() - cut.left_out()));
    for batch in &cut.batches {
        sender.send(batch).await?;
    }
    let (tally, refused) = sender.finish().await?;
    loaded.rejects.extend(refused);
    loaded.rejects.sort_by_key(|reject| reject.line);
    let path = args.rejects.clone().unwrap_or_else(|| rejects::default_path(&args.file));
    rejects::write(&path, args.rejects.is_none(), &source, &loaded.rejects)?;
    let mut text = summary(&args, loaded.rows_read, &cut, &tally);
    if !loaded.rejects.is_empty() {
        let rows = count(loaded.rejects.len() as i64, "row");
        text.push_str(&format!(
            "{rows} rejected, with the reasons in {}; the first: line {}, {}\n",
            path.display(),
            loaded.rejects[0].line,
            loaded.rejects[0].reason
        ));
    }
    Ok(Report { text, complete: loaded.rejects.is_empty() })
}

/// On a terminal only; hidden elsewhere.
fn progress(points: usize) -> ProgressBar {
    let bar = ProgressBar::new(points as u64);
    let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} points, {eta} left");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

fn summary(args: &ImportArgs, rows_read: usize, cut: &batch::Cut, tally: &Tally) -> String {
    let mut parts = Vec::new();
    for (n, what) in [(tally.new, "new"), (tally.corrected, "corrected"), (tally.unchanged, "unchanged")] {
        if n > 0 {
            parts.push(format!("{} {what}", readable(&n.to_string())));
        }
    }
    if tally.replayed > 0 {
        parts.push(format!("{} sent before", readable(&tally.replayed.to_string())));
    }
    if parts.is_empty() {
        parts.push("nothing written".into());
    }
    let checked = if args.validate_only { "Checked, nothing written: " } else { "" };
    let mut text =
        format!("{checked}{}: {}. Revision {}.\n", count(rows_read as i64, "row"), parts.join(", "), tally.revision);
    if cut.same > 0 {
        text.push_str(&format!("{} said again what was said before in the file.\n", count(cut.same as i64, "row")));
    }
    if cut.earlier > 0 {
        let rows = count(cut.earlier as i64, "row");
        text.push_str(&format!(
            "{rows} left out: a later row speaks of the same point, and the server has it already.\n"
        ));
    }
    if tally.replayed > 0 {
        text.push_str("What was sent before got its first answer again and changed nothing; --again sends it anew.\n");
    }
    text
}

/// Labels of every row, checked: none given twice, as a column and as a value.
fn fixed_labels(args: &ImportArgs) -> Result<std::collections::BTreeMap<String, String>, Error> {
    let fixed = series_labels(&args.labels)?;
    let columns = series_labels(&args.label_columns)?;
    match columns.keys().find(|name| fixed.contains_key(*name)) {
        Some(name) => Err(Error::Usage(format!("label {name} is given as --label and as --label-column"))),
        None => Ok(fixed),
    }
}
