//! Retries: a change sent again, the same by meaning in another form, or another one under its id.

use milepost::proto::v1::*;

use super::{Chance, World, date_at, is_date, stamp, writes::in_columns};
use crate::{ask::Ask, oracle::Oracle};

impl World {
    /// An earlier write again: the same by meaning, or another under its id.
    pub(super) fn retry(&mut self, chance: &mut Chance, oracle: &Oracle, metric: &Metric) -> Ask {
        let sent: Vec<Ask> = self.sent.iter().filter(|ask| is_there(ask, oracle)).cloned().collect();
        if sent.is_empty() {
            return self.write(chance, oracle, metric);
        }
        let ask = chance.pick(&sent);
        again(chance, oracle, &ask)
    }
}

/// Whether all its metrics are there.
pub fn is_there(ask: &Ask, oracle: &Oracle) -> bool {
    match ask {
        Ask::Write(request) => request.series.iter().all(|entry| oracle.metric(&entry.metric).is_some()),
        ask => oracle.metric(ask.metric()).is_some(),
    }
}

/// The change again, as a client sends it that never heard the answer: in any order and form; now and then the id is
/// used for another one.
pub fn again(chance: &mut Chance, oracle: &Oracle, ask: &Ask) -> Ask {
    let mut ask = ask.clone();
    let differs = chance.percent(15);
    match &mut ask {
        Ask::Write(request) => {
            chance.shuffle(&mut request.series);
            for entry in &mut request.series {
                chance.shuffle(&mut entry.points);
                if let Some(metric) = oracle.metric(&entry.metric) {
                    entry.points.iter_mut().for_each(|point| said_otherwise(chance, &metric.time_zone, point));
                    if chance.percent(50) {
                        *entry = in_columns(chance, metric, entry.clone());
                    }
                }
            }
            if differs {
                request.reason.push_str(" again");
            }
        }
        Ask::Retract(request) if differs => request.reason.push_str(" again"),
        Ask::Opening(request) if differs => request.note.push_str(" again"),
        Ask::Opening(request) => {
            let zone = oracle.metric(&request.metric).map(|metric| metric.time_zone.clone()).unwrap_or_default();
            if let Some(set_opening_balance_request::At::Time(time)) = request.at
                && let Some(date) = date_of(&zone, &time)
            {
                request.at = Some(set_opening_balance_request::At::Date(date));
            }
        }
        _ => {}
    }
    ask
}

/// Times as dates where they are the first instant of one, dates as times.
fn said_otherwise(chance: &mut Chance, zone: &str, point: &mut Point) {
    if chance.percent(50) {
        return;
    }
    point.at = match point.at.take() {
        Some(point::At::Time(time)) => Some(date_of(zone, &time).map_or(point::At::Time(time), point::At::Date)),
        Some(point::At::Date(date)) => Some(time_of(zone, &date).map_or(point::At::Date(date), point::At::Time)),
        None => None,
    };
    point.end = match point.end.take() {
        Some(point::End::EndTime(time)) => {
            Some(date_of(zone, &time).map_or(point::End::EndTime(time), point::End::EndDate))
        }
        Some(point::End::EndDate(date)) => {
            Some(time_of(zone, &date).map_or(point::End::EndDate(date), point::End::EndTime))
        }
        None => None,
    };
}

fn date_of(zone: &str, time: &prost_types::Timestamp) -> Option<String> {
    let at = crate::oracle::nanos(time);
    is_date(zone, at).then(|| date_at(zone, at))
}

fn time_of(zone: &str, date: &str) -> Option<prost_types::Timestamp> {
    let zone = crate::oracle::calendar::time_zone(zone);
    crate::oracle::calendar::first_instant(&zone, date.parse().ok()?).map(stamp)
}
