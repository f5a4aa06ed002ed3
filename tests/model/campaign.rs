//! Many random histories one after the other. `MILEPOST_MODEL_RUNS` says how many, `MILEPOST_MODEL_SEED` which is the
//! first; the failing one is made shorter before it is told.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{figures::Figures, generate::Chance, run};

/// Histories of a plain `cargo test`.
const RUNS: u64 = 256;
/// Steps of a history, fewer than this.
const STEPS_MAX: i64 = 90;
/// Shorter histories that are tried once one fails.
const SHORTER_MAX: usize = 300;

/// A number that the environment may say.
pub fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}

/// The heart of it: random histories, every answer compared.
#[test]
fn the_server_answers_as_the_oracle() {
    let (runs, first) = (number("MILEPOST_MODEL_RUNS", RUNS), number("MILEPOST_MODEL_SEED", 1));
    let mut figures = Figures::default();
    for seed in first..first + runs {
        let mut chance = Chance::new(seed);
        let steps: Vec<u64> = (0..chance.within(1, STEPS_MAX)).map(|_| chance.next()).collect();
        match once(seed, &steps) {
            Ok(more) => figures.add(&more),
            Err(found) => {
                let (steps, found) = shorter(seed, steps, found);
                panic!("MILEPOST_MODEL_SEED={seed}, {} steps are left\n{found}", steps.len());
            }
        }
        if runs > RUNS && (seed - first + 1).is_multiple_of(1_000) {
            println!("model, seeds from {first}: {figures}");
        }
    }
    println!("model, seeds from {first}: {figures}");
    figures.check_load();
}

/// A panic is a failure like others.
fn once(seed: u64, steps: &[u64]) -> Result<Figures, String> {
    catch_unwind(AssertUnwindSafe(|| run::compare(seed, steps))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(format!("it panicked: {}", text.unwrap_or("without a word")))
    })
}

/// Leaves out steps for as long as it still fails.
fn shorter(seed: u64, mut steps: Vec<u64>, mut found: String) -> (Vec<u64>, String) {
    // A planted bug is to be caught, not to be told of.
    let mut left = if std::env::var_os("MILEPOST_PLANTED").is_some() { 0 } else { SHORTER_MAX };
    let mut part = steps.len() / 2;
    while part > 0 && left > 0 {
        let mut at = 0;
        while at < steps.len() && left > 0 {
            left -= 1;
            let mut fewer = steps.clone();
            fewer.drain(at..(at + part).min(fewer.len()));
            match once(seed, &fewer) {
                Err(again) => (steps, found) = (fewer, again),
                Ok(_) => at += part,
            }
        }
        part /= 2;
    }
    (steps, found)
}
