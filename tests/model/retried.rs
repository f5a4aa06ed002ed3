//! An answer is lost after its commit, and the client sends the batch again 1 to 5 times: it counts once. Through the
//! service, over all stores, with folds, restarts, kills and power cuts in between, in other forms, under used ids.
//!
//! No oracle: every batch adds, so that what is counted twice is seen in the total, and makes one revision, so that it
//! is seen there too. `MILEPOST_RETRIES` says how many batches are sent again, `MILEPOST_MODEL_SEED` which run is first.

use std::collections::BTreeMap;

use milepost::proto::v1::*;

use crate::{
    ask::{Ask, Reply},
    asked::{Asked, Refusal},
    campaign::number,
    generate::{Chance, Ending, IndexFate, Restart, create},
    oracle::timestamp,
    server::{Server, runtime},
};

/// Batches that are sent again in each run of CI, and in a plain `cargo test`.
const RETRIES: [u64; 2] = [2_000, 400];
/// Batches of one server.
const BATCHES: u64 = 150;
const NAME: &str = "c/first";
const CHANNELS: [&str; 3] = ["web", "mail", "post"];
const DAY: i128 = 86_400_000_000_000;

#[derive(Default)]
struct Figures {
    servers: u64,
    batches: u64,
    /// Batches that were sent again.
    retried: u64,
    retries: u64,
    replayed: u64,
    /// Answers that never came: the server was gone.
    unheard: u64,
    reused: u64,
    restarts: u64,
}

/// One server, its client, and what must have been counted.
struct Client {
    server: Server,
    chance: Chance,
    now: i64,
    counted: BTreeMap<&'static str, i64>,
    revision: i64,
}

#[test]
fn a_batch_sent_again_counts_once() {
    let each_run = RETRIES[usize::from(std::env::var_os("MILEPOST_EACH_RUN").is_none())];
    let (wanted, first) = (number("MILEPOST_RETRIES", each_run), number("MILEPOST_MODEL_SEED", 1));
    let mut figures = Figures::default();
    for seed in first.. {
        if figures.retried >= wanted {
            break;
        }
        figures.servers += 1;
        let mut client = Client::new(seed);
        for number in 0..BATCHES {
            client.batch(number, &mut figures).unwrap_or_else(|wrong| panic!("MILEPOST_MODEL_SEED={seed}: {wrong}"));
        }
        client.restart(&mut figures);
        client.check().unwrap_or_else(|wrong| panic!("MILEPOST_MODEL_SEED={seed}: {wrong}"));
    }
    let Figures { servers, batches, retried, retries, replayed, unheard, reused, restarts } = figures;
    println!(
        "retries, seeds from {first}: {servers} servers, {batches} batches, {retried} of them sent again, {retries} \
         times, {replayed} replayed, {unheard} answers unheard, {reused} ids reused, {restarts} restarts"
    );
    assert!(replayed > retried && unheard > retried / 50 && reused > retried / 50 && restarts > retried / 50);
}

impl Client {
    fn new(seed: u64) -> Client {
        let mut metric = Metric {
            name: NAME.to_owned(),
            period: "P1D".to_owned(),
            label_names: vec!["channel".to_owned()],
            ..Metric::default()
        };
        metric.set_kind(metric::Kind::Delta);
        let mut server = Server::fresh(seed);
        server.ask(&create(metric), None, 1).expect("a metric");
        Client { server, chance: Chance::new(seed), now: 2, counted: BTreeMap::new(), revision: 1 }
    }

    /// One batch, sent until its answer is heard, and then again.
    fn batch(&mut self, number: u64, figures: &mut Figures) -> Result<(), String> {
        figures.batches += 1;
        self.now += self.chance.within(1, 3_600_000_000_000);
        let channel = self.chance.pick(&CHANNELS);
        let days: Vec<i64> = (0..self.chance.within(1, 4)).map(|i| i * 20 + self.chance.within(0, 20)).collect();
        let values: Vec<i64> = days.iter().map(|_| self.chance.within(1, 9)).collect();
        let id = format!("batch {number}");
        let mut first = match self.chance.percent(15) {
            true => self.send_into_a_crash(&id, channel, &days, &values, figures),
            false => Some(self.send(&id, channel, &days, &values).map_err(|refusal| format!("{refusal:?}"))?),
        };
        *self.counted.entry(channel).or_default() += values.iter().sum::<i64>();
        self.revision += 1;
        if first.is_some() && self.chance.percent(20) {
            return Ok(());
        }
        figures.retried += 1;
        for _ in 0..self.chance.within(1, 6) {
            figures.retries += 1;
            if self.chance.percent(4) {
                self.restart(figures);
            }
            if self.chance.percent(5) {
                self.server.fold();
            }
            if first.is_some() && self.chance.percent(8) {
                self.reuse(&id, channel, &days, &values)?;
                figures.reused += 1;
                continue;
            }
            let answer = self.send(&id, channel, &days, &values).map_err(|refusal| format!("{refusal:?}"))?;
            let Reply::Write(answer) = answer else { unreachable!("a batch is answered as one") };
            figures.replayed += u64::from(answer.replayed);
            let same = match &first {
                Some(Reply::Write(first)) => answer == WritePointsResponse { replayed: true, ..*first },
                _ => answer.revision == self.revision,
            };
            if !same {
                return Err(format!("{id} is answered {answer:?}, the first time {first:?}"));
            }
            first.get_or_insert(Reply::Write(answer));
        }
        if first.is_none() || self.chance.percent(5) { self.check() } else { Ok(()) }
    }

