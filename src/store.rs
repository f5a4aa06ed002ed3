//! Everything kept goes through `Store`: a log that is synced before every acknowledgement, fold files that
//! hold what the log came to, and an index over them. What is in them is the engine's affair: here it is bytes.
//!
//! The trait asks for nothing that only files can do: a cluster store would append a component's records with
//! one conditional insert, and publish a fold with one conditional update.

pub mod embedded;
pub mod memory;

use crate::domain::name::ComponentName;
use crate::domain::time::Time;
use bytes::Bytes;
use std::ops::ControlFlow;

/// A place in the log. Grows with every record of a component (embedded: with every record of any). 0 is
/// before the first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position(pub u64);

/// One record of the log: what a batch came to. Replay applies it and never judges again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Whose.
    pub component: ComponentName,
    /// When it was recorded; never goes back in a component. (A group lists one component's records after the other's.)
    pub record_time: Time,
    /// The component's revision after it.
    pub revision: i64,
    /// The counts of the answer.
    pub counts: [u64; 3],
    /// The list of series it touches; has a checksum of its own, so that damage to the body has a name.
    pub series: Bytes,
    /// The changes.
    pub body: Bytes,
}

/// A record as it is read again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Logged {
    /// All of it.
    Whole(Record),
    /// It was acknowledged, and its body cannot be read any more: what it touches can. The body is empty.
    Lost(Record, Damage),
    /// The end of a stretch of which nothing can be read, in a store that is opened to be repaired: revisions may be
    /// missing from here on.
    GivenUp,
}

/// A stretch of the log, or a fold file, of which nothing can be read, in a store that is opened to be repaired.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gap {
    /// Where it is.
    pub damage: Damage,
    /// What cannot be read there; None: the file is missing, or nobody knows how far it went.
    pub bytes: Option<u64>,
    /// The first position that is lost.
    pub first: Position,
    /// The last position that is lost; before the first: none is.
    pub last: Position,
    /// Nobody knows how many records it held: so many at most.
    pub is_bound: bool,
}

/// Where something is damaged.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

/// What damage touches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Touched {
    /// The series, as `team/metric{channel="email"}`; or the metric.
    pub series: String,
    /// Its first key that is touched.
    pub first: Time,
    /// Its last key that is touched.
    pub last: Time,
}

/// Records of one component, judged against what the component was at `judged_at`.
pub struct Commit {
    /// Whose.
    pub component: ComponentName,
    /// The component's last position when the records were judged.
    pub judged_at: Position,
    /// In order.
    pub records: Vec<Record>,
}

/// What became of one `Commit` of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Committed {
    /// On stable storage, one position a record.
    Done(Vec<Position>),
    /// Another server was first: judge again. Never happens in an embedded store.
    Lost,
}

/// What a frame of a fold file is; the directory says it of each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Whose.
    pub component: ComponentName,
    /// The engine's kinds of frame.
    pub kind: u8,
    /// The engine's summary of the frame, enough to rebuild the index from directories alone.
    pub summary: Bytes,
}

/// Names a frame: the fold file by the end of the range of positions it covers, and the frame's number in it.
/// Never changes, whatever is rewritten. Its checksum guards against another frame in its place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FrameRef {
    /// The last position the fold covers.
    pub fold: Position,
    /// From 0.
    pub number: u32,
    /// CRC-32 of the frame's bytes.
    pub crc: u32,
}

/// What becomes of a frame of a fold that is written anew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Anew {
    /// It stays, byte for byte.
    Stays,
    /// These are in its place, under its number. References to it fail from then on.
    Instead(Line, Bytes),
    /// It is left out, its line too. References to it fail from then on.
    Gone,
    /// Nothing: the fold is not written anew after all.
    Stop,
}

/// Says of each frame of a fold, in order, what becomes of it.
pub type EachAnew<'a> = dyn FnMut(&Line, FrameRef) -> Result<Anew, StoreError> + 'a;

