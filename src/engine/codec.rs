//! Bytes of records, frames and nodes: varints, texts, points. Little-endian; no alignment; no self-description,
//! so each format says its version first.

use crate::domain::point::Point;
use crate::domain::time::Time;
use crate::store::{Damage, StoreError};

/// The bytes do not say what they should. Whoever read them names file and offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Undecodable {
    /// They are not of the form.
    #[error("the bytes do not decode: {0}")]
    Form(&'static str),
    /// They are of a later version.
    #[error("they have {what} {found}; this milepost reads {what}s up to {known}")]
    TooNew {
        /// What has a number.
        what: &'static str,
        /// The number that is there.
        found: u8,
        /// The highest one known.
        known: u8,
    },
}

impl Undecodable {
    /// As what the caller should do. `file` says what was read.
    pub fn in_file(self, file: String) -> StoreError {
        match self {
            Undecodable::Form(_) => Damage { file, offset: 0, what: self.to_string() }.into(),
            Undecodable::TooNew { found, known, .. } => {
                StoreError::Format { file, found: found.to_string(), known: known.into() }
            }
        }
    }
}

/// Appends values to a byte string.
#[derive(Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// One byte.
    pub fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    /// LEB128: seven bits a byte, low ones first, the top bit says that more follow.
    pub fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Zigzag, then as `unsigned`: small magnitudes are short.
    pub fn signed(&mut self, value: i64) {
        self.unsigned(((value << 1) ^ (value >> 63)) as u64);
    }

    /// As `signed`, of up to 128 bits.
    pub fn total(&mut self, value: i128) {
        let mut rest = ((value << 1) ^ (value >> 127)) as u128;
        while rest >= 0x80 {
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }

    /// 8 bytes.
    pub fn time(&mut self, value: Time) {
        self.0.extend_from_slice(&value.0.to_le_bytes());
    }

    /// A flag, then the time where there is one.
    pub fn optional_time(&mut self, value: Option<Time>) {
        self.byte(u8::from(value.is_some()));
        if let Some(time) = value {
            self.time(time);
        }
    }

    /// Length, then the bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        self.unsigned(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// Length, then UTF-8.
    pub fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// A point's value: everything but its time.
    pub fn point_value(&mut self, point: &Point) {
        let has_end = point.end != point.time;
        self.byte(u8::from(has_end) | u8::from(point.start.is_some()) << 1 | u8::from(point.restated) << 2);
        self.signed(point.value);
        if has_end {
            self.signed(point.end.0.wrapping_sub(point.time.0));
        }
        if let Some(start) = point.start {
            self.signed(point.time.0.wrapping_sub(start.0));
        }
    }
}

