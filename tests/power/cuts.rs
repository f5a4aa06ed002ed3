//! Power cuts: a small history cut at every operation that changes something, larger ones at random moments; and
//! processes killed, their leftovers served, and only then the cut.

use crate::batches::Batches;
use crate::machine::{Figures, Machine, small};
use crate::oracle::{Deed, METRICS, Sent};
use crate::sim_disk::{Counted, Fault};
use crate::{each_run, said};
use milepost::engine::Settings;
use milepost::random::SeededRandom;

/// Steps of a small history, which is cut at every operation.
const SMALL_STEPS: u64 = 8;
/// Steps of a large one, and how many operations of it may be cut at.
const LARGE_STEPS: u64 = 40;
const LARGE_OPERATIONS: u64 = 700;

/// A history: what is done, until the process ends.
struct History {
    batches: Batches,
    steps: u64,
    settings: Settings,
}

impl History {
    /// The same for the same seed.
    fn new(seed: u64, steps: u64) -> History {
        let batches = Batches::new(seed);
        // Some fold by themselves, beside what is written.
        let unfolded_bytes_max = if batches.below(2) == 0 { 4 << 10 } else { u64::MAX };
        // Some are swept after every fold, beside what is written.
        let sweep_bytes_min = if seed.is_multiple_of(2) { 0 } else { u64::MAX };
        History { batches, steps, settings: Settings { unfolded_bytes_max, sweep_bytes_min, ..small() } }
    }

    /// False: the process ended before its time.
    fn run(&mut self, machine: &mut Machine) -> bool {
        if machine.open().is_err() {
            return false;
        }
        // Two folds at least, with a sweep after them, and something after each.
        let (middle, late) = (self.steps / 2, self.steps - 2);
        machine.send(first_metrics())
            && (0..self.steps).all(|number| {
                self.step(machine)
                    && (number != middle || machine.fold())
                    && (number != late || machine.fold() && machine.sweep())
            })
    }

    fn step(&mut self, machine: &mut Machine) -> bool {
        match self.batches.below(10) {
            0 => machine.fold(),
            1 => {
                let (closed, cut) = (self.batches.below(2) == 0, self.batches.below(2) == 0);
                if closed && !machine.close() {
                    return false;
                }
                machine.figures.closed_cuts += u64::from(closed && cut);
                machine.end_as_planned(cut) && machine.open().is_ok()
            }
            2 => machine.retry_some(1),
            _ => {
                let count = 1 + self.batches.below(3);
                let mut sent = Vec::new();
                let mut foreseen = machine.oracle.clone();
                for _ in 0..count {
                    let next = self.batches.next(&foreseen);
                    foreseen.take(&next);
                    sent.push(next);
                }
                machine.send(sent)
            }
        }
    }
}

/// Makes every metric of every component.
pub fn first_metrics() -> Vec<Sent> {
    let create = |component, metric| Sent {
        component,
        id: String::new(),
        reason: String::new(),
        deed: Deed::Create(metric, "first".to_string()),
    };
    (0..METRICS.len()).flat_map(|metric| [create(0, metric), create(1, metric)]).collect()
}

/// One history, cut at its operation number `at`. False: it ended before.
fn cut_at(history: u64, steps: u64, fates: u64, at: u64, figures: &mut Figures) -> bool {
    let mut history = History::new(history, steps);
    let mut machine = Machine::new(fates, history.settings.clone());
    machine.disk.plan(at, Counted::Changes, Fault::Kill);
    let ended = history.run(&mut machine);
    let reached = machine.disk.has_failed();
    assert!(ended || reached, "it goes on until the cut");
    machine.disk.unplan();
    let killed_first = machine.below(3) == 0;
    machine.end(!killed_first);
    let unanswered = machine.recover();
    // Whoever got no answer asks again; and others do.
    for sent in &unanswered {
        assert!(machine.retry(sent));
    }
    assert!(machine.retry_some(2));
    if killed_first {
        machine.figures.late_cuts += 1;
        machine.end(true);
        machine.recover();
    }
    // It goes on as if nothing had been.
    let more = History { steps: 3, ..history };
    assert!(more.go_on(&mut machine), "the disk works");
    machine.end(true);
    machine.recover();
    machine.compare_all();
    figures.add(&machine.figures);
    reached
}

impl History {
    fn go_on(mut self, machine: &mut Machine) -> bool {
        (0..self.steps).all(|_| self.step(machine))
    }
}

#[test]
fn nothing_acknowledged_is_lost_at_a_power_cut() {
    let cuts = said("MILEPOST_CUTS").unwrap_or(if each_run() { 5_000 } else { 500 });
    let seed = said("MILEPOST_CUTS_SEED").unwrap_or(1);
    let mut figures = Figures::default();
    let (mut every_step, mut random, mut histories) = (0, 0, 0);
    for number in 0.. {
        if figures.cuts >= cuts {
            break;
        }
        histories += 1;
        let history = seed.wrapping_mul(1_000_003).wrapping_add(number);
        let told = |at| format!("history {history}, cut at {at}");
        let mut at = 0;
        while told_on_panic(&told(at), || cut_at(history, SMALL_STEPS, history ^ at << 32, at, &mut figures)) {
            at += 1;
        }
        every_step += at;
        for number in 0..at / 2 {
            let fates = history.wrapping_add(number << 32);
            let at = SeededRandom::new(fates).next() % LARGE_OPERATIONS;
            told_on_panic(&format!("large {}", told(at)), || cut_at(history, LARGE_STEPS, fates, at, &mut figures));
            random += 1;
        }
    }
    println!(
        "seed {seed}: {histories} histories, {every_step} runs cut at every step, {random} at random, \
         every index in sled: {figures:?}"
    );
    assert!(figures.cuts >= cuts && figures.acknowledged > 3 * cuts && figures.retried * 2 > cuts, "too little load");
    let kinds = [figures.opening_cuts, figures.late_cuts, figures.closed_cuts, figures.trusted];
    assert!(kinds.into_iter().all(|kind| kind * 50 > cuts), "too little of some kind");
}

/// Says which run it was that failed.
pub fn told_on_panic<T>(told: &str, run: impl FnOnce() -> T) -> T {
    struct Told<'a>(&'a str);
    impl Drop for Told<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("in {}", self.0);
            }
        }
    }
    let _told = Told(told);
    run()
}