/// Whether what the index holds may be believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IndexState {
    /// Closed cleanly and whole: it covers the folds through this position.
    Trusted(Position),
    /// New, missing, not closed, or damaged: it is empty, and to be rebuilt with `write_index`.
    Rebuild,
}

/// A key of the index and its new value; None removes it.
pub type IndexEntry = (Vec<u8>, Option<Vec<u8>>);

/// What can go wrong below.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process serves this directory. Stop it, or choose another directory.
    #[error("the data directory {dir} is in use by process {holder}")]
    Locked {
        /// The directory.
        dir: String,
        /// The other process's id, as it wrote it down.
        holder: String,
    },
    /// Written by another version. Use that one.
    #[error("{file} has format {found}; this milepost reads format {known}")]
    Format {
        /// The file.
        file: String,
        /// What it says.
        found: String,
        /// What we read.
        known: u32,
    },
    /// A checksum or a reference fails. What it touches cannot be served; the rest can.
    #[error("{file} is damaged at byte {offset}: {what}{}", of(touched))]
    Damaged {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        what: String,
        /// What it touches, where that is known.
        touched: Option<Box<Touched>>,
    },
    /// The disk is full. Writing may be tried again when there is room.
    #[error("no room on the disk for {file}")]
    Full {
        /// The file.
        file: String,
    },
    /// The disk failed. After a failed sync nothing is written any more until a restart.
    #[error("cannot {operation} {file}: {cause}")]
    Io {
        /// The operation.
        operation: &'static str,
        /// The file.
        file: String,
        /// What the system said.
        cause: String,
    },
    /// An attempt that reads nothing came to what is not in memory, or to its end. Ask again where reading may block.
    #[error("it takes more than is in memory")]
    Deferred,
    /// An earlier failure left it open what is on the disk. Restart.
    #[error("no more writes are taken since this: {cause}; restart to recover")]
    Poisoned {
        /// The first failure.
        cause: String,
    },
}

/// Takes what was looked at: bytes, and damage.
pub type Checked<'a> = dyn FnMut(u64, Option<StoreError>) -> ControlFlow<()> + 'a;

impl StoreError {
    /// Says what damage touches, where that is not said yet.
    pub fn touching(mut self, who: impl FnOnce() -> Touched) -> StoreError {
        if let StoreError::Damaged { touched: touched @ None, .. } = &mut self {
            *touched = Some(Box::new(who()));
        }
        self
    }
}

impl From<Damage> for StoreError {
    fn from(damage: Damage) -> StoreError {
        let Damage { file, offset, what } = damage;
        StoreError::Damaged { file, offset, what, touched: None }
    }
}

fn of(touched: &Option<Box<Touched>>) -> String {
    touched.as_ref().map_or(String::new(), |t| format!(" (of {}, {} to {})", t.series, t.first, t.last))
}

