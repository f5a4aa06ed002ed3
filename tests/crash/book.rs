//! What one writer sent, what was answered, and what must therefore be kept: the model that the store is held to.

use milepost::proto::v1::write_points_request::Mode;
use milepost::proto::v1::*;
use milepost::random::SeededRandom;
use prost_types::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// All times count from here: a whole minute of September 2020.
pub const BASE: i64 = 1_600_000_020;
/// Seconds from one slot to the next.
const SLOT_SECONDS: i64 = 100;
/// Points of a slot, at most.
const SLOT_POINTS_MAX: u64 = 24;
/// Minutes that every ADD of a writer goes to, among others.
const HOT_MINUTES: u64 = 4;

/// What a batch does. Every batch can be told from what is kept: its number is in it.
#[derive(Clone, Debug)]
pub enum Deed {
    /// All points of a slot get the batch's number, and so does the level, where the slot is new.
    Slot { slot: i64, points: i64, new: bool },
    /// One more in a minute that others add to, and the number in a minute of its own.
    Add { hot: i64 },
    /// All points of a slot are taken back.
    Retract { slot: i64, points: i64 },
    /// The opening balance becomes the number.
    Opening,
}

/// A batch.
#[derive(Clone, Debug)]
pub struct Op {
    pub number: i64,
    /// Empty: none.
    pub request_id: String,
    pub deed: Deed,
}

/// A batch's answer, whichever call it came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    pub revision: i64,
    pub counts: [i64; 3],
    pub replayed: bool,
}

/// What is kept of one writer.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Kept {
    /// By (slot, second).
    pub slots: BTreeMap<(i64, i64), i64>,
    /// By time.
    pub levels: BTreeMap<i64, i64>,
    /// By minute.
    pub minutes: BTreeMap<i64, i64>,
    pub opening: Option<i64>,
}

/// Which calls a writer makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Habit {
    /// SETs without request ids, one after the other.
    Plain,
    /// All calls, with request ids, one after the other.
    Careful,
    /// A stream with many in flight.
    Streaming,
}

/// A writer's book.
pub struct Book {
    pub component: &'static str,
    pub writer: String,
    pub habit: Habit,
    random: Arc<SeededRandom>,
    next_number: i64,
    next_slot: i64,
    /// Of everything acknowledged.
    pub kept: Kept,
    /// As `kept`, and what is in flight.
    planned: Kept,
    /// Sent and not answered, in order.
    pub in_flight: VecDeque<Op>,
    /// With a request id, answered.
    pub answered: Vec<(Op, Answer)>,
    pub acknowledged: u64,
    last_revision: i64,
}

impl Kept {
    pub fn apply(&mut self, op: &Op) {
        match op.deed {
            Deed::Slot { slot, points, new } => {
                self.slots.extend((0..points).map(|second| ((slot, second), op.number)));
                if new {
                    self.levels.insert(op.number, op.number);
                }
            }
            Deed::Add { hot } => {
                *self.minutes.entry(hot).or_default() += 1;
                *self.minutes.entry(op.number + 10).or_default() += op.number;
            }
            Deed::Retract { slot, points } => (0..points).for_each(|second| {
                self.slots.remove(&(slot, second));
            }),
            Deed::Opening => self.opening = Some(op.number),
        }
    }

    /// A slot that is there, near a number, and how many points it has.
    fn slot_near(&self, slot: i64) -> Option<(i64, i64)> {
        let ((slot, _), _) = self.slots.range((slot, 0)..).next()?;
        Some((*slot, self.slots.range((*slot, 0)..(*slot + 1, 0)).count() as i64))
    }
}

impl Book {
    pub fn new(component: &'static str, writer: &str, habit: Habit, random: Arc<SeededRandom>) -> Book {
        Book {
            component,
            writer: writer.to_owned(),
            habit,
            random,
            next_number: 1,
            next_slot: 0,
            kept: Kept::default(),
            planned: Kept::default(),
            in_flight: VecDeque::new(),
            answered: Vec::new(),
            acknowledged: 0,
            last_revision: 0,
        }
    }

    fn draw(&self, below: u64) -> u64 {
        self.random.next() % below
    }

    /// The next batch, which is from now on in flight.
    pub fn next_op(&mut self) -> Op {
        let number = self.next_number;
        self.next_number += 1;
        let lot = self.draw(100);
        let there = self.planned.slot_near(self.draw(self.next_slot as u64 + 1) as i64);
        let (careful, plain) = (self.habit == Habit::Careful, self.habit == Habit::Plain);
        let deed = match there {
            Some((slot, points)) if careful && lot < 15 => Deed::Retract { slot, points },
            _ if careful && lot < 20 => Deed::Opening,
            _ if !plain && lot < 50 => Deed::Add { hot: self.draw(HOT_MINUTES) as i64 },
            Some((slot, points)) if lot < 75 => Deed::Slot { slot, points, new: false },
            _ => {
                self.next_slot += 1;
                Deed::Slot { slot: self.next_slot, points: 1 + self.draw(SLOT_POINTS_MAX) as i64, new: true }
            }
        };
        let named = match deed {
            Deed::Add { .. } | Deed::Retract { .. } => true,
            Deed::Slot { .. } | Deed::Opening => !plain && self.draw(2) == 0,
        };
        let request_id = if named { format!("{} {number}", self.writer) } else { String::new() };
        let op = Op { number, request_id, deed };
        self.planned.apply(&op);
        self.in_flight.push_back(op.clone());
        op
    }

