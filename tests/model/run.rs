//! One random history: every answer of the server compared with the oracle's, whatever happens to the server.

use std::{collections::BTreeMap, fmt::Write};

use milepost::{domain::name::ComponentName, engine::AsOf, proto::v1::*};
use tonic::Code;

use crate::{
    ask::{Ask, Reply},
    asked::{Asked, Refusal},
    compare::{diff, normal},
    figures::Figures,
    generate::{
        Chance, Ending, IndexFate, NAMES, Restart, Step, World,
        retries::{again, is_there},
    },
    oracle::{Oracle, Refused},
    serve::Heard,
    server::{Server, runtime},
};

/// The components of all metrics.
const COMPONENTS: [&str; 2] = ["c", "d"];

/// Runs one history; the steps that matter and the difference at the first answer that is another.
pub fn compare(seed: u64, seeds: &[u64]) -> Result<Figures, String> {
    let mut run = Run {
        world: World::new(seed),
        oracle: Oracle::new(),
        server: Server::fresh(seed),
        story: String::new(),
        figures: Figures { runs: 1, ..Figures::default() },
    };
    for &seed in seeds {
        if let Err(difference) = run.step(seed) {
            return Err(format!("{}\nnow {}\n{difference}", run.story, run.world.now));
        }
    }
    run.verify().map_err(|found| format!("{}\nat the end: {found}", run.story))?;
    Ok(run.figures)
}

/// What is left of the oracle and the server to be compared.
struct Run {
    world: World,
    oracle: Oracle,
    server: Server,
    story: String,
    figures: Figures,
}

impl Run {
    fn step(&mut self, seed: u64) -> Result<(), String> {
        let step = self.world.step(seed, &self.oracle);
        let mut chance = Chance::new(!seed);
        match step {
            Step::Ask(ask) => {
                self.ask(&ask)?;
                match ask.request_id() {
                    Some(_) if chance.percent(20) => self.never_heard(&mut chance, &ask),
                    _ => Ok(()),
                }
            }
            Step::Stream => self.stream(&mut chance),
            Step::Fold => {
                self.tell("Fold");
                self.figures.folds += 1;
                self.server.fold();
                Ok(())
            }
            Step::Restart(restart) => self.restart(&mut chance, &restart),
        }
    }

    fn tell(&mut self, what: &str) {
        writeln!(self.story, "{what}").expect("text");
    }

    /// Asks both the same.
    fn ask(&mut self, ask: &Ask) -> Result<(), String> {
        self.figures.operations += 1;
        let expected = self.oracle.ask(ask, self.world.now);
        let metric = self.oracle.metric(ask.metric()).cloned();
        let actual = self.server.ask(ask, metric.as_ref(), self.world.now);
        if ask.changes() && expected.is_ok() {
            self.tell(&format!("{ask:?}"));
        }
        self.check(ask, expected, actual)
    }

    fn check(
        &mut self,
        ask: &Ask,
        expected: Result<Reply, Refused>,
        actual: Result<Reply, Refusal>,
    ) -> Result<(), String> {
        self.figures.hear(&actual);
        let metric = self.oracle.metric(ask.metric()).cloned();
        let expected = expected.map(|reply| normal(reply, metric.as_ref()));
        let difference = match (&expected, &actual) {
            (Ok(expected), Ok(actual)) if expected == actual => return Ok(()),
            (Err(expected), Err(actual)) if is_refusal(expected, actual) => return Ok(()),
            (Ok(expected), Ok(actual)) => diff(expected, actual),
            _ => format!("oracle  {expected:#?}\nservice {actual:#?}"),
        };
        Err(format!("{metric:#?}\n{ask:#?}\n{difference}"))
    }

    /// The answer is lost, and the client sends it again, up to 5 times, whatever happens in between.
    fn never_heard(&mut self, chance: &mut Chance, ask: &Ask) -> Result<(), String> {
        for _ in 0..chance.within(1, 6) {
            match chance.within(0, 100) {
                0..10 => {
                    let restart = Restart::some(chance);
                    self.restart(chance, &restart)?;
                }
                10..20 => self.server.fold(),
                _ => {}
            }
            if !is_there(ask, &self.oracle) {
                return Ok(());
            }
            self.figures.retries += 1;
            let retry = again(chance, &self.oracle, ask);
            match retry {
                Ask::Write(request) if chance.percent(40) => self.stream_of(vec![request])?,
                retry => self.ask(&retry)?,
            }
        }
        Ok(())
    }

