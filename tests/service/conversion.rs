//! A batch by meaning: whatever its order, form and entries, it comes to the same; and a naive reading of the rules
//! finds the same faults.

use milepost::domain::calendar::{Period, Zone};
use milepost::domain::definition::{Definition, Kind};
use milepost::domain::name::MetricName;
use milepost::domain::point::Point as Kept;
use milepost::domain::time::Time;
use milepost::engine::batch::{Change, Mode};
use milepost::proto::v1::point::{At, End};
use milepost::proto::v1::*;
use milepost::service::convert::batch::{Known, Metrics, batch};
use milepost::service::fault::Faults;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const DAY: i64 = 86_400_000_000_000;

fn metrics(kind: Kind, period: Option<Period>, zone: &str) -> Metrics {
    let definition = Definition {
        scale: 2,
        label_names: vec!["l".to_owned()],
        period,
        zone: Zone::parse(zone).expect("a zone"),
        ..Definition::new(MetricName::parse("a/m").expect("a name"), kind)
    };
    [("a/m".to_owned(), Known::of(Arc::new(definition)))].into()
}

fn timestamp(nanos: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: nanos.div_euclid(1_000_000_000), nanos: nanos.rem_euclid(1_000_000_000) as i32 }
}

fn point(nanos: i64, units: i64) -> Point {
    let sign = if units < 0 { "-" } else { "" };
    let value = format!("{sign}{}.{:02}", units.unsigned_abs() / 100, units.unsigned_abs() % 100);
    Point { at: Some(At::Time(timestamp(nanos))), value, ..Default::default() }
}

fn entry(label: u8, points: Vec<Point>, columns: Option<Columns>) -> SeriesPoints {
    SeriesPoints { metric: "a/m".into(), labels: [("l".to_owned(), label.to_string())].into(), points, columns }
}

type Read = BTreeMap<String, Vec<Kept>>;

fn read(series: Vec<SeriesPoints>, metrics: &Metrics) -> Result<Read, Faults> {
    let request = WritePointsRequest { series, ..Default::default() };
    let converted = batch(&request, "", metrics)?;
    let Change::Points { mode: Mode::Set, series } = converted.batch.change else { panic!("points were set") };
    let mut all = Read::new();
    for write in series {
        assert!(write.points.times.ascends(), "ascending, each once");
        assert_eq!(write.end_given.len(), write.points.len());
        let points: Vec<Kept> = write.points.points(0..write.points.len()).collect();
        for (i, point) in points.iter().enumerate() {
            let (entry, number) = write.origin.of(i);
            let said = &request.series[entry as usize];
            if let Some(said) = said.points.get(number as usize) {
                assert_eq!(said.at, Some(At::Time(timestamp(point.time.0))), "the origin is where the point stands");
            }
        }
        assert!(all.insert(write.labels[0].to_string(), points).is_none(), "each series once");
    }
    Ok(all)
}

/// Values of distinct (series, day).
fn values() -> impl Strategy<Value = BTreeMap<(u8, i64), i64>> {
    prop::collection::btree_map((0u8..3, 15_000i64..15_400), -1_000i64..1_000, 1..60)
}

