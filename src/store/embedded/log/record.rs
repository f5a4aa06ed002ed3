//! A record of the log, byte by byte.
//!
//! It starts on a multiple of 64 in its segment, numbers are little-endian:
//!
//! ```text
//!   0   4  "MREC", each bit flipped where the upper half of the segment's salt has a one
//!   4   2  format version: 1
//!   6   1  kind: 1 a batch, 2 the log goes on in another segment, 3 an empty group
//!   7   1  C, the length of the component's name; 0 for kinds 2 and 3
//!   8   8  position; kind 2: the number of the next segment; kind 3: 0
//!  16   8  number of the group it belongs to
//!  24   4  where that group starts in the segment, in units of 64 bytes
//!  28   8  recorded time, nanoseconds since 1970
//!  36   8  revision of the component after it
//!  44  24  the three counts of the answer
//!  68   4  S, the length of the list of series
//!  72   4  B, the length of the body
//!  76   4  CRC-32 of the list of series
//!  80   4  CRC-32 of the body
//!  84   4  0
//!  88   4  CRC-32 of bytes 0 to 87 and of the component's name
//!  92   C  the component's name
//!   .   S  the list of series
//!   .   B  the body
//!   .      zeros up to a multiple of 64
//! ```
//!
//! Every CRC-32 starts from the lower half of the segment's salt: bytes that a client chose cannot pass for a
//! record, nor can one of another segment. In every version the magic, the version, C and the head's checksum keep
//! their places, so that a record that is too new is not taken for a torn one. The head says where its group starts, so that one valid head proves
//! that everything before that place was synced.

use crate::domain::name::ComponentName;
use crate::domain::time::Time;
use crate::planted::{self, Bug};
use crate::store::Record;
use bytes::{Buf, BufMut, Bytes};

/// Records start on multiples of this.
pub const ALIGN_BYTES: usize = 64;
/// A head without the component's name.
pub const HEAD_BYTES: usize = 92;
/// What a record of kind 2 or 3 takes.
pub const MARK_BYTES: usize = 128;

const MAGIC: u32 = u32::from_le_bytes(*b"MREC");
/// The version that is written, and the highest that is read.
pub const VERSION: u16 = 1;

/// The chance in a segment's header that its records are checked with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Salt(pub u64);

impl Salt {
    fn magic(self) -> u32 {
        MAGIC ^ (self.0 >> 32) as u32
    }

    fn crc(self, parts: &[&[u8]]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0 as u32);
        parts.iter().for_each(|part| hasher.update(part));
        hasher.finalize()
    }
}

/// What a record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A batch.
    Batch = 1,
    /// The last one of a full segment: the log goes on in another.
    Next = 2,
    /// Nothing: it only proves that what is before it was synced.
    Empty = 3,
}

/// Where a record stands in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its position (`Next`: the next segment's number).
    pub position: u64,
    /// The group it belongs to.
    pub group: u64,
    /// Where that group starts in the segment, in bytes.
    pub group_start: u64,
}

/// A head whose checksum is right.
#[derive(Clone, Debug)]
pub struct Head {
    /// What it is.
    pub kind: Kind,
    /// Where it stands.
    pub place: Place,
    component: Option<ComponentName>,
    record_time: i64,
    revision: i64,
    counts: [u64; 3],
    series_bytes: usize,
    body_bytes: usize,
    series_crc: u32,
    body_crc: u32,
}

/// What is found at a place.
#[derive(Debug)]
pub enum Found {
    /// A record of a later version: the head's checksum is right.
    TooNew(u16),
    /// A whole record.
    Whole(Entry),
    /// A record whose body is damaged, but not its list of series: what is wrong. Its body is empty.
    Lost(Entry, String),
    /// A head that is right, before something that is not: what is wrong.
    Head(Head, String),
    /// No head.
    Nothing,
}

/// A whole record.
#[derive(Debug)]
pub struct Entry {
    /// Its head.
    pub head: Head,
    /// The batch; None in a mark.
    pub record: Option<Record>,
    /// What it takes in the segment.
    pub bytes: usize,
}

/// What a batch takes in a segment.
pub fn record_bytes(record: &Record) -> usize {
    let bytes = HEAD_BYTES + record.component.as_str().len() + record.series.len() + record.body.len();
    bytes.next_multiple_of(ALIGN_BYTES)
}