    /// Several batches through one stream.
    fn stream(&mut self, chance: &mut Chance) -> Result<(), String> {
        let count = chance.pick(&[1, 2, 3, 5, 9]);
        let sent = self.world.in_flight(chance, &self.oracle, count, true);
        let batches = sent.into_iter().map(|sent| match sent.ask {
            Ask::Write(request) => request,
            _ => unreachable!("a stream is of batches"),
        });
        self.stream_of(batches.collect())
    }

    fn stream_of(&mut self, batches: Vec<WritePointsRequest>) -> Result<(), String> {
        self.server.set_clock(self.world.now);
        self.tell("Stream");
        let heard = runtime().block_on(self.server.served().stream(batches.clone(), batches.len()));
        let mut ids = Vec::new();
        for (batch, actual) in batches.into_iter().zip(heard) {
            self.figures.operations += 1;
            self.figures.streamed += 1;
            let ask = Ask::Write(batch);
            let actual = actual.ok_or_else(|| format!("{ask:#?}\nthe stream broke off"))?;
            let expected = self.oracle.ask(&ask, self.world.now);
            if expected.is_ok() {
                self.tell(&format!("  {ask:?}"));
            }
            let id = ask.request_id().map(str::to_owned);
            // The id of a batch that is in flight is not known yet where the form of the next is judged.
            let judged_first = id.as_ref().is_some_and(|id| ids.contains(id))
                && matches!(&expected, Err(refused) if refused.reason == Reason::RequestIdReused)
                && matches!(&actual, Err(refusal) if refusal.code == Code::InvalidArgument);
            ids.extend(id);
            if !judged_first {
                self.check(&ask, expected, actual)?;
            }
        }
        Ok(())
    }

    fn restart(&mut self, chance: &mut Chance, restart: &Restart) -> Result<(), String> {
        self.figures.operations += 1;
        self.tell(&format!("{restart:?}"));
        match restart.ending {
            Ending::Closed => {
                self.figures.restarts += 1;
                self.server.restart_with(restart.index);
            }
            Ending::Killed | Ending::PowerCut => self.crash(chance, restart)?,
        }
        if restart.index != IndexFate::Kept && chance.percent(30) {
            self.verify()?;
        }
        Ok(())
    }

    /// The server is gone in the middle of changes. What became of them is read off: a first part of them is there.
    fn crash(&mut self, chance: &mut Chance, restart: &Restart) -> Result<(), String> {
        let sent = self.world.in_flight(chance, &self.oracle, restart.in_flight, restart.streamed);
        self.server.set_clock(self.world.now);
        let asks: Vec<Ask> = sent.iter().map(|sent| sent.ask.clone()).collect();
        let heard = self.server.crash(restart, &asks);
        let mut failed = false;
        let mut kept_min = BTreeMap::new();
        let mut revisions = BTreeMap::from(COMPONENTS.map(|name| (name, self.oracle.revision(name))));
        let mut unheard = Vec::new();
        for (i, (sent, heard)) in sent.iter().zip(heard).enumerate() {
            self.figures.operations += 1;
            self.figures.in_flight += 1;
            self.tell(&format!("  {:?} heard {heard:?}", sent.ask));
            if is_lost(&heard) {
                self.figures.unheard += 1;
                failed = true;
                unheard.push(sent.ask.clone());
                continue;
            }
            let last = revisions.get_mut(component(&sent.ask)).expect("one of the components");
            let is_kept = matches!(&heard, Some(Ok(reply)) if is_kept(&sent.ask, reply, last));
            if is_kept {
                kept_min.insert(component(&sent.ask), i + 1);
            }
            if is_kept && failed && self.server.is_simulated() {
                return Err(format!("{:#?}\nis acknowledged after one that failed", sent.ask));
            }
            let actual = heard.expect("it was heard");
            // Behind a failure what is refused, or changes nothing, is judged without what failed.
            if !failed || is_kept {
                self.check(&sent.ask, sent.expected.clone(), actual)?;
            }
        }
        self.figures.crash(restart.ending);
        for name in COMPONENTS {
            let kept = self.read_fate(name, kept_min.get(name).copied().unwrap_or(0), &asks)?;
            self.figures.kept += kept as u64;
            self.tell(&format!("  {kept} of {name} are there"));
        }
        self.look()?;
        self.send_again(chance, unheard)
    }

