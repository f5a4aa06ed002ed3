//! A store made of a backup: another store, with an id of its own, that knows everything the backed up one knew.
//!
//! `RESTORING` stands in the directory until `FORMAT`, written last of all, says that it is a store: so that a restore
//! that was interrupted is neither taken for one nor in the way of the next attempt. What carries the store's id is
//! written anew, with its checksums: the seals of fold files, the headers of segments. Nothing else changes.

use super::copy::{PIECE_BYTES, create};
use super::manifest::{Listed, Manifest};
use super::{Amount, BackupError, Progress};
use crate::disk::{Disk, DiskFile, Open};
use crate::random::{Random, array};
use crate::store::embedded::failed::{damaged, failed};
use crate::store::embedded::folds::check::Check;
use crate::store::embedded::folds::file::{Range, SEAL_BYTES, Seal};
use crate::store::embedded::lock::Lock;
use crate::store::embedded::log::segment::{HEADER_BYTES, Header};
use crate::store::embedded::{format, make_dir, sync_names};
use crate::store::{Position, StoreError};
use std::ops::ControlFlow;
use std::path::Path;

/// Says that a restore is under way, or was.
pub const MARK: &str = "RESTORING";
/// What a restore makes, and may make again.
const OWN: [&str; 5] = [MARK, "LOCK", "FORMAT.tmp", "folds", "log"];

/// What a restore came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restored {
    /// The id of the new store.
    pub store: [u8; 16],
    /// The id of the store that was backed up.
    pub from: [u8; 16],
    /// The number of the backup.
    pub number: u64,
    /// It holds every record up to this one.
    pub through: Position,
    /// Files, and their bytes.
    pub files: Amount,
}

/// Makes a store in `dir`, which is empty or not there, of the backup in `backup`. Every file is checked against the
/// backup's list, and once more by its own checksums.
pub fn restore(
    disk: &dyn Disk,
    random: &dyn Random,
    backup: &Path,
    dir: &Path,
    progress: &mut Progress,
) -> Result<Restored, BackupError> {
    let none = || BackupError::NoBackup { dir: backup.display().to_string() };
    let manifest = Manifest::read(disk, backup)?.filter(|manifest| manifest.number > 0).ok_or_else(none)?;
    let lock = take(disk, dir)?;
    let store = array(random);
    let mut restoring = Restoring { disk, backup, dir, from: manifest.store, store, progress };
    let mut files = Amount::default();
    for listed in &manifest.files {
        restoring.file(listed)?;
        files.add(listed.bytes);
    }
    for folder in ["folds", "log"] {
        let folder = dir.join(folder);
        disk.sync_dir(&folder).map_err(failed("sync", &folder))?;
    }
    format::write(disk, dir, store)?;
    let mark = dir.join(MARK);
    disk.remove(&mark).map_err(failed("remove", &mark))?;
    disk.sync_dir(dir).map_err(failed("sync", dir))?;
    lock.release()?;
    Ok(Restored { store, from: manifest.store, number: manifest.number, through: manifest.through, files })
}

/// Takes a directory for a restore: one that is empty, or holds what another restore left.
fn take(disk: &dyn Disk, dir: &Path) -> Result<Lock, BackupError> {
    make_dir(disk, dir)?;
    let there = disk.list(dir).map_err(failed("list", dir))?;
    let begun = there.iter().any(|(name, _)| name == MARK);
    if let Some((name, _)) = there.iter().find(|(name, _)| !begun || !OWN.contains(&name.as_str())) {
        return Err(BackupError::NotEmpty { dir: dir.display().to_string(), name: name.clone() });
    }
    let mark = dir.join(MARK);
    disk.open(&mark, Open::CreateOrOpen).map_err(failed("create", &mark))?;
    // Before anything else is there.
    sync_names(disk, dir, || disk.remove(&mark))?;
    let lock = Lock::take(disk, dir)?;
    for folder in ["folds", "log"] {
        let folder = dir.join(folder);
        if disk.exists(&folder).map_err(failed("look for", &folder))? {
            disk.remove_dir_all(&folder).map_err(failed("remove", &folder))?;
        }
        make_dir(disk, &folder)?;
    }
    disk.sync_dir(dir).map_err(failed("sync", dir))?;
    Ok(lock)
}

