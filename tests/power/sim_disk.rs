//! A machine's disk in memory: it fails when told to, counts what is asked of it, and forgets at a power cut what was
//! not synced, of files ([`inode`]) and of names. Processes come and go on it: one that was killed changes nothing any
//! more, whatever its threads still try. The index's files are real, because sled opens them itself; operations
//! on them are counted and fail all the same.
//!
//! Names: a directory's changes are on stable storage once it was synced; of the others, after a cut, none, all, a
//! first part, or any of them are there. Of those that a sync of it failed for some reached the disk; the rest counts
//! as synced from then on, as the bytes of files do: it is seen, later syncs succeed, and the next cut undoes it.

#[path = "sim_disk/inode.rs"]
pub mod inode;

use inode::{Fate, Inode};
use milepost::disk::{Disk, DiskFile, Open, RealDisk};
use milepost::random::SeededRandom;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// What happens to the operation whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The process ends there.
    Kill,
    /// It fails with this error (EIO, ENOSPC) and does nothing; a sync gives up what it could not write.
    Fails(i32),
    /// As `Fails`, but a write has written some.
    Short(i32),
}

/// Which operations count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    /// Those that change something: between two of them a cut is the same at any time.
    Changes,
    /// Reads too.
    All,
}

/// The disk. Clones are one disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<Sim>>);

/// A name's target; None: a directory.
type Target = Option<usize>;

/// A change of names in one step: each path gets a target, or goes.
#[derive(Clone)]
struct Renaming {
    dir: PathBuf,
    changes: Vec<(PathBuf, Option<Target>)>,
}

#[derive(Clone)]
struct Sim {
    random: Arc<SeededRandom>,
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, Target>,
    durable_names: BTreeMap<PathBuf, Target>,
    unsynced: Vec<Renaming>,
    handles: u64,
    boots: u64,
    /// The process that runs.
    process: u64,
    plan: Option<(u64, Counted, Fault)>,
    fired: bool,
}

impl SimDisk {
    /// An empty one.
    pub fn new(seed: u64) -> SimDisk {
        let names = BTreeMap::from([(PathBuf::new(), None)]);
        SimDisk(Arc::new(Mutex::new(Sim {
            random: Arc::new(SeededRandom::new(seed)),
            inodes: Vec::new(),
            durable_names: names.clone(),
            names,
            unsynced: Vec::new(),
            handles: 0,
            boots: 1,
            process: 0,
            plan: None,
            fired: false,
        })))
    }

    /// Starts a process, for which `root` is the disk's topmost directory; the one before is gone.
    pub fn process(&self, root: &Path) -> Process {
        let mut sim = self.sim();
        sim.end_process();
        Process { disk: self.clone(), root: root.to_path_buf(), number: sim.process }
    }

    /// The operation that is `after` others from now meets this fault.
    pub fn plan(&self, after: u64, counted: Counted, fault: Fault) {
        let mut sim = self.sim();
        (sim.plan, sim.fired) = (Some((after, counted, fault)), false);
    }

    /// Whether the fault that was planned last has come.
    pub fn has_failed(&self) -> bool {
        self.sim().fired
    }

    /// No fault is planned any more, and none has come.
    pub fn unplan(&self) {
        let mut sim = self.sim();
        (sim.plan, sim.fired) = (None, false);
    }

    /// The process is killed: what it wrote is still read, synced or not.
    pub fn kill(&self) {
        self.sim().end_process();
    }

    /// The power is cut: only what was synced is sure to be there.
    pub fn cut(&self) {
        let sim = &mut *self.sim();
        sim.end_process();
        sim.boots += 1;
        let fate = Fate::any(&sim.random);
        let random = sim.random.clone();
        sim.inodes.iter_mut().for_each(|inode| inode.cut(fate, &random));
        sim.cut_names();
    }

    /// Another disk that holds the same, on which chance goes its own way.
    pub fn copy(&self, seed: u64) -> SimDisk {
        let mut sim = self.sim().clone();
        sim.random = Arc::new(SeededRandom::new(seed));
        SimDisk(Arc::new(Mutex::new(sim)))
    }

