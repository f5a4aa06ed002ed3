//! Random histories: the embedded store and the one in memory never differ.

use crate::fixture::{commit, line, open, read_log, record, temporary};
use milepost::store::embedded::EmbeddedStore;
use milepost::store::memory::MemoryStore;
use milepost::store::{FrameRef, IndexEntry, Line, Position, Store};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(u8, u16)>),
    /// Folds this part of what is not folded, in 256ths, into so many frames.
    Fold(u8, u8),
    DropFold,
    Trim,
    WriteIndex(Vec<(u8, Option<u16>)>),
    ResetIndex,
    Reopen,
    CloseAndReopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec((0..3_u8, 0..3_000_u16), 1..4).prop_map(Step::Commit),
        2 => (any::<u8>(), 0..4_u8).prop_map(|(part, frames)| Step::Fold(part, frames)),
        1 => Just(Step::DropFold),
        2 => Just(Step::Trim),
        3 => vec((0..20_u8, proptest::option::of(0..30_000_u16)), 1..6).prop_map(Step::WriteIndex),
        1 => Just(Step::ResetIndex),
        1 => Just(Step::Reopen),
        2 => Just(Step::CloseAndReopen),
    ]
}

/// Both stores, and what a caller knows of them.
struct Both {
    dir: tempfile::TempDir,
    embedded: Option<EmbeddedStore>,
    memory: MemoryStore,
    last: u64,
    reach: u64,
    frames: Vec<FrameRef>,
}

impl Both {
    fn each(&self) -> [&dyn Store; 2] {
        [self.embedded.as_ref().expect("it is open"), &self.memory]
    }

    fn fold(&mut self, part: u8, frames: u8) {
        if self.last == self.reach {
            return;
        }
        let through = Position(self.reach + 1 + (self.last - self.reach - 1) * u64::from(part) / 256);
        let mut ats = Vec::new();
        for store in self.each() {
            let mut fold = store.begin_fold(through).expect("there is room");
            for n in 0..frames {
                let at = fold.put(line(["pay", "notify"][n as usize % 2], n, "s"), &vec![n; n as usize * 1_000]);
                ats.push(at.expect("there is room"));
            }
            fold.finish().expect("there is room");
        }
        assert_eq!(ats[..frames as usize], ats[frames as usize..]);
        self.frames.extend_from_slice(&ats[..frames as usize]);
        self.reach = through.0;
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Commit(records) => {
                let (first, names) = (self.last + 1, ["pay", "notify", "verify"]);
                let records: Vec<_> = (first..)
                    .zip(records)
                    .map(|(n, (component, bytes))| record(names[*component as usize], n, *bytes as usize))
                    .collect();
                self.last += records.len() as u64;
                let [one, other] = self.each().map(|store| commit(store, &records).expect("there is room"));
                assert_eq!(one, other);
            }
            Step::Fold(part, frames) => self.fold(*part, *frames),
            Step::DropFold if self.last > self.reach => {
                for store in self.each() {
                    let mut fold = store.begin_fold(Position(self.last)).expect("there is room");
                    fold.put(line("pay", 1, ""), b"never was").expect("there is room");
                }
            }
            Step::DropFold => {}
            Step::Trim => self.each().iter().for_each(|store| store.trim(Position(self.reach)).expect("it can be")),
            Step::WriteIndex(entries) => {
                let value = |bytes: u16| (0..bytes).map(|i| (i >> 3) as u8 ^ i as u8).collect();
                let entries: Vec<IndexEntry> = entries.iter().map(|(k, v)| (vec![k / 5, *k], v.map(value))).collect();
                self.each().iter().for_each(|store| store.write_index(entries.clone()).expect("there is room"));
            }
            Step::ResetIndex => self.each().iter().for_each(|store| store.reset_index().expect("there is room")),
            Step::Reopen => self.reopen(),
            Step::CloseAndReopen => {
                self.each().iter().for_each(|store| store.close(Position(self.reach)).expect("it can be"));
                self.reopen();
            }
        }
    }

    fn reopen(&mut self) {
        drop(self.embedded.take());
        self.embedded = Some(open(self.dir.path()).expect("it is whole"));
        self.memory = self.memory.reopen();
        let [one, other] = self.each().map(|store| store.index_state());
        assert_eq!(one, other);
    }

    fn check(&self) {
        let [one, other] = self.each().map(|store| read_log(store, self.reach).expect("it is whole"));
        assert_eq!(one, other);
        let [one, other] = self.each().map(|store| {
            let mut lines: Vec<(Line, FrameRef)> = Vec::new();
            let reach = store.read_lines(&mut |line, at| lines.push((line, at))).expect("it is whole");
            (lines, reach)
        });
        assert_eq!(one, other);
        for at in &self.frames {
            let [one, other] = self.each().map(|store| store.read_frame(*at).expect("it is whole"));
            assert_eq!(one, other);
        }
        for prefix in [&[][..], &[1], &[3]] {
            let [one, other] = self.each().map(|store| {
                let mut entries = Vec::new();
                store.scan_index(prefix, &mut |key, value| entries.push((key.to_vec(), value))).expect("it is whole");
                entries
            });
            assert_eq!(one, other);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn both_stores_say_the_same(steps in vec(step(), 1..40)) {
        let dir = temporary();
        let embedded = Some(open(dir.path()).expect("it is new"));
        let mut both = Both { dir, embedded, memory: MemoryStore::new(), last: 0, reach: 0, frames: Vec::new() };
        for step in &steps {
            both.apply(step);
            both.check();
        }
    }
}
