//! A disk in memory that fails when told to, and forgets at a power cut what was not synced: of writes a random
//! part of the sectors, of names a random end of what was done. The index's files are real: sled opens them itself.

use milepost::disk::{Disk, DiskFile, Open, RealDisk};
use milepost::random::SeededRandom;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const SECTOR_BYTES: usize = 512;

/// What happens to operations that change something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// One fails: with this kind of error.
    Once(ErrorKind),
    /// One fails, and everything after it.
    Dead,
}

/// Clones are one disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<Sim>>);

struct Sim {
    random: SeededRandom,
    inodes: Vec<Inode>,
    /// None: a directory.
    names: BTreeMap<PathBuf, Option<usize>>,
    durable_names: BTreeMap<PathBuf, Option<usize>>,
    /// What was done to names and is not synced.
    unsynced: Vec<(PathBuf, Option<Option<usize>>)>,
    handles: u64,
    boots: u64,
    fault: Option<(u64, Fault)>,
    dead: bool,
}

#[derive(Default, Clone)]
struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
    writes: Vec<(usize, Vec<u8>)>,
    locked_by: Option<u64>,
}

impl Inode {
    fn put(bytes: &mut Vec<u8>, at: usize, written: &[u8]) {
        bytes.resize(bytes.len().max(at + written.len()), 0);
        bytes[at..at + written.len()].copy_from_slice(written);
    }

    /// Some sectors of what was not synced reach the disk, others do not.
    fn tear(&mut self, random: &SeededRandom) {
        for (offset, written) in std::mem::take(&mut self.writes) {
            let mut at = offset;
            while at < offset + written.len() {
                let end = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(offset + written.len());
                if random.next().is_multiple_of(2) {
                    Inode::put(&mut self.durable, at, &written[at - offset..end - offset]);
                }
                at = end;
            }
        }
    }
}

impl SimDisk {
    pub fn new(seed: u64, root: &Path) -> SimDisk {
        let names: BTreeMap<_, _> = root.ancestors().map(|path| (path.to_path_buf(), None)).collect();
        SimDisk(Arc::new(Mutex::new(Sim {
            random: SeededRandom::new(seed),
            inodes: Vec::new(),
            durable_names: names.clone(),
            names,
            unsynced: Vec::new(),
            handles: 0,
            boots: 1,
            fault: None,
            dead: false,
        })))
    }

    /// The operation that is `after` changing ones from now fails.
    pub fn fail(&self, after: u64, fault: Fault) {
        self.sim().fault = Some((after, fault));
    }

    /// Nothing more reaches the disk: the process is gone.
    pub fn kill(&self) {
        self.sim().dead = true;
    }

    /// The disk works again; with `power_cut` only what was synced is sure to be there.
    pub fn revive(&self, power_cut: bool) {
        let sim = &mut *self.sim();
        (sim.dead, sim.fault) = (false, None);
        sim.inodes.iter_mut().for_each(|inode| inode.locked_by = None);
        if !power_cut {
            return;
        }
        sim.boots += 1;
        for inode in &mut sim.inodes {
            inode.tear(&sim.random);
            inode.content = inode.durable.clone();
        }
        let kept = sim.random.next() as usize % (sim.unsynced.len() + 1);
        for (path, change) in std::mem::take(&mut sim.unsynced).into_iter().take(kept) {
            apply(&mut sim.durable_names, path, change);
        }
        sim.names = sim.durable_names.clone();
    }

    fn sim(&self) -> std::sync::MutexGuard<'_, Sim> {
        self.0.lock().expect("nothing panics while it holds the disk")
    }

    fn real(path: &Path) -> bool {
        path.components().any(|part| part.as_os_str() == "index")
    }
}

fn apply(names: &mut BTreeMap<PathBuf, Option<usize>>, path: PathBuf, change: Option<Option<usize>>) {
    match change {
        Some(target) => drop(names.insert(path, target)),
        None => drop(names.remove(&path)),
    }
}

