//! The store's formats: records and segments of the log, fold files, what says that an index was closed, values of the
//! index, `FORMAT`. Bent bytes are sometimes signed anew, so that what lies behind a checksum is reached too.

use std::{io, path::Path, sync::Mutex};

use milepost::{
    disk::{Disk, DiskFile, Open},
    store::{
        Position, Record,
        embedded::{
            folds::file::{Seal, read_directory},
            format,
            index::{marker, value::Stored},
            log::{
                record::{self, Found, HEAD_BYTES, Place, Salt},
                recovery::walk,
                segment::{HEADER_BYTES, Header},
            },
        },
    },
};

use crate::{
    bend::bent,
    samples::{self, records},
    sim_disk::{Process, SimDisk},
};

const SALT: Salt = Salt(0x1234_5678_9abc_def0);

/// Records and marks.
pub fn record_samples() -> Vec<Vec<u8>> {
    let one = |(i, record): (usize, &Record)| {
        let mut bytes = Vec::new();
        record::put_record(&mut bytes, SALT, Place { position: i as u64, group: 3, group_start: 128 }, record);
        bytes
    };
    let mut all: Vec<_> = records().iter().take(20).enumerate().map(one).collect();
    for kind in [record::Kind::Next, record::Kind::Empty] {
        let mut bytes = Vec::new();
        record::put_mark(&mut bytes, SALT, kind, Place { position: 2, group: 1, group_start: 64 });
        all.push(bytes);
    }
    all
}

fn crc(parts: &[&[u8]]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new_with_initial(SALT.0 as u32);
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().to_le_bytes()
}

/// Puts the checksums of a record right, as far as its lengths allow.
fn sign_record(bytes: &mut [u8]) {
    if bytes.len() < HEAD_BYTES {
        return;
    }
    let number =
        |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    let component_end = HEAD_BYTES + usize::from(bytes[7]);
    let series_end = component_end + number(bytes, 68);
    let body_end = series_end + number(bytes, 72);
    for (from, to, at) in [(component_end, series_end, 76), (series_end, body_end, 80)] {
        if let Some(part) = bytes.get(from..to) {
            let crc = crc(&[part]);
            bytes[at..at + 4].copy_from_slice(&crc);
        }
    }
    if let Some(name) = bytes.get(HEAD_BYTES..component_end) {
        let crc = crc(&[&bytes[..HEAD_BYTES - 4], name]);
        bytes[HEAD_BYTES - 4..HEAD_BYTES].copy_from_slice(&crc);
    }
}

/// Puts a checksum in the last four bytes right.
fn sign_end(bytes: &mut [u8]) {
    if let Some((said, crc)) = bytes.split_last_chunk_mut::<4>() {
        *crc = crc32fast::hash(said).to_le_bytes();
    }
}

/// The first byte says whether the checksums are put right.
fn split_sign(input: &[u8]) -> (bool, &[u8]) {
    input.split_first().map_or((false, input), |(first, rest)| (*first % 2 == 1, rest))
}

/// A record that is read is one that can be written: from it the same bytes.
pub fn record(input: &[u8]) -> bool {
    let (sign, rest) = split_sign(input);
    let samples = record_samples();
    let (mut bytes, valid) = bent(rest, &samples);
    if sign {
        sign_record(&mut bytes);
    }
    match record::read(&bytes, SALT) {
        Found::Whole(entry) => {
            let bent = rest.first().is_some_and(|head| *head != 0);
            assert!(
                sign || !bent || samples.iter().any(|sample| bytes.starts_with(&sample[..HEAD_BYTES])),
                "a forged record"
            );
            let mut again = Vec::new();
            match &entry.record {
                Some(record) => record::put_record(&mut again, SALT, entry.head.place, record),
                None => record::put_mark(&mut again, SALT, entry.head.kind, entry.head.place),
            }
            let Found::Whole(once_more) = record::read(&again, SALT) else { panic!("what was written is whole") };
            assert_eq!((once_more.record, once_more.head.place), (entry.record, entry.head.place));
            true
        }
        Found::Lost(entry, what) => {
            assert!(!valid && !what.is_empty() && entry.record.is_some_and(|record| record.body.is_empty()));
            false
        }
        Found::Head(_, what) => {
            assert!(!valid && !what.is_empty());
            false
        }
        Found::TooNew(_) | Found::Nothing => {
            assert!(!valid, "a valid record is whole");
            false
        }
    }
}

/// A walk through a segment ends, and gives a first part of what was written: never anything else, unless signed anew.
pub fn segment(input: &[u8]) -> bool {
    let (sign, rest) = split_sign(input);
    let written: Vec<&Record> = records().iter().take(12).collect();
    let mut bytes = header().encode();
    let mut starts = Vec::new();
    let mut group_start = bytes.len() as u64;
    for (i, record) in written.iter().enumerate() {
        if i % 3 == 0 {
            group_start = bytes.len() as u64;
        }
        starts.push(bytes.len());
        let place = Place { position: 5 + i as u64, group: 2 + i as u64 / 3, group_start };
        record::put_record(&mut bytes, SALT, place, record);
    }
    let end = bytes.len();
    let (body, _) = bent(rest, &[bytes[HEADER_BYTES..].to_vec()]);
    bytes.truncate(HEADER_BYTES);
    bytes.extend_from_slice(&body);
    if sign && rest.len() > 2 {
        let start = starts[usize::from(rest[1]) % starts.len()];
        if let Some(record) = bytes.get_mut(start..) {
            sign_record(record);
        }
    }
    bytes.resize(bytes.len().max(end) + 256, 0);
    let mut found = Vec::new();
    let walked = walk(&bytes, &header(), &mut |placed| found.push(placed));
    assert!(walked.offset as usize <= bytes.len() + 64 && found.len() * 64 <= bytes.len());
    for (i, placed) in found.iter().enumerate() {
        assert_eq!(placed.place.position, 5 + i as u64, "in order, without a gap");
        let Some(written) = written.get(i).filter(|_| !sign) else { continue };
        // Of a lost record all but the body is what was written.
        let body = if placed.lost.is_some() { bytes::Bytes::new() } else { written.body.clone() };
        assert_eq!(placed.record, Record { body, ..(*written).clone() }, "a record is another");
    }
    assert!(sign || found.len() <= written.len(), "a record too many");
    !found.is_empty()
}