/// Where everything is kept. All calls block; none is async, so that the engine decides on which thread they run.
pub trait Store: Send + Sync + 'static {
    // ---- the log ----

    /// Appends a group and syncs it once. `Ok` means: what is `Done` is on stable storage. After `Io` or
    /// `Poisoned` nothing more is taken; after `Full` nothing of the group is kept and the call may be tried again.
    /// One caller at a time.
    fn commit(&self, group: &[Commit]) -> Result<Vec<Committed>, StoreError>;

    /// Every record after `after`, in order. What it gives is on stable storage before it is given; what was, and is
    /// damaged since, is given as lost.
    fn read_log(&self, after: Position, each: &mut dyn FnMut(Position, Logged)) -> Result<(), StoreError>;

    /// What cannot be read, in order of position. Only a store that is opened to be repaired has any: others are not
    /// opened at all.
    fn gaps(&self) -> Vec<Gap>;

    /// Lets go of records up to `through`: the folds cover them. What no fold covers stays, whatever is asked; what
    /// was let go of may still be given by `read_log` for a while.
    fn trim(&self, through: Position) -> Result<(), StoreError>;

    /// Bytes of log that folding would let go of.
    fn log_bytes(&self) -> u64;

    // ---- the folds ----

    /// Starts a fold file that covers the log from where the last one ends through `through`, which must be beyond
    /// that. One is written at a time.
    fn begin_fold(&self, through: Position) -> Result<Box<dyn FoldWriter>, StoreError>;

    /// A frame's bytes, checked against the reference's checksum.
    fn read_frame(&self, at: FrameRef) -> Result<Bytes, StoreError>;

    /// The directories of all live fold files, oldest file first, each in frame order. Answers the position the
    /// folds reach (0: none): the one that these lines end with, whatever is finished meanwhile. A gap between files is
    /// `Damaged`.
    fn read_lines(&self, each: &mut dyn FnMut(Line, FrameRef)) -> Result<Position, StoreError>;

    /// Bytes on disk of the live fold files.
    fn fold_bytes(&self) -> u64;

    /// Bytes on disk of a frame and of all that is kept because of it; 0 where it is not there.
    fn frame_bytes(&self, line: &Line, at: FrameRef) -> u64;

    /// Writes the fold that ends at a position anew, as `each` says, and puts it into the place of the one that is
    /// there, for good, in one step. False: it stayed as it was, for `each` stopped, or there is none. It stays as it was
    /// too where there is no room, or a frame that is to stay is damaged. May be called beside everything else but itself;
    /// who may still read what goes is the caller's affair. Costs reading and writing all of it.
    fn write_anew(&self, fold: Position, each: &mut EachAnew) -> Result<bool, StoreError>;

    /// The length of a frame's own bytes; 0 where it is not there.
    fn frame_length(&self, at: FrameRef) -> u64;

    /// Where a frame is, for people: a file and an offset.
    fn locate(&self, at: FrameRef) -> (String, u64);

    // ---- the index ----

    /// Judged once, at opening.
    fn index_state(&self) -> IndexState;

    /// A value, checked; None where there is none.
    fn read_index(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Every entry whose key starts with `prefix`, in key order.
    fn scan_index(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], Bytes)) -> Result<(), StoreError>;

    /// Writes entries, sorted by the store. Not synced: the index is believed only after a clean close.
    fn write_index(&self, entries: Vec<IndexEntry>) -> Result<(), StoreError>;

    /// Bytes on disk of the index.
    fn index_bytes(&self) -> u64;

    /// Writes the index anew with only the entries that `keep` says yes to, and puts it into the place of the one that is
    /// there; it is read meanwhile, and not written. `keep` is asked twice of each key; None stops it. False: it stayed as
    /// it was. Costs reading and writing all of it.
    fn write_index_anew(&self, keep: &mut dyn FnMut(&[u8]) -> Option<bool>) -> Result<bool, StoreError>;

    /// Throws the index away and starts a fresh, empty one.
    fn reset_index(&self) -> Result<(), StoreError>;

    // ---- all of it ----

    /// Looks at every byte of the files but the frames that `read_frame` and the entries that `read_index` check.
    /// `each` gets the bytes looked at since it was last called, and damage where there is some; it does not stop
    /// there, but where `each` says so. What is written meanwhile may be left out.
    fn verify(&self, each: &mut Checked);

    /// Syncs the index, marks it as covering the folds through `through`, and lets go of the directory. Nothing
    /// may be called after it.
    fn close(&self, through: Position) -> Result<(), StoreError>;
}

/// A fold file being written. Dropped before `finish`, it never was.
pub trait FoldWriter: Send {
    /// Appends a frame.
    fn put(&mut self, line: Line, frame: &[u8]) -> Result<FrameRef, StoreError>;

    /// Writes the directory, syncs, renames, syncs the folder. `Ok` means: it is part of the store for good.
    fn finish(self: Box<Self>) -> Result<(), StoreError>;
}
