//! Reads a CSV file into rows that can be sent and rows that cannot.

use super::{ImportArgs, Reject, Row, Target};
use crate::cli::error::Error;
use crate::cli::figure;
use crate::cli::moment::{Moment, first_instant};
use crate::domain::decimal::{self, DecimalError};
use crate::domain::time::Time;
use csv::{ByteRecord, Reader, ReaderBuilder, Trim};
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;

/// A file as it was read, kept for the rejects file.
pub(super) struct Source {
    bytes: Vec<u8>,
    delimiter: u8,
    header: ByteRecord,
}

/// What a file came to.
pub(super) struct Loaded {
    /// In the order of the file.
    pub(super) rows: Vec<Row>,
    /// Labels of the series that rows name by index.
    pub(super) series: Vec<BTreeMap<String, String>>,
    pub(super) rejects: Vec<Reject>,
    /// Rows in the file, good and bad.
    pub(super) rows_read: usize,
}

impl Source {
    /// Reads the whole file, or stdin where the path is `-`.
    pub(super) fn open(path: &Path, delimiter: char) -> Result<Source, Error> {
        let failed = |source| Error::Io { what: format!("cannot read {}", path.display()), source };
        let mut bytes = Vec::new();
        if path == Path::new("-") {
            std::io::stdin().lock().read_to_end(&mut bytes).map_err(failed)?;
        } else {
            bytes = std::fs::read(path).map_err(failed)?;
        }
        Source::of(bytes, path, delimiter)
    }

    /// A file's bytes.
    pub(super) fn of(bytes: Vec<u8>, path: &Path, delimiter: char) -> Result<Source, Error> {
        let delimiter = u8::try_from(delimiter)
            .ok()
            .filter(u8::is_ascii)
            .ok_or_else(|| Error::Usage(format!("--delimiter {delimiter}: only an ASCII character")))?;
        let mut source = Source { bytes, delimiter, header: ByteRecord::new() };
        source.header = source
            .reader(0, true)
            .byte_headers()
            .map_err(|e| Error::Failed(format!("{}: the header line cannot be read: {e}", path.display())))?
            .clone();
        if source.header.is_empty() {
            return Err(Error::Failed(format!("{} is empty: a header line is needed", path.display())));
        }
        Ok(source)
    }

    fn reader(&self, offset: usize, has_headers: bool) -> Reader<&[u8]> {
        ReaderBuilder::new()
            .delimiter(self.delimiter)
            .flexible(true)
            .has_headers(has_headers)
            .trim(Trim::All)
            .from_reader(&self.bytes[offset.min(self.bytes.len())..])
    }

    /// The header's cells.
    pub(super) fn header(&self) -> &ByteRecord {
        &self.header
    }

    /// The record that begins at `offset`.
    pub(super) fn record_at(&self, offset: usize) -> ByteRecord {
        let mut record = ByteRecord::new();
        // Nothing can fail in memory; what cannot be read again is written as an empty record.
        let _ = self.reader(offset, false).read_byte_record(&mut record);
        record
    }

    fn column(&self, name: &str) -> Result<usize, Error> {
        let mut found = self.header.iter().enumerate().filter(|(_, h)| *h == name.as_bytes()).map(|(i, _)| i);
        match (found.next(), found.next()) {
            (Some(i), None) => Ok(i),
            (Some(_), Some(_)) => Err(Error::Failed(format!("two columns are called {name}"))),
            (None, _) => {
                let names: Vec<_> = self.header.iter().map(String::from_utf8_lossy).collect();
                Err(Error::Failed(format!("there is no column {name}; the file has {}", names.join(", "))))
            }
        }
    }
}

/// Where the columns are that the command line names.
struct Places {
    time: usize,
    value: usize,
    labels: Vec<(String, usize)>,
    end: Option<usize>,
    start: Option<usize>,
    restated: Option<usize>,
    width: usize,
}

impl Places {
    fn find(source: &Source, args: &ImportArgs) -> Result<Places, Error> {
        let optional = |name: &Option<String>| name.as_deref().map(|n| source.column(n)).transpose();
        Ok(Places {
            time: source.column(&args.time_column)?,
            value: source.column(&args.value_column)?,
            labels: args
                .label_columns
                .iter()
                .map(|l| source.column(&l.value).map(|i| (l.name.clone(), i)))
                .collect::<Result<_, _>>()?,
            end: optional(&args.end_column)?,
            start: optional(&args.start_column)?,
            restated: optional(&args.restated_column)?,
            width: source.header.len(),
        })
    }
}