/// Takes values off a byte string.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Undecodable> {
        if count > self.0.len() {
            return Err(Undecodable::Form("cut short"));
        }
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        Ok(taken)
    }

    /// As `Writer::byte`.
    pub fn byte(&mut self) -> Result<u8, Undecodable> {
        Ok(self.take(1)?[0])
    }

    /// A format's number: from 1 to `known`.
    pub fn format(&mut self, known: u8) -> Result<u8, Undecodable> {
        match self.byte()? {
            0 => Err(Undecodable::Form("format 0")),
            found if found > known => Err(Undecodable::TooNew { what: "format", found, known }),
            format => Ok(format),
        }
    }

    /// As `Writer::unsigned`.
    pub fn unsigned(&mut self) -> Result<u64, Undecodable> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Undecodable::Form("a varint does not end"))
    }

    /// A count of things that take at least one byte each, so that damage cannot ask for endless memory.
    pub fn count(&mut self) -> Result<usize, Undecodable> {
        let count = self.unsigned()?;
        if count > self.0.len() as u64 {
            return Err(Undecodable::Form("a count exceeds the bytes"));
        }
        Ok(count as usize)
    }

    /// As `Writer::signed`.
    pub fn signed(&mut self) -> Result<i64, Undecodable> {
        let raw = self.unsigned()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// As `Writer::total`.
    pub fn total(&mut self) -> Result<i128, Undecodable> {
        let mut value = 0u128;
        for shift in (0..128).step_by(7) {
            let byte = self.byte()?;
            value |= u128::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i128 ^ -((value & 1) as i128));
            }
        }
        Err(Undecodable::Form("a varint does not end"))
    }

    /// 16 bytes, as the first format of sums had them.
    pub fn wide(&mut self) -> Result<i128, Undecodable> {
        Ok(i128::from_le_bytes(self.take(16)?.try_into().expect("16 bytes were taken")))
    }

    /// As `Writer::time`.
    pub fn time(&mut self) -> Result<Time, Undecodable> {
        Ok(Time(i64::from_le_bytes(self.take(8)?.try_into().expect("8 bytes were taken"))))
    }

    /// As `Writer::optional_time`.
    pub fn optional_time(&mut self) -> Result<Option<Time>, Undecodable> {
        Ok(if self.byte()? == 0 { None } else { Some(self.time()?) })
    }

    /// As `Writer::bytes`.
    pub fn bytes(&mut self) -> Result<&'a [u8], Undecodable> {
        let length = self.count()?;
        self.take(length)
    }

    /// As `Writer::text`.
    pub fn text(&mut self) -> Result<&'a str, Undecodable> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Undecodable::Form("not UTF-8"))
    }

    /// As `Writer::point_value`.
    pub fn point_value(&mut self, time: Time) -> Result<Point, Undecodable> {
        let flags = self.byte()?;
        let mut point = Point::at(time, self.signed()?);
        if flags & 1 != 0 {
            point.end = Time(time.0.wrapping_add(self.signed()?));
        }
        if flags & 2 != 0 {
            point.start = Some(Time(time.0.wrapping_sub(self.signed()?)));
        }
        point.restated = flags & 4 != 0;
        Ok(point)
    }

    /// Nothing may be left.
    pub fn end(&self) -> Result<(), Undecodable> {
        if self.0.is_empty() { Ok(()) } else { Err(Undecodable::Form("bytes are left over")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fold::{frames, pages};
    use crate::engine::{block, changes, effect, history};

    /// Everything that says its format first refuses a later one, and says both numbers.
    #[test]
    fn a_later_format_is_refused_by_both_numbers() {
        type Read = fn(&[u8]) -> Option<Undecodable>;
        let reads: [(&str, u8, Read); 9] = [
            ("block", 4, |bytes| block::unpack(bytes).err()),
            ("run", 1, |bytes| history::unpack_run(bytes).err()),
            ("changes", 1, |bytes| changes::read_changes(bytes).err()),
            ("record", 3, |bytes| effect::read_effect(&[], bytes).err()),
            ("series page", 3, |bytes| frames::read_series_page(bytes).err()),
            ("component", 3, |bytes| frames::read_component(bytes).err()),
            ("batches", 1, |bytes| frames::read_batches(bytes).err()),
            ("ids", 1, |bytes| frames::read_ids(bytes).err()),
            ("page of the index", 3, |bytes| pages::read(bytes).err()),
        ];
        for (what, known, read) in reads {
            let found = known + 1;
            let error = read(&[found, 0, 0, 0]);
            assert_eq!(error, Some(Undecodable::TooNew { what: "format", found, known }), "{what}");
            let error = error.expect("just seen").in_file(what.to_string());
            let text = format!("{what} has format {found}; this milepost reads format {known}");
            assert_eq!(error.to_string(), text);
            assert!(matches!(read(&[0]), Some(Undecodable::Form(_))), "{what}");
        }
        assert!(matches!(effect::read_list(&[0, 4]), Err(Undecodable::TooNew { found: 4, known: 3, .. })));
        assert!(matches!(frames::FrameKind::of(200), Err(Undecodable::TooNew { found: 200, .. })));
    }
}
