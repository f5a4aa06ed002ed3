//! A child of a node: in memory until it is stored, and read again when it is needed after that.
//!
//! The cache: what was read, or stored, is held by the child itself, and a queue lets go of the oldest that
//! nobody asked for since (second chance) when there is more than `cache_bytes_max`.

use super::Entry;
use super::children::Children;
use super::growing::{Before, Growing};
use super::summary::{read_summary, write_summary};
use crate::domain::name::ComponentName;
use crate::engine::block::{self, Columns, Leaf};
use crate::engine::codec::{Reader, Undecodable, Writer};
use crate::engine::history::HeldRuns;
use crate::engine::readers::Readers;
use crate::store::{FrameRef, Store, StoreError};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock, Weak};

/// Where a stored child is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// A packed block: a frame of a fold file.
    Block(FrameRef),
    /// A packed block that is kept here, and on disk in its series' record.
    Inline(Arc<[u8]>),
    /// A node: an entry of the index.
    Node(u64),
}

/// A child's content.
#[derive(Clone, Debug)]
pub enum Body {
    /// Points.
    Leaf(Arc<Leaf>),
    /// Children.
    Node(Arc<Children>),
}

/// What is in memory of a child.
#[derive(Clone, Debug)]
enum InMemory {
    Body(Body),
    /// A leaf of a few points, packed: an eighth of what it takes in columns, and of very many series most are one such leaf.
    /// Whoever asks for it unpacks it.
    Packed(Arc<[u8]>),
    /// A leaf in pieces: in one piece from when it is first asked for.
    Growing(Arc<Growing>),
}

const UNPOISONED: &str = "no holder of a child's content panics";

/// A child.
#[derive(Debug, Default)]
pub struct Child {
    place: OnceLock<Place>,
    /// Behind a lock that is held for the copy of a pointer. (Not a pointer to swap: that was another piece of memory a child,
    /// and a twentieth of what the committer did in small pushes, by its profile.)
    body: RwLock<Option<InMemory>>,
    asked: AtomicBool,
    /// When it was last looked at without being held, as `Loader::era` counts; 0: never.
    looked_at: AtomicU32,
}

impl Body {
    /// A leaf that is stored: held in a quarter of the memory, mostly, so that the cache holds four times as many.
    fn of_read(columns: Columns) -> Body {
        Body::Leaf(Arc::new(Leaf::new(columns.near())))
    }

    fn bytes(&self) -> usize {
        match self {
            Body::Leaf(leaf) => leaf.bytes(),
            Body::Node(children) => children.bytes(),
        }
    }
}

impl Child {
    /// Not stored yet.
    pub fn fresh(body: Body) -> Arc<Child> {
        Child::not_stored(InMemory::Body(body))
    }

    /// A leaf, packed. Not stored yet.
    pub fn packed(points: Vec<u8>) -> Arc<Child> {
        Child::not_stored(InMemory::Packed(points.into()))
    }

    /// A leaf in pieces. Not stored yet.
    pub fn growing(pieces: Growing) -> Arc<Child> {
        Child::not_stored(InMemory::Growing(Arc::new(pieces)))
    }

    fn not_stored(body: InMemory) -> Arc<Child> {
        Arc::new(Child { body: RwLock::new(Some(body)), asked: AtomicBool::new(true), ..Child::default() })
    }

    /// Stored, not read yet.
    pub fn stored(place: Place) -> Arc<Child> {
        Arc::new(Child { place: OnceLock::from(place), ..Child::default() })
    }

    /// What is in memory of it.
    fn held(&self) -> Option<InMemory> {
        self.body.read().expect(UNPOISONED).clone()
    }

    fn hold(&self, body: Option<Body>) {
        *self.body.write().expect(UNPOISONED) = body.map(InMemory::Body);
    }

    /// Where it is stored; None: not yet.
    pub fn place(&self) -> Option<&Place> {
        self.place.get()
    }

