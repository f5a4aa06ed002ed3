//! The shape of a tree, and what a walk over it looks at: growth is bounded, whatever the tree holds.

use super::apply::{Apply, Changes};
use super::child::{Body, Loader};
use super::growing::{Before, PIECES_A_BLOCK};
use super::walk::{NoPast, Walk};
use super::*;
use crate::domain::definition::Definition;
use crate::domain::name::MetricName;
use crate::domain::point::Point;
use crate::domain::time::Interval;
use crate::engine::Settings;
use crate::engine::block::{Leaf, Row};
use crate::engine::history::History;
use crate::engine::lost::{Lost, Whose};
use crate::engine::view::Visitor;
use crate::store::Damage;
use crate::store::memory::MemoryStore;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

struct Made {
    settings: Settings,
    loader: Loader,
    history: History,
    root: Option<Entry>,
    revision: i64,
}

impl Made {
    fn new(block_points_max: usize, node_children_max: usize) -> Made {
        // As the engine wants it: what is kept packed is shorter than a block.
        let page_points_max = Settings::default().page_points_max.min(block_points_max / 2);
        let settings = Settings { block_points_max, node_children_max, page_points_max, ..Settings::default() };
        let loader = Loader::new(Arc::new(MemoryStore::new()), 1 << 30);
        Made { settings, loader, history: History::default(), root: None, revision: 0 }
    }

    /// Answers what it is said to have added to memory.
    fn apply(&mut self, changes: &Changes) -> usize {
        self.revision += 1;
        let mut replaced = Vec::new();
        let mut apply = Apply {
            kind: Kind::Delta,
            periods: None,
            revision: self.revision,
            settings: &self.settings,
            loader: &self.loader,
            replaced: &mut replaced,
            replaced_nodes: &mut Vec::new(),
            bytes_added: 0,
        };
        self.root = apply.apply(self.root.as_ref(), changes).expect("it is in memory");
        let bytes_added = apply.bytes_added;
        self.history.recent.extend(replaced);
        bytes_added
    }

    /// How many points each block has, and how many children each node.
    fn shape(&self) -> (Vec<usize>, Vec<usize>) {
        fn visit(entry: &Entry, blocks: &mut Vec<usize>, nodes: &mut Vec<usize>) {
            match &entry.child.in_memory().expect("nothing is stored") {
                Body::Leaf(leaf) => blocks.push(leaf.columns.len()),
                Body::Node(children) => {
                    nodes.push(children.count());
                    children.iter().for_each(|child| visit(child, blocks, nodes));
                }
            }
        }
        let (mut blocks, mut nodes) = (Vec::new(), Vec::new());
        self.root.iter().for_each(|root| visit(root, &mut blocks, &mut nodes));
        (blocks, nodes)
    }

    fn visit(&self, interval: Interval, visitor: &mut dyn Visitor) {
        self.walk(None, &[], |walk| walk.visit(self.root.as_ref(), interval, visitor).expect("it is in memory"));
    }

    /// Asks the tree as it was at a revision (None: as it is).
    fn walk<T>(&self, revision: Option<i64>, lost: &[Lost], ask: impl FnOnce(&Walk<'_>) -> T) -> T {
        let definition = definition();
        let labels = Vec::new().into();
        ask(&Walk {
            kind: Kind::Delta,
            periods: None,
            revision,
            history: &self.history,
            lost,
            whose: Whose { definition: &definition, labels: &labels },
            loader: &self.loader,
            past: &NoPast,
        })
    }
}

fn definition() -> Definition {
    Definition::new(MetricName::parse("team/counts").expect("a name"), Kind::Delta)
}

fn set(times: impl Iterator<Item = i64>) -> Changes {
    Changes::Set(times.map(|t| Point::at(Time(t), t)).collect::<Vec<_>>().into())
}

/// What a walk shows: points, stretches taken, and what both come to.
struct Shown {
    takes: bool,
    points: Vec<i64>,
    stretches: usize,
    sum: i128,
    ends_at: usize,
}

impl Visitor for Shown {
    fn stretch(&mut self, aggregate: &Aggregate) -> bool {
        if self.takes {
            self.stretches += 1;
            self.sum += aggregate.sum;
        }
        self.takes
    }

