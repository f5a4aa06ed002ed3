//! Calendars against the naive walk, at random and around every change of the clocks.

use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;
use milepost::domain::calendar::{Calendar, MonthDay, Unit, Weekday, Zone};
use milepost::domain::limit::{TIME_MAX, TIME_MIN};
use milepost::domain::time::{Interval, Time};
use proptest::prelude::*;

use crate::calendar_naive::{Naive, start_of, time, timestamp};

const DAY_NANOS: i64 = 86_400_000_000_000;

/// Zones that do what others do not.
const ODD_ZONES: &[&str] = &[
    "UTC",
    "Europe/London",
    "Europe/Lisbon",
    "Europe/Dublin",
    "Europe/Amsterdam",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Havana",
    "America/Asuncion",
    "America/Caracas",
    "America/Scoresbysund",
    "Atlantic/Azores",
    "Africa/Cairo",
    "Africa/Monrovia",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Tehran",
    "Asia/Gaza",
    "Asia/Beirut",
    "Asia/Amman",
    "Asia/Manila",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Antarctica/Casey",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "Pacific/Kiritimati",
    "Pacific/Enderbury",
    "Pacific/Fakaofo",
    "Pacific/Chatham",
    "Pacific/Guam",
    "Etc/GMT+12",
    "Etc/GMT-14",
];

fn calendar(naive: &Naive) -> Calendar {
    let zone = Zone::parse(&naive.zone).expect("an IANA zone");
    Calendar::new(naive.unit, naive.count, zone, naive.week_start, naive.year_start)
}

fn any_weekday() -> impl Strategy<Value = Weekday> {
    use Weekday::*;
    prop::sample::select(vec![Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday])
}

fn any_zone() -> impl Strategy<Value = String> {
    let all: Vec<String> = TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect();
    prop_oneof![prop::sample::select(ODD_ZONES).prop_map(str::to_owned), prop::sample::select(all)]
        .prop_filter("jiff's own", |name| name != "Etc/Unknown")
}

/// A unit, a count, and how many days of it the naive walk can bear.
fn any_unit() -> impl Strategy<Value = (Unit, u32, i64)> {
    prop_oneof![
        (prop_oneof![1u32..200, 1u32..3_000], Just(3)).prop_map(|(n, days)| (Unit::Minute, n, days)),
        (1u32..40, Just(20)).prop_map(|(n, days)| (Unit::Hour, n, days)),
        (prop_oneof![Just(1u32), 1u32..40], Just(60)).prop_map(|(n, days)| (Unit::Day, n, days)),
        (1u32..6, Just(100)).prop_map(|(n, days)| (Unit::Week, n, days)),
        (1u32..8, Just(300)).prop_map(|(n, days)| (Unit::Month, n, days)),
        (1u32..4, Just(600)).prop_map(|(n, days)| (Unit::Quarter, n, days)),
        (1u32..4, Just(1_200)).prop_map(|(n, days)| (Unit::Year, n, days)),
    ]
}

