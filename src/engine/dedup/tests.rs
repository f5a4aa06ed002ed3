//! Request ids against a list of them, and which batches are the same by meaning.

use super::*;
use crate::domain::point::{Labels, Point};
use crate::domain::time::Interval;
use crate::engine::batch::{Column, Filter, Origin, SeriesWrite};
use proptest::prelude::*;

const HOUR: i64 = 3_600_000_000_000;
const DAY: i64 = 24 * HOUR;

fn answer(number: u64, at: Time) -> Remembered {
    let body = [number as u8; 16];
    Remembered {
        body,
        metrics: vec![MetricId(number)],
        revision: number as i64,
        counts: [number, 0, 1],
        record_time: at,
    }
}

fn id(number: u64) -> [u8; 16] {
    let mut fingerprint = [number as u8; 16];
    fingerprint[..8].copy_from_slice(&number.to_le_bytes());
    fingerprint
}

#[derive(Clone, Debug)]
enum Step {
    Wait(i64),
    Insert,
    /// Of those remembered, this one.
    Remove(usize),
    HasRoom,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![0..HOUR, 0..40 * HOUR, Just(HOUR), Just(DAY), Just(DAY - 1), Just(1)];
    let step = prop_oneof![
        3 => wait.prop_map(Step::Wait),
        5 => Just(Step::Insert),
        1 => any::<usize>().prop_map(Step::Remove),
        2 => Just(Step::HasRoom),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// Each is remembered for a day from the end of the hour it came in, to the nanosecond, and none is forgotten for want of room.
    #[test]
    fn ids_are_kept_for_a_day_after_their_hour(start in -3 * DAY..3 * DAY, steps in steps()) {
        let mut ids = RequestIds::new(5, DAY);
        let mut list: Vec<(u64, i64)> = Vec::new();
        let (mut now, mut next) = (start, 1);
        let until = |came: i64| (came.div_euclid(HOUR) + 1) * HOUR + DAY;
        for step in steps {
            match step {
                Step::Wait(nanos) => now += nanos,
                Step::Insert => {
                    ids.insert(id(next), &answer(next, Time(now)));
                    list.push((next, now));
                    next += 1;
                }
                Step::Remove(which) if !list.is_empty() => {
                    let (number, _) = list.remove(which % list.len());
                    ids.remove(&id(number));
                    ids.remove(&id(number));
                }
                Step::Remove(_) => ids.remove(&id(0)),
                Step::HasRoom => {
                    list.retain(|(_, came)| now < until(*came));
                    prop_assert_eq!(ids.has_room(Time(now)), list.len() < 5);
                }
            }
            for number in 0..next {
                let there = list.iter().find(|(known, _)| *known == number);
                let expected = there.map(|(number, came)| answer(*number, Time(*came)));
                let found = ids.get(&id(number));
                prop_assert_eq!(found.as_ref().map(|first| first.revision), expected.as_ref().map(|e| e.revision));
                if let (Some(first), Some(expected)) = (found, expected) {
                    prop_assert!(first.is_of(&expected.body) && !first.is_of(&[number as u8 ^ 1; 16]));
                    prop_assert_eq!((first.metrics, first.counts), (expected.metrics, expected.counts));
                }
            }
            let mut found = ids.fingerprints();
            let mut expected: Vec<_> = list.iter().map(|(number, _)| id(*number)).collect();
            found.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }
}

/// A refused batch is told when to come again: that is when there is room, and no sooner.
#[test]
fn there_is_room_when_it_is_said() {
    for came in [0, 1, HOUR - 1, 5 * HOUR, -1, -HOUR] {
        for after in [0, 1, 7 * HOUR, DAY, 40 * HOUR] {
            let mut ids = RequestIds::new(1, DAY);
            assert_eq!(ids.room_in_nanos(Time(came)), DAY, "with none, as if one came now");
            assert!(ids.has_room(Time(came)));
            ids.insert(id(1), &answer(1, Time(came)));
            let now = came + after;
            let wait = ids.room_in_nanos(Time(now));
            assert_eq!(wait, ((came.div_euclid(HOUR) + 1) * HOUR + DAY - now).max(0));
            if wait > 0 {
                assert!(!ids.has_room(Time(now + wait - 1)));
                assert!(ids.get(&id(1)).is_some());
            }
            assert!(ids.has_room(Time(now + wait)));
            assert!(ids.get(&id(1)).is_none());
        }
    }
}

/// Ids loaded at opening do not come in order of time: none is forgotten before its time, and hours with few ids share
/// no more memory than they need.
#[test]
fn hours_are_parts_and_an_id_of_an_earlier_hour_stays_as_long_as_the_latest() {
    let mut ids = RequestIds::new(10, DAY);
    for (number, hour) in [(1, 3), (2, 3), (3, 5), (4, 3), (5, 5), (6, 6)] {
        ids.insert(id(number), &answer(number, Time(hour * HOUR)));
    }
    let parts: Vec<_> = ids.parts.iter().map(|(hour, part)| (*hour, part.len())).collect();
    assert_eq!(parts, [(3, 2), (5, 3), (6, 1)]);
    assert!(ids.has_room(Time(4 * HOUR + DAY)));
    assert_eq!((ids.get(&id(2)), ids.get(&id(4)).map(|first| first.revision)), (None, Some(4)));
    assert_eq!(ids.count, 4);
    ids.insert(id(4), &answer(4, Time(6 * HOUR)));
    ids.insert(id(6), &answer(6, Time(6 * HOUR)));
    assert_eq!(ids.count, 5, "an id that is there again in its own part is one");
}

fn name(text: &str) -> MetricName {
    MetricName::parse(text).expect("a name")
}

fn labels(values: &[&str]) -> Labels {
    values.iter().map(|value| value.to_string().into()).collect::<Vec<_>>().into()
}

fn batch(change: Change) -> Batch {
    let text = |text: &str| text.to_string();
    let component = ComponentName::parse("team").expect("a name");
    Batch { component, who: text("who"), request_id: text("id"), reason: text("why"), validate_only: false, change }
}

fn points(mode: Mode, metric: &str, values: &[&str], points: &[Point], end_given: bool) -> Change {
    let series = SeriesWrite {
        metric: name(metric),
        labels: labels(values),
        points: points.to_vec().into(),
        end_given: Column::of(i64::from(end_given), points.len()),
        origin: Origin::Entry(0),
    };
    Change::Points { mode, series: vec![series] }
}

fn retract(filters: Vec<Filter>, what: Retraction) -> Change {
    Change::Retract { metric: name("team/a"), filters, what }
}

fn filter(index: usize, any_of: &[&str], none_of: &[&str]) -> Filter {
    let texts = |values: &[&str]| values.iter().map(|value| value.to_string()).collect();
    // Not by `Filter::new`, which sorts.
    Filter { index, any_of: texts(any_of), none_of: texts(none_of) }
}

fn body(batch: &Batch) -> [u8; 16] {
    memo_of(batch).expect("it has an id").body
}

/// Every pair of batches that mean something else, told apart.
#[test]
fn bodies_of_another_meaning_differ() {
    let [one, two] = [Point::at(Time(1), 5), Point::at(Time(2), 5)];
    let all = Interval::new(Time(1), Time(2));
    let opening = |metric: &str, value: &str, opening| Change::Opening {
        metric: name(metric),
        labels: labels(&[value]),
        opening,
    };
    let mut batches: Vec<Batch> = [
        points(Mode::Set, "team/a", &["x"], &[one], false),
        points(Mode::Add, "team/a", &["x"], &[one], false),
        points(Mode::Add, "team/a", &["x"], &[one], true),
        points(Mode::Set, "team/b", &["x"], &[one], false),
        points(Mode::Set, "team/a", &["y"], &[one], false),
        points(Mode::Set, "team/a", &["x"], &[two], false),
        points(Mode::Set, "team/a", &["x"], &[one, two], false),
        points(Mode::Set, "team/a", &["x"], &[Point { value: 6, ..one }], false),
        points(Mode::Set, "team/a", &["x"], &[Point { restated: true, ..one }], false),
        points(Mode::Set, "team/a", &["x"], &[Point { end: Time(9), ..one }], false),
        points(Mode::Set, "team/a", &["x"], &[Point { start: Some(Time(0)), ..one }], false),
        points(Mode::Set, "team/a", &["x"], &[], false),
        retract(vec![], Retraction::Times(vec![Time(1), Time(2)])),
        retract(vec![], Retraction::Times(vec![Time(1)])),
        retract(vec![], Retraction::Interval(all)),
        retract(vec![], Retraction::Interval(Interval::new(Time(1), Time(3)))),
        retract(vec![filter(0, &["x"], &[])], Retraction::Interval(all)),
        retract(vec![filter(1, &["x"], &[])], Retraction::Interval(all)),
        retract(vec![filter(0, &[], &["x"])], Retraction::Interval(all)),
        retract(vec![filter(0, &["x", "y"], &[])], Retraction::Interval(all)),
        retract(vec![filter(0, &["xy"], &[])], Retraction::Interval(all)),
        retract(vec![filter(0, &["x"], &[]), filter(0, &["y"], &[])], Retraction::Interval(all)),
        Change::Retract { metric: name("team/b"), filters: vec![], what: Retraction::Interval(all) },
        opening("team/a", "x", Some((Time(1), 5))),
        opening("team/a", "x", Some((Time(1), 6))),
        opening("team/a", "x", Some((Time(2), 5))),
        opening("team/a", "x", None),
        opening("team/b", "x", None),
        opening("team/a", "y", None),
    ]
    .map(batch)
    .into();
    batches.push(Batch { reason: "because".to_string(), ..batches[0].clone() });
    batches.push(Batch { validate_only: true, ..batches[0].clone() });
    for (i, one) in batches.iter().enumerate() {
        assert_eq!(body(one), body(&one.clone()));
        for other in &batches[..i] {
            assert_ne!(body(one), body(other), "{one:?} {other:?}");
        }
    }
}

/// What does not count: where a point stood in the request, whether a SET said its end, the order of filters and of their values.
#[test]
fn bodies_of_one_meaning_are_one() {
    let one = Point::at(Time(1), 5);
    let same = |one: Change, other: Change| assert_eq!(body(&batch(one)), body(&batch(other)));
    same(points(Mode::Set, "team/a", &[], &[one], false), points(Mode::Set, "team/a", &[], &[one], true));
    let at = Retraction::Times(vec![Time(1)]);
    let (x, y) = (filter(0, &["x", "y"], &["z"]), filter(1, &["y"], &[]));
    let again = filter(0, &["y", "x", "y"], &["z", "z"]);
    same(retract(vec![x.clone(), y.clone()], at.clone()), retract(vec![y.clone(), again.clone(), again, y], at));
}

#[test]
fn ids_of_other_components_and_people_never_meet() {
    let component = |text: &str| ComponentName::parse(text).expect("a name");
    let all = [("a", "b", "c"), ("a", "b", "d"), ("a", "c", "c"), ("b", "b", "c"), ("a", "bc", ""), ("a", "", "bc")];
    let all = all.map(|(name, who, id)| fingerprint(&component(name), who, id));
    for (i, one) in all.iter().enumerate() {
        assert!(!all[..i].contains(one), "{i}");
    }
    let without = Batch { request_id: String::new(), ..batch(points(Mode::Set, "team/a", &[], &[], false)) };
    assert!(memo_of(&without).is_none());
}

#[test]
fn a_batch_names_each_of_its_metrics_once() {
    let write = |metric: &str, value: &str| match points(Mode::Set, metric, &[value], &[], false) {
        Change::Points { mut series, .. } => series.remove(0),
        _ => unreachable!("they are points"),
    };
    let series = vec![write("team/a", "x"), write("team/a", "y"), write("team/b", "x")];
    assert_eq!(metrics_of(&Change::Points { mode: Mode::Set, series }), [&name("team/a"), &name("team/b")]);
    assert_eq!(metrics_of(&retract(vec![], Retraction::Times(vec![]))), [&name("team/a")]);
}

/// Ids that a store remembers must go on to match: what a body is digested from, byte by byte.
#[test]
fn a_body_is_digested_as_it_ever_was() {
    let one = Point { end: Time(10), ..Point::at(Time(1), 5) };
    let two = Point { start: Some(Time(-62)), restated: true, ..Point::at(Time(0x0102), -300) };
    let whole = |mode: u8, points: [&[u8]; 2]| {
        // The reason, not only validated, SET or ADD; the metric, one label, two points.
        let head = [&[3], &b"why"[..], &[0, mode, 6], b"team/a", &[1, 1], b"x", &[2]].concat();
        let whole = Sha256::digest([&head, points[0], points[1]].concat());
        <[u8; 16]>::try_from(&whole[..16]).expect("16 of 32")
    };
    // A time, what else there is, the value, the end less the time, the time less the start.
    let first = [1, 0, 0, 0, 0, 0, 0, 0, 1, 10, 18];
    let second = [2, 1, 0, 0, 0, 0, 0, 0, 6, 0xd7, 4, 0x80, 5];
    let set = body(&batch(points(Mode::Set, "team/a", &["x"], &[one, two], true)));
    assert_eq!(set, whole(1, [&first, &second]));
    let level = Point::at(Time(2), i64::MIN);
    let least = [2, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
    for end_given in [false, true] {
        let add = body(&batch(points(Mode::Add, "team/a", &["x"], &[one, level], end_given)));
        let said = |point: &[u8]| [point, &[u8::from(end_given)]].concat();
        assert_eq!(add, whole(2, [&said(&first), &said(&least)]));
    }
}