    /// Its children, where it is a node that is not stored yet.
    pub fn fresh_children(&self) -> Option<Arc<Children>> {
        match (self.place(), self.held()?) {
            (None, InMemory::Body(Body::Node(children))) => Some(children),
            _ => None,
        }
    }

    /// Its bytes where it is kept packed in memory, stored or not.
    pub fn packed_bytes(&self) -> Option<Arc<[u8]>> {
        match (self.place(), &*self.body.read().expect(UNPOISONED)) {
            (Some(Place::Inline(bytes)), _) | (_, Some(InMemory::Packed(bytes))) => Some(bytes.clone()),
            _ => None,
        }
    }

    /// Its content where it is in memory. Cost: where it is packed, that of unpacking it; where it is in pieces, that of
    /// copying its points, once.
    pub fn in_memory(&self) -> Option<Body> {
        match self.held()? {
            InMemory::Body(body) => Some(body),
            InMemory::Packed(bytes) => {
                let columns = block::unpack(&bytes).expect("it was packed here");
                Some(Body::Leaf(Arc::new(Leaf::new(columns))))
            }
            InMemory::Growing(pieces) => {
                let body = Body::Leaf(Arc::new(pieces.whole()));
                let mut held = self.body.write().expect(UNPOISONED);
                // Not where somebody else has put them together meanwhile, and a fold stored it.
                if matches!(&*held, Some(InMemory::Growing(_))) {
                    *held = Some(InMemory::Body(body.clone()));
                }
                Some(body)
            }
        }
    }
}

/// Decoded children that may be let go of, oldest first, with their bytes, and the sum of these.
type Held = (VecDeque<(Weak<Child>, usize)>, usize);

/// Numbers of the index's pages of series, by component, that are not what the folds come to: they are written when the
/// store is closed, and wanted by nobody before.
pub type Behind = BTreeMap<ComponentName, BTreeSet<u64>>;

/// Reads children, and keeps what it read for a while.
pub struct Loader {
    store: Arc<dyn Store>,
    bytes_max: usize,
    queue: Mutex<Held>,
    reads: AtomicU64,
    /// Bytes that were read so far, as they would be held.
    bytes_read: AtomicU64,
    next_node: AtomicU64,
    /// Held while a fold becomes part of the store and the index follows.
    publishing: Mutex<Behind>,
    readers: Arc<Readers>,
    runs: HeldRuns,
}

/// Eras in which as much is read as is held.
const ERAS_HELD: u32 = 8;
/// Bytes that a block takes when it is held, for each that it takes packed.
const UNPACKED_BYTES: u64 = 3;

/// The index's key of a node.
pub fn node_key(id: u64) -> Vec<u8> {
    let mut key = vec![b'N'];
    key.extend_from_slice(&id.to_be_bytes());
    key
}

/// The points of a series' record.
pub fn unpack_inline(bytes: &[u8]) -> Result<Columns, StoreError> {
    block::unpack(bytes).map_err(|e| damaged("a series' record", e))
}

fn block_name(at: FrameRef) -> String {
    format!("block {} of the fold that ends at {}", at.number, at.fold.0)
}

fn damaged(what: &str, undecodable: Undecodable) -> StoreError {
    undecodable.in_file(what.to_string())
}

impl Loader {
    /// Holds up to `bytes_max` bytes of decoded children.
    pub fn new(store: Arc<dyn Store>, bytes_max: usize) -> Loader {
        Loader {
            store,
            bytes_max,
            queue: Mutex::new((VecDeque::new(), 0)),
            reads: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
            next_node: AtomicU64::new(1),
            publishing: Mutex::default(),
            readers: Arc::default(),
            runs: HeldRuns::default(),
        }
    }

    /// The store it reads from.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Runs of replaced versions that were read a short while ago.
    pub fn runs(&self) -> &HeldRuns {
        &self.runs
    }

    /// Who may still read what is let go of.
    pub fn readers(&self) -> &Arc<Readers> {
        &self.readers
    }

