//! What the forgetful file system holds: of every file and folder as it is, as it is on stable storage, and what was
//! done since.

use milepost::random::SeededRandom;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

pub const ROOT: u64 = 1;
const SECTOR_BYTES: usize = 512;

/// By name.
type Names = BTreeMap<OsString, u64>;
/// Names given and taken in one step.
type Renaming = Vec<(OsString, Option<u64>)>;

#[derive(Default)]
pub struct Folder {
    pub names: Names,
    durable: Names,
    unsynced: Vec<Renaming>,
}

enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Default)]
pub struct Content {
    pub bytes: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

pub enum Node {
    Folder(Folder),
    File(Content),
    /// A name only: what it is for is in the system.
    Socket,
}

pub struct Kept {
    nodes: BTreeMap<u64, Node>,
    next: u64,
    random: SeededRandom,
}

/// What a power cut took away.
#[derive(Clone, Copy, Default, Debug)]
pub struct Forgotten {
    pub sectors: u64,
    pub names: u64,
}

impl Content {
    fn change(&mut self, change: Change) {
        apply(&mut self.bytes, &change);
        self.unsynced.push(change);
    }

    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.change(Change::Write(offset, bytes.to_vec()));
    }

    pub fn set_length(&mut self, bytes: usize) {
        self.change(Change::Length(bytes));
    }

    pub fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            apply(&mut self.durable, &change);
        }
    }

    /// Of what was not synced some sectors are there, in whatever order they were written.
    fn cut(&mut self, random: &SeededRandom) -> u64 {
        let mut forgotten = 0;
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Length(_) if random.next().is_multiple_of(2) => apply(&mut self.durable, &change),
                Change::Length(_) => {}
                Change::Write(offset, bytes) => {
                    let mut at = 0;
                    while at < bytes.len() {
                        let end = (((offset + at) / SECTOR_BYTES + 1) * SECTOR_BYTES - offset).min(bytes.len());
                        if random.next().is_multiple_of(2) {
                            apply(&mut self.durable, &Change::Write(offset + at, bytes[at..end].to_vec()));
                        } else {
                            forgotten += 1;
                        }
                        at = end;
                    }
                }
            }
        }
        self.bytes.clone_from(&self.durable);
        forgotten
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => bytes.resize(*length, 0),
        Change::Write(offset, written) => {
            bytes.resize(bytes.len().max(offset + written.len()), 0);
            bytes[*offset..offset + written.len()].copy_from_slice(written);
        }
    }
}

impl Folder {
    fn change(&mut self, renaming: Renaming) {
        rename(&mut self.names, &renaming);
        self.unsynced.push(renaming);
    }

    pub fn sync(&mut self) {
        for renaming in std::mem::take(&mut self.unsynced) {
            rename(&mut self.durable, &renaming);
        }
    }

    /// Of what was not synced the first so many changes are there, in each folder another number.
    fn cut(&mut self, random: &SeededRandom) -> u64 {
        let unsynced = std::mem::take(&mut self.unsynced);
        let kept = random.next() as usize % (unsynced.len() + 1);
        unsynced[..kept].iter().for_each(|renaming| rename(&mut self.durable, renaming));
        self.names.clone_from(&self.durable);
        (unsynced.len() - kept) as u64
    }
}

fn rename(names: &mut Names, renaming: &Renaming) {
    for (name, node) in renaming {
        match node {
            Some(node) => drop(names.insert(name.clone(), *node)),
            None => drop(names.remove(name)),
        }
    }
}

impl Kept {
    pub fn new(seed: u64) -> Kept {
        let nodes = [(ROOT, Node::Folder(Folder::default()))].into();
        Kept { nodes, next: ROOT + 1, random: SeededRandom::new(seed) }
    }

    pub fn node(&self, number: u64) -> Option<&Node> {
        self.nodes.get(&number)
    }

    pub fn file(&mut self, number: u64) -> Option<&mut Content> {
        match self.nodes.get_mut(&number)? {
            Node::File(content) => Some(content),
            Node::Folder(_) | Node::Socket => None,
        }
    }

