//! What every store promises: one check for both.

use crate::fixture::{commit, component, line, open, read_log, record, temporary};
use milepost::store::memory::MemoryStore;
use milepost::store::{Commit, Committed, FrameRef, IndexState, Position, Store, StoreError};

type Reopen<'a, S> = &'a dyn Fn(S) -> S;

#[test]
fn memory() -> Result<(), StoreError> {
    check(MemoryStore::new(), &|store| store.reopen())
}

#[test]
fn embedded() -> Result<(), StoreError> {
    let dir = temporary();
    check(open(dir.path())?, &|store| {
        drop(store);
        open(dir.path()).expect("what was kept is whole")
    })
}

fn check<S: Store>(store: S, reopen: Reopen<S>) -> Result<(), StoreError> {
    let store = check_log(store, reopen)?;
    let store = check_folds(store, reopen)?;
    check_index(store, reopen)
}

/// Positions grow over components and reopenings; what is committed is read, in order, until it is trimmed.
fn check_log<S: Store>(store: S, reopen: Reopen<S>) -> Result<S, StoreError> {
    assert_eq!(read_log(&store, 0)?, []);
    assert_eq!(store.log_bytes(), 0);
    let part = |name: &str, numbers: &[u64]| Commit {
        component: component(name),
        judged_at: Position(0),
        records: numbers.iter().map(|n| record(name, *n, 100)).collect(),
    };
    let group = [part("pay", &[1, 2]), part("empty", &[]), part("notify", &[3])];
    let done = store.commit(&group)?;
    let at = |positions: &[u64]| Committed::Done(positions.iter().copied().map(Position).collect());
    assert_eq!(done, [at(&[1, 2]), at(&[]), at(&[3])]);
    assert_eq!(store.commit(&[])?, []);
    let before = store.log_bytes();
    assert!(before > 300);

    let store = reopen(store);
    assert_eq!(store.log_bytes(), before);
    assert_eq!(commit(&store, &[record("pay", 4, 3_000)])?, [Position(4)]);
    let expected = [("pay", 1, 100), ("pay", 2, 100), ("notify", 3, 100), ("pay", 4, 3_000)];
    let expected: Vec<_> = expected.map(|(name, n, bytes)| (n, record(name, n, bytes))).into();
    assert_eq!(read_log(&store, 0)?, expected);
    assert_eq!(read_log(&store, 2)?, expected[2..]);
    assert_eq!(read_log(&store, 4)?, []);
    assert_eq!(read_log(&store, u64::MAX)?, []);
    store.trim(Position(u64::MAX))?;
    assert_eq!(read_log(&store, 0)?, expected, "what no fold covers stays");
    Ok(reopen(store))
}

/// A fold is there once it is finished, and only then; its frames are named for good.
fn check_folds<S: Store>(store: S, reopen: Reopen<S>) -> Result<S, StoreError> {
    let lines = |store: &S| {
        let mut all = Vec::new();
        store.read_lines(&mut |line, at| all.push((line, at))).map(|reach| (all, reach))
    };
    assert_eq!(lines(&store)?, (vec![], Position(0)));
    let mut dropped = store.begin_fold(Position(3))?;
    dropped.put(line("pay", 1, "never was"), b"bytes")?;
    drop(dropped);
    assert_eq!(lines(&store)?, (vec![], Position(0)));

    let mut fold = store.begin_fold(Position(3))?;
    let one = fold.put(line("pay", 1, "one"), b"frame one")?;
    let empty = fold.put(line("notify", 2, ""), b"")?;
    assert_eq!((one.fold, one.number, empty.number), (Position(3), 0, 1));
    fold.finish()?;
    let mut fold = store.begin_fold(Position(4))?;
    let large = vec![7; 3 << 20];
    let two = fold.put(line("pay", 1, "two"), &large)?;
    let (mut finishing, mut before) = (Some(fold), 0);
    let reach = store.read_lines(&mut |_, _| {
        before += 1;
        if let Some(fold) = finishing.take() {
            fold.finish().expect("the disk works");
        }
    })?;
    assert_eq!(
        (before, reach),
        (2, Position(3)),
        "a fold that is finished while lines are read is not reached by them"
    );
    store.trim(Position(3))?;
    assert_eq!(read_log(&store, 3)?, [(4, record("pay", 4, 3_000))]);
    store.trim(Position(4))?;
    assert_eq!((read_log(&store, 4)?, store.log_bytes()), (vec![], 0));

    let store = reopen(store);
    let expected = vec![(line("pay", 1, "one"), one), (line("notify", 2, ""), empty), (line("pay", 1, "two"), two)];
    assert_eq!(lines(&store)?, (expected, Position(4)));
    assert_eq!(store.read_frame(one)?, &b"frame one"[..]);
    assert_eq!(store.read_frame(empty)?, &b""[..]);
    assert_eq!(store.read_frame(two)?, large);
    assert!(store.fold_bytes() > 3 << 20);
    let none =
        [FrameRef { crc: one.crc ^ 1, ..one }, FrameRef { number: 2, ..one }, FrameRef { fold: Position(2), ..one }];
    for wrong in none {
        assert!(matches!(store.read_frame(wrong), Err(StoreError::Damaged { .. })), "{wrong:?}");
    }
    assert_eq!(commit(&store, &[record("pay", 5, 10)])?, [Position(5)], "positions go on behind the folds");
    Ok(store)
}

