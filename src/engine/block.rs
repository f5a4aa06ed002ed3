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

pub mod columns;

use super::codec::{Reader, Undecodable, Writer};
use crate::domain::aggregate::Aggregate;
use crate::domain::calendar::Calendar;
use crate::domain::definition::Kind;
use crate::domain::point::Point;
pub use columns::{Columns, Row};
use std::ops::Range;
use std::sync::OnceLock;

const FORMAT_VARINTS: u8 = 1;
const FORMAT_PCO: u8 = 2;
/// Points up to which varints are shorter than `pco`'s headers.
const VARINT_POINTS_MAX: usize = 64;
/// `pco` level: 4 packs at 19 ns a point; 8 saves 1 to 2 % at twice the time.
const PCO_LEVEL: usize = 4;
/// Points a chunk: what a query inside a block adds up one by one at most twice.
pub const CHUNK_POINTS: usize = 64;
/// Points of a block at most, whatever it says of itself.
const UNPACKED_POINTS_MAX: usize = 1 << 24;

/// A decoded block.
#[derive(Debug, Default)]
pub struct Leaf {
    /// Its points.
    pub columns: Columns,
    /// What each `CHUNK_POINTS` points come to; made when a query first needs a part of the block.
    chunks: OnceLock<Box<[Aggregate]>>,
}

impl Leaf {
    /// A leaf of these points.
    pub fn new(columns: Columns) -> Leaf {
        Leaf { columns, chunks: OnceLock::new() }
    }

    /// What each `CHUNK_POINTS` points come to.
    pub fn chunks(&self, kind: Kind, periods: Option<&Calendar>) -> &[Aggregate] {
        self.chunks.get_or_init(|| {
            let count = self.columns.len();
            let starts = (0..count).step_by(CHUNK_POINTS);
            starts
                .filter_map(|from| summed(kind, &self.columns, from..(from + CHUNK_POINTS).min(count), periods))
                .collect()
        })
    }

    /// Bytes in memory, roughly.
    pub fn bytes(&self) -> usize {
        self.columns.bytes() + self.columns.len().div_ceil(CHUNK_POINTS) * size_of::<Aggregate>()
    }
}

/// What the points of a range come to; None: there is none.
pub fn summed(kind: Kind, columns: &Columns, range: Range<usize>, periods: Option<&Calendar>) -> Option<Aggregate> {
    Aggregate::of_all(kind, columns.points(range), periods)
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

/// Packs points.
pub fn pack(columns: &Columns) -> Vec<u8> {
    let present = |column: &[i64], flag: u8| if column.iter().any(|v| *v != 0) { flag } else { 0 };
    let flags = present(&columns.ends, HAS_END)
        | present(&columns.starts, HAS_START)
        | present(&columns.restated, HAS_RESTATED);
    let varints = columns.len() <= VARINT_POINTS_MAX;
    let mut out = Writer::default();
    out.byte(if varints { FORMAT_VARINTS } else { FORMAT_PCO });
    out.unsigned(columns.len() as u64);
    out.byte(flags);
    let mut column = |differences: bool, values: &[i64]| {
        if varints {
            let mut before = 0i64;
            for value in values {
                out.signed(if differences { value.wrapping_sub(before) } else { *value });
                before = *value;
            }
        } else {
            let config = pco::ChunkConfig::default().with_compression_level(PCO_LEVEL);
            let packed = pco::standalone::simple_compress(values, &config)
                .expect("pco packs any i64 column of up to 2^24 values at a level it knows");
            out.bytes(&packed);
        }
    };
    column(true, &columns.times);
    column(false, &columns.values);
    column(true, &columns.revisions);
    for (values, flag) in [(&columns.ends, HAS_END), (&columns.starts, HAS_START), (&columns.restated, HAS_RESTATED)] {
        if flags & flag != 0 {
            column(false, values);
        }
    }
    out.0
}

/// Unpacks what `pack` packed. Any other bytes are an error, never a panic.
pub fn unpack(bytes: &[u8]) -> Result<Columns, Undecodable> {
    let mut reader = Reader(bytes);
    let format = reader.format(FORMAT_PCO)?;
    let count = reader.unsigned()? as usize;
    if count > UNPACKED_POINTS_MAX || (format == FORMAT_VARINTS && count > bytes.len()) {
        return Err(Undecodable::Form("a block of too many points"));
    }
    let flags = reader.byte()?;
    let mut column = |differences: bool, present: bool| -> Result<Vec<i64>, Undecodable> {
        match format {
            _ if !present => Ok(Vec::new()),
            FORMAT_VARINTS => {
                let mut before = 0i64;
                let one = |_| {
                    let value = reader.signed()?;
                    before = if differences { before.wrapping_add(value) } else { value };
                    Ok(before)
                };
                (0..count).map(one).collect()
            }
            _ => {
                let values: Vec<i64> = pco::standalone::simple_decompress(reader.bytes()?)
                    .map_err(|_| Undecodable::Form("a column does not unpack"))?;
                if values.len() == count { Ok(values) } else { Err(Undecodable::Form("a column of another length")) }
            }
        }
    };
    let columns = Columns {
        times: column(true, true)?,
        values: column(false, true)?,
        revisions: column(true, true)?,
        ends: column(false, flags & HAS_END != 0)?,
        starts: column(false, flags & HAS_START != 0)?,
        restated: column(false, flags & HAS_RESTATED != 0)?,
    };
    reader.end()?;
    if columns.times.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(Undecodable::Form("points out of order"));
    }
    Ok(columns)
}