/// Appends a batch.
pub fn put_record(out: &mut Vec<u8>, salt: Salt, place: Place, record: &Record) {
    put(out, salt, Kind::Batch, place, Some(record));
}

/// Appends a record of kind `Next` or `Empty`.
pub fn put_mark(out: &mut Vec<u8>, salt: Salt, kind: Kind, place: Place) {
    put(out, salt, kind, place, None);
}

fn put(out: &mut Vec<u8>, salt: Salt, kind: Kind, place: Place, record: Option<&Record>) {
    let start = out.len();
    let component = record.map_or("", |r| r.component.as_str());
    let (series, body) = record.map_or((&[][..], &[][..]), |r| (&r.series[..], &r.body[..]));
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a batch is far below 4 GiB");
    out.put_u32_le(salt.magic());
    out.put_u16_le(VERSION);
    out.put_u8(kind as u8);
    out.put_u8(u8::try_from(component.len()).expect("a component's name has at most 63 bytes"));
    out.put_u64_le(place.position);
    out.put_u64_le(place.group);
    let units = place.group_start / ALIGN_BYTES as u64;
    out.put_u32_le(u32::try_from(units).expect("a segment is far below 256 GiB"));
    out.put_i64_le(record.map_or(0, |r| r.record_time.0));
    out.put_i64_le(record.map_or(0, |r| r.revision));
    record.map_or([0; 3], |r| r.counts).into_iter().for_each(|count| out.put_u64_le(count));
    out.put_u32_le(length(series));
    out.put_u32_le(length(body));
    out.put_u32_le(salt.crc(&[series]));
    out.put_u32_le(salt.crc(&[body]));
    out.put_u32_le(0);
    let crc = salt.crc(&[&out[start..], component.as_bytes()]);
    out.put_u32_le(crc);
    out.extend_from_slice(component.as_bytes());
    out.extend_from_slice(series);
    out.extend_from_slice(body);
    out.resize(start + (out.len() - start).next_multiple_of(ALIGN_BYTES), 0);
    debug_assert!(record.is_some() || out.len() - start == MARK_BYTES);
}

/// Reads what stands at the start of `bytes`.
pub fn read(bytes: &[u8], salt: Salt) -> Found {
    let head = match read_head(bytes, salt) {
        Some(Ok(head)) => head,
        Some(Err(TooNew(version))) => return Found::TooNew(version),
        None => return Found::Nothing,
    };
    let component = head.component.as_ref().map_or("", ComponentName::as_str);
    let series_at = HEAD_BYTES + component.len();
    let body_at = series_at + head.series_bytes;
    let end = body_at + head.body_bytes;
    let name = format!("record {} of component {component}", head.place.position);
    let Some(contents) = bytes.get(series_at..end) else {
        return Found::Head(head, format!("{name} ends beyond its segment"));
    };
    let (series, body) = contents.split_at(head.series_bytes);
    if salt.crc(&[series]) != head.series_crc {
        return Found::Head(head, format!("the checksum of the list of series of {name} differs"));
    }
    let lost = salt.crc(&[body]) != head.body_crc && !planted::is(Bug::IgnoreRecordCrc);
    let what = format!("the checksum of the body of {name} differs");
    let record = head.component.clone().map(|component| Record {
        component,
        record_time: Time(head.record_time),
        revision: head.revision,
        counts: head.counts,
        series: Bytes::copy_from_slice(series),
        body: Bytes::copy_from_slice(if lost { &[] } else { body }),
    });
    let entry = Entry { bytes: end.next_multiple_of(ALIGN_BYTES), head, record };
    match lost {
        true if entry.record.is_none() => Found::Head(entry.head, what),
        true => Found::Lost(entry, what),
        false => Found::Whole(entry),
    }
}

/// A record's version where it is above the one known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooNew(pub u16);