    /// Puts names on stable storage and holds the bytes of removed files no longer. No process runs.
    pub fn forget_removed(&self) {
        let sim = &mut *self.sim();
        sim.end_process();
        let unsynced = std::mem::take(&mut sim.unsynced);
        unsynced.iter().for_each(|renaming| apply(&mut sim.durable_names, &renaming.changes));
        let kept: BTreeSet<usize> = sim.names.values().copied().flatten().collect();
        let removed = sim.inodes.iter_mut().enumerate().filter(|(number, _)| !kept.contains(number));
        removed.for_each(|(_, inode)| *inode = Inode::default());
    }

    /// The files below a directory and what is read of each, by name.
    pub fn files(&self, below: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let sim = self.sim();
        let files = sim.names.iter().filter(|(path, _)| path.starts_with(below));
        files.filter_map(|(path, target)| Some((path.clone(), sim.inodes[(*target)?].content.clone()))).collect()
    }

    /// Lays other bytes into a file, read and on stable storage: that is how it is found.
    pub fn lay(&self, path: &Path, bytes: &[u8]) {
        let mut sim = self.sim();
        let inode = sim.inode(path).expect("it is there");
        sim.inodes[inode].lay(bytes);
    }

    /// Changes what is read of a file.
    pub fn with_content<T>(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut sim = self.sim();
        let inode = sim.inode(path).expect("it is there");
        change(&mut sim.inodes[inode].content)
    }

    fn sim(&self) -> MutexGuard<'_, Sim> {
        self.0.lock().expect("nothing panics while it holds the disk")
    }
}

fn apply(names: &mut BTreeMap<PathBuf, Target>, changes: &[(PathBuf, Option<Target>)]) {
    for (path, target) in changes {
        match target {
            Some(target) => drop(names.insert(path.clone(), *target)),
            None => drop(names.remove(path)),
        }
    }
}

/// What an operation may do.
enum Turn {
    Done,
    Fails { error: io::Error, short: bool },
}

impl Turn {
    fn whole(self) -> io::Result<()> {
        match self {
            Turn::Done => Ok(()),
            Turn::Fails { error, .. } => Err(error),
        }
    }
}

impl Sim {
    fn end_process(&mut self) {
        self.process += 1;
        self.inodes.iter_mut().for_each(|inode| inode.locked_by = None);
    }

    /// Counts an operation of a process, and fails it where it is its turn, or where the process is gone.
    fn turn(&mut self, process: u64, changes: bool) -> Turn {
        let gone = |short| Turn::Fails { error: io::Error::other("the process is gone"), short };
        if self.process != process {
            return gone(false);
        }
        let Some((after, counted, fault)) = &mut self.plan else { return Turn::Done };
        if !changes && *counted == Counted::Changes {
            return Turn::Done;
        }
        if *after > 0 {
            *after -= 1;
            return Turn::Done;
        }
        let fault = *fault;
        (self.plan, self.fired) = (None, true);
        match fault {
            Fault::Kill => {
                self.end_process();
                gone(true)
            }
            Fault::Fails(code) => Turn::Fails { error: io::Error::from_raw_os_error(code), short: false },
            Fault::Short(code) => Turn::Fails { error: io::Error::from_raw_os_error(code), short: true },
        }
    }

    fn rename(&mut self, dir: &Path, changes: Vec<(PathBuf, Option<Target>)>) {
        apply(&mut self.names, &changes);
        self.unsynced.push(Renaming { dir: dir.to_path_buf(), changes });
    }

    /// A directory was synced.
    fn sync_names(&mut self, dir: &Path) {
        let now = self.take_unsynced(dir);
        now.iter().for_each(|renaming| apply(&mut self.durable_names, &renaming.changes));
    }

    /// It was not: what did not reach the disk never will.
    fn fail_names(&mut self, dir: &Path) {
        let now = self.take_unsynced(dir);
        self.tear_names(&now);
    }