    fn point(&mut self, point: &Point) -> ControlFlow<()> {
        self.points.push(point.time.0);
        self.sum += i128::from(point.value);
        if self.points.len() == self.ends_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn shown(made: &Made, from: i64, to: i64, takes: bool, ends_at: usize) -> Shown {
    let mut shown = Shown { takes, points: Vec::new(), stretches: 0, sum: 0, ends_at };
    made.visit(Interval::new(Time(from), Time(to)), &mut shown);
    shown
}

/// A walk that takes stretches goes inside one block at either end: there it looks at less than two chunks of points.
#[test]
fn of_a_long_interval_its_ends_alone_are_looked_at_point_by_point() {
    // Three levels, of blocks that are no multiple of a chunk.
    let mut made = Made::new(600, 4);
    made.apply(&set(0..5_000));
    let edges = [
        0, 1, 255, 256, 257, 511, 512, 599, 600, 601, 855, 856, 857, 1_199, 1_200, 2_400, 2_401, 4_700, 4_936, 4_999,
        5_000,
    ];
    for from in edges {
        for to in edges {
            let expected: Vec<i64> = (from..to).collect();
            let all = shown(&made, from, to, false, usize::MAX);
            assert_eq!(all.points, expected, "{from} to {to}");
            let some = shown(&made, from, to, true, usize::MAX);
            assert_eq!(some.sum, expected.iter().map(|t| i128::from(*t)).sum::<i128>(), "{from} to {to}");
            assert!(some.points.len() <= 2 * 256, "{} points of {from} to {to}", some.points.len());
            // Within a block chunks, above it at most the children of two nodes a level.
            assert!(some.stretches <= 2 * 600 / 256 + 2 * 4 * 3, "{} stretches of {from} to {to}", some.stretches);
            let first = shown(&made, from, to, false, 70);
            assert_eq!(first.points, expected[..expected.len().min(70)], "it ends where it is told to");
        }
    }
    let whole = shown(&made, 0, 5_000, true, usize::MAX);
    assert_eq!((whole.stretches, whole.points.len()), (1, 0), "the root answers for all");
}

/// Takes a block's points at once, and ends the walk at one of them.
struct EndsAt(i64, Option<Time>);

impl Visitor for EndsAt {
    fn stretch(&mut self, _: &Aggregate) -> bool {
        false
    }

    fn point(&mut self, _: &Point) -> ControlFlow<()> {
        unreachable!("it takes the points of a block at once")
    }

    fn takes_points(&self, _: &Leaf) -> bool {
        true
    }

    fn ended_at(&self) -> Option<Time> {
        self.1
    }

    fn points(&mut self, leaf: &Leaf, range: Range<usize>) -> ControlFlow<()> {
        self.1 = leaf.columns.points(range).map(|point| point.time).find(|time| time.0 == self.0);
        if self.1.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// A walk that ended within a block rests on what lies before that point, and on nothing that is lost behind it.
#[test]
fn what_is_lost_behind_the_end_of_a_walk_is_not_missed() {
    let mut made = Made::new(100, 4);
    made.apply(&set((0..1_000).filter(|t| *t != 250)));
    let whole = Lost::whole(Damage { file: String::new(), offset: 0, what: String::new() }, 1);
    let lost = [Lost { first: Time(250), last: Time(250), last_end: Time(250), ..whole }];
    for (end, is_whole) in [(0, true), (199, true), (200, true), (249, true), (251, false), (299, false), (300, false)]
    {
        let mut ends = EndsAt(end, None);
        let walked = made.walk(None, &lost, |walk| walk.visit(made.root.as_ref(), Interval::ALL, &mut ends));
        assert_eq!((walked.is_ok(), ends.1), (is_whole, Some(Time(end))), "it ended at {end}");
    }
}

/// Points that come in order fill blocks and nodes, so that a tree is as low as can be.
#[test]
fn what_comes_in_order_fills_blocks_and_nodes() {
    for step in [1, 3, 7, 40] {
        let mut made = Made::new(8, 4);
        for from in (0..1_000).step_by(step) {
            made.apply(&set(from..(from + step as i64).min(1_000)));
        }
        let (blocks, _) = made.shape();
        assert_eq!(blocks, [8; 125], "in steps of {step}");
    }
    let mut made = Made::new(8, 4);
    made.apply(&set(0..1_000));
    let (_, nodes) = made.shape();
    // 125 blocks, so 32 nodes, 8, 2, 1.
    assert_eq!(nodes.len(), 43, "{nodes:?}");
}

/// What is said to be added to memory is what is there, roughly: the size of the memtable hangs on it.
#[test]
fn bytes_that_are_added_are_told() {
    let row = size_of::<Row>();
    let mut made = Made::new(100, 8);
    let added = made.apply(&set(0..1_000));
    assert!((1_000 * 8..1_000 * 4 * row).contains(&added), "{added} for 1,000 new points");
    for more in [1, 10, 250] {
        let from = 1_000 * more;
        let added = made.apply(&set(from..from + more));
        let more = more as usize;
        assert!((more * 8..(more + 1) * 4 * row).contains(&added), "{added} for {more} points behind the others");
    }
    let corrected: Vec<Point> = (0..50).map(|t| Point::at(Time(t * 7), -1)).collect();
    let added = made.apply(&Changes::Set(corrected.into()));
    assert!((50 * row..50 * 8 * row).contains(&added), "{added} for 50 corrections");
}

/// The last block of a tree, as points are added behind it.
fn last_block(made: &Made) -> Before {
    let mut child = made.root.clone().expect("there are points").child;
    loop {
        match made.loader.before(&child).expect("it is in memory") {
            Some(before) => return before,
            None => {
                let Some(Body::Node(children)) = child.in_memory() else { unreachable!("it is no block") };
                child = children.last().child.clone();
            }
        }
    }
}

/// A push of one point copies fewer points than a piece may have, and no more than that is added to memory, however long
/// the series and its last block are.
#[test]
fn one_more_point_costs_the_same_however_many_there_are() {
    let piece_points_max = 4_096 / PIECES_A_BLOCK;
    let mut made = Made::new(4_096, 64);
    for t in 0..13_000 {
        let added = made.apply(&set(std::iter::once(t)));
        assert!(added <= 4_096, "{added} bytes at {t}");
        let last = last_block(&made);
        assert_eq!(last.count() as i64, t % 4_096 + 1);
        assert!(last.last().len() <= piece_points_max, "{} were copied at {t}", last.last().len());
        let in_pieces = matches!(last, Before::Pieces(_));
        assert_eq!(in_pieces, last.count() > piece_points_max, "at {t}");
    }
    assert_eq!(made.shape().0, [4_096, 4_096, 4_096, 712]);
}

/// So it is with the children of a node: all but the last are the very same, however many they are.
#[test]
fn one_more_point_copies_none_of_a_nodes_other_children() {
    let mut made = Made::new(8, 64);
    let others = |made: &Made| match made.root.as_ref().expect("there are points").child.in_memory() {
        Some(Body::Node(children)) => children.others().as_ptr(),
        _ => unreachable!("it is a node"),
    };
    made.apply(&set(0..9));
    for t in 9..8 * 64 {
        let before = others(&made);
        made.apply(&set(std::iter::once(t)));
        assert_eq!(others(&made) == before, t % 8 > 0, "at {t}");
    }
}

fn batches() -> impl Strategy<Value = Vec<BTreeMap<i64, Option<i64>>>> {
    let batch = prop::collection::btree_map(0i64..400, prop::option::weighted(0.8, -5i64..20), 1..60);
    prop::collection::vec(batch, 1..12)
}

proptest! {
    /// Whatever comes in whatever order: the points are there, in blocks and nodes of their sizes, under entries that
    /// say what is below them.
    #[test]
    fn blocks_and_nodes_keep_their_bounds(batches in batches()) {
        let mut made = Made::new(16, 4);
        let mut model: BTreeMap<i64, i64> = BTreeMap::new();
        for batch in batches {
            for (changes, _) in changes(&batch, &mut model) {
                made.apply(&changes);
            }
            if made.root.is_none() {
                continue;
            }
            let (blocks, nodes) = made.shape();
            prop_assert!(blocks.iter().all(|points| *points <= 16), "{:?}", blocks);
            prop_assert!(nodes.iter().all(|children| (1..=4).contains(children)), "{:?}", nodes);
            prop_assert_eq!(blocks.iter().sum::<usize>(), model.len());
            let all = shown(&made, i64::MIN, i64::MAX, false, usize::MAX);
            prop_assert_eq!(&all.points, &model.keys().copied().collect::<Vec<_>>());
            prop_assert_eq!(all.sum, model.values().map(|value| i128::from(*value)).sum::<i128>());
            check(made.root.as_ref().expect("keys are there"))?;
        }
    }
}

/// What of a batch changes the model, which it does, and what the model is after each: nobody takes back what is not
/// there.
fn changes(batch: &BTreeMap<i64, Option<i64>>, model: &mut BTreeMap<i64, i64>) -> Vec<(Changes, BTreeMap<i64, i64>)> {
    let mut changes = Vec::new();
    let gone = batch.iter().filter(|(time, value)| value.is_none() && model.remove(time).is_some());
    let gone: Vec<i64> = gone.map(|(time, _)| *time).collect();
    if !gone.is_empty() {
        changes.push((Changes::TakenBack(gone.into()), model.clone()));
    }
    let set = batch.iter().filter_map(|(time, value)| Some(Point::at(Time(*time), (*value)?)));
    let set: Vec<Point> = set.collect();
    if !set.is_empty() {
        model.extend(set.iter().map(|point| (point.time.0, point.value)));
        changes.push((Changes::Set(set.into()), model.clone()));
    }
    changes
}

proptest! {
    /// The nearest point on either side of a time, and what all of them come to, are those of the list as it was at the
    /// revision. The root says what they come to unless something of it is later, or lost.
    #[test]
    fn the_nearest_points_are_those_of_the_list(
        batches in batches(), gone in prop::option::of(0usize..12), times in prop::collection::vec(-2i64..402, 40),
    ) {
        let mut made = Made::new(8, 3);
        let mut model = BTreeMap::new();
        let mut past = vec![model.clone()];
        for (i, batch) in batches.iter().enumerate() {
            // Now and then everything is taken back.
            let all = model.keys().map(|time| (*time, None)).collect();
            for (changes, after) in changes(if gone == Some(i) { &all } else { batch }, &mut model) {
                made.apply(&changes);
                past.push(after);
            }
        }
        let root = made.root.as_ref();
        let lost = [Lost::whole(Damage { file: String::new(), offset: 0, what: String::new() }, 1)];
        let now = past.len() as i64 - 1;
        for (revision, list) in (0..).zip(&past) {
            for revision in [Some(revision), None].into_iter().take(if revision == now { 2 } else { 1 }) {
                let said = made.walk(revision, &[], |walk| walk.span_of_root(root).map(|all| all.copied()));
                let changed_since = revision.is_some_and(|revision| revision < now);
                let sum = (list.len() as u64, list.values().map(|value| i128::from(*value)).sum::<i128>());
                let expected = (!changed_since || root.is_none()).then_some((!list.is_empty()).then_some(sum));
                prop_assert_eq!(said.map(|all| all.map(|all| (all.count, all.sum))), expected);
                prop_assert!(made.walk(revision, &lost, |walk| walk.span_of_root(root).is_none()));
                for &t in times.iter().chain(list.keys()) {
                    let before = made.walk(revision, &[], |walk| walk.last_before(root, Time(t)));
                    let expected = list.range(..t).next_back().map(|(time, value)| Point::at(Time(*time), *value));
                    prop_assert_eq!(before.expect("it is in memory"), expected, "before {} at {:?}", t, revision);
                    let to = t + 30;
                    let first = made.walk(revision, &[], |walk| walk.first(root, Interval::new(Time(t), Time(to))));
                    let expected = list.range(t..to).next().map(|(time, value)| Point::at(Time(*time), *value));
                    prop_assert_eq!(first.expect("it is in memory"), expected, "from {} at {:?}", t, revision);
                }
            }
        }
    }
}

proptest! {
    /// What the past costs: the blocks of the interval with something later than the revision and something that is not,
    /// by a look at each of them; beyond the bound it is not said how many more.
    #[test]
    fn the_blocks_that_were_changed_since_are_counted(
        batches in batches(), from in -2i64..402, length in 0i64..300, max in 0usize..60,
    ) {
        let mut made = Made::new(8, 3);
        let mut model = BTreeMap::new();
        for (changes, _) in batches.iter().flat_map(|batch| changes(batch, &mut model)) {
            made.apply(&changes);
        }
        let interval = Interval::new(Time(from), Time(from + length));
        let mut extents = Vec::new();
        made.root.iter().for_each(|root| extents_of_blocks(root, &mut extents));
        for revision in 0..=made.revision {
            let is_changed = |extent: &Extent| {
                let is_asked = extent.first_key < interval.end && interval.start <= extent.last_key;
                is_asked && (extent.lowest_revision..extent.highest_revision).contains(&revision)
            };
            let expected = extents.iter().filter(|extent| is_changed(extent)).count().min(max + 1);
            let counted = made.walk(Some(revision), &[], |walk| walk.changed(made.root.as_ref(), interval, max));
            prop_assert_eq!(counted.expect("it is in memory"), expected, "as of {}", revision);
        }
    }
}

fn extents_of_blocks(entry: &Entry, extents: &mut Vec<Extent>) {
    match &entry.child.in_memory().expect("nothing is stored") {
        Body::Leaf(_) => extents.push(entry.extent),
        Body::Node(children) => children.iter().for_each(|child| extents_of_blocks(child, extents)),
    }
}

/// An entry's extent and sum are its children's; keys of neighbours do not overlap.
fn check(entry: &Entry) -> Result<(), TestCaseError> {
    let body = entry.child.in_memory().expect("nothing is stored");
    match &body {
        Body::Node(children) => {
            let (extent, sum) = children.gathered(Kind::Delta);
            prop_assert_eq!((entry.extent, entry.sum), (extent, sum));
            let all: Vec<Entry> = children.iter().cloned().collect();
            prop_assert_eq!(gather(Kind::Delta, &all), Some((extent, sum)));
            for pair in all.windows(2) {
                prop_assert!(pair[0].extent.last_key < pair[1].extent.first_key);
            }
            children.iter().try_for_each(check)
        }
        Body::Leaf(leaf) => {
            let rows: Vec<Row> = leaf.columns.rows().collect();
            prop_assert_eq!(entry.sum.map_or(0, |sum| sum.count as usize), rows.len());
            for row in rows {
                prop_assert!(entry.extent.first_key <= row.point.time && row.point.time <= entry.extent.last_key);
                prop_assert!(entry.extent.lowest_revision <= row.revision);
                prop_assert!(row.revision <= entry.extent.highest_revision);
            }
            Ok(())
        }
    }
}
