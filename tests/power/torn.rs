//! The last group of the log cut at every byte, and behind the cut what stood there before, zeros, an older record, or
//! anything: what was acknowledged before it is there, and of the group only whole batches, in their order.

use crate::batches::Batches;
use crate::compare::Revisions;
use crate::cuts::{first_metrics, told_on_panic};
use crate::machine::{Machine, small};
use crate::oracle::{Deed, Oracle, Sent};
use milepost::random::{Random, SeededRandom};
use std::path::PathBuf;

/// What lies behind the cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Behind {
    /// What the file held before the group was written.
    Before,
    Zeros,
    /// What the same segment holds earlier: whole records of it.
    Older,
    Garbage,
}

/// A machine with history, and the last segment before and after a group of three batches.
fn with_a_last_group(seed: u64) -> (Machine, PathBuf, [Vec<u8>; 2], Vec<Sent>, Oracle) {
    let mut machine = Machine::new(seed, small());
    let mut batches = Batches::new(seed);
    machine.open().expect("the disk works");
    assert!(machine.send(first_metrics()));
    let last_segment = |machine: &Machine| {
        let mut files = machine.disk.files("data/log").into_iter();
        files.rfind(|(path, _)| path.extension().is_some_and(|ending| ending == "log")).expect("a segment")
    };
    let send = |machine: &mut Machine, batches: &mut Batches, count: usize| {
        let next = |number: usize| Sent { component: number % 2, ..batches.next(&machine.oracle) };
        let sent: Vec<Sent> = (0..count).map(next).collect();
        let sent = sent.into_iter().filter(|sent| matches!(sent.deed, Deed::Set(_))).collect::<Vec<_>>();
        assert!(machine.send(sent.clone()));
        sent
    };
    for number in 0..30 {
        send(&mut machine, &mut batches, 2);
        if number == 10 {
            assert!(machine.fold());
        }
    }
    loop {
        let (path, before) = last_segment(&machine);
        let oracle = machine.oracle.clone();
        let group = send(&mut machine, &mut batches, 5);
        let (same, after) = last_segment(&machine);
        if path == same && group.len() > 2 && machine.oracle != oracle {
            let whole = std::mem::replace(&mut machine.oracle, oracle);
            return (machine, path, [before, after], group, whole);
        }
    }
}

/// Every byte at which the group may be cut: from the first that it changed to the last. Answers how many openings.
fn cut_everywhere(seed: u64) -> u64 {
    let (mut machine, path, [before, after], group, whole) = with_a_last_group(seed);
    let differs = |(one, other): (&u8, &u8)| one != other;
    let start = before.iter().zip(&after).position(differs).expect("it was written");
    let end = before.len() - before.iter().rev().zip(after.iter().rev()).position(differs).expect("it was written");
    machine.end(false);
    machine.in_flight = group;
    let random = SeededRandom::new(seed);
    let mut openings = 0;
    for cut in start..=end {
        let all = [Behind::Before, Behind::Zeros, Behind::Older, Behind::Garbage];
        let behind = if crate::each_run() { &all[..] } else { &all[cut % 4..][..1] };
        for behind in behind {
            let mut bytes = after[..cut].to_vec();
            let rest = after.len() - cut;
            match behind {
                Behind::Before => bytes.extend_from_slice(&before[cut..]),
                Behind::Zeros => bytes.resize(after.len(), 0),
                Behind::Older => bytes.extend(after[128..].iter().cycle().take(rest)),
                Behind::Garbage => {
                    let mut garbage = vec![0; rest.min(700)];
                    random.fill(&mut garbage);
                    bytes.extend(garbage);
                    bytes.resize(after.len(), 0);
                }
            }
            told_on_panic(&format!("seed {seed}, cut at {cut} of {start} to {end}, {behind:?} behind"), || {
                let disk = machine.disk.copy(random.next());
                disk.lay(&path, &bytes);
                let mut found = machine.found(disk, random.next());
                found.open().unwrap_or_else(|error| panic!("a torn tail is cut off: {error}"));
                found.resolve();
                found.compare(if openings % 16 == 0 { Revisions::All } else { Revisions::Some });
                assert!(cut < end || found.oracle == whole, "all of it is there");
            });
            openings += 1;
        }
    }
    openings
}

#[test]
fn of_a_torn_last_group_only_whole_batches_are_there() {
    let seed = crate::said("MILEPOST_TORN_SEED").unwrap_or(1);
    let openings = cut_everywhere(seed);
    println!("seed {seed}: the last group cut at every byte: {openings} openings");
    assert!(openings > 500, "a group has its bytes: {openings}");
}
