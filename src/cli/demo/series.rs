//! The demo's figures: each function is one series, from its launch to today.

use super::curve::{Curve, date, day, month_and_day, noise};
use crate::proto::v1 as pb;

const WEEK: i64 = 7;

/// A point that begins with a date.
pub(super) fn point(at: i64, value: impl ToString) -> pb::Point {
    pb::Point { at: Some(pb::point::At::Date(date(at))), value: value.to_string(), ..pb::Point::default() }
}

/// The starts of whole weeks from `first` on, up to the earlier of `last` and today.
fn weeks(first: &str, last: Option<&str>, today: i64) -> impl Iterator<Item = i64> {
    let end = last.map_or(today, |last| day(last).min(today));
    (day(first)..).step_by(7).take_while(move |start| start + WEEK <= end)
}

/// Quiet weeks over Christmas and New Year.
fn christmas(at: i64, factor: f64) -> f64 {
    match month_and_day(at) {
        (12, 19..) | (1, 1) => factor,
        _ => 1.0,
    }
}

fn payments_curve() -> Curve {
    // Two years to two million, three to four, four to about ten.
    Curve::through(&[
        ("2016-08-29", 0.0),
        ("2016-11-28", 400.0),
        ("2017-08-28", 420_000.0),
        ("2018-08-27", 2_060_000.0),
        ("2019-08-26", 4_120_000.0),
        ("2020-03-02", 6_050_000.0),
        ("2020-08-31", 10_050_000.0),
        ("2021-05-03", 15_400_000.0),
        ("2022-01-17", 25_300_000.0),
        ("2023-03-06", 50_600_000.0),
        ("2024-02-26", 75_900_000.0),
        ("2025-02-17", 101_000_000.0),
        ("2026-01-19", 126_300_000.0),
        ("2027-01-18", 153_000_000.0),
        ("2028-01-17", 181_000_000.0),
    ])
}

/// Payments a week.
pub(super) fn payments(today: i64) -> Vec<(i64, i64)> {
    let curve = payments_curve();
    let first = day("2016-08-29");
    let value = |at: i64| {
        if at == first {
            return 1;
        }
        let flow = curve.flow(at, WEEK) * christmas(at, 0.75) * noise("payments", at, 0.05);
        (flow.round() as i64).max(1)
    };
    weeks("2016-08-29", None, today).map(|at| (at, value(at))).collect()
}

/// Pennies a week: about 46 pounds a payment at first, more later.
pub(super) fn amount(today: i64) -> Vec<(i64, i64)> {
    let later = day("2020-10-05");
    let mean = |at: i64| 4_680.0 + 0.9 * (at - later).clamp(0, 2_400) as f64;
    payments(today)
        .into_iter()
        .map(|(at, payments)| (at, ((payments as f64) * mean(at) * noise("amount", at, 0.03)).round() as i64))
        .collect()
}

/// Messages a day through one channel, which has a share of all: weekends are quiet.
pub(super) fn messages(channel: &str, share: f64, today: i64) -> Vec<(i64, i64)> {
    // A hockey stick: more than a billion in the six months to October 2020.
    let curve = Curve::through(&[
        ("2016-05-30", 0.0),
        ("2016-12-01", 900_000.0),
        ("2017-10-01", 30e6),
        ("2018-10-01", 200e6),
        ("2019-10-01", 620e6),
        ("2020-04-05", 1_150e6),
        ("2020-10-05", 2_350e6),
        ("2021-10-04", 4_900e6),
        ("2022-10-03", 6_800e6),
        ("2024-10-07", 10_500e6),
        ("2026-10-05", 14_600e6),
        ("2028-10-02", 18_900e6),
    ]);
    // 1970-01-01 was a Thursday.
    let weekday = |at: i64| match (at + 3).rem_euclid(7) {
        5 => 0.45,
        6 => 0.35,
        _ => 1.24,
    };
    (day("2016-05-30")..today)
        .map(|at| {
            let flow = curve.flow(at, 1) * share * weekday(at) * christmas(at, 0.6) * noise(channel, at, 0.12);
            (at, flow.round() as i64)
        })
        .collect()
}

/// Logins a week: each January (Self Assessment) is higher than the one before; Universal Credit in spring 2020.
pub(super) fn logins(today: i64) -> Vec<(i64, i64)> {
    let curve = Curve::through(&[
        ("2014-10-13", 0.0),
        ("2015-10-12", 900_000.0),
        ("2016-10-10", 3_100_000.0),
        ("2017-10-09", 7_000_000.0),
        ("2018-10-08", 13_000_000.0),
        ("2019-10-07", 21_500_000.0),
        ("2020-10-05", 33_500_000.0),
        ("2021-10-04", 47_000_000.0),
        ("2023-04-03", 66_000_000.0),
    ]);
    let season = |at: i64| match month_and_day(at) {
        (1, 8..) => 3.1,
        (1, _) | (12, 27..) => 1.7,
        (2, ..=7) => 1.4,
        (6..=9, _) => 0.75,
        _ => 0.85,
    };
    let spring_2020 = day("2020-03-16")..day("2020-05-18");
    let never_came = day("2018-12-24");
    weeks("2014-10-13", Some("2023-04-03"), today)
        .filter(|at| *at != never_came)
        .map(|at| {
            let spike = if spring_2020.contains(&at) { 2.3 } else { 1.0 };
            let flow = curve.flow(at, WEEK) * season(at) * spike * noise("logins", at, 0.06);
            (at, flow.round() as i64)
        })
        .collect()
}

