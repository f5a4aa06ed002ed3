//! What of a series, or of a metric, was acknowledged and cannot be read any more: since which revision, for which
//! keys, and where the damage is. It is kept with the series until it is given up, and whoever asks for it is refused.
//!
//! ```text
//! n, then for each: text file, varint offset, text what, time first, time last, time last end, varint revision, flags
//! flags  1: points were only taken back  2: it was given up, and nobody knows what it was (from format 3 of pages and
//! components on)
//! ```

use super::batch::MetricId;
use super::codec::{Reader, Undecodable, Writer};
use crate::domain::definition::Definition;
use crate::domain::name::MetricName;
use crate::domain::point::Labels;
use crate::domain::time::{Interval, Time};
use crate::planted::{self, Bug};
use crate::store::{Damage, StoreError, Touched};

/// Changes of keys that are lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lost {
    /// Where they were.
    pub damage: Damage,
    /// The first key among them.
    pub first: Time,
    /// The last key among them.
    pub last: Time,
    /// The latest end of what was written there.
    pub last_end: Time,
    /// The revision that changed them.
    pub revision: i64,
    /// It only took points back.
    pub taken_back: bool,
    /// It was given up, and nobody knows what it was: it stays refused until its metric is deleted.
    pub given_up: bool,
}

/// When revisions were recorded, by whom and why, where that is lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LostFacts {
    /// Where it was.
    pub damage: Damage,
    /// The first of them.
    pub first: i64,
    /// The last of them.
    pub last: i64,
}

/// Request ids that are lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LostIds {
    /// Where they were.
    pub damage: Damage,
    /// When the last of them was recorded.
    pub last: Time,
}

/// A definition of a metric that is lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LostMetric {
    /// The metric.
    pub name: MetricName,
    /// Its creation.
    pub id: MetricId,
    /// Nobody knows what its points mean: what is written to it from here on is lost too.
    pub skips: bool,
    /// Of all keys.
    pub lost: Lost,
}

impl Lost {
    /// Of all keys, and of the opening.
    pub fn whole(damage: Damage, revision: i64) -> Lost {
        Lost {
            damage,
            first: Time::MIN,
            last: Time::MAX,
            last_end: Time::MAX,
            revision,
            taken_back: false,
            given_up: false,
        }
    }

    /// Of all keys, and of the opening, at every revision, for good.
    pub fn for_good(damage: Damage) -> Lost {
        Lost { given_up: true, ..Lost::whole(damage, 1) }
    }

    /// Whether it is of all keys, and of the opening.
    pub fn is_whole(&self) -> bool {
        self.first == Time::MIN && self.last == Time::MAX
    }

    /// Whether it is of a revision (None: now) or of one before, and wrote points.
    pub fn wrote(&self, revision: Option<i64>) -> bool {
        !self.taken_back && revision.is_none_or(|r| self.revision <= r)
    }

    /// Whether what is known at a revision (None: now) rests on it, at a key of the interval.
    fn touches(&self, interval: &Interval, revision: Option<i64>) -> bool {
        revision.is_none_or(|r| self.revision <= r) && self.first < interval.end && interval.start <= self.last
    }

    /// That it is asked for. `series` names whose it is.
    pub fn refused(&self, series: String) -> StoreError {
        let (first, last) = (self.first, self.last);
        StoreError::from(self.damage.clone()).touching(|| Touched { series, first, last })
    }

    fn write(&self, out: &mut Writer) {
        out.text(&self.damage.file);
        out.unsigned(self.damage.offset);
        out.text(&self.damage.what);
        [self.first, self.last, self.last_end].into_iter().for_each(|time| out.time(time));
        out.signed(self.revision);
        out.byte(u8::from(self.taken_back) | u8::from(self.given_up) << 1);
    }

    fn read(reader: &mut Reader) -> Result<Lost, Undecodable> {
        let file = reader.text()?.to_string();
        let damage = Damage { file, offset: reader.unsigned()?, what: reader.text()?.to_string() };
        let (first, last, last_end) = (reader.time()?, reader.time()?, reader.time()?);
        let (revision, flags) = (reader.signed()?, reader.byte()?);
        let (taken_back, given_up) = (flags & 1 != 0, flags & 2 != 0);
        Ok(Lost { damage, first, last, last_end, revision, taken_back, given_up })
    }
}

/// What is lost of one series.
pub fn write_lost(out: &mut Writer, lost: &[Lost]) {
    let lost = if planted::is(Bug::FoldDamageAway) { &[] } else { lost };
    out.unsigned(lost.len() as u64);
    lost.iter().for_each(|lost| lost.write(out));
}

