//! Sends batches over one stream, many in flight, and takes the faulty rows out of those that are refused.

use super::Reject;
use super::batch::{Batch, Writer, Written};
use crate::cli::connection::Server;
use crate::cli::error::Error;
use crate::domain::decimal;
use crate::proto::v1 as pb;
use indicatif::ProgressBar;
use pb::stream_points_response::Outcome;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Batches sent and not yet answered, at most.
const IN_FLIGHT_MAX: usize = 16;
/// How often a batch is sent anew because the server was busy.
const BUSY_RETRIES_MAX: usize = 100;
/// How long to wait where a busy server does not say.
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// What became of the points.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    pub(super) new: i64,
    pub(super) corrected: i64,
    pub(super) unchanged: i64,
    /// Points of batches that had been answered before.
    pub(super) replayed: i64,
    /// The last one answered.
    pub(super) revision: i64,
}

struct Sent {
    rows: Vec<usize>,
    places: Vec<Vec<usize>>,
    request_id: String,
}

struct Stream {
    requests: mpsc::Sender<pb::StreamPointsRequest>,
    answers: tonic::Streaming<pb::StreamPointsResponse>,
}

/// Sends batches.
pub(super) struct Sender<'a> {
    server: &'a Server,
    writer: &'a Writer<'a>,
    progress: ProgressBar,
    stream: Option<Stream>,
    in_flight: VecDeque<Sent>,
    tally: Tally,
    rejects: Vec<Reject>,
}

