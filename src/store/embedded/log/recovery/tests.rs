//! What a walk takes for a record of the log: only what stands in its place.

use super::*;
use crate::domain::name::ComponentName;
use crate::domain::time::Time;
use bytes::Bytes;

const FIRST_GROUP: u64 = 5;
const FIRST_POSITION: u64 = 10;

fn header() -> Header {
    Header {
        store: [1; 16],
        number: 3,
        salt: Salt(0x0123_4567_89ab_cdef),
        first_group: FIRST_GROUP,
        first_position: Position(FIRST_POSITION),
        before: 0,
        before_end: 0,
        bytes: 1 << 16,
    }
}

fn record(position: u64) -> Record {
    Record {
        component: ComponentName::parse("pay").expect("a name"),
        record_time: Time(position as i64),
        revision: position as i64,
        counts: [position, 0, 0],
        series: Bytes::from_static(b"series"),
        body: vec![7; position as usize * 20].into(),
    }
}

/// Where records of groups of these sizes stand.
fn places(groups: &[u64]) -> Vec<Place> {
    let (mut all, mut at, mut position) = (Vec::new(), HEADER_BYTES as u64, FIRST_POSITION);
    for (group, count) in (FIRST_GROUP..).zip(groups) {
        let group_start = at;
        for _ in 0..*count {
            all.push(Place { position, group, group_start });
            at += record::record_bytes(&record(position)) as u64;
            position += 1;
        }
    }
    all
}

/// A segment with records that say to stand there.
fn segment(places: &[Place]) -> Vec<u8> {
    let header = header();
    let mut bytes = header.encode();
    for (position, place) in (FIRST_POSITION..).zip(places) {
        put_record(&mut bytes, header.salt, *place, &record(position));
    }
    bytes
}

fn walked(bytes: &[u8]) -> (Vec<(Place, u64)>, Walk) {
    let mut all = Vec::new();
    let walk = walk(bytes, &header(), &mut |placed| {
        assert_eq!((placed.record, placed.lost), (record(placed.place.position), None));
        all.push((placed.place, placed.offset + placed.bytes));
    });
    (all, walk)
}

const GROUPS: [u64; 3] = [2, 1, 3];

#[test]
fn records_in_their_places_are_walked_to_the_end() {
    let places = places(&GROUPS);
    let bytes = segment(&places);
    let (found, walk) = walked(&bytes);
    assert!(found.iter().map(|(place, _)| *place).eq(places.iter().copied()));
    assert!(matches!(walk.stop, Stop::End));
    assert_eq!((walk.offset, found[5].1), (bytes.len() as u64, bytes.len() as u64));
    assert_eq!((walk.next_position, walk.group, walk.group_start), (16, 7, places[3].group_start));
    let (found, walk) = walked(&bytes[..HEADER_BYTES]);
    assert_eq!((found.len(), walk.offset, walk.next_position, walk.group), (0, HEADER_BYTES as u64, 10, 4));
}

/// A record of another position, or of another group, or that says that its group starts elsewhere: it ends there.
#[test]
fn a_record_out_of_its_place_ends_the_walk() {
    let right = places(&GROUPS);
    for i in 0..right.len() {
        let place = right[i];
        let wrong = [
            Place { position: place.position + 1, ..place },
            Place { position: place.position - 1, ..place },
            Place { group: place.group + 1, ..place },
            Place { group: place.group - 1, ..place },
            Place { group_start: place.group_start + 64, ..place },
            Place { group_start: place.group_start - 64, ..place },
        ];
        for wrong in wrong {
            let mut places = right.clone();
            places[i] = wrong;
            let (found, walk) = walked(&segment(&places));
            assert_eq!(found.len(), i, "{wrong:?} instead of {place:?}");
            assert!(matches!(&walk.stop, Stop::Bad(what) if what.contains("does not belong here")));
            assert_eq!((walk.offset, walk.next_position), (segment(&right[..i]).len() as u64, place.position));
        }
    }
}

/// An empty group ends the log only where the next group would begin; a mark that the log goes on elsewhere does wherever
/// it stands.
#[test]
fn marks_end_the_walk_in_their_places() {
    for count in [0, 1, 2, 3, 6] {
        let before = segment(&places(&GROUPS)[..count]);
        let (_, end) = walked(&before);
        let right = Place { position: 9, group: end.group + 1, group_start: end.offset };
        let others = [
            Place { group: end.group, ..right },
            Place { group: right.group + 1, ..right },
            Place { group_start: right.group_start + 64, ..right },
        ];
        for (place, is_right) in [(right, true)].into_iter().chain(others.map(|place| (place, false))) {
            for kind in [Kind::Empty, Kind::Next] {
                let mut bytes = before.clone();
                put_mark(&mut bytes, header().salt, kind, place);
                let (found, walk) = walked(&bytes);
                assert_eq!((found.len(), walk.offset), (count, before.len() as u64));
                match walk.stop {
                    Stop::Mark(found, at) => {
                        assert_eq!((found, at), (kind, place));
                        assert!(is_right || kind == Kind::Next, "{place:?} after {count}");
                    }
                    Stop::Bad(_) => assert!(!is_right && kind == Kind::Empty, "{place:?} after {count}"),
                    Stop::End | Stop::TooNew(_) => panic!("a mark stands there"),
                }
            }
        }
    }
}

/// What cannot be read ends it too, and each says what it is.
#[test]
fn what_is_no_record_ends_the_walk() {
    let places = places(&GROUPS);
    let (whole, at) = (segment(&places), segment(&places[..2]).len());
    let damage = |byte: usize| {
        let mut bytes = whole.clone();
        bytes[at + byte] ^= 1;
        let mut found = Vec::new();
        let walk = walk(&bytes, &header(), &mut |placed| found.push(placed.lost.is_some()));
        (found, walk)
    };
    let (found, walk) = damage(8);
    assert!(matches!(&walk.stop, Stop::Bad(what) if what == "record 12 should stand here and does not"));
    assert_eq!((found.len(), walk.offset as usize), (2, at));
    let series = record::HEAD_BYTES + "pay".len();
    let (found, walk) = damage(series);
    assert!(matches!(&walk.stop, Stop::Bad(what) if what.contains("list of series of record 12")));
    assert_eq!((found.len(), walk.offset as usize), (2, at));
    let (found, walk) = damage(series + "series".len());
    assert!(matches!(walk.stop, Stop::End));
    assert_eq!(found, [false, false, true, false, false, false], "a body that is lost is walked over");
}
