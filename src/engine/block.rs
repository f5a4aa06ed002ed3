//! A leaf of a series' tree: its points in order of time, each with the revision that made it what it is.
//!
//! A packed block, format 1:
//!
//! ```text
//! byte     format (1 = varints, 2 = pco)
//! varint   points n
//! byte     1: some end is not its time   2: some start   4: some restated
//! times, values, revisions, and as the flags say: ends - times, starts (time - start + 1, 0: none), restated (0/1)
//!          format 1: n zigzag varints each, times and revisions as differences from the one before
//!          format 2: a varint length and a `pco` standalone chunk of i64 each
//! ```

use super::codec::{Reader, Undecodable, Writer};
use crate::domain::aggregate::Aggregate;
use crate::domain::calendar::Calendar;
use crate::domain::definition::Kind;
use crate::domain::point::Point;
use crate::domain::time::Time;
use std::sync::OnceLock;

/// Points up to which varints are shorter than `pco`'s headers.
const VARINT_POINTS_MAX: usize = 64;
/// `pco` level: 4 packs at 19 ns a point; 8 saves 1 to 2 % at twice the time.
const PCO_LEVEL: usize = 4;
/// Points a chunk: what a query inside a block adds up one by one at most twice.
pub const CHUNK_POINTS: usize = 64;

/// A point and the revision that made it what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// The point.
    pub point: Point,
    /// Since this revision.
    pub revision: i64,
}

/// A decoded block.
#[derive(Debug, Default)]
pub struct Leaf {
    /// In order of time, each time once.
    pub rows: Vec<Row>,
    /// What each `CHUNK_POINTS` rows come to; made when a query first needs a part of the block.
    chunks: OnceLock<Box<[Aggregate]>>,
}

impl Leaf {
    /// A leaf of these rows, which are in order of time.
    pub fn new(rows: Vec<Row>) -> Leaf {
        Leaf { rows, chunks: OnceLock::new() }
    }

    /// What each `CHUNK_POINTS` rows come to.
    pub fn chunks(&self, kind: Kind, periods: Option<&Calendar>) -> &[Aggregate] {
        self.chunks
            .get_or_init(|| self.rows.chunks(CHUNK_POINTS).filter_map(|rows| summed(kind, rows, periods)).collect())
    }

    /// Index of the first row at or after `t`.
    pub fn at_or_after(&self, t: Time) -> usize {
        self.rows.partition_point(|row| row.point.time < t)
    }

    /// Bytes in memory, roughly.
    pub fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row>() + self.rows.len().div_ceil(CHUNK_POINTS) * size_of::<Aggregate>()
    }
}

/// What rows come to; None: there is none.
pub fn summed(kind: Kind, rows: &[Row], periods: Option<&Calendar>) -> Option<Aggregate> {
    Aggregate::of_all(kind, rows.iter().map(|row| &row.point), periods)
}

/// Adds up points in order of time.
pub struct Summing<'a> {
    kind: Kind,
    periods: Option<&'a Calendar>,
    /// What has been added comes to.
    pub total: Option<Aggregate>,
}

