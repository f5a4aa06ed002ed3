//! Whoever answers: the oracle and the server alike, so that laws are held against both.

use milepost::proto::v1::*;
use tonic::Code;

use crate::{
    ask::{Ask, Reply},
    compare::normal,
    oracle::Oracle,
};

/// A refusal as a client sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub code: Code,
    pub reason: Reason,
    pub message: String,
}

/// Somebody who keeps points and answers questions.
pub trait Asked {
    /// A fresh one, with nothing in it; of what sort says the seed.
    fn fresh(seed: u64) -> Self;
    /// Answers, or changes, what is asked at a time of the clock. What is free to differ is taken out of the answer;
    /// `metric` is the definition of the metric asked about.
    fn ask(&mut self, ask: &Ask, metric: Option<&Metric>, now: i64) -> Result<Reply, Refusal>;
    /// Puts everything committed into the store.
    fn fold(&mut self) {}
    /// Stops and opens again, the index deleted in between or not.
    fn restart(&mut self, _index_lost: bool) {}
}

impl Asked for Oracle {
    fn fresh(_seed: u64) -> Self {
        Oracle::new()
    }

    fn ask(&mut self, ask: &Ask, metric: Option<&Metric>, now: i64) -> Result<Reply, Refusal> {
        match Oracle::ask(self, ask, now) {
            Ok(reply) => Ok(normal(reply, metric)),
            Err(refused) => Err(Refusal { code: refused.code, reason: refused.reason, message: String::new() }),
        }
    }
}
