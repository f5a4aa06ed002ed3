//! The only door to files, so that a test can put faults in. (sled keeps its own door to the index: whatever it
//! does there, the index is believed only after [`Disk`] has synced and read every byte of it.)

#![allow(clippy::disallowed_methods)]

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a file is opened. Never truncated: no file of a store is written over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Open {
    /// For reading; must be there.
    Read,
    /// For reading and writing; must be there.
    Write,
    /// For reading and writing; must not be there yet.
    Create,
    /// For reading and writing; made where it is not there yet.
    CreateOrOpen,
}

/// Directories and names. Every call blocks; errors are the system's.
pub trait Disk: Send + Sync + 'static {
    /// Opens a file.
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes one directory; its parent must be there, it must not.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, sorted, and whether each is a directory.
    fn list(&self, path: &Path) -> io::Result<Vec<(String, bool)>>;
    /// Whether there is anything under this path.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Gives a file another name in one step. On stable storage after `sync_dir` of its directory.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory and everything in it.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Puts the names of a directory on stable storage.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// A path without links, from the root on; it must be there. A disk that has no links answers the path.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_path_buf())
    }
    /// Names this run of the machine: another one after every restart of it. What was written and not synced is
    /// gone only where this is another.
    fn boot_id(&self) -> io::Result<String>;
}

/// An open file. Reads and writes say where, so that one handle serves many threads.
pub trait DiskFile: Send + Sync + 'static {
    /// Fills `into` from `offset`; `UnexpectedEof` where the file ends before.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `from` at `offset`, growing the file where needed.
    fn write_at(&self, from: &[u8], offset: u64) -> io::Result<()>;
    /// Puts the file's bytes and its length on stable storage. Never to be tried again after a failure: the
    /// system may have dropped what it could not write.
    fn sync_data(&self) -> io::Result<()>;
    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Cuts the file, or grows it with a hole.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Takes the file for this handle alone; false where another handle has it. Held until this one is dropped.
    fn try_lock(&self) -> io::Result<bool>;

    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Takes up room on the disk for a new file's first `bytes`, which are zeros then. As cheap as the file system
    /// allows; what is written over them later may cost more than over [`DiskFile::fill_with_zeros`]. Not synced.
    fn take_room(&self, bytes: u64) -> io::Result<()> {
        self.fill_with_zeros(bytes)
    }

    /// Makes a new file's first `bytes` zeros that take up room on the disk, so that writing over them neither
    /// runs out of room nor changes the file's length. Not synced.
    fn fill_with_zeros(&self, bytes: u64) -> io::Result<()> {
        let zeros = vec![0; ZEROS_BYTES as usize];
        let mut offset = 0;
        while offset < bytes {
            let some = ZEROS_BYTES.min(bytes - offset);
            self.write_at(&zeros[..some as usize], offset)?;
            offset += some;
            // It is made ahead: what is asked meanwhile goes first.
            std::thread::yield_now();
        }
        Ok(())
    }
}

/// Zeros are written in pieces of this size.
const ZEROS_BYTES: u64 = 1 << 20;

/// The machine's files.
#[derive(Clone, Copy, Default, Debug)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match how {
            Open::Read => &mut options,
            Open::Write => options.write(true),
            Open::Create => options.write(true).create_new(true),
            Open::CreateOrOpen => options.write(true).create(true),
        };
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<(String, bool)>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name().into_string();
            let name = name.map_err(|name| io::Error::new(ErrorKind::InvalidData, format!("foreign file {name:?}")))?;
            names.push((name, entry.file_type()?.is_dir()));
        }
        names.sort();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        std::fs::canonicalize(path)
    }

    fn boot_id(&self) -> io::Result<String> {
        Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
    }
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(into, offset)
    }

    fn write_at(&self, from: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(from, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn take_room(&self, bytes: u64) -> io::Result<()> {
        match fallocate(&self.0, FallocateFlags::empty(), 0, bytes) {
            // Not every file system can.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.fill_with_zeros(bytes),
            taken => Ok(taken?),
        }
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.0.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_file_is_written_read_renamed_and_removed() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        let file = RealDisk.open(&one, Open::Create)?;
        assert!(RealDisk.open(&one, Open::Create).is_err(), "it is there already");
        assert!(RealDisk.open(&two, Open::Read).is_err(), "it is not there");
        file.fill_with_zeros(ZEROS_BYTES + 7)?;
        file.write_at(b"milepost", ZEROS_BYTES - 3)?;
        file.sync_data()?;
        RealDisk.rename(&one, &two)?;
        RealDisk.sync_dir(dir.path())?;
        let mut read = [9; 12];
        RealDisk.open(&two, Open::Read)?.read_at(&mut read, ZEROS_BYTES - 5)?;
        assert_eq!(&read, b"\0\0milepost\0\0");
        assert_eq!(file.len()?, ZEROS_BYTES + 7);
        assert!(file.read_at(&mut read, ZEROS_BYTES).is_err(), "it ends before");
        assert_eq!(RealDisk.list(dir.path())?, [("two".to_string(), false)]);
        RealDisk.remove(&two)?;
        assert!(!RealDisk.exists(&two)?);
        let file = RealDisk.open(&one, Open::Create)?;
        file.take_room(ZEROS_BYTES)?;
        assert_eq!(file.len()?, ZEROS_BYTES);
        assert!(std::fs::metadata(&one)?.blocks() * 512 >= ZEROS_BYTES, "the room is taken");
        file.read_at(&mut read, ZEROS_BYTES - 12)?;
        assert_eq!(read, [0; 12]);
        assert!(file.take_room(0).is_ok(), "of nothing there is always room");
        assert!(file.take_room(u64::MAX >> 2).is_err(), "there is not so much of it");
        Ok(())
    }

    #[test]
    fn one_handle_at_a_time_holds_a_lock() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("LOCK");
        let (one, two) = (RealDisk.open(&path, Open::CreateOrOpen)?, RealDisk.open(&path, Open::CreateOrOpen)?);
        assert!(one.try_lock()?);
        assert!(!two.try_lock()?);
        drop(one);
        assert!(two.try_lock()?);
        Ok(())
    }
}
