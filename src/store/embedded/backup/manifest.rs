//! `BACKUP`: what belongs to a backup, line by line.
//!
//! ```text
//! milepost backup
//! format 1
//! store 0f1e2d3c4b5a69788796a5b4c3d2e1f0
//! number 7
//! through 4711
//! file folds/00000000000000000001-00000000000000004096.g0.fold 123456 0badcafe
//! file log.7/00000000000000000012.log 65536 0badcafe
//! crc 0badcafe
//! ```
//!
//! `number` says how many were made here, 0: none yet, and nothing is named. `through` is the last record that is in
//! it. Of each file: its place below the target, its length in bytes, the CRC-32 of these. The last line is the CRC-32
//! of all before it.

use super::BackupError;
use super::id_text;
use crate::disk::{Disk, Open};
use crate::store::embedded::failed::{damaged, failed};
use crate::store::embedded::format::parse_id;
use crate::store::{Position, StoreError};
use std::path::Path;

/// The file's name.
pub const NAME: &str = "BACKUP";
/// The name it is written under.
pub const TEMPORARY_NAME: &str = "BACKUP.tmp";

const FIRST_LINE: &str = "milepost backup";
const FORMAT: u32 = 1;

/// What belongs to a backup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    /// Whose.
    pub store: [u8; 16],
    /// How many were made; 0: none yet.
    pub number: u64,
    /// The last record that is in it.
    pub through: Position,
    /// Fold files in order, then segments in order.
    pub files: Vec<Listed>,
}

/// A file of a backup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its place below the target: a folder and a name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// The CRC-32 of its bytes.
    pub crc: u32,
}

impl Manifest {
    /// The manifest in `dir`; None where there is none.
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Manifest>, BackupError> {
        let path = dir.join(NAME);
        if !disk.exists(&path).map_err(failed("look for", &path))? {
            return Ok(None);
        }
        let file = disk.open(&path, Open::Read).map_err(failed("open", &path))?;
        let mut bytes = vec![0; file.len().map_err(failed("measure", &path))? as usize];
        file.read_at(&mut bytes, 0).map_err(failed("read", &path))?;
        let text = String::from_utf8(bytes).map_err(|_| damaged(&path, 0, "it is not text"))?;
        let format = text.lines().nth(1).and_then(|line| line.strip_prefix("format "));
        let format = format.filter(|_| text.starts_with(FIRST_LINE));
        let format = format.ok_or_else(|| damaged(&path, 0, "it does not say which format"))?;
        if format != FORMAT.to_string() {
            let file = path.display().to_string();
            return Err(StoreError::Format { file, found: format.to_string(), known: FORMAT }.into());
        }
        let manifest = Manifest::decode(&text);
        Ok(Some(manifest.ok_or_else(|| damaged(&path, 0, "its checksum differs, or a line is not of the form"))?))
    }

    /// Puts it in place of the one before, for good.
    pub fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
        let (path, temporary) = (dir.join(NAME), dir.join(TEMPORARY_NAME));
        if disk.exists(&temporary).map_err(failed("look for", &temporary))? {
            disk.remove(&temporary).map_err(failed("remove", &temporary))?;
        }
        let file = disk.open(&temporary, Open::Create).map_err(failed("create", &temporary))?;
        file.write_at(self.encode().as_bytes(), 0).map_err(failed("write", &temporary))?;
        file.sync_data().map_err(failed("sync", &temporary))?;
        disk.rename(&temporary, &path).map_err(failed("rename", &path))?;
        disk.sync_dir(dir).map_err(failed("sync", dir))
    }

    fn encode(&self) -> String {
        let (store, number, through) = (id_text(&self.store), self.number, self.through.0);
        let mut text = format!("{FIRST_LINE}\nformat {FORMAT}\nstore {store}\nnumber {number}\nthrough {through}\n");
        for Listed { name, bytes, crc } in &self.files {
            text.push_str(&format!("file {name} {bytes} {crc:08x}\n"));
        }
        let crc = crc32fast::hash(text.as_bytes());
        text.push_str(&format!("crc {crc:08x}\n"));
        text
    }

    fn decode(text: &str) -> Option<Manifest> {
        let (body, crc) = text.strip_suffix('\n')?.rsplit_once('\n')?;
        let body = &text[..body.len() + 1];
        if parse_crc(crc.strip_prefix("crc ")?)? != crc32fast::hash(body.as_bytes()) {
            return None;
        }
        let mut lines = body.lines().skip(2);
        let store = parse_id(lines.next()?.strip_prefix("store ")?)?;
        let number = lines.next()?.strip_prefix("number ")?.parse().ok()?;
        let through = Position(lines.next()?.strip_prefix("through ")?.parse().ok()?);
        let file = |line: &str| {
            let mut words = line.strip_prefix("file ")?.split(' ');
            let name = words.next()?.to_string();
            let listed = Listed { name, bytes: words.next()?.parse().ok()?, crc: parse_crc(words.next()?)? };
            (words.next().is_none() && is_below(&listed.name)).then_some(listed)
        };
        Some(Manifest { store, number, through, files: lines.map(file).collect::<Option<_>>()? })
    }
}

/// A folder and a name, nothing that leads elsewhere.
fn is_below(name: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('/');
    name.split_once('/').is_some_and(|(folder, name)| plain(folder) && plain(name))
}

fn parse_crc(text: &str) -> Option<u32> {
    (text.len() == 8).then(|| u32::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let listed = |name: &str| Listed { name: name.to_string(), bytes: 12, crc: 0xbad };
        let files = vec![listed("folds/1-2.g0.fold"), listed("log.3/1.log")];
        Manifest { store: [0xab; 16], number: 3, through: Position(9), files }
    }

    #[test]
    fn a_manifest_comes_back_and_no_flipped_bit_is_believed() {
        let text = manifest().encode();
        assert_eq!(Manifest::decode(&text), Some(manifest()));
        for bit in 0..text.len() * 8 {
            let mut flipped = text.clone().into_bytes();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let read = String::from_utf8(flipped).ok().and_then(|text| Manifest::decode(&text));
            // The case of a hexadecimal digit of the last line says nothing.
            assert!(read.is_none() || read == Some(manifest()), "bit {bit}");
        }
        for end in 0..text.len() {
            assert_eq!(Manifest::decode(&text[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn a_file_elsewhere_is_refused() {
        for name in ["../log/1.log", "folds/../../x", "/etc/passwd", "x", "folds/", "folds/a/b"] {
            let files = vec![Listed { name: name.to_string(), bytes: 1, crc: 2 }];
            assert_eq!(Manifest::decode(&Manifest { files, ..manifest() }.encode()), None, "{name}");
        }
    }
}
