//! A leaf of a series' tree: its points in order of time, each with the revision that made it what it is.
//!
//! A packed block:
//!
//! ```text
//! byte     format: 3
//! varint   points n
//! byte     1: some end is not its time   2: some start   4: some restated
//! columns of times, values, revisions, and as the flags say: ends - times, starts (time - start + 1, 0: none),
//! restated (0/1). Each:
//!   byte   0 even: zigzag varints first and step
//!          1 n zigzag varints, of times and revisions the differences from the one before
//!          2 a varint length and a `pco` standalone chunk of i64
//! ```
//!
//! Formats 1 and 2, which are still read, had no byte before a column: all were of the form 1, or all of 2.

pub mod column;
pub mod columns;

use super::codec::{Reader, Undecodable, Writer};
use crate::domain::aggregate::Aggregate;
use crate::domain::calendar::Calendar;
use crate::domain::definition::Kind;
use crate::domain::point::Point;
pub use column::Column;
pub use columns::{Columns, Row};
use std::ops::Range;
use std::sync::OnceLock;

const FORMAT_VARINTS: u8 = 1;
const FORMAT_PCO: u8 = 2;
const FORMAT: u8 = 3;
const EVEN: u8 = 0;
const VARINTS: u8 = 1;
const PCO: u8 = 2;
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
    let present = |column: &Column, flag: u8| if column.is_zero() { 0 } else { flag };
    let flags = present(&columns.ends, HAS_END)
        | present(&columns.starts, HAS_START)
        | present(&columns.restated, HAS_RESTATED);
    let mut out = Writer::default();
    out.byte(FORMAT);
    out.unsigned(columns.len() as u64);
    out.byte(flags);
    pack_column(&mut out, true, &columns.times);
    pack_column(&mut out, false, &columns.values);
    pack_column(&mut out, true, &columns.revisions);
    for (column, flag) in [(&columns.ends, HAS_END), (&columns.starts, HAS_START), (&columns.restated, HAS_RESTATED)] {
        if flags & flag != 0 {
            pack_column(&mut out, false, column);
        }
    }
    out.0
}

fn pack_column(out: &mut Writer, differences: bool, column: &Column) {
    match column {
        Column::Even { first, step, .. } => {
            out.byte(EVEN);
            out.signed(*first);
            out.signed(*step);
        }
        Column::Each(numbers) if numbers.len() <= VARINT_POINTS_MAX => {
            out.byte(VARINTS);
            let mut before = 0i64;
            for number in numbers {
                out.signed(if differences { number.wrapping_sub(before) } else { *number });
                before = *number;
            }
        }
        Column::Each(numbers) => {
            out.byte(PCO);
            let config = pco::ChunkConfig::default().with_compression_level(PCO_LEVEL);
            let packed = pco::standalone::simple_compress(numbers, &config)
                .expect("pco packs any i64 column of up to 2^24 values at a level it knows");
            out.bytes(&packed);
        }
    }
}

/// Unpacks what `pack` packed. Any other bytes are an error, never a panic.
pub fn unpack(bytes: &[u8]) -> Result<Columns, Undecodable> {
    let mut reader = Reader(bytes);
    let format = reader.format(FORMAT)?;
    let count = reader.unsigned()? as usize;
    if count > UNPACKED_POINTS_MAX {
        return Err(Undecodable::Form("a block of too many points"));
    }
    let flags = reader.byte()?;
    let mut column = |differences: bool, present: bool| -> Result<Column, Undecodable> {
        if !present {
            return Ok(Column::of(0, count));
        }
        let form = match format {
            FORMAT_VARINTS => VARINTS,
            FORMAT_PCO => PCO,
            _ => reader.byte()?,
        };
        unpack_column(&mut reader, form, differences, count)
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
    match columns.times.ascends() {
        true => Ok(columns),
        false => Err(Undecodable::Form("points out of order")),
    }
}

fn unpack_column(reader: &mut Reader, form: u8, differences: bool, count: usize) -> Result<Column, Undecodable> {
    match form {
        EVEN => Ok(Column::Even { first: reader.signed()?, step: reader.signed()?, count }),
        VARINTS if count > reader.0.len() => Err(Undecodable::Form("a column of too many numbers")),
        VARINTS => {
            let mut before = 0i64;
            let one = |_| {
                let number = reader.signed()?;
                before = if differences { before.wrapping_add(number) } else { number };
                Ok(before)
            };
            (0..count).map(one).collect::<Result<Vec<i64>, Undecodable>>().map(Column::from)
        }
        PCO => {
            let numbers: Vec<i64> = pco::standalone::simple_decompress(reader.bytes()?)
                .map_err(|_| Undecodable::Form("a column does not unpack"))?;
            if numbers.len() == count {
                Ok(numbers.into())
            } else {
                Err(Undecodable::Form("a column of another length"))
            }
        }
        _ => Err(Undecodable::Form("an unknown form of column")),
    }
}