impl<'a> Summing<'a> {
    /// Nothing yet.
    pub fn new(kind: Kind, periods: Option<&'a Calendar>) -> Summing<'a> {
        Summing { kind, periods, total: None }
    }

    /// One more point, later than all before.
    pub fn add(&mut self, point: &Point) {
        self.join(&Aggregate::of(self.kind, point, self.periods));
    }

    /// A stretch, later than all before.
    pub fn join(&mut self, right: &Aggregate) {
        self.total = Some(match &self.total {
            None => *right,
            Some(left) => left.then(self.kind, right),
        });
    }
}

const HAS_END: u8 = 1;
const HAS_START: u8 = 2;
const HAS_RESTATED: u8 = 4;

/// Packs rows.
pub fn pack(rows: &[Row]) -> Vec<u8> {
    let any = |test: fn(&Point) -> bool| rows.iter().any(|row| test(&row.point));
    let mut flags = 0;
    flags |= if any(|p| p.end != p.time) { HAS_END } else { 0 };
    flags |= if any(|p| p.start.is_some()) { HAS_START } else { 0 };
    flags |= if any(|p| p.restated) { HAS_RESTATED } else { 0 };
    let varints = rows.len() <= VARINT_POINTS_MAX;
    let mut out = Writer::default();
    out.byte(if varints { 1 } else { 2 });
    out.unsigned(rows.len() as u64);
    out.byte(flags);
    let mut column = |differences: bool, of: &dyn Fn(&Row) -> i64| {
        if varints {
            let mut before = 0i64;
            for row in rows {
                let value = of(row);
                out.signed(if differences { value.wrapping_sub(before) } else { value });
                before = value;
            }
        } else {
            let values: Vec<i64> = rows.iter().map(of).collect();
            let config = pco::ChunkConfig::default().with_compression_level(PCO_LEVEL);
            let packed = pco::standalone::simple_compress(&values, &config)
                .expect("pco packs any i64 column of up to 2^24 values at a level it knows");
            out.bytes(&packed);
        }
    };
    column(true, &|row| row.point.time.0);
    column(false, &|row| row.point.value);
    column(true, &|row| row.revision);
    if flags & HAS_END != 0 {
        column(false, &|row| row.point.end.0.wrapping_sub(row.point.time.0));
    }
    if flags & HAS_START != 0 {
        column(false, &|row| row.point.start.map_or(0, |start| row.point.time.0.wrapping_sub(start.0).wrapping_add(1)));
    }
    if flags & HAS_RESTATED != 0 {
        column(false, &|row| i64::from(row.point.restated));
    }
    out.0
}

/// Unpacks what `pack` packed. Any other bytes are an error, never a panic.
pub fn unpack(bytes: &[u8]) -> Result<Vec<Row>, Undecodable> {
    let mut reader = Reader(bytes);
    let format = reader.byte()?;
    let count = reader.unsigned()? as usize;
    if count > 1 << 24 || (format == 1 && count > bytes.len()) {
        return Err(Undecodable("a block of too many points"));
    }
    let flags = reader.byte()?;
    let mut column = |differences: bool| -> Result<Vec<i64>, Undecodable> {
        match format {
            1 => {
                let mut before = 0i64;
                (0..count)
                    .map(|_| {
                        let value = reader.signed()?;
                        before = if differences { before.wrapping_add(value) } else { value };
                        Ok(before)
                    })
                    .collect()
            }
            2 => {
                let values: Vec<i64> = pco::standalone::simple_decompress(reader.bytes()?)
                    .map_err(|_| Undecodable("a column does not unpack"))?;
                if values.len() == count { Ok(values) } else { Err(Undecodable("a column of another length")) }
            }
            _ => Err(Undecodable("an unknown block format")),
        }
    };
    let times = column(true)?;
    let values = column(false)?;
    let revisions = column(true)?;
    let ends = if flags & HAS_END != 0 { Some(column(false)?) } else { None };
    let starts = if flags & HAS_START != 0 { Some(column(false)?) } else { None };
    let restated = if flags & HAS_RESTATED != 0 { Some(column(false)?) } else { None };
    reader.end()?;
    let rows = (0..count).map(|i| {
        let time = Time(times[i]);
        Row {
            point: Point {
                time,
                value: values[i],
                end: ends.as_ref().map_or(time, |e| Time(time.0.wrapping_add(e[i]))),
                start: starts.as_ref().filter(|s| s[i] != 0).map(|s| Time(time.0.wrapping_sub(s[i] - 1))),
                restated: restated.as_ref().is_some_and(|r| r[i] != 0),
            },
            revision: revisions[i],
        }
    });
    let rows: Vec<Row> = rows.collect();
    if rows.windows(2).any(|pair| pair[0].point.time >= pair[1].point.time) {
        return Err(Undecodable("points out of order"));
    }
    Ok(rows)
}