    fn take_unsynced(&mut self, dir: &Path) -> Vec<Renaming> {
        let (now, later) = std::mem::take(&mut self.unsynced).into_iter().partition(|renaming| renaming.dir == dir);
        self.unsynced = later;
        now
    }

    /// Some of what was not synced reaches the disk.
    fn tear_names(&mut self, unsynced: &[Renaming]) {
        let first = self.random.next() as usize % (unsynced.len() + 1);
        let kind = self.random.next() % 6;
        for (number, renaming) in unsynced.iter().enumerate() {
            let kept = match kind {
                0 => false,
                1 => true,
                2 | 3 => number < first,
                _ => self.random.next().is_multiple_of(2),
            };
            if kept {
                apply(&mut self.durable_names, &renaming.changes);
            }
        }
    }

    fn cut_names(&mut self) {
        let unsynced = std::mem::take(&mut self.unsynced);
        self.tear_names(&unsynced);
        // What lies in a directory that is not there is not there either.
        let there = self.durable_names.clone();
        self.durable_names.retain(|path, _| path.ancestors().skip(1).all(|above| there.get(above) == Some(&None)));
        self.names.clone_from(&self.durable_names);
    }

    fn inode(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().flatten().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

/// A process's door to the disk.
#[derive(Clone)]
pub struct Process {
    disk: SimDisk,
    root: PathBuf,
    number: u64,
}

/// Where a path leads.
enum Way {
    Real,
    Sim(PathBuf),
}

impl Process {
    fn way(&self, path: &Path) -> Way {
        match path.strip_prefix(&self.root) {
            Ok(below) if below.components().any(|part| part.as_os_str() == "index") => Way::Real,
            Ok(below) => Way::Sim(below.to_path_buf()),
            // What lies above is there.
            Err(_) => Way::Sim(PathBuf::new()),
        }
    }

    fn turn(&self, changes: bool) -> io::Result<MutexGuard<'_, Sim>> {
        let mut sim = self.disk.sim();
        sim.turn(self.number, changes).whole()?;
        Ok(sim)
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

impl Disk for Process {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let path = match self.way(path) {
            Way::Real => {
                drop(self.turn(matches!(how, Open::Create | Open::CreateOrOpen))?);
                let file = RealDisk.open(path, how)?;
                return Ok(Arc::new(RealFile { process: self.clone(), file }));
            }
            Way::Sim(path) => path,
        };
        let mut sim = self.turn(false)?;
        let inode = match (sim.inode(&path), how) {
            (Ok(_), Open::Create) => return Err(ErrorKind::AlreadyExists.into()),
            (Ok(inode), _) => inode,
            (Err(error), Open::Read | Open::Write) => return Err(error),
            (Err(_), _) => {
                sim.turn(self.number, true).whole()?;
                sim.inodes.push(Inode::default());
                let inode = sim.inodes.len() - 1;
                sim.rename(parent(&path), vec![(path.clone(), Some(Some(inode)))]);
                inode
            }
        };
        sim.handles += 1;
        Ok(Arc::new(SimFile { process: self.clone(), inode, handle: sim.handles }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut sim = self.turn(true)?;
        match self.way(path) {
            Way::Real => return RealDisk.create_dir(path),
            Way::Sim(path) => sim.rename(parent(&path), vec![(path.clone(), Some(None))]),
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<(String, bool)>> {
        let sim = self.turn(false)?;
        let Way::Sim(path) = self.way(path) else { return RealDisk.list(path) };
        sim.names.get(&path).ok_or(ErrorKind::NotFound)?;
        let below = sim.names.iter().filter(|(name, _)| name.parent() == Some(&path));
        let name = |path: &Path| path.file_name().expect("it has a name").to_string_lossy().to_string();
        Ok(below.map(|(path, target)| (name(path), target.is_none())).collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let sim = self.turn(false)?;
        match self.way(path) {
            Way::Real => RealDisk.exists(path),
            Way::Sim(path) => Ok(sim.names.contains_key(&path)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut sim = self.turn(true)?;
        let (Way::Sim(from), Way::Sim(to)) = (self.way(from), self.way(to)) else { return RealDisk.rename(from, to) };
        let inode = sim.inode(&from)?;
        // One step: a power cut keeps the new name or the old one, never both or neither.
        sim.rename(parent(&to), vec![(to.clone(), Some(Some(inode))), (from, None)]);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut sim = self.turn(true)?;
        let Way::Sim(path) = self.way(path) else { return RealDisk.remove(path) };
        sim.inode(&path)?;
        sim.rename(parent(&path), vec![(path.clone(), None)]);
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut sim = self.turn(true)?;
        let Way::Sim(path) = self.way(path) else { return RealDisk.remove_dir_all(path) };
        let gone = sim.names.keys().filter(|name| name.starts_with(&path)).map(|name| (name.clone(), None)).collect();
        sim.rename(parent(&path), gone);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let sim = &mut *self.disk.sim();
        let turn = sim.turn(self.number, true);
        let Way::Sim(path) = self.way(path) else { return turn.whole() };
        match turn {
            Turn::Done => sim.sync_names(&path),
            Turn::Fails { .. } if sim.process == self.number => sim.fail_names(&path),
            // The process is gone, not the disk.
            Turn::Fails { .. } => {}
        }
        turn.whole()
    }

    fn boot_id(&self) -> io::Result<String> {
        Ok(format!("boot {}", self.turn(false)?.boots))
    }
}

struct SimFile {
    process: Process,
    inode: usize,
    handle: u64,
}

impl DiskFile for SimFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let sim = self.process.turn(false)?;
        let offset = offset as usize;
        let bytes = sim.inodes[self.inode].content.get(offset..offset + into.len());
        into.copy_from_slice(bytes.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, from: &[u8], offset: u64) -> io::Result<()> {
        let sim = &mut *self.process.disk.sim();
        let turn = sim.turn(self.process.number, true);
        let some = match &turn {
            Turn::Done => from.len(),
            Turn::Fails { short: true, .. } => sim.random.next() as usize % (from.len() + 1),
            Turn::Fails { .. } => 0,
        };
        sim.inodes[self.inode].write(offset as usize, &from[..some]);
        turn.whole()
    }

    fn sync_data(&self) -> io::Result<()> {
        let sim = &mut *self.process.disk.sim();
        let turn = sim.turn(self.process.number, true);
        let inode = &mut sim.inodes[self.inode];
        match turn {
            Turn::Done => inode.sync(),
            Turn::Fails { .. } if sim.process == self.process.number => inode.fail_sync(&sim.random),
            // The process is gone, not the disk.
            Turn::Fails { .. } => {}
        }
        turn.whole()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.process.turn(false)?.inodes[self.inode].content.len() as u64)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.process.turn(true)?.inodes[self.inode].set_len(bytes as usize);
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut sim = self.process.turn(false)?;
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
        let mut sim = self.process.disk.sim();
        let locked_by = &mut sim.inodes[self.inode].locked_by;
        if *locked_by == Some(self.handle) {
            *locked_by = None;
        }
    }
}

/// A file of the index.
struct RealFile {
    process: Process,
    file: Arc<dyn DiskFile>,
}

impl DiskFile for RealFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        drop(self.process.turn(false)?);
        self.file.read_at(into, offset)
    }

    fn write_at(&self, from: &[u8], offset: u64) -> io::Result<()> {
        let turn = self.process.disk.sim().turn(self.process.number, true);
        let some = match &turn {
            Turn::Done => from.len(),
            Turn::Fails { short: true, .. } => from.len() / 2,
            Turn::Fails { .. } => 0,
        };
        self.file.write_at(&from[..some], offset)?;
        turn.whole()
    }

    /// How much room there is says the plan alone: taking it of a file system in memory is half of all the work.
    fn take_room(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.process.turn(true).map(drop)
    }

    fn len(&self) -> io::Result<u64> {
        drop(self.process.turn(false)?);
        self.file.len()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        drop(self.process.turn(true)?);
        self.file.set_len(bytes)
    }

    fn try_lock(&self) -> io::Result<bool> {
        drop(self.process.turn(false)?);
        self.file.try_lock()
    }
}
