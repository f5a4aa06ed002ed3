//! A smooth total through known figures, and noise that repeats itself.
//!
//! Only sums, products and quotients of floats, which give the same bits on every machine.

use crate::random::SeededRandom;

/// A total that grows without a jump through some figures (monotone cubic interpolation, Fritsch and Carlson).
pub(super) struct Curve {
    knots: Vec<Knot>,
}

struct Knot {
    day: f64,
    total: f64,
    pace: f64,
}

impl Curve {
    /// `figures`: (date, total at its start), at least two, both ascending.
    pub(super) fn through(figures: &[(&str, f64)]) -> Curve {
        let at: Vec<(f64, f64)> = figures.iter().map(|(date, total)| (day(date) as f64, *total)).collect();
        let pace = |a: (f64, f64), b: (f64, f64)| (b.1 - a.1) / (b.0 - a.0);
        let knots = (0..at.len()).map(|i| {
            let before = (i > 0).then(|| pace(at[i - 1], at[i]));
            let after = (i + 1 < at.len()).then(|| pace(at[i], at[i + 1]));
            let pace = match (before, after) {
                // The harmonic mean keeps the curve from falling between figures.
                (Some(b), Some(a)) if b > 0.0 && a > 0.0 => 2.0 * a * b / (a + b),
                (Some(_), Some(_)) | (None, None) => 0.0,
                (Some(p), None) | (None, Some(p)) => p,
            };
            Knot { day: at[i].0, total: at[i].1, pace }
        });
        Curve { knots: knots.collect() }
    }

    /// The total at a day's start; beyond the last figure it goes on at the last pace.
    pub(super) fn total(&self, day: i64) -> f64 {
        let day = day as f64;
        let next = self.knots.partition_point(|knot| knot.day <= day);
        match (next.checked_sub(1).map(|i| &self.knots[i]), self.knots.get(next)) {
            (Some(a), Some(b)) => {
                let length = b.day - a.day;
                let t = (day - a.day) / length;
                let (t2, t3) = (t * t, t * t * t);
                (2.0 * t3 - 3.0 * t2 + 1.0) * a.total
                    + (t3 - 2.0 * t2 + t) * length * a.pace
                    + (3.0 * t2 - 2.0 * t3) * b.total
                    + (t3 - t2) * length * b.pace
            }
            (Some(last), None) => last.total + (day - last.day) * last.pace,
            (None, _) => 0.0,
        }
    }

    /// What happens in `[day, day + days)`.
    pub(super) fn flow(&self, day: i64, days: i64) -> f64 {
        self.total(day + days) - self.total(day)
    }
}

/// Days since 1970-01-01 of a date of the demo.
pub(super) fn day(date: &str) -> i64 {
    let date: jiff::civil::Date = date.parse().expect("the demo's own dates are dates");
    i64::from((date - jiff::civil::date(1970, 1, 1)).get_days())
}

/// `YYYY-MM-DD` of days since 1970-01-01.
pub(super) fn date(day: i64) -> String {
    civil(day).to_string()
}

/// Month and day of the month.
pub(super) fn month_and_day(day: i64) -> (i8, i8) {
    let date = civil(day);
    (date.month(), date.day())
}

fn civil(day: i64) -> jiff::civil::Date {
    jiff::civil::date(1970, 1, 1) + jiff::SignedDuration::from_hours(24 * day)
}

/// A factor around 1, up to `width` away: the same for the same series and day, on every machine.
pub(super) fn noise(series: &str, day: i64, width: f64) -> f64 {
    const SEED: u64 = 20_201_005;
    let named = series.bytes().fold(SEED, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let drawn = SeededRandom::new(named ^ day.unsigned_abs()).next();
    // 53 bits: exactly the fraction of a float.
    let unit = (drawn >> 11) as f64 / (1_u64 << 53) as f64;
    1.0 + width * (2.0 * unit - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_goes_through_its_figures_and_never_falls() {
        let figures = [("2016-08-29", 0.0), ("2017-08-28", 4e5), ("2018-08-27", 2e6), ("2020-10-05", 1e7)];
        let curve = Curve::through(&figures);
        for (at, total) in figures {
            assert!((curve.total(day(at)) - total).abs() < 1e-6 * total.max(1.0), "{at}");
        }
        for d in day("2016-08-01")..day("2021-12-31") {
            assert!(curve.flow(d, 1) >= 0.0, "{}", date(d));
        }
    }

    #[test]
    fn noise_repeats_itself_and_stays_near_one() {
        let drawn: Vec<f64> = (0..1_000).map(|d| noise("a/b", d, 0.1)).collect();
        assert_eq!(drawn, (0..1_000).map(|d| noise("a/b", d, 0.1)).collect::<Vec<_>>());
        assert!(drawn.iter().all(|n| (0.9..1.1).contains(n)));
        let mean = drawn.iter().sum::<f64>() / 1_000.0;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        assert!((noise("a/b", 1, 0.1) - noise("a/c", 1, 0.1)).abs() > 1e-9);
    }

    #[test]
    fn days_read_back() {
        for text in ["1970-01-01", "2016-02-29", "2026-12-31"] {
            assert_eq!(date(day(text)), text);
        }
    }
}