struct Restoring<'a, 'b> {
    disk: &'a dyn Disk,
    backup: &'a Path,
    dir: &'a Path,
    from: [u8; 16],
    store: [u8; 16],
    progress: &'a mut Progress<'b>,
}

impl Restoring<'_, '_> {
    /// Copies a file, checks it, and gives it the new store's id.
    fn file(&mut self, listed: &Listed) -> Result<(), BackupError> {
        let path = self.backup.join(&listed.name);
        let (folder, name) = listed.name.split_once('/').expect("a listed file has a folder");
        let is_fold = folder == "folds";
        let to_path = self.dir.join(if is_fold { "folds" } else { "log" }).join(name);
        let from = self.disk.open(&path, Open::Read).map_err(failed("open", &path))?;
        let length = from.len().map_err(failed("measure", &path))?;
        if length != listed.bytes {
            let what = format!("it has {length} bytes and should have {}", listed.bytes);
            return Err(damaged(&path, length.min(listed.bytes), what).into());
        }
        let to = create(self.disk, &to_path)?;
        if self.copy(&*from, &path, listed.bytes, &*to, &to_path)? != listed.crc {
            return Err(damaged(&path, 0, "its checksum differs").into());
        }
        match is_fold {
            true => self.fold(&*to, &path, name, &to_path)?,
            false => self.segment(&*to, &path, &to_path)?,
        }
        to.sync_data().map_err(failed("sync", &to_path))?;
        Ok(())
    }

    fn copy(
        &mut self,
        from: &dyn DiskFile,
        path: &Path,
        bytes: u64,
        to: &dyn DiskFile,
        to_path: &Path,
    ) -> Result<u32, BackupError> {
        let mut hasher = crc32fast::Hasher::new();
        let mut piece = vec![0; PIECE_BYTES.min(bytes as usize)];
        let mut at = 0;
        while at < bytes {
            let some = piece.len().min((bytes - at) as usize);
            from.read_at(&mut piece[..some], at).map_err(failed("read", path))?;
            hasher.update(&piece[..some]);
            to.write_at(&piece[..some], at).map_err(failed("write", to_path))?;
            at += some as u64;
            if (self.progress)(some as u64).is_break() {
                return Err(BackupError::Stopped);
            }
        }
        Ok(hasher.finalize())
    }

    fn fold(&self, to: &dyn DiskFile, path: &Path, name: &str, to_path: &Path) -> Result<(), StoreError> {
        let range = Range::parse(name).ok_or_else(|| damaged(path, 0, "its name says no range of records"))?;
        let seal = Seal::read(to, path)?;
        if seal.store != self.from {
            return Err(damaged(path, 0, "it is another store's"));
        }
        let bytes = Seal { store: self.store, ..seal }.encode();
        for offset in [0, seal.bytes - SEAL_BYTES as u64] {
            to.write_at(&bytes, offset).map_err(failed("write", to_path))?;
        }
        let mut wrong = Ok(());
        let check = Check { file: to, path, store: self.store, range, bodies: true };
        let _ = check.run(&mut |_, damage| match damage {
            None => ControlFlow::Continue(()),
            Some(error) => {
                wrong = Err(error);
                ControlFlow::Break(())
            }
        });
        wrong
    }

    fn segment(&self, to: &dyn DiskFile, path: &Path, to_path: &Path) -> Result<(), StoreError> {
        let header = Header::read(to, path)?;
        if header.store != self.from {
            return Err(damaged(path, 0, "it is another store's"));
        }
        let header = Header { store: self.store, ..header };
        let bytes = header.encode();
        debug_assert_eq!(bytes.len(), HEADER_BYTES);
        to.write_at(&bytes, 0).map_err(failed("write", to_path))?;
        // What was not copied was zeros, or never answered.
        to.set_len(header.bytes).map_err(failed("write", to_path))
    }
}