/// A head at the start of `bytes`, if there is a right one.
pub fn read_head(bytes: &[u8], salt: Salt) -> Option<Result<Head, TooNew>> {
    let mut fields = bytes.get(..HEAD_BYTES)?;
    if fields.get_u32_le() != salt.magic() {
        return None;
    }
    let (version, kind, component_bytes) = (fields.get_u16_le(), fields.get_u8(), fields.get_u8() as usize);
    let component = bytes.get(HEAD_BYTES..HEAD_BYTES + component_bytes)?;
    if salt.crc(&[&bytes[..HEAD_BYTES - 4], component]) != (&bytes[HEAD_BYTES - 4..]).get_u32_le() {
        return None;
    }
    if version > VERSION {
        return Some(Err(TooNew(version)));
    }
    let (kind, component) = match kind {
        1 => (Kind::Batch, Some(ComponentName::parse(std::str::from_utf8(component).ok()?)?)),
        2 => (Kind::Next, None),
        3 => (Kind::Empty, None),
        _ => return None,
    };
    let position = fields.get_u64_le();
    let group = fields.get_u64_le();
    let group_start = u64::from(fields.get_u32_le()) * ALIGN_BYTES as u64;
    Some(Ok(Head {
        kind,
        place: Place { position, group, group_start },
        component,
        record_time: fields.get_i64_le(),
        revision: fields.get_i64_le(),
        counts: [fields.get_u64_le(), fields.get_u64_le(), fields.get_u64_le()],
        series_bytes: fields.get_u32_le() as usize,
        body_bytes: fields.get_u32_le() as usize,
        series_crc: fields.get_u32_le(),
        body_crc: fields.get_u32_le(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            component: ComponentName::parse("govuk-pay").expect("it is a name"),
            record_time: Time(-5),
            revision: 7,
            counts: [1, 2, u64::MAX],
            series: Bytes::from_static(b"series"),
            body: Bytes::from_static(b"the body, longer than what a head and a name leave of two blocks"),
        }
    }

    const PLACE: Place = Place { position: 3, group: 2, group_start: 1 << 20 };

    #[test]
    fn a_record_comes_back_and_no_flipped_bit_is_believed() {
        let (salt, record) = (Salt(0x1234_5678_9abc_def0), record());
        let mut bytes = Vec::new();
        put_record(&mut bytes, salt, PLACE, &record);
        assert_eq!(bytes.len(), record_bytes(&record));
        let Found::Whole(entry) = read(&bytes, salt) else { panic!("it is whole") };
        assert_eq!((entry.record.as_ref(), entry.head.place, entry.bytes), (Some(&record), PLACE, bytes.len()));
        let used = HEAD_BYTES + "govuk-pay".len() + record.series.len() + record.body.len();
        for bit in 0..used * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(read(&flipped, salt), Found::Whole(_)), "bit {bit}");
        }
        for end in 0..used {
            assert!(!matches!(read(&bytes[..end], salt), Found::Whole(_)), "cut at {end}");
        }
    }

    #[test]
    fn a_record_of_another_segment_is_none() {
        let mut bytes = Vec::new();
        put_record(&mut bytes, Salt(1 << 40 | 5), PLACE, &record());
        assert!(matches!(read(&bytes, Salt(1 << 40 | 5)), Found::Whole(_)));
        for bit in 0..64 {
            assert!(matches!(read(&bytes, Salt((1 << 40 | 5) ^ 1 << bit)), Found::Nothing), "bit {bit}");
        }
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let mut bytes = Vec::new();
        put_record(&mut bytes, Salt(9), PLACE, &record());
        bytes[4] = 9;
        assert!(matches!(read(&bytes, Salt(9)), Found::Nothing), "its checksum is wrong");
        let name = HEAD_BYTES..HEAD_BYTES + record().component.as_str().len();
        let crc = Salt(9).crc(&[&bytes[..HEAD_BYTES - 4], &bytes[name]]);
        bytes[HEAD_BYTES - 4..HEAD_BYTES].copy_from_slice(&crc.to_le_bytes());
        assert!(matches!(read(&bytes, Salt(9)), Found::TooNew(9)));
    }

    #[test]
    fn marks_come_back() {
        for kind in [Kind::Next, Kind::Empty] {
            let mut bytes = Vec::new();
            put_mark(&mut bytes, Salt(9), kind, PLACE);
            let Found::Whole(entry) = read(&bytes, Salt(9)) else { panic!("it is whole") };
            assert_eq!((entry.head.kind, entry.head.place, entry.bytes), (kind, PLACE, MARK_BYTES));
            assert!(entry.record.is_none());
        }
    }
}