    pub fn folder(&mut self, number: u64) -> Option<&mut Folder> {
        match self.nodes.get_mut(&number)? {
            Node::Folder(folder) => Some(folder),
            Node::File(_) | Node::Socket => None,
        }
    }

    pub fn lookup(&mut self, parent: u64, name: &OsStr) -> Option<u64> {
        self.folder(parent)?.names.get(name).copied()
    }

    pub fn add(&mut self, parent: u64, name: &OsStr, node: Node) -> Option<u64> {
        let number = self.next;
        self.folder(parent)?.change(vec![(name.to_owned(), Some(number))]);
        self.next += 1;
        self.nodes.insert(number, node);
        Some(number)
    }

    /// The node stays for those who have it open, until the next cut.
    pub fn remove(&mut self, parent: u64, name: &OsStr) -> Option<()> {
        let folder = self.folder(parent)?;
        folder.names.get(name)?;
        folder.change(vec![(name.to_owned(), None)]);
        Some(())
    }

    pub fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr)) -> Option<()> {
        let node = self.lookup(from.0, from.1)?;
        if from.0 == to.0 {
            self.folder(to.0)?.change(vec![(from.1.to_owned(), None), (to.1.to_owned(), Some(node))]);
        } else {
            self.folder(to.0)?.change(vec![(to.1.to_owned(), Some(node))]);
            self.folder(from.0)?.change(vec![(from.1.to_owned(), None)]);
        }
        Some(())
    }

    /// The power is cut: what is not on stable storage is there or not, as it comes.
    pub fn cut(&mut self) -> Forgotten {
        let mut forgotten = Forgotten::default();
        for node in self.nodes.values_mut() {
            match node {
                Node::Folder(folder) => forgotten.names += folder.cut(&self.random),
                Node::File(content) => forgotten.sectors += content.cut(&self.random),
                Node::Socket => {}
            }
        }
        let (mut reached, mut next) = (BTreeSet::from([ROOT]), vec![ROOT]);
        while let Some(number) = next.pop() {
            if let Some(Node::Folder(folder)) = self.nodes.get(&number) {
                next.extend(folder.names.values().filter(|below| reached.insert(**below)));
            }
        }
        self.nodes.retain(|number, _| reached.contains(number));
        forgotten
    }
}

#[test]
fn what_is_synced_is_there_after_a_cut_and_what_is_not_may_be_gone() {
    let (mut forgotten, mut torn) = (Forgotten::default(), 0);
    for seed in 0..50 {
        let mut kept = Kept::new(seed);
        let (one, two, three) = (OsStr::new("one"), OsStr::new("two"), OsStr::new("three"));
        let file = kept.add(ROOT, one, Node::File(Content::default())).expect("a folder");
        kept.file(file).expect("a file").write(0, &[1; 2_000]);
        kept.file(file).expect("a file").sync();
        kept.folder(ROOT).expect("a folder").sync();
        kept.file(file).expect("a file").write(100, &[2; 1_000]);
        kept.rename((ROOT, one), (ROOT, two)).expect("it is there");
        kept.add(ROOT, three, Node::File(Content::default())).expect("a folder");
        let cut = kept.cut();
        (forgotten.sectors, forgotten.names) = (forgotten.sectors + cut.sectors, forgotten.names + cut.names);
        let (was, is) = (kept.lookup(ROOT, one), kept.lookup(ROOT, two));
        assert!(was.xor(is) == Some(file), "seed {seed}: it has one name, {was:?} {is:?}");
        assert!(kept.lookup(ROOT, three).is_none() || is.is_some(), "seed {seed}: names come in their order");
        let bytes = &kept.file(file).expect("a file").bytes;
        let (before, middle, after) = (&bytes[..100], &bytes[100..1_100], &bytes[1_100..]);
        assert!(before.iter().chain(after).all(|byte| *byte == 1) && bytes.len() == 2_000, "seed {seed}");
        torn += u32::from(middle.contains(&1) && middle.contains(&2));
    }
    assert!(forgotten.sectors > 20 && forgotten.names > 20 && torn > 10, "{forgotten:?} {torn}");
}