/// The index holds what was written last, in key order, and is believed after a close alone.
fn check_index<S: Store>(store: S, reopen: Reopen<S>) -> Result<(), StoreError> {
    let store = reopen(store);
    assert_eq!(store.index_state(), IndexState::Rebuild);
    let put = |key: &str, value: &[u8]| (key.as_bytes().to_vec(), Some(value.to_vec()));
    let scan = |store: &S, prefix: &str| {
        let mut all = Vec::new();
        let scanned = store
            .scan_index(prefix.as_bytes(), &mut |k, v| all.push((String::from_utf8_lossy(k).to_string(), v.len())));
        scanned.map(|()| all)
    };
    let large: Vec<u8> = (0..100_000_u32).map(|i| (i.wrapping_mul(i) >> 3) as u8).collect();
    store.write_index(vec![
        put("b2", b"two"),
        put("b1", &large),
        put("a", b""),
        put("c", b"three"),
        put("b1x", b"x"),
    ])?;
    assert_eq!(store.read_index(b"b1")?.as_deref(), Some(&large[..]));
    assert_eq!(store.read_index(b"a")?.as_deref(), Some(&b""[..]));
    assert_eq!(store.read_index(b"none")?, None);
    let entry = |key: &str, bytes| (key.to_string(), bytes);
    assert_eq!(scan(&store, "b")?, [entry("b1", 100_000), entry("b1x", 1), entry("b2", 3)]);
    assert_eq!(scan(&store, "")?.len(), 5);

    // Larger, smaller, gone and back again.
    for bytes in [20_000, 8_187, 8_188, 0, 50_000, 1] {
        store.write_index(vec![put("b2", &large[..bytes])])?;
        assert_eq!(store.read_index(b"b2")?.as_deref(), Some(&large[..bytes]));
    }
    store.write_index(vec![(b"b1".to_vec(), None), (b"none".to_vec(), None), put("c", b"1"), put("c", b"2")])?;
    assert_eq!(store.read_index(b"b1")?, None);
    assert_eq!(store.read_index(b"c")?.as_deref(), Some(&b"2"[..]), "of one key the last entry stands");
    assert_eq!(scan(&store, "b")?, [entry("b1x", 1), entry("b2", 1)]);
    store.write_index(vec![put("b1", &large)])?;

    store.close(Position(4))?;
    let store = reopen(store);
    assert_eq!(store.index_state(), IndexState::Trusted(Position(4)));
    assert_eq!(store.read_index(b"b1")?.as_deref(), Some(&large[..]));
    assert_eq!(scan(&store, "")?.len(), 5);
    store.reset_index()?;
    assert_eq!(scan(&store, "")?, []);
    store.write_index(vec![put("again", b"again")])?;

    let store = reopen(store);
    assert_eq!(store.index_state(), IndexState::Rebuild, "it was not closed");
    assert_eq!(scan(&store, "")?, []);
    store.close(Position(4))?;
    let store = reopen(store);
    assert_eq!(store.index_state(), IndexState::Trusted(Position(4)), "closed empty");
    assert_eq!(read_log(&store, 4)?, [(5, record("pay", 5, 10))]);
    Ok(())
}