    /// The oldest batch in flight was answered.
    pub fn take_answer(&mut self, answer: Answer) {
        let op = self.in_flight.pop_front().expect("only what was sent is answered");
        assert!(!answer.replayed, "{} {op:?} was never sent before: {answer:?}", self.writer);
        assert!(answer.revision > self.last_revision, "{} {op:?}: {answer:?}", self.writer);
        self.last_revision = answer.revision;
        self.acknowledge(op, answer);
    }

    /// A batch counts.
    pub fn acknowledge(&mut self, op: Op, answer: Answer) {
        self.kept.apply(&op);
        self.acknowledged += 1;
        self.last_revision = self.last_revision.max(answer.revision);
        if !op.request_id.is_empty() {
            self.answered.push((op, answer));
        }
    }

    /// Nothing is in flight any more.
    pub fn settle(&mut self) {
        assert!(self.in_flight.is_empty());
        self.planned = self.kept.clone();
    }

    pub fn metric(&self, name: &str) -> String {
        format!("{}/{name}", self.component)
    }

    fn series(&self, name: &str, points: Vec<Point>) -> SeriesPoints {
        let labels = [("writer".to_owned(), self.writer.clone())].into();
        SeriesPoints { metric: self.metric(name), labels, points, columns: None }
    }

    /// A WritePoints request, where the deed is one.
    pub fn write(&self, op: &Op) -> Option<WritePointsRequest> {
        let (series, mode) = match op.deed {
            Deed::Slot { slot, points, new } => {
                let slots = (0..points).map(|second| point(slot_time(slot, second), op.number)).collect();
                let mut series = vec![self.series("slots", slots)];
                if new {
                    series.push(self.series("levels", vec![point(BASE + op.number, op.number)]));
                }
                (series, Mode::Set)
            }
            Deed::Add { hot } => {
                let own = point(BASE + 60 * (op.number + 10), op.number);
                (vec![self.series("minutes", vec![point(BASE + 60 * hot, 1), own])], Mode::Add)
            }
            Deed::Retract { .. } | Deed::Opening => return None,
        };
        let (request_id, reason) = (op.request_id.clone(), format!("batch {}", op.number));
        Some(WritePointsRequest { request_id, series, mode: mode as i32, reason, validate_only: false })
    }

    /// A RetractPoints request, where the deed is one.
    pub fn retract(&self, op: &Op) -> Option<RetractPointsRequest> {
        let Deed::Retract { slot, points } = op.deed else { return None };
        let times = (0..points).map(|second| timestamp(slot_time(slot, second))).collect();
        Some(RetractPointsRequest {
            request_id: op.request_id.clone(),
            metric: self.metric("slots"),
            filters: vec![self.filter()],
            reason: format!("batch {}", op.number),
            what: Some(retract_points_request::What::Times(Times { times })),
            validate_only: false,
        })
    }

    /// A SetOpeningBalance request, where the deed is one.
    pub fn opening(&self, op: &Op) -> Option<SetOpeningBalanceRequest> {
        let Deed::Opening = op.deed else { return None };
        Some(SetOpeningBalanceRequest {
            request_id: op.request_id.clone(),
            metric: self.metric("minutes"),
            labels: [("writer".to_owned(), self.writer.clone())].into(),
            value: Some(op.number.to_string()),
            note: format!("batch {}", op.number),
            at: Some(set_opening_balance_request::At::Time(timestamp(BASE - 86_400))),
            validate_only: false,
        })
    }

    pub fn filter(&self) -> LabelFilter {
        LabelFilter { label: "writer".to_owned(), any_of: vec![self.writer.clone()], none_of: vec![] }
    }
}

fn slot_time(slot: i64, second: i64) -> i64 {
    BASE + SLOT_SECONDS * slot + second
}

/// The slot and the second in it of a time.
pub fn slot_of(time: i64) -> (i64, i64) {
    ((time - BASE).div_euclid(SLOT_SECONDS), (time - BASE).rem_euclid(SLOT_SECONDS))
}

pub fn timestamp(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

pub fn point(seconds: i64, value: i64) -> Point {
    Point { at: Some(point::At::Time(timestamp(seconds))), value: value.to_string(), ..Point::default() }
}