    /// How many children were read from the store so far: what growth is measured by.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// While this is held, folds and index are of one moment, but for these pages: no fold is published.
    pub fn hold_publishing(&self) -> MutexGuard<'_, Behind> {
        self.publishing.lock().expect("publishing a fold does not panic")
    }

    /// An id for a node of the index that no other node has.
    pub fn next_node(&self) -> u64 {
        self.next_node.fetch_add(1, Ordering::Relaxed)
    }

    /// Ids below `id` are in use.
    pub fn nodes_from(&self, id: u64) {
        self.next_node.fetch_max(id, Ordering::Relaxed);
    }

    /// A child's content. Cost: nothing where it is in memory; else a read and the unpacking (some 30 us a full block).
    pub fn load(&self, child: &Arc<Child>) -> Result<Body, StoreError> {
        if let Some(body) = self.at_hand(child)? {
            return Ok(body);
        }
        let body = self.read(child.place().expect("a child that is not in memory is stored"))?;
        self.reads.fetch_add(1, Ordering::Relaxed);
        child.hold(Some(body.clone()));
        self.bytes_read.fetch_add(body.bytes() as u64, Ordering::Relaxed);
        self.hold(child, body.bytes());
        Ok(body)
    }

    /// A child's content where it is to be had without a read.
    pub fn at_hand(&self, child: &Child) -> Result<Option<Body>, StoreError> {
        if let Some(body) = child.in_memory() {
            // Written only where that changes it: all processors that look at it share it.
            if !child.asked.load(Ordering::Relaxed) {
                child.asked.store(true, Ordering::Relaxed);
            }
            return Ok(Some(body));
        }
        match child.place() {
            Some(place @ Place::Inline(_)) => self.read(place).map(Some),
            _ => Ok(None),
        }
    }

    /// A leaf, for points to be added behind its own: in pieces where it is. None: it is a node. Cost as `load`, which
    /// puts pieces together.
    pub fn before(&self, child: &Arc<Child>) -> Result<Option<Before>, StoreError> {
        if let Some(InMemory::Growing(pieces)) = &*child.body.read().expect(UNPOISONED) {
            return Ok(Some(Before::Pieces(pieces.clone())));
        }
        Ok(match self.load(child)? {
            Body::Leaf(leaf) => Some(Before::Leaf(leaf)),
            Body::Node(_) => None,
        })
    }

    /// What is seen of a stored block without holding it. None: it is to be loaded, for it is in memory, or was looked at so
    /// short a while ago that it would still be, had it been held; also where nothing is seen. `is_answer`: this is what it
    /// was asked for. Cost: a read. (By turns, scattered questions of 4 * 10^8 points, three times what the cache holds:
    /// totals 17 us where they took 22, first crossings 14.5 where they took 19.5.)
    pub fn look<T>(
        &self,
        child: &Child,
        is_answer: bool,
        look: impl FnOnce(&[u8]) -> Result<Option<T>, Undecodable>,
    ) -> Result<Option<T>, StoreError> {
        let Some(Place::Block(at)) = child.place() else { return Ok(None) };
        let (era, looked_at) = (self.era(), child.looked_at.load(Ordering::Relaxed));
        let is_asked_again = looked_at != 0 && era.wrapping_sub(looked_at) < ERAS_HELD;
        if is_asked_again || child.body.read().expect(UNPOISONED).is_some() {
            return Ok(None);
        }
        let frame = self.store.read_frame(*at)?;
        let seen = look(&frame).map_err(|error| damaged(&block_name(*at), error))?;
        self.reads.fetch_add(1, Ordering::Relaxed);
        if seen.is_some() && is_answer {
            self.bytes_read.fetch_add(UNPACKED_BYTES * frame.len() as u64, Ordering::Relaxed);
            child.looked_at.store(era, Ordering::Relaxed);
        }
        Ok(seen)
    }

    /// Time by what was read: while it counts `ERAS_HELD`, as much is read as is held. Never 0.
    fn era(&self) -> u32 {
        let era_bytes = self.bytes_max as u64 / u64::from(ERAS_HELD) + 1;
        (self.bytes_read.load(Ordering::Relaxed) / era_bytes) as u32 + 1
    }

    /// The children of a node; None: it is a leaf, which is not read for this. Cost as `load`, of a node.
    pub fn node(&self, child: &Arc<Child>) -> Result<Option<Arc<Children>>, StoreError> {
        match child.place() {
            Some(Place::Block(_) | Place::Inline(_)) => Ok(None),
            Some(Place::Node(_)) | None => Ok(match self.load(child)? {
                Body::Node(children) => Some(children),
                Body::Leaf(_) => None,
            }),
        }
    }

    /// What is stored at a place, whatever is in memory of it. Cost: a read and the unpacking.
    pub fn read(&self, place: &Place) -> Result<Body, StoreError> {
        match place {
            Place::Block(at) => {
                let columns =
                    block::unpack(&self.store.read_frame(*at)?).map_err(|error| damaged(&block_name(*at), error))?;
                Ok(Body::of_read(columns))
            }
            Place::Inline(bytes) => Ok(Body::Leaf(Arc::new(Leaf::new(unpack_inline(bytes)?)))),
            Place::Node(id) => {
                let what = format!("node {id} of the index");
                let bytes = self.store.read_index(&node_key(*id))?;
                let bytes = bytes.ok_or_else(|| damaged(&what, Undecodable::Form("it is missing")))?;
                let children = read_entries(&mut Reader(&bytes)).map(Children::of).map_err(|e| damaged(&what, e))?;
                let children = children.ok_or_else(|| damaged(&what, Undecodable::Form("a node of nothing")))?;
                Ok(Body::Node(Arc::new(children)))
            }
        }
    }

    /// A fold has stored the child: from now on it may be let go of.
    pub fn stored(&self, child: &Arc<Child>, place: Place) {
        let inline = matches!(place, Place::Inline(_));
        child.place.set(place).expect("a child is stored once");
        if inline {
            child.hold(None);
        } else if let Some(body) = child.in_memory() {
            let body = match body {
                Body::Leaf(leaf) => Body::of_read(leaf.columns.clone()),
                node @ Body::Node(_) => node,
            };
            child.hold(Some(body.clone()));
            self.hold(child, body.bytes());
        }
    }

    fn hold(&self, child: &Arc<Child>, bytes: usize) {
        let mut queue = self.queue.lock().expect("no holder of the queue panics");
        queue.0.push_back((Arc::downgrade(child), bytes));
        queue.1 += bytes;
        let mut chances = queue.0.len();
        while queue.1 > self.bytes_max {
            let Some((oldest, bytes)) = queue.0.pop_front() else { break };
            match oldest.upgrade() {
                Some(child) if chances > 0 && child.asked.swap(false, Ordering::Relaxed) => {
                    queue.0.push_back((oldest, bytes));
                }
                found => {
                    if let Some(child) = found {
                        child.hold(None);
                    }
                    queue.1 -= bytes;
                }
            }
            chances = chances.saturating_sub(1);
        }
    }
}