proptest! {
    #[test]
    fn order_form_and_entries_do_not_count(
        values in values(),
        order in any::<prop::sample::Selector>(),
        cuts in prop::collection::vec(1usize..7, 60),
        repeat in any::<bool>(),
    ) {
        let metrics = metrics(Kind::Delta, Some(Period::Day), "UTC");
        let expected: Read = values.iter().fold(Read::new(), |mut all, (&(label, day), &value)| {
            let kept = Kept::of_period(Time(day * DAY), Time((day + 1) * DAY), value);
            all.entry(label.to_string()).or_default().push(kept);
            all
        });
        // shuffled, and cut into entries of neighbours of one series, in both forms
        let mut shuffled: Vec<_> = values.iter().collect();
        shuffled.sort_by_key(|(key, _)| order.select([key.1.wrapping_mul(7_919) % 101, -key.1, key.1 % 13]));
        if repeat {
            shuffled.extend(shuffled.clone());
        }
        let mut series = Vec::new();
        let mut rest = &shuffled[..];
        for (i, cut) in cuts.iter().cycle().enumerate() {
            let Some(((label, _), _)) = rest.first() else { break };
            let same = rest.iter().take_while(|((l, _), _)| l == label).count().min(*cut);
            let (now, later) = rest.split_at(same);
            rest = later;
            let unix_nanos = now.iter().map(|((_, day), _)| day * DAY).collect();
            let units = now.iter().map(|(_, value)| **value).collect();
            series.push(if i % 2 == 0 {
                entry(*label, now.iter().map(|((_, day), value)| point(day * DAY, **value)).collect(), None)
            } else {
                let times = Some(columns::Times::Fixed(FixedTimes { unix_nanos }));
                entry(*label, vec![], Some(Columns { times, units, start_times: vec![] }))
            });
        }
        prop_assert_eq!(read(series, &metrics).expect("no fault"), expected);
    }

    /// Columns come to what their points do one by one, in points or in faults, whatever their times are.
    #[test]
    fn columns_are_their_points(
        kind in prop::sample::select(vec![Kind::Delta, Kind::Cumulative, Kind::Gauge]),
        period in prop::option::of(prop::sample::select(vec![Period::Minutes(60), Period::Day, Period::Week, Period::Month])),
        zone in prop::sample::select(vec!["UTC", "Europe/London"]),
        (first, step, count) in (17_800i64..17_840, prop::sample::select(vec![1, 2, 24, 168]), 1usize..40),
        odd in prop::option::weighted(0.3, (any::<prop::sample::Index>(), prop::sample::select(vec![-3_000, -1, 1, 24]))),
        late in 0i64..3, form in 0..3, start_count in 0..3, start in -40i64..10,
    ) {
        let metrics = metrics(kind, period, zone);
        let hour = DAY / 24;
        // Hours from a day of 2018, before the clocks change; one of them maybe elsewhere, or all some nanoseconds late.
        let mut times: Vec<i64> = (0..count as i64).map(|i| first * DAY + i * step * hour).collect();
        times.iter_mut().for_each(|time| *time += late / 2);
        let regular = RegularTimes { first_unix_nanos: times[0], interval_nanos: step * hour };
        if let (Some((index, hours)), 0) = (&odd, form) {
            times[index.index(count)] += hours * hour;
        }
        let known = &metrics["a/m"];
        if let (Some(periods), 1) = (&known.periods, form) {
            times[0] = periods.window(Time(times[0])).start.0;
            (1..count).for_each(|i| times[i] = periods.window(Time(times[i - 1])).end.0);
        }
        let said = match form {
            0 => columns::Times::Fixed(FixedTimes { unix_nanos: times.clone() }),
            1 if known.periods.is_some() => columns::Times::Periods(PeriodTimes { first_unix_nanos: times[0] }),
            _ if odd.is_some() && form == 1 => columns::Times::Fixed(FixedTimes { unix_nanos: times.clone() }),
            _ => columns::Times::Regular(regular),
        };
        let reports = kind == Kind::Cumulative;
        let start_times: Vec<i64> = match start_count {
            1 if reports => vec![times[0] + start * hour],
            2 if reports => times.iter().map(|time| time + start * hour).collect(),
            _ => vec![],
        };
        let units: Vec<i64> = (0..count as i64).map(|i| i * i % 7).collect();
        let one = |(i, time): (usize, &i64)| {
            let start = start_times.get(if start_times.len() == 1 { 0 } else { i });
            Point { start_time: start.map(|start| timestamp(*start)), ..point(*time, units[i]) }
        };
        let points = times.iter().enumerate().map(one).collect();
        let columns = Columns { times: Some(said), units: units.clone(), start_times: start_times.clone() };
        let together = read(vec![entry(0, vec![], Some(columns))], &metrics);
        let one_by_one = read(vec![entry(0, points, None)], &metrics);
        let told = |faults: Faults| faults.iter().map(|fault| fault.reason).collect::<Vec<_>>();
        prop_assert_eq!(together.map_err(told), one_by_one.map_err(told));
    }

    #[test]
    fn every_misaligned_or_conflicting_point_is_found(
        points in prop::collection::vec((0i64..40, prop::bool::weighted(0.2), 0i64..3), 1..60),
    ) {
        let metrics = metrics(Kind::Delta, Some(Period::Day), "Europe/London");
        // midnights of London's summer of 2026, some of them an hour late
        let first = 1_782_860_400_000_000_000;
        let times: Vec<_> = points.iter().map(|(day, late, _)| first + day * DAY + i64::from(*late) * DAY / 24).collect();
        let list = points.iter().zip(&times).map(|((_, _, value), time)| point(*time, *value)).collect();
        let mut expected = Vec::new();
        for (i, (_, late, value)) in points.iter().enumerate() {
            let before = (0..i).find(|j| !points[*j].1 && times[*j] == times[i]);
            if *late {
                expected.push(format!("MISALIGNED series[0].points[{i}].time"));
            } else if before.is_some_and(|j| points[j].2 != *value) {
                expected.push(format!("DUPLICATE_POINT series[0].points[{i}].time"));
            }
        }
        match read(vec![entry(0, list, None)], &metrics) {
            Ok(_) => prop_assert!(expected.is_empty()),
            Err(faults) => {
                let found: Vec<_> = faults.iter().map(|f| format!("{} {}", f.reason.as_str_name(), f.field)).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn any_batch_is_read_or_refused(
        kind in prop::sample::select(vec![Kind::Delta, Kind::Cumulative, Kind::Gauge]),
        period in prop::option::of(prop::sample::select(vec![Period::Minutes(90), Period::Week, Period::Month])),
        nanos in any::<i64>(), first in any::<i64>(), interval in any::<i64>(), end in any::<i64>(), value in "\\PC{0,12}",
        units in prop::collection::vec(any::<i64>(), 0..5), starts in prop::collection::vec(any::<i64>(), 0..3),
        which in 0..4, date in "[0-9]{4}-[0-9]{2}-[0-9]{2}",
    ) {
        let metrics = metrics(kind, period, "America/St_Johns");
        let times = match which {
            0 => None,
            1 => Some(columns::Times::Fixed(FixedTimes { unix_nanos: vec![nanos, first, nanos] })),
            2 => Some(columns::Times::Regular(RegularTimes { first_unix_nanos: first, interval_nanos: interval })),
            _ => Some(columns::Times::Periods(PeriodTimes { first_unix_nanos: first })),
        };
        let mut said = point(nanos, 5);
        said.end = Some(End::EndTime(timestamp(end)));
        said.start_time = Some(prost_types::Timestamp { seconds: interval, nanos: which });
        let dated = Point { at: Some(At::Date(date)), value, restated: which == 1, ..Default::default() };
        let columns = Columns { times, units, start_times: starts };
        for series in [vec![entry(1, vec![], Some(columns))], vec![entry(1, vec![said, dated], None)]] {
            if let Err(faults) = read(series, &metrics) {
                prop_assert!(!faults.is_empty() && faults.iter().all(|fault| !fault.field.is_empty()));
            }
        }
    }
}