/// As `write_lost`.
pub fn read_lost(reader: &mut Reader) -> Result<Vec<Lost>, Undecodable> {
    let count = reader.count()?;
    (0..count).map(|_| Lost::read(reader)).collect()
}

/// What is lost of a component's catalogue.
pub fn write_lost_metrics(out: &mut Writer, lost: &[LostMetric]) {
    let lost = if planted::is(Bug::FoldDamageAway) { &[] } else { lost };
    out.unsigned(lost.len() as u64);
    for metric in lost {
        out.text(metric.name.as_str());
        out.unsigned(metric.id.0);
        out.byte(u8::from(metric.skips));
        metric.lost.write(out);
    }
}

/// As `write_lost_metrics`.
pub fn read_lost_metrics(reader: &mut Reader) -> Result<Vec<LostMetric>, Undecodable> {
    let count = reader.count()?;
    let one = |_| {
        let name = MetricName::parse(reader.text()?).ok_or(Undecodable::Form("not a metric's name"))?;
        let (id, skips) = (MetricId(reader.unsigned()?), reader.byte()? != 0);
        Ok(LostMetric { name, id, skips, lost: Lost::read(reader)? })
    };
    (0..count).map(one).collect()
}

/// Names a series where it is refused.
#[derive(Clone, Copy)]
pub struct Whose<'a> {
    /// Its metric.
    pub definition: &'a Definition,
    /// Its label values.
    pub labels: &'a Labels,
}

impl Whose<'_> {
    /// As `team/metric{channel="email"}`.
    pub fn text(&self) -> String {
        series_text(&self.definition.name, &self.definition.label_names, self.labels)
    }
}

/// A series, as `team/metric{channel="email"}`; labels whose names are not known go without them.
pub fn series_text(metric: &MetricName, names: &[String], labels: &Labels) -> String {
    if labels.is_empty() {
        return metric.to_string();
    }
    let names = names.iter().map(|name| format!("{name}=")).chain(std::iter::repeat(String::new()));
    let labels: Vec<String> = labels.iter().zip(names).map(|(value, name)| format!("{name}{value:?}")).collect();
    format!("{metric}{{{}}}", labels.join(","))
}

/// Refuses what rests on a lost key of the interval, as known at a revision (None: now).
pub fn check(
    lost: &[Lost],
    interval: &Interval,
    revision: Option<i64>,
    whose: impl FnOnce() -> String,
) -> Result<(), StoreError> {
    match lost.iter().find(|lost| lost.touches(interval, revision)) {
        None => Ok(()),
        Some(lost) => Err(lost.refused(whose())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_comes_back() {
        let damage = Damage { file: "log/7.log".into(), offset: 640, what: "a checksum differs".into() };
        let one = Lost {
            damage: damage.clone(),
            first: Time(-4),
            last: Time(9),
            last_end: Time(10),
            revision: 3,
            taken_back: true,
            given_up: false,
        };
        let all = vec![one.clone(), Lost::whole(damage.clone(), i64::MAX), Lost::for_good(damage)];
        let mut out = Writer::default();
        write_lost(&mut out, &all);
        let mut reader = Reader(&out.0);
        assert_eq!((read_lost(&mut reader), reader.end()), (Ok(all), Ok(())));
        let metrics = vec![LostMetric {
            name: MetricName::parse("team/metric").expect("a name"),
            id: MetricId(4),
            skips: true,
            lost: one,
        }];
        let mut out = Writer::default();
        write_lost_metrics(&mut out, &metrics);
        let mut reader = Reader(&out.0);
        assert_eq!((read_lost_metrics(&mut reader), reader.end()), (Ok(metrics), Ok(())));
    }

    #[test]
    fn only_what_rests_on_it_is_refused() {
        let damage = Damage { file: "f".into(), offset: 1, what: "w".into() };
        let (first, last, last_end) = (Time(10), Time(20), Time(21));
        let lost = [Lost { first, last, last_end, ..Lost::whole(damage, 5) }];
        let asked = |from, to, revision| {
            let interval = Interval::new(Time(from), Time(to));
            check(&lost, &interval, revision, || "team/metric".to_string()).is_err()
        };
        assert!(asked(20, 21, None) && asked(0, 11, Some(5)) && asked(15, 16, Some(9)));
        assert!(!asked(0, 10, None) && !asked(21, 99, None) && !asked(0, 99, Some(4)));
    }
}