/// Entries of a node, and where the child of each is or will be.
pub fn write_entries(out: &mut Writer, entries: &[Entry], places: &[Place]) {
    out.unsigned(entries.len() as u64);
    for (entry, place) in entries.iter().zip(places) {
        write_entry(out, entry, place);
    }
}

/// One entry, and where its child is.
pub fn write_entry(out: &mut Writer, entry: &Entry, place: &Place) {
    write_summary(out, &entry.extent, entry.sum.as_ref());
    match place {
        Place::Block(at) => {
            out.byte(1);
            write_frame_ref(out, *at);
        }
        Place::Node(id) => {
            out.byte(2);
            out.unsigned(*id);
        }
        Place::Inline(bytes) => {
            out.byte(3);
            out.bytes(bytes);
        }
    }
}

/// As `write_entry`.
pub fn read_entry(reader: &mut Reader) -> Result<Entry, Undecodable> {
    let (extent, sum) = read_summary(reader)?;
    let place = match reader.byte()? {
        1 => Place::Block(read_frame_ref(reader)?),
        2 => Place::Node(reader.unsigned()?),
        3 => Place::Inline(reader.bytes()?.into()),
        _ => return Err(Undecodable::Form("an unknown kind of child")),
    };
    Ok(Entry { extent, sum, child: Child::stored(place) })
}