/// Visits a week: sedate growth, a drop at Christmas 2019 (a cookie change), a spike in spring 2020; and three
/// weeks over a New Year that were reported at once.
pub(super) fn visits(today: i64) -> Vec<pb::Point> {
    let value = |at: i64| {
        let years = (at - day("2013-01-07")) as f64 / 365.25;
        let counted = if at >= day("2019-12-23") { 0.58 } else { 1.0 };
        let spring = if (day("2020-03-09")..day("2020-06-08")).contains(&at) { 2.7 } else { 1.0 };
        let flow = 11_500_000.0 * (1.0 + 0.05 * years) * counted * spring;
        (flow * christmas(at, 0.7) * noise("visits", at, 0.05)).round() as i64
    };
    let joined = day("2016-12-19");
    let mut points = Vec::new();
    for at in weeks("2013-01-07", None, today) {
        if at == joined {
            let three: i64 = (0..3).map(|week| value(at + week * WEEK)).sum();
            let end = Some(pb::point::End::EndDate(date(at + 3 * WEEK)));
            points.push(pb::Point { end, ..point(at, three) });
        } else if !(joined..joined + 3 * WEEK).contains(&at) {
            points.push(point(at, value(at)));
        }
    }
    points
}

/// Apps running at the start of a week: a level.
pub(super) fn apps(today: i64) -> Vec<(i64, i64)> {
    let opened = Curve::through(&[("2020-11-02", 900.0), ("2022-01-03", 1_480.0), ("2023-07-03", 1_500.0)]);
    let closed = Curve::through(&[("2022-07-04", 0.0), ("2023-01-02", 500.0), ("2023-07-03", 1_100.0)]);
    weeks("2020-11-02", Some("2023-07-03"), today)
        .map(|at| (at, ((opened.total(at) - closed.total(at)) * noise("apps", at, 0.01)).round() as i64))
        .collect()
}

/// A page's published totals, rounded down to a tenth of a million; counted from zero again when the page was
/// rebuilt.
pub(super) fn page_total(today: i64) -> Vec<pb::Point> {
    let curve = payments_curve();
    let (launched, rebuilt) = (day("2016-08-29"), day("2023-04-03"));
    weeks("2021-04-12", None, today)
        .map(|at| {
            let start = if at > rebuilt { rebuilt } else { launched };
            let tenths = ((curve.total(at) - curve.total(start)) / 100_000.0) as i64;
            pb::Point { start_time: Some(midnight(start)), ..point(at, tenths * 100_000) }
        })
        .collect()
}

/// UTC midnight: the published total's zone is UTC.
fn midnight(at: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at * 86_400, nanos: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(points: &[(i64, i64)], from: &str, to: &str) -> i64 {
        points.iter().filter(|(at, _)| (day(from)..day(to)).contains(at)).map(|(_, value)| value).sum()
    }

    /// The facts that the demo is made to meet.
    #[test]
    fn the_story_is_told() {
        let today = day("2026-11-24");
        let pay = payments(today);
        assert_eq!(pay[0], (day("2016-08-29"), 1));
        for (at, from, to) in [
            ("2018-08-27", 1_950_000, 2_100_000),
            ("2019-08-26", 3_950_000, 4_200_000),
            ("2020-08-31", 9_500_000, 10_500_000),
            ("2025-03-03", 99_000_000, 104_000_000),
        ] {
            let total = sum(&pay, "2016-01-01", at);
            assert!((from..to).contains(&total), "payments before {at}: {total}");
        }
        assert!(sum(&pay, "2020-03-02", "2020-10-05") > 4_000_000);
        let pounds = sum(&amount(today), "2016-01-01", "2020-10-05") / 100;
        assert!((480_000_000..520_000_000).contains(&pounds), "{pounds}");

        let messages: i64 = [("email", 0.7), ("text", 0.28), ("letter", 0.02)]
            .iter()
            .map(|(channel, share)| sum(&messages(channel, *share, today), "2020-04-05", "2020-10-05"))
            .sum();
        assert!(messages > 1_000_000_000, "{messages}");

        let logins = logins(today);
        let januaries: Vec<i64> =
            (2015..=2020).map(|year| sum(&logins, &format!("{year}-01-01"), &format!("{year}-02-01"))).collect();
        assert!(januaries.is_sorted(), "{januaries:?}");
    }

    #[test]
    fn the_same_again_and_a_longer_one_later() {
        let (early, late) = (payments(day("2020-10-05")), payments(day("2026-11-24")));
        assert_eq!(early, payments(day("2020-10-05")));
        assert_eq!(early[..], late[..early.len()]);
    }

    #[test]
    fn visits_drop_spike_and_come_three_weeks_at_once() {
        let visits = visits(day("2021-01-04"));
        let value = |date: &str| -> i64 {
            let at = Some(pb::point::At::Date(date.into()));
            visits.iter().find(|p| p.at == at).map(|p| p.value.parse().expect("a number")).unwrap_or_default()
        };
        assert!(value("2020-01-20") * 10 < value("2019-12-09") * 7);
        assert!(value("2020-03-30") > 2 * value("2020-02-24"));
        assert_eq!((value("2016-12-26"), value("2017-01-02")), (0, 0));
        assert!(value("2016-12-19") > 2 * value("2017-01-16") * 7 / 10 && value("2017-01-09") > 0);
        assert_eq!(visits.iter().filter(|p| p.end.is_some()).count(), 1);
    }
}