impl<'a> Sender<'a> {
    pub(super) fn new(server: &'a Server, writer: &'a Writer<'a>, progress: ProgressBar) -> Sender<'a> {
        Sender {
            server,
            writer,
            progress,
            stream: None,
            in_flight: VecDeque::new(),
            tally: Tally::default(),
            rejects: Vec::new(),
        }
    }

    /// Sends a batch; waits for earlier ones only where too many are in flight, or it corrects one of them.
    pub(super) async fn send(&mut self, batch: &Batch) -> Result<(), Error> {
        let in_flight_max = if batch.corrects { 0 } else { IN_FLIGHT_MAX - 1 };
        while self.in_flight.len() > in_flight_max {
            self.settle_oldest().await?;
        }
        self.transmit(batch.rows.clone()).await
    }

    /// Waits for every answer.
    pub(super) async fn finish(mut self) -> Result<(Tally, Vec<Reject>), Error> {
        while !self.in_flight.is_empty() {
            self.settle_oldest().await?;
        }
        self.progress.finish_and_clear();
        Ok((self.tally, self.rejects))
    }

    async fn transmit(&mut self, rows: Vec<usize>) -> Result<(), Error> {
        let Written { request, places } = self.writer.request(&rows);
        self.in_flight.push_back(Sent { rows, places, request_id: request.request_id.clone() });
        let message = pb::StreamPointsRequest { write: Some(request) };
        match &self.stream {
            Some(stream) => {
                // A stream that has ended says why when its answers are read.
                let _ = stream.requests.send(message).await;
            }
            None => {
                let (requests, receiver) = mpsc::channel(IN_FLIGHT_MAX);
                // The first message is in the channel before the call: a server may wait for it.
                let _ = requests.send(message).await;
                let call = self.server.ingest().stream_points(ReceiverStream::new(receiver)).await;
                let answers = call.map_err(|status| self.interrupted(status))?.into_inner();
                self.stream = Some(Stream { requests, answers });
            }
        }
        Ok(())
    }

    /// The oldest batch in flight, and what became of it.
    async fn answer(&mut self) -> Result<(Sent, Outcome), Error> {
        let message = match &mut self.stream {
            Some(stream) => stream.answers.message().await,
            None => Ok(None),
        };
        let message = message.map_err(|status| self.interrupted(status))?;
        let ended = || {
            Error::Failed(
                "the server ended the stream before it answered every batch; run the same command again".into(),
            )
        };
        let (message, sent) = message.zip(self.in_flight.pop_front()).ok_or_else(ended)?;
        if message.request_id != sent.request_id {
            return Err(Error::Failed(format!(
                "the server answered batch {} where {} was due",
                message.request_id, sent.request_id
            )));
        }
        Ok((sent, message.outcome.ok_or_else(ended)?))
    }

    async fn settle_oldest(&mut self) -> Result<(), Error> {
        let (sent, refusal) = match self.answer().await? {
            (sent, Outcome::Response(response)) => {
                self.accept(&sent, &response);
                return Ok(());
            }
            (sent, Outcome::Refusal(refusal)) => (sent, refusal),
        };
        // The batches behind it were judged without it, so a refusal among them may not hold once it is in:
        // those are sent anew, one after the other.
        let mut behind = Vec::new();
        while !self.in_flight.is_empty() {
            match self.answer().await? {
                (sent, Outcome::Response(response)) => self.accept(&sent, &response),
                (sent, Outcome::Refusal(_)) => behind.push(sent.rows),
            }
        }
        self.settle_alone(sent.rows.clone(), Some((sent, refusal))).await?;
        for rows in behind {
            self.settle_alone(rows, None).await?;
        }
        Ok(())
    }

    /// Sends rows with nothing else in flight, without those that are refused, until the rest is taken.
    async fn settle_alone(
        &mut self,
        mut rows: Vec<usize>,
        mut refused: Option<(Sent, pb::Refusal)>,
    ) -> Result<(), Error> {
        let mut busy = 0;
        loop {
            if let Some((sent, refusal)) = refused.take() {
                if refusal.code == i32::from(pb::refusal::Code::ResourceExhausted) && busy < BUSY_RETRIES_MAX {
                    busy += 1;
                    tokio::time::sleep(retry_delay(&refusal)).await;
                } else {
                    rows = self.without_faults(&sent, &refusal)?;
                }
            }
            if rows.is_empty() {
                return Ok(());
            }
            self.transmit(rows.clone()).await?;
            match self.answer().await? {
                (sent, Outcome::Response(response)) => {
                    self.accept(&sent, &response);
                    return Ok(());
                }
                (sent, Outcome::Refusal(refusal)) => refused = Some((sent, refusal)),
            }
        }
    }

    fn accept(&mut self, sent: &Sent, response: &pb::WritePointsResponse) {
        let tally = &mut self.tally;
        tally.revision = tally.revision.max(response.revision);
        if response.replayed {
            tally.replayed += response.accepted_count;
        } else {
            tally.corrected += response.corrected_count;
            tally.unchanged += response.unchanged_count;
            tally.new += response.accepted_count - response.corrected_count - response.unchanged_count;
        }
        self.progress.inc(sent.rows.len() as u64);
    }

    /// The rows that are left when the faulty ones are rejected. Error: the fault is no row's.
    fn without_faults(&mut self, sent: &Sent, refusal: &pb::Refusal) -> Result<Vec<usize>, Error> {
        let mut faults: BTreeMap<usize, String> = BTreeMap::new();
        let mut fell = false;
        for violation in &refusal.violations {
            let reason = pb::Reason::try_from(violation.reason).unwrap_or_default();
            fell |= reason == pb::Reason::LevelFell;
            for row in rows_of(&violation.field, &sent.places) {
                faults.entry(row).or_insert_with(|| format!("{}: {}", reason.as_str_name(), violation.description));
            }
        }
        if faults.is_empty() {
            let first = sent.rows.first().map(|i| self.writer.rows[*i].line).unwrap_or_default();
            return Err(Error::Failed(format!(
                "the batch that begins at line {first} was refused: {} [{} {}]",
                refusal.message,
                pb::refusal::Code::try_from(refusal.code).unwrap_or_default().as_str_name(),
                pb::Reason::try_from(refusal.reason).unwrap_or_default().as_str_name(),
            )));
        }
        let mut left: Vec<usize> = sent.rows.iter().copied().filter(|i| !faults.contains_key(i)).collect();
        if fell {
            self.add_falls(&left, &mut faults);
            left.retain(|i| !faults.contains_key(i));
        }
        self.progress.inc(faults.len() as u64);
        self.rejects.extend(faults.into_iter().map(|(i, reason)| {
            let row = &self.writer.rows[i];
            Reject { line: row.line, offset: row.offset, reason }
        }));
        Ok(left)
    }

    /// Where a report was refused, those after it may fall too: named here, they need no further round each.
    fn add_falls(&self, left: &[usize], faults: &mut BTreeMap<usize, String>) {
        let mut order = left.to_vec();
        order.sort_by_key(|i| self.writer.rows[*i].key());
        let mut before: Option<usize> = None;
        for i in order {
            let row = &self.writer.rows[i];
            let previous = before.map(|b| &self.writer.rows[b]).filter(|p| p.series == row.series);
            match previous {
                Some(previous)
                    if row.units < previous.units
                        && !row.restated
                        && row.start.is_none_or(|start| start < previous.time) =>
                {
                    let scale = self.writer.target.scale;
                    let level = decimal::format(i128::from(row.units), scale);
                    let level_before = decimal::format(i128::from(previous.units), scale);
                    faults.insert(i, format!("LEVEL_FELL: {level} is below {level_before} of line {}", previous.line));
                }
                _ => before = Some(i),
            }
        }
    }

    fn interrupted(&self, status: tonic::Status) -> Error {
        let done = self.tally.new + self.tally.corrected + self.tally.unchanged + self.tally.replayed;
        Error::Failed(format!(
            "interrupted after {done} points: {} [{}]; run the same command again, what is in already is not counted twice",
            status.message(),
            crate::cli::error::code_name(status.code()),
        ))
    }
}

fn retry_delay(refusal: &pb::Refusal) -> Duration {
    refusal.retry_delay.and_then(|delay| Duration::try_from(delay).ok()).unwrap_or(BUSY_WAIT)
}

/// The rows that a violation's field speaks of: `series[3].points[17].value` one, `series[3].labels` all of it.
fn rows_of(field: &str, places: &[Vec<usize>]) -> Vec<usize> {
    let Some((series, rest)) = indexed(field, "series") else { return Vec::new() };
    let Some(rows) = places.get(series) else { return Vec::new() };
    match indexed(rest, ".points") {
        Some((point, _)) => rows.get(point).copied().into_iter().collect(),
        None => rows.clone(),
    }
}

/// `name[12]rest` to 12 and the rest.
fn indexed<'f>(field: &'f str, name: &str) -> Option<(usize, &'f str)> {
    let (number, rest) = field.strip_prefix(name)?.strip_prefix('[')?.split_once(']')?;
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::rows_of;

    #[test]
    fn a_fault_finds_its_rows() {
        let places = [vec![0, 2], vec![1]];
        assert_eq!(rows_of("series[0].points[1].time", &places), [2]);
        assert_eq!(rows_of("series[1].points[0]", &places), [1]);
        assert_eq!(rows_of("series[0].labels", &places), [0, 2]);
        assert!(rows_of("series[2].points[0]", &places).is_empty());
        assert!(rows_of("series[0].points[9]", &places).is_empty());
        assert!(rows_of("request_id", &places).is_empty());
    }
}