/// A calendar and a time, mostly near a change of its zone's clocks.
fn any_place() -> impl Strategy<Value = (Naive, Time, i64)> {
    let month_day = (1u8..=12, 1u8..=28).prop_map(|(month, day)| MonthDay { month, day });
    let anywhere = TIME_MIN.0 + 3 * 366 * DAY_NANOS..TIME_MAX.0 - 3 * 366 * DAY_NANOS;
    let near = prop_oneof![-2 * DAY_NANOS..2 * DAY_NANOS, -DAY_NANOS / 12..DAY_NANOS / 12];
    (any_unit(), any_zone(), any_weekday(), month_day, anywhere, near, any::<bool>()).prop_map(
        |((unit, count, days), zone, week_start, year_start, at, near, is_near)| {
            let change = crate::calendar_naive::rules(&zone);
            let change = change.following(timestamp(Time(at))).next();
            let change = change.map(|change| time(change.timestamp())).filter(|&t| t <= TIME_MAX && is_near);
            let t = change.map_or(Time(at), |change| change.plus(near));
            (Naive { unit, count, zone, week_start, year_start }, t, days)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// Every window of the naive walk is found from its first, any and its last instant, by the iterator, and by
    /// cursors that go either way.
    #[test]
    fn windows_are_those_of_the_naive_walk((naive, t, days) in any_place(), part in 0.0..1.0f64) {
        let calendar = calendar(&naive);
        let span = Interval::new(t, t.plus(days * DAY_NANOS));
        let expected = naive.windows(timestamp(span.start), timestamp(Time(span.end.0 - 1)));
        prop_assert_eq!(calendar.windows(span).collect::<Vec<_>>(), expected.clone());
        let (mut cursor, mut backward) = (calendar.cursor(), calendar.cursor());
        for window in &expected {
            let length = window.start.0.abs_diff(window.end.0);
            for t in [0, (part * length as f64) as u64, length - 1] {
                let t = Time(window.start.0 + t as i64);
                prop_assert_eq!(calendar.window(t), *window);
                prop_assert_eq!(cursor.window(t), *window);
                prop_assert_eq!(calendar.is_boundary(t), t == window.start);
            }
        }
        for window in expected.iter().rev() {
            prop_assert_eq!(backward.window(Time(window.end.0 - 1)), *window);
        }
    }

    #[test]
    fn starts_are_counted_as_by_walking(
        (naive, t, days) in any_place(), begin in 0.0..1.0f64, length in 0.0..1.0f64, at_edges: (bool, bool),
    ) {
        let calendar = calendar(&naive);
        let nanos = |part: f64| (part * (days * DAY_NANOS) as f64) as i64;
        let mut from = t.plus(nanos(begin));
        let mut to = from.plus(nanos(length));
        if at_edges.0 {
            from = calendar.window(from).start;
        }
        if at_edges.1 {
            to = calendar.window(to).end;
        }
        let span = Interval::new(from, to);
        let expected = if span.is_empty() {
            0
        } else {
            let walked = naive.windows(timestamp(from), timestamp(to));
            walked.iter().filter(|window| span.contains(window.start)).count() as u64
        };
        prop_assert_eq!(calendar.count_starts(span), expected);
    }

    /// Counts over centuries are sums of counts over their parts, and what the cursor walks.
    #[test]
    fn counts_over_long_ranges_add_up(
        (naive, _, _) in any_place(), mut edges in prop::collection::vec(TIME_MIN.0..TIME_MAX.0, 3),
    ) {
        let calendar = calendar(&naive);
        edges.sort_unstable();
        let count = |from: i64, to: i64| calendar.count_starts(Interval::new(Time(from), Time(to)));
        prop_assert_eq!(count(edges[0], edges[2]), count(edges[0], edges[1]) + count(edges[1], edges[2]));
        if !matches!(naive.unit, Unit::Minute | Unit::Hour) {
            let span = Interval::new(Time(edges[0]), Time(edges[2]));
            let walked = calendar.windows(span).filter(|window| span.contains(window.start)).count();
            prop_assert_eq!(count(edges[0], edges[2]), walked as u64);
        }
    }

    /// A cursor gives the same window whatever it was asked before.
    #[test]
    fn a_cursor_jumps_anywhere((naive, t, _) in any_place(), jumps in prop::collection::vec(any::<i64>(), 20)) {
        let calendar = calendar(&naive);
        let mut cursor = calendar.cursor();
        for jump in jumps.into_iter().flat_map(|jump| [jump, t.0, t.plus(jump % (400 * DAY_NANOS)).0, t.plus(jump % (3 * DAY_NANOS)).0]) {
            prop_assert_eq!(cursor.window(Time(jump)), calendar.window(Time(jump)));
        }
    }

    /// The window that comes `n` later is the `n`th that is walked to, also where the cursor was elsewhere before.
    /// What is said to be even is, window by window; of days of UTC it is always said.
    #[test]
    fn even_windows_are_even((naive, t, _) in any_place(), hours in 1i64..200, off: bool, windows in 0usize..200) {
        let calendar = calendar(&naive);
        let first = calendar.window(t);
        let nanos = first.end.0 - first.start.0 + i64::from(off) * hours;
        let mut walk = calendar.cursor();
        let mut at = first.start;
        let mut next = || {
            let window = walk.window(at);
            at = window.end;
            window.end.0 - window.start.0 == nanos
        };
        let all_are = (0..windows.max(1)).all(|_| next());
        let said = calendar.cursor().is_even(first.start, nanos, windows);
        prop_assert!(all_are || !said);
        prop_assert!(!calendar.cursor().is_even(Time(first.start.0 + 1), nanos, windows));
        if naive.zone == "UTC" && (naive.unit, naive.count) == (Unit::Day, 1) && all_are && first.end.0 < TIME_MAX.0 / 2 {
            prop_assert!(said);
        }
    }

    #[test]
    fn a_cursor_skips_as_it_walks((naive, t, _) in any_place(), elsewhere: i64, skips in prop::collection::vec(0usize..900, 4)) {
        let calendar = calendar(&naive);
        let mut cursor = calendar.cursor();
        cursor.window(Time(elsewhere));
        let walked: Vec<Interval> = calendar.windows(Interval::new(t, Time::MAX)).take(900).collect();
        for n in skips {
            prop_assert_eq!(cursor.after(t, n as u64), *walked.get(n).unwrap_or(&walked[walked.len() - 1]));
        }
        prop_assert_eq!(cursor.after(t, u64::MAX).end, Time::MAX);
    }

    /// Whatever the time, there is a window, it holds the time, and its neighbour begins where it ends.
    #[test]
    fn nothing_overflows((naive, _, _) in any_place(), t in prop_oneof![
        any::<i64>(), (0i64..5_000).prop_map(|n| i64::MIN + n), (0i64..5_000).prop_map(|n| i64::MAX - n),
    ], huge in prop_oneof![Just(1u32), Just(10_000), Just(u32::MAX)]) {
        let calendar = calendar(&Naive { count: naive.count.saturating_mul(huge), ..naive });
        let window = calendar.window(Time(t));
        prop_assert!(window.start < window.end);
        prop_assert!(window.contains(Time(t)) || (t == i64::MAX && window.end == Time::MAX));
        if window.end < Time::MAX {
            prop_assert_eq!(calendar.window(window.end).start, window.end);
        }
        let _ = calendar.count_starts(Interval::ALL);
        let _ = calendar.count_starts(Interval::new(Time::MIN, Time(t)));
        let _ = calendar.count_starts(Interval::new(Time(t), Time::MAX));
    }
}

/// In every zone that there is, around every change of its clocks.
#[test]
fn first_instants_of_all_zones() {
    for name in TimeZoneDatabase::bundled().available() {
        let name = name.to_string();
        let Some(zone) = Zone::parse(&name) else {
            assert_eq!(name, "Etc/Unknown");
            continue;
        };
        let rules = crate::calendar_naive::rules(&name);
        let from: Timestamp = "1899-12-25T00:00Z".parse().expect("a time");
        let to: Timestamp = "2041-01-01T00:00Z".parse().expect("a time");
        for change in rules.following(from).take_while(|change| change.timestamp() < to) {
            let middle = rules.to_datetime(change.timestamp()).date();
            let mut date = middle.yesterday().and_then(|date| date.yesterday()).expect("in range");
            for _ in 0..4 {
                let start = start_of(&rules, date);
                let tomorrow = date.tomorrow().expect("in range");
                match zone.first_instant(&date.to_string()) {
                    Ok(found) => assert_eq!(found, time(start), "{name} {date}"),
                    Err(_) => {
                        assert!(start == start_of(&rules, tomorrow) || time(start) < TIME_MIN, "{name} {date}");
                    }
                }
                date = tomorrow;
            }
        }
    }
}