impl Sim {
    /// Counts an operation that changes something, and fails it where it is its turn.
    fn change(&mut self) -> io::Result<()> {
        if self.dead {
            return Err(io::Error::other("the disk is dead"));
        }
        match self.fault {
            Some((0, fault)) => {
                self.fault = None;
                self.dead = fault == Fault::Dead;
                Err(match fault {
                    Fault::Once(kind) => kind.into(),
                    Fault::Dead => io::Error::other("the disk died"),
                })
            }
            Some((after, fault)) => {
                self.fault = Some((after - 1, fault));
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn set_name(&mut self, path: &Path, change: Option<Option<usize>>) {
        apply(&mut self.names, path.to_path_buf(), change);
        self.unsynced.push((path.to_path_buf(), change));
    }

    fn inode(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().flatten().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        if SimDisk::real(path) {
            return RealDisk.open(path, how);
        }
        let mut sim = self.sim();
        let inode = match (sim.inode(path), how) {
            (Ok(_), Open::Create) => return Err(ErrorKind::AlreadyExists.into()),
            (Ok(inode), _) => inode,
            (Err(error), Open::Read | Open::Write) => return Err(error),
            (Err(_), _) => {
                sim.change()?;
                sim.inodes.push(Inode::default());
                let inode = sim.inodes.len() - 1;
                sim.set_name(path, Some(Some(inode)));
                inode
            }
        };
        sim.handles += 1;
        Ok(Arc::new(SimFile { disk: self.clone(), inode, handle: sim.handles }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        if SimDisk::real(path) {
            return RealDisk.create_dir(path);
        }
        let mut sim = self.sim();
        sim.change()?;
        sim.set_name(path, Some(None));
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<(String, bool)>> {
        if SimDisk::real(path) {
            return RealDisk.list(path);
        }
        let sim = self.sim();
        sim.names.get(path).ok_or(ErrorKind::NotFound)?;
        let below = sim.names.iter().filter(|(name, _)| name.parent() == Some(path));
        let name = |path: &Path| path.file_name().expect("it has a name").to_string_lossy().to_string();
        Ok(below.map(|(path, target)| (name(path), target.is_none())).collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        match SimDisk::real(path) {
            true => RealDisk.exists(path),
            false => Ok(self.sim().names.contains_key(path)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if SimDisk::real(from) {
            return RealDisk.rename(from, to);
        }
        let mut sim = self.sim();
        let inode = sim.inode(from)?;
        sim.change()?;
        // One step: a power cut may keep the new name beside the old one, never neither.
        sim.set_name(to, Some(Some(inode)));
        sim.set_name(from, None);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if SimDisk::real(path) {
            return RealDisk.remove(path);
        }
        let mut sim = self.sim();
        sim.inode(path)?;
        sim.change()?;
        sim.set_name(path, None);
        Ok(())
    }

    fn boot_id(&self) -> io::Result<String> {
        Ok(format!("boot {}", self.sim().boots))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if SimDisk::real(path) {
            return RealDisk.sync_dir(path);
        }
        let mut sim = self.sim();
        sim.change()?;
        let (now, later) = std::mem::take(&mut sim.unsynced).into_iter().partition(|(p, _)| p.parent() == Some(path));
        sim.unsynced = later;
        let now: Vec<_> = now;
        now.into_iter().for_each(|(path, change)| apply(&mut sim.durable_names, path, change));
        Ok(())
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
    handle: u64,
}

impl DiskFile for SimFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let sim = self.disk.sim();
        let offset = offset as usize;
        let bytes = sim.inodes[self.inode].content.get(offset..offset + into.len());
        into.copy_from_slice(bytes.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, from: &[u8], offset: u64) -> io::Result<()> {
        let sim = &mut *self.disk.sim();
        let was_dead = sim.dead;
        let outcome = sim.change();
        // A write that fails may have written some of it.
        let some = match (&outcome, was_dead) {
            (Ok(()), _) => from.len(),
            (Err(_), true) => 0,
            (Err(_), false) => sim.random.next() as usize % (from.len() + 1),
        };
        let inode = &mut sim.inodes[self.inode];
        if some > 0 {
            Inode::put(&mut inode.content, offset as usize, &from[..some]);
            inode.writes.push((offset as usize, from[..some].to_vec()));
        }
        outcome
    }

    fn sync_data(&self) -> io::Result<()> {
        let sim = &mut *self.disk.sim();
        let outcome = sim.change();
        let inode = &mut sim.inodes[self.inode];
        match outcome {
            Ok(()) => {
                for (offset, written) in std::mem::take(&mut inode.writes) {
                    Inode::put(&mut inode.durable, offset, &written);
                }
            }
            // What could not be written counts as written from now on, as on Linux: read, but never on the disk.
            Err(_) => inode.tear(&sim.random),
        }
        outcome
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.sim().inodes[self.inode].content.len() as u64)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let sim = &mut *self.disk.sim();
        sim.change()?;
        sim.inodes[self.inode].content.resize(bytes as usize, 0);
        sim.inodes[self.inode].durable.resize(bytes as usize, 0);
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        let sim = &mut *self.disk.sim();
        let locked_by = &mut sim.inodes[self.inode].locked_by;
        let free = locked_by.is_none_or(|by| by == self.handle);
        if free {
            *locked_by = Some(self.handle);
        }
        Ok(free)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let sim = &mut *self.disk.sim();
        let locked_by = &mut sim.inodes[self.inode].locked_by;
        if *locked_by == Some(self.handle) {
            *locked_by = None;
        }
    }
}