fn header() -> Header {
    Header {
        store: [7; 16],
        number: 4,
        salt: SALT,
        first_group: 2,
        first_position: Position(5),
        before: 0,
        before_end: 0,
        bytes: 1 << 20,
    }
}

/// Bytes as a file.
struct Bytes(Mutex<Vec<u8>>);

impl DiskFile for Bytes {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = self.0.lock().expect("nothing panics with it");
        let from = usize::try_from(offset).ok().and_then(|from| bytes.get(from..)).unwrap_or_default();
        into.copy_from_slice(from.get(..into.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().expect("nothing panics with it").len() as u64)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }
}

/// A fold file whose seal and directory are read says frames that lie in it; unsigned, what the file said.
pub fn fold_file(input: &[u8]) -> bool {
    const SEAL_BYTES: usize = 96;
    let (sign, rest) = split_sign(input);
    let (mut bytes, valid) = bent(rest, samples::fold_files());
    if sign && let Some(seal) = bytes.get_mut(..SEAL_BYTES) {
        sign_end(seal);
    }
    let file = Bytes(Mutex::new(bytes));
    let path = Path::new("fuzzed.fold");
    let read = Seal::read(&file, path).and_then(|seal| {
        let directory = seal.read_directory(&file, path)?;
        let mut frames = 0u32;
        read_directory(directory, &seal, path, &mut |_, at, _| {
            assert!(at.number >= frames, "in order");
            frames = at.number + 1;
        })?;
        Ok((seal, frames))
    });
    assert!(!valid || sign || read.is_ok(), "a valid file is read: {:?}", read.err());
    read.is_ok_and(|(seal, frames)| seal.frames >= frames)
}

fn in_dir(name: &str, bytes: &[u8]) -> (Process, std::path::PathBuf) {
    let dir = Path::new("/fuzzed");
    let disk = SimDisk::new(1).process(dir);
    let file = disk.open(&dir.join(name), Open::Create).expect("it is new");
    file.write_at(bytes, 0).expect("it can be written");
    (disk, dir.to_path_buf())
}

/// What says that an index was closed comes back the same.
pub fn marker(input: &[u8]) -> bool {
    let (sign, rest) = split_sign(input);
    let (mut bytes, valid) = bent(rest, &[samples::marker().to_vec()]);
    if sign {
        sign_end(&mut bytes);
    }
    let (disk, dir) = in_dir("CLEAN", &bytes);
    let taken = marker::take(&disk, &dir).expect("the disk works");
    assert!(!valid || taken.is_some(), "a valid one is believed");
    let Some(taken) = taken else { return false };
    assert!(marker::take(&disk, &dir).expect("the disk works").is_none(), "it is taken away");
    marker::write(&disk, &dir, &taken).expect("the disk works");
    assert_eq!(marker::take(&disk, &dir).expect("the disk works"), Some(taken), "it comes back");
    true
}

const KEY: &[u8] = b"a key";

/// Values as they are stored under [`KEY`].
pub fn index_values() -> Vec<Vec<u8>> {
    let values = [&b""[..], b"a value", &[7; 300], &[1; 9_000]];
    values.iter().map(|value| Stored::of(value).encode(KEY)).collect()
}

/// A value of the index is what was put under its key, or nothing.
pub fn index_value(input: &[u8]) -> bool {
    let (key, samples) = (KEY, index_values());
    let (bytes, valid) = bent(input, &samples);
    let Some(stored) = Stored::decode(key, &bytes) else {
        assert!(!valid);
        return false;
    };
    assert!(stored.encode(key) == bytes && samples.contains(&bytes), "a forged value");
    assert!(valid || Stored::decode(b"another", &bytes).is_none(), "a value under another key");
    true
}

/// A valid `FORMAT`.
pub fn format_sample() -> Vec<u8> {
    let (disk, dir) = in_dir("made", b"");
    format::write(&disk, &dir, [9; 16]).expect("the disk works");
    let file = disk.open(&dir.join("FORMAT"), Open::Read).expect("it is there");
    let mut written = vec![0; file.len().expect("it is there") as usize];
    file.read_at(&mut written, 0).expect("it is there");
    written
}

/// `FORMAT` is read, or refused with a word.
pub fn format_file(input: &[u8]) -> bool {
    let (bytes, valid) = bent(input, &[format_sample()]);
    let (disk, dir) = in_dir("FORMAT", &bytes);
    match format::read(&disk, &dir) {
        Ok(Some(store)) => {
            assert!(!valid || store == [9; 16]);
            true
        }
        Ok(None) => panic!("it is there"),
        Err(error) => {
            assert!(!valid && !error.to_string().is_empty());
            false
        }
    }
}