/// As `write_entries`.
pub fn read_entries(reader: &mut Reader) -> Result<Vec<Entry>, Undecodable> {
    let count = reader.count()?;
    (0..count).map(|_| read_entry(reader)).collect()
}

/// A reference to a frame.
pub fn write_frame_ref(out: &mut Writer, at: FrameRef) {
    out.unsigned(at.fold.0);
    out.unsigned(u64::from(at.number));
    out.unsigned(u64::from(at.crc));
}

/// As `write_frame_ref`.
pub fn read_frame_ref(reader: &mut Reader) -> Result<FrameRef, Undecodable> {
    let fold = crate::store::Position(reader.unsigned()?);
    let mut narrow = || u32::try_from(reader.unsigned()?).map_err(|_| Undecodable::Form("a number beyond 32 bits"));
    Ok(FrameRef { fold, number: narrow()?, crc: narrow()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::point::Point;
    use crate::domain::time::Time;
    use crate::engine::block::Row;
    use crate::store::memory::MemoryStore;

    fn leaf(points: i64) -> Body {
        let rows = (0..points).map(|t| Row { point: Point::at(Time(t), t), revision: 1 });
        Body::Leaf(Arc::new(Leaf::new(rows.collect())))
    }

    #[test]
    fn what_is_held_is_counted_and_stays_within_its_bound() {
        let loader = Loader::new(Arc::new(MemoryStore::new()), 20_000);
        let children: Vec<_> = (0..200).map(|i| Child::fresh(leaf(10 + i % 7))).collect();
        for (id, child) in (1..).zip(&children) {
            loader.stored(child, Place::Node(id));
            let (queue, bytes) = &*loader.queue.lock().expect("nobody panics");
            assert_eq!(*bytes, queue.iter().map(|(_, bytes)| bytes).sum::<usize>());
            assert!(*bytes <= 20_000, "{bytes}");
        }
        let held: usize = children.iter().filter_map(|child| child.in_memory()).map(|body| body.bytes()).sum();
        assert!((10_000..=20_000).contains(&held), "{held} of what was stored last is still there");
        assert!(children[0].in_memory().is_none(), "the oldest was let go of");
        let entry = |child: &Arc<Child>| Entry {
            extent: super::super::Extent {
                first_key: Time(0),
                last_key: Time(9),
                lowest_revision: 1,
                highest_revision: 1,
            },
            sum: None,
            child: child.clone(),
        };
        let all = Children::of(children.iter().map(entry).collect());
        let node = Body::Node(Arc::new(all.expect("there are children")));
        let each = size_of::<Entry>() + size_of::<Child>();
        assert!((200 * each..400 * each).contains(&node.bytes()));
    }

    /// As much as is allowed stays; what comes on top of it takes the place of the oldest.
    #[test]
    fn the_bound_itself_may_be_held() {
        let bytes = leaf(10).bytes();
        let loader = Loader::new(Arc::new(MemoryStore::new()), 3 * bytes);
        let children: Vec<_> = (0..4).map(|_| Child::fresh(leaf(10))).collect();
        for (id, child) in (1..).zip(&children) {
            child.asked.store(false, Ordering::Relaxed);
            loader.stored(child, Place::Node(id));
            let held = children[..id as usize].iter().filter(|child| child.in_memory().is_some()).count();
            assert_eq!(held, (id as usize).min(3));
        }
        assert!(children[0].in_memory().is_none());
    }
}
