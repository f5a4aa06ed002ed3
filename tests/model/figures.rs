//! What a campaign came to, and whether that was enough to mean something.

use std::fmt;

use crate::{ask::Reply, asked::Refusal, generate::Ending};

/// Counts.
#[derive(Clone, Copy, Default, Debug)]
pub struct Figures {
    pub runs: u64,
    /// Writes, questions and restarts.
    pub operations: u64,
    /// Batches that went through a stream.
    pub streamed: u64,
    pub folds: u64,
    /// Clean ones.
    pub restarts: u64,
    pub kills: u64,
    pub power_cuts: u64,
    /// Changes that were in flight at a kill or a cut.
    pub in_flight: u64,
    /// Of them, those whose answer was not heard.
    pub unheard: u64,
    /// Of them, those that were there afterwards.
    pub kept: u64,
    /// Changes sent again.
    pub retries: u64,
    /// Answers that were the first one again.
    pub replayed: u64,
    /// Refusals.
    pub refused: u64,
    pub verified: u64,
}

impl Figures {
    pub fn add(&mut self, more: &Figures) {
        let mut more = *more;
        for (sum, more) in self.all().into_iter().zip(more.all()) {
            *sum.1 += *more.1;
        }
    }

    fn all(&mut self) -> [(&'static str, &mut u64); 14] {
        [
            ("runs", &mut self.runs),
            ("operations", &mut self.operations),
            ("streamed", &mut self.streamed),
            ("folds", &mut self.folds),
            ("restarts", &mut self.restarts),
            ("kills", &mut self.kills),
            ("power cuts", &mut self.power_cuts),
            ("in flight", &mut self.in_flight),
            ("unheard", &mut self.unheard),
            ("kept", &mut self.kept),
            ("retries", &mut self.retries),
            ("replayed", &mut self.replayed),
            ("refused", &mut self.refused),
            ("verified", &mut self.verified),
        ]
    }

    /// Counts an answer.
    pub fn hear(&mut self, heard: &Result<Reply, Refusal>) {
        match heard {
            Ok(reply) => self.replayed += u64::from(crate::run::is_replayed(reply)),
            Err(_) => self.refused += 1,
        }
    }

    /// Counts a crash.
    pub fn crash(&mut self, ending: Ending) {
        match ending {
            Ending::Closed => {}
            Ending::Killed => self.kills += 1,
            Ending::PowerCut => self.power_cuts += 1,
        }
    }

    /// A campaign that did less proves nothing.
    pub fn check_load(&self) {
        let runs = self.runs;
        let enough = self.operations > 30 * runs
            && self.kills > runs / 8
            && self.power_cuts > runs / 4
            && self.in_flight > runs / 2
            && self.unheard > runs / 4
            && self.kept > runs / 8
            && self.replayed > runs;
        assert!(enough, "the load was too small to mean something: {self}");
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut copy = *self;
        let texts: Vec<String> = copy.all().iter().map(|(name, count)| format!("{count} {name}")).collect();
        f.write_str(&texts.join(", "))
    }
}