    /// What was not heard of is sent again, in order, up to 5 times.
    fn send_again(&mut self, chance: &mut Chance, unheard: Vec<Ask>) -> Result<(), String> {
        if !chance.percent(70) {
            return Ok(());
        }
        for ask in unheard.iter().filter(|ask| ask.request_id().is_some()) {
            for _ in 0..chance.within(1, 6) {
                self.figures.retries += 1;
                let retry = again(chance, &self.oracle, ask);
                self.ask(&retry)?;
            }
        }
        Ok(())
    }

    /// Of the changes of a component a first part is there, the acknowledged ones at least: which one its revision and
    /// its request ids say. The oracle follows. (What one group writes is in order within each component.)
    fn read_fate(&mut self, name: &str, kept_min: usize, asks: &[Ask]) -> Result<usize, String> {
        let engine = self.server.engine();
        let parsed = ComponentName::parse(name).expect("a component's name");
        let revision = runtime().block_on(engine.view(&parsed, AsOf::Now)).expect("it is whole").revision();
        let of_it: Vec<(usize, &Ask)> = asks.iter().enumerate().filter(|(_, ask)| component(ask) == name).collect();
        let ids = || of_it.iter().filter_map(|(_, ask)| ask.request_id());
        let is_there = |oracle: &Oracle| {
            revision == oracle.revision(name)
                && ids().all(|id| engine.remembers(&parsed, "", id) == oracle.remembers(name, id))
        };
        let mut oracle = self.oracle.clone();
        let mut kept = 0;
        for (i, ask) in &of_it {
            if *i >= kept_min && is_there(&oracle) {
                break;
            }
            let _ = oracle.ask(ask, self.world.now);
            kept += 1;
        }
        if !is_there(&oracle) {
            return Err(format!("revision {revision}: no first part of the changes of {name} in flight is there"));
        }
        self.oracle = oracle;
        Ok(kept)
    }

    /// Asks for everything there is.
    fn look(&mut self) -> Result<(), String> {
        for name in NAMES.into_iter().filter(|name| self.oracle.metric(name).is_some()).collect::<Vec<_>>() {
            let metric = name.to_owned();
            let selection = Some(Selection { metric: metric.clone(), ..Selection::default() });
            let changes = ListChangesRequest { selection: selection.clone(), include_new: true, ..Default::default() };
            self.ask(&Ask::Series(ListSeriesRequest { metric, ..Default::default() }))?;
            self.ask(&Ask::Read(ReadPointsRequest { selection, ..Default::default() }))?;
            self.ask(&Ask::Changes(changes))?;
        }
        Ok(())
    }

    /// Every checksum, every node against its children, every total against a scan.
    fn verify(&mut self) -> Result<(), String> {
        self.figures.verified += 1;
        let findings = runtime().block_on(self.server.engine().verify()).findings;
        if findings.is_empty() { Ok(()) } else { Err(format!("verify found {findings:#?}")) }
    }
}

fn component(ask: &Ask) -> &str {
    ask.metric().split_once('/').map_or("", |(component, _)| component)
}

/// The same code, and the first fault's reason; faults of one key may come in another order.
fn is_refusal(expected: &Refused, actual: &Refusal) -> bool {
    expected.code == actual.code && expected.all.contains(&actual.reason)
}

/// Whether the client cannot know what became of it.
fn is_lost(heard: &Heard) -> bool {
    match heard {
        None => true,
        Some(heard) => matches!(heard, Err(refusal) if refusal.code == Code::Unavailable),
    }
}

/// Whether the answer says that something was written: a revision above the last one heard, or an id remembered.
fn is_kept(ask: &Ask, reply: &Reply, last: &mut i64) -> bool {
    let (revision, validate_only) = match (ask, reply) {
        (Ask::Write(ask), Reply::Write(reply)) => (reply.revision, ask.validate_only),
        (Ask::Retract(ask), Reply::Retract(reply)) => (reply.revision, ask.validate_only),
        (Ask::Opening(ask), Reply::Opening(reply)) => (reply.revision, ask.validate_only),
        _ => unreachable!("a change is answered as one"),
    };
    let is_above = revision > std::mem::replace(last, revision.max(*last));
    !is_replayed(reply) && !validate_only && (is_above || ask.request_id().is_some())
}

/// Whether it is the first answer again.
pub fn is_replayed(reply: &Reply) -> bool {
    match reply {
        Reply::Write(r) => r.replayed,
        Reply::Retract(r) => r.replayed,
        Reply::Opening(r) => r.replayed,
        _ => false,
    }
}
