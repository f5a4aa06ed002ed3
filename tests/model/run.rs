//! Random histories and questions, every answer of the server compared with the oracle's.

use std::fmt::Write;

use crate::{
    asked::{Asked, Refusal},
    compare::{diff, normal},
    generate::{Step, World},
    oracle::{Oracle, Refused},
    server::Server,
};

/// Runs one history; the steps that matter and the difference at the first answer that is another.
pub fn compare(seed: u64, seeds: &[u64]) -> Result<(), String> {
    let (mut world, mut oracle, mut server) = (World::new(seed), Oracle::new(), Server::fresh(seed));
    let mut story = String::new();
    for &seed in seeds {
        let ask = match world.step(seed, &oracle) {
            Step::Ask(ask) => ask,
            Step::Fold => {
                writeln!(story, "Fold").expect("text");
                server.fold();
                continue;
            }
            Step::Restart { index_lost } => {
                writeln!(story, "Restart, index lost: {index_lost}").expect("text");
                server.restart(index_lost);
                continue;
            }
        };
        let expected = oracle.ask(&ask, world.now);
        let metric = oracle.metric(ask.metric()).cloned();
        let expected = expected.map(|reply| normal(reply, metric.as_ref()));
        let actual = server.ask(&ask, metric.as_ref(), world.now);
        let same = match (&expected, &actual) {
            (Ok(expected), Ok(actual)) => expected == actual,
            (Err(expected), Err(actual)) => is_refusal(expected, actual),
            _ => false,
        };
        if !same {
            let difference = match (&expected, &actual) {
                (Ok(expected), Ok(actual)) => diff(expected, actual),
                _ => format!("oracle  {expected:#?}\nservice {actual:#?}"),
            };
            return Err(format!("{story}\nnow {}\n{metric:#?}\n{ask:#?}\n{difference}", world.now));
        }
        if ask.changes() && expected.is_ok() {
            writeln!(story, "{ask:?}").expect("text");
        }
    }
    Ok(())
}

/// The same code, and the first fault's reason; faults of one key may come in another order.
fn is_refusal(expected: &Refused, actual: &Refusal) -> bool {
    expected.code == actual.code && expected.all.contains(&actual.reason)
}