/// Reads every row: O(file) time, and memory for the file and 80 bytes a row.
pub(super) fn load(source: &Source, args: &ImportArgs, target: &Target) -> Result<Loaded, Error> {
    let places = Places::find(source, args)?;
    let fixed = super::fixed_labels(args)?;
    let start = args.start.as_ref().map(|moment| moment.instant(&target.zone)).transpose()?;
    let mut series_index: HashMap<BTreeMap<String, String>, u32> = HashMap::new();
    let mut loaded = Loaded { rows: Vec::new(), series: Vec::new(), rejects: Vec::new(), rows_read: 0 };
    let mut reader = source.reader(0, true);
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|e| Error::Failed(format!("cannot read the file: {e}")))? {
        loaded.rows_read += 1;
        let position = record.position().cloned().unwrap_or_else(csv::Position::new);
        let (line, offset) = (position.line(), usize::try_from(position.byte()).unwrap_or(usize::MAX));
        let parsed = parse(&record, &places, target).map(|(labels, mut row)| {
            (row.line, row.offset) = (line, offset);
            row.start = row.start.or(start);
            row.restated |= args.restated;
            (labels, row)
        });
        match parsed {
            Err(reason) => loaded.rejects.push(Reject { line, offset, reason }),
            Ok((mut labels, mut row)) => {
                labels.extend(fixed.iter().map(|(n, v)| (n.clone(), v.clone())));
                row.series = match series_index.get(&labels) {
                    Some(index) => *index,
                    None => {
                        let index = u32::try_from(loaded.series.len())
                            .map_err(|_| Error::Failed("the file has more than 2^32 series".into()))?;
                        loaded.series.push(labels.clone());
                        series_index.insert(labels, index);
                        index
                    }
                };
                loaded.rows.push(row);
            }
        }
    }
    Ok(loaded)
}

fn cell(record: &ByteRecord, place: usize) -> Result<&str, String> {
    std::str::from_utf8(&record[place]).map_err(|_| format!("column {} is not UTF-8", place + 1))
}

fn parse(record: &ByteRecord, places: &Places, target: &Target) -> Result<(BTreeMap<String, String>, Row), String> {
    if record.len() != places.width {
        return Err(format!("it has {} columns, the header {}", record.len(), places.width));
    }
    let optional_time = |place: Option<usize>, what: &str| match place.map(|p| cell(record, p)).transpose()? {
        None | Some("") => Ok(None),
        Some(text) => time(text, target).map(Some).map_err(|e| format!("{what}: {e}")),
    };
    let mut labels = BTreeMap::new();
    for (name, place) in &places.labels {
        let value = cell(record, *place)?;
        if value.is_empty() {
            return Err(format!("label {name} is empty"));
        }
        labels.insert(name.clone(), value.to_owned());
    }
    let row = Row {
        line: 0,
        offset: 0,
        series: 0,
        time: time(cell(record, places.time)?, target).map_err(|e| format!("time: {e}"))?,
        units: units(cell(record, places.value)?, target.scale)?,
        end: optional_time(places.end, "end")?,
        start: optional_time(places.start, "start")?,
        restated: places.restated.map(|p| cell(record, p).and_then(yes)).transpose()?.unwrap_or_default(),
    };
    Ok((labels, row))
}

fn time(text: &str, target: &Target) -> Result<Time, String> {
    if text.is_empty() {
        return Err("it is empty".into());
    }
    match text.parse()? {
        Moment::Instant(time) => Ok(time),
        Moment::Date(date) => first_instant(&target.zone, &date),
    }
}

fn units(text: &str, scale: u8) -> Result<i64, String> {
    if text.is_empty() {
        return Err("value: it is empty, and absent is not zero".into());
    }
    let plain = figure::plain(text).map_err(|e| format!("value: {e}"))?;
    decimal::parse(&plain, scale).map_err(|e| match e {
        DecimalError::Malformed => format!("value: {text:?} is not a figure"),
        DecimalError::TooFine => format!("value: {text} has more digits than the metric's scale of {scale}"),
        DecimalError::OutOfRange => format!("value: {text} does not fit 64 bits"),
    })
}

fn yes(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "1" | "restated" => Ok(true),
        "" | "false" | "no" | "n" | "0" => Ok(false),
        _ => Err(format!("restated: {text:?} is neither yes nor no")),
    }
}