    /// The server is gone while the batch is in flight.
    fn send_into_a_crash(
        &mut self,
        id: &str,
        channel: &str,
        days: &[i64],
        values: &[i64],
        figures: &mut Figures,
    ) -> Option<Reply> {
        let restart = self.crash_of();
        let ask = Ask::Write(self.request(id, channel, days, values));
        self.server.set_clock(self.now);
        figures.restarts += 1;
        let first = self.server.crash(&restart, &[ask]).remove(0).and_then(Result::ok);
        figures.unheard += u64::from(first.is_none());
        first
    }

    /// The batch in any of its forms.
    fn request(&mut self, id: &str, channel: &str, days: &[i64], values: &[i64]) -> WritePointsRequest {
        let mut series = SeriesPoints {
            metric: NAME.to_owned(),
            labels: BTreeMap::from([("channel".to_owned(), channel.to_owned())]),
            ..SeriesPoints::default()
        };
        if self.chance.percent(40) {
            let unix_nanos = days.iter().map(|day| day * DAY as i64).collect();
            let times = Some(columns::Times::Fixed(FixedTimes { unix_nanos }));
            series.columns = Some(Columns { times, units: values.to_vec(), start_times: Vec::new() });
        } else {
            for (day, value) in days.iter().zip(values) {
                let date = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(*day)).expect("a date");
                let at = match self.chance.percent(50) {
                    true => point::At::Date(date.to_string()),
                    false => point::At::Time(timestamp(i128::from(*day) * DAY)),
                };
                series.points.push(Point { at: Some(at), value: value.to_string(), ..Point::default() });
            }
            self.chance.shuffle(&mut series.points);
        }
        let mut request =
            WritePointsRequest { request_id: id.to_owned(), series: vec![series], ..WritePointsRequest::default() };
        request.set_mode(write_points_request::Mode::Add);
        request
    }

    /// Through one call or another.
    fn send(&mut self, id: &str, channel: &str, days: &[i64], values: &[i64]) -> Result<Reply, Refusal> {
        let request = self.request(id, channel, days, values);
        self.answer(request)
    }

    fn answer(&mut self, request: WritePointsRequest) -> Result<Reply, Refusal> {
        if !self.chance.percent(35) {
            return self.server.ask(&Ask::Write(request), None, self.now);
        }
        self.server.set_clock(self.now);
        let heard = runtime().block_on(self.server.served().stream(vec![request], 1)).remove(0);
        heard.expect("a stream is answered")
    }

    /// The id with another body.
    fn reuse(&mut self, id: &str, channel: &str, days: &[i64], values: &[i64]) -> Result<(), String> {
        let mut request = self.request(id, channel, days, values);
        request.reason = "another".to_owned();
        match self.answer(request) {
            Err(refusal) if refusal.reason == Reason::RequestIdReused => Ok(()),
            other => Err(format!("{id} with another body is answered {other:?}")),
        }
    }

    fn crash_of(&mut self) -> Restart {
        let mut restart = Restart::some(&mut self.chance);
        restart.ending = self.chance.pick(&[Ending::Killed, Ending::PowerCut]);
        restart
    }

    fn restart(&mut self, figures: &mut Figures) {
        figures.restarts += 1;
        if self.chance.percent(40) {
            let index = self.chance.pick(&[IndexFate::Kept, IndexFate::Lost, IndexFate::Older, IndexFate::Copied]);
            self.server.restart_with(index);
        } else {
            let restart = self.crash_of();
            self.server.crash(&restart, &[]);
        }
    }

    /// Every batch counts once, in the total and among the revisions.
    fn check(&mut self) -> Result<(), String> {
        let selection =
            Selection { metric: NAME.to_owned(), group_by: vec!["channel".to_owned()], ..Selection::default() };
        let request = GetTotalRequest { selection: Some(selection), ..GetTotalRequest::default() };
        let answer = self.server.ask(&Ask::Total(request), None, self.now).map_err(|refusal| format!("{refusal:?}"))?;
        let Reply::Total(answer) = answer else { unreachable!("a total is answered with one") };
        let found: BTreeMap<&str, i64> = answer
            .totals
            .iter()
            .map(|total| {
                (total.group["channel"].as_str(), total.total.as_ref().expect("one").parse().expect("a number"))
            })
            .collect();
        let revision = answer.answer.map(|answer| answer.revision);
        if found == self.counted && revision == Some(self.revision) {
            return Ok(());
        }
        Err(format!("{found:?} at {revision:?}; counted were {:?} in {}", self.counted, self.revision))
    }
}
