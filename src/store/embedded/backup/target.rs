//! The directory that backups of one store are made into: whose it is, and one at a time.

use super::manifest::{self, Manifest};
use super::{BackupError, id_text};
use crate::disk::{Disk, DiskFile, Open};
use crate::store::embedded::failed::failed;
use crate::store::embedded::make_dir;
use crate::store::{Position, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LOCK: &str = "LOCK";
const FOLDS: &str = "folds";
const LOG: &str = "log.";

/// A target, taken for one backup.
pub struct Target<'a> {
    disk: &'a dyn Disk,
    /// Its path.
    pub dir: PathBuf,
    /// Of the last backup.
    pub manifest: Manifest,
    #[expect(dead_code, reason = "it is held, not used")]
    lock: Arc<dyn DiskFile>,
}

impl<'a> Target<'a> {
    /// Takes `target` for a backup of the store in `dir`; makes it where it is not there.
    pub fn open(disk: &'a dyn Disk, target: &Path, dir: &Path, store: [u8; 16]) -> Result<Target<'a>, BackupError> {
        let name = || target.display().to_string();
        if resolve(disk, target)?.starts_with(resolve(disk, dir)?) {
            return Err(BackupError::Inside { target: name(), dir: dir.display().to_string() });
        }
        make_dir(disk, target)?;
        let there = disk.list(target).map_err(failed("list", target))?;
        let known = |name: &str| [LOCK, manifest::NAME, manifest::TEMPORARY_NAME].contains(&name);
        let is_backup = there.iter().any(|(name, _)| name == manifest::NAME);
        // Before its lock is put into a directory that is something else.
        if let Some((other, _)) = there.iter().find(|(name, _)| !known(name)).filter(|_| !is_backup) {
            return Err(BackupError::NotABackup { target: name(), name: other.clone() });
        }
        let lock_path = target.join(LOCK);
        let lock = disk.open(&lock_path, Open::CreateOrOpen).map_err(failed("open", &lock_path))?;
        if !lock.try_lock().map_err(failed("lock", &lock_path))? {
            return Err(BackupError::Busy { target: name() });
        }
        let manifest = match Manifest::read(disk, target)? {
            Some(manifest) if manifest.store != store => {
                let (found, store) = (id_text(&manifest.store), id_text(&store));
                return Err(BackupError::OtherStore { target: name(), found, store });
            }
            Some(manifest) => {
                // It may be seen and not be on stable storage: what only the one before needs is removed because of it.
                manifest.write(disk, target)?;
                manifest
            }
            None => {
                let manifest = Manifest { store, number: 0, through: Position(0), files: Vec::new() };
                manifest.write(disk, target)?;
                manifest
            }
        };
        let target = Target { disk, dir: target.to_path_buf(), manifest, lock };
        make_dir(disk, &target.folds())?;
        Ok(target)
    }

    /// Where fold files are.
    pub fn folds(&self) -> PathBuf {
        self.dir.join(FOLDS)
    }

    /// A new folder for the log of a backup. What backups left that did not get to their end is removed.
    pub fn fresh_log(&self, number: u64) -> Result<PathBuf, StoreError> {
        self.remove_logs_but(self.manifest.number)?;
        let dir = self.dir.join(format!("{LOG}{number}"));
        make_dir(self.disk, &dir)?;
        Ok(dir)
    }

    /// Puts the names of what was copied on stable storage.
    pub fn sync_folders(&self, log_dir: &Path) -> Result<(), StoreError> {
        for dir in [log_dir, &self.folds(), &self.dir] {
            self.disk.sync_dir(dir).map_err(failed("sync", dir))?;
        }
        Ok(())
    }

    /// The backup is whole: from here on it is the last one. What only the one before needed is removed.
    pub fn finish(&mut self, manifest: Manifest) -> Result<(), StoreError> {
        manifest.write(self.disk, &self.dir)?;
        self.manifest = manifest;
        self.remove_logs_but(self.manifest.number)?;
        let folds = self.folds();
        for (name, _) in self.disk.list(&folds).map_err(failed("list", &folds))? {
            let listed = format!("{FOLDS}/{name}");
            if !self.manifest.files.iter().any(|file| file.name == listed) {
                let path = folds.join(&name);
                self.disk.remove(&path).map_err(failed("remove", &path))?;
            }
        }
        Ok(())
    }

    fn remove_logs_but(&self, number: u64) -> Result<(), StoreError> {
        for (name, is_dir) in self.disk.list(&self.dir).map_err(failed("list", &self.dir))? {
            let of = name.strip_prefix(LOG).and_then(|n| n.parse::<u64>().ok());
            if is_dir && of.is_some_and(|of| of != number) {
                let path = self.dir.join(&name);
                self.disk.remove_dir_all(&path).map_err(failed("remove", &path))?;
            }
        }
        Ok(())
    }
}

/// A path without links, as far as it is there.
fn resolve(disk: &dyn Disk, path: &Path) -> Result<PathBuf, StoreError> {
    if disk.exists(path).map_err(failed("look for", path))? {
        return disk.resolve(path).map_err(failed("resolve", path));
    }
    let parent = crate::store::embedded::parent(path);
    let name = path.file_name().map(PathBuf::from).unwrap_or_default();
    Ok(resolve(disk, &parent)?.join(name))
}
