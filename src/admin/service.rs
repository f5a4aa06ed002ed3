//! `AdminService`: the work is done on threads of its own; a call that is left, or a server that stops, ends it.

use crate::engine::Engine;
use crate::engine::verify::{Counts, Finding, Watch};
use crate::proto::v1 as pb;
use crate::proto::v1::admin_service_server::AdminService;
use crate::proto::v1::backup_response::Event as BackupEvent;
use crate::proto::v1::verify_response::Event as VerifyEvent;
use crate::store::StoreError;
use crate::store::embedded::EmbeddedStore;
use crate::store::embedded::backup::{BackedUp, BackupError, id_text};
use std::collections::BTreeMap;
use std::ops::ControlFlow::{self, Break, Continue};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Answers of a call that may wait for its caller.
const ANSWERS_MAX: usize = 64;
/// Progress is told about so often.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// See the module.
pub struct Admin {
    engine: Engine,
    store: Arc<EmbeddedStore>,
    stopping: watch::Receiver<bool>,
    /// Every job has a clone: when all are gone, all have ended.
    jobs: mpsc::Sender<()>,
    ended: Option<Ended>,
}

/// Waits for jobs that are under way.
pub struct Ended(mpsc::Receiver<()>);

impl Ended {
    /// Until all have ended, and no more can begin.
    pub async fn wait(mut self) {
        while self.0.recv().await.is_some() {}
    }
}

/// What a call sends.
type Answers<T> = mpsc::Sender<Result<T, Status>>;
/// What a call is answered with.
pub type Answered<T> = ReceiverStream<Result<T, Status>>;

impl Admin {
    /// Of an open store, until `stopping` says true.
    pub fn new(engine: Engine, store: Arc<EmbeddedStore>, stopping: watch::Receiver<bool>) -> Admin {
        let (jobs, ended) = mpsc::channel(1);
        Admin { engine, store, stopping, jobs, ended: Some(Ended(ended)) }
    }

    /// Whether it is told to stop.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.clone()
    }

    /// Knows when all jobs have ended, once the admin is gone.
    pub fn take_ended(&mut self) -> Ended {
        self.ended.take().expect("it is taken once")
    }

    fn job<T>(&self) -> (Job<T>, Answered<T>) {
        let (answers, answered) = mpsc::channel(ANSWERS_MAX);
        let job =
            Job { answers, stopping: self.stopping.clone(), told: crate::clock::instant(), _alive: self.jobs.clone() };
        (job, ReceiverStream::new(answered))
    }
}

/// One call, under way.
struct Job<T> {
    answers: Answers<T>,
    stopping: watch::Receiver<bool>,
    told: Instant,
    _alive: mpsc::Sender<()>,
}

impl<T> Job<T> {
    fn go_on(&self) -> ControlFlow<()> {
        if *self.stopping.borrow() || self.answers.is_closed() { Break(()) } else { Continue(()) }
    }

    /// An answer that must arrive. Waits for a slow caller.
    fn answer(&self, answer: Result<T, Status>) -> ControlFlow<()> {
        match self.answers.blocking_send(answer) {
            Ok(()) => self.go_on(),
            Err(_) => Break(()),
        }
    }

    /// Progress, now and then, and only where nothing waits.
    fn tell(&mut self, progress: impl FnOnce() -> T) -> ControlFlow<()> {
        if self.told.elapsed() >= TELL_EVERY {
            self.told = crate::clock::instant();
            let _ = self.answers.try_send(Ok(progress()));
        }
        self.go_on()
    }
}

/// A look at everything, told to a caller.
struct Looking {
    job: Job<pb::VerifyResponse>,
    findings: i64,
}

impl Watch for Looking {
    fn found(&mut self, finding: Finding) -> ControlFlow<()> {
        self.findings += 1;
        self.job.answer(Ok(verify_event(VerifyEvent::Finding(finding_out(&finding)))))
    }

    fn progress(&mut self, counts: Counts) -> ControlFlow<()> {
        self.job.tell(|| verify_event(VerifyEvent::Progress(counts_out(&counts))))
    }
}

#[tonic::async_trait]
impl AdminService for Admin {
    type VerifyStream = Answered<pb::VerifyResponse>;
    type BackupStream = Answered<pb::BackupResponse>;

    async fn verify(&self, _: Request<pb::VerifyRequest>) -> Result<Response<Self::VerifyStream>, Status> {
        let (job, answered) = self.job();
        let engine = self.engine.clone();
        tokio::spawn(async move {
            let (counts, looking) = engine.verify_watched(Looking { job, findings: 0 }).await;
            let Looking { job, findings } = looking;
            let last = match job.go_on() {
                Continue(()) => Ok(verify_event(VerifyEvent::Summary(summary_out(&counts, findings)))),
                Break(()) => Err(stopped()),
            };
            let _ = job.answers.send(last).await;
        });
        Ok(Response::new(answered))
    }

    async fn backup(&self, request: Request<pb::BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        let target = PathBuf::from(request.into_inner().target);
        if !target.is_absolute() {
            return Err(Status::invalid_argument(format!("target {:?} is not an absolute path", target)));
        }
        let (mut job, answered) = self.job();
        let (engine, store) = (self.engine.clone(), self.store.clone());
        tokio::task::spawn_blocking(move || {
            // Before the log is looked at: what is written since is named there.
            let mut revisions: BTreeMap<_, _> = engine.revisions().into_iter().collect();
            let mut copied = 0;
            let made = store.back_up(&target, &mut |bytes| {
                copied += bytes as i64;
                let progress = pb::BackupProgress { copied_bytes: copied };
                job.tell(|| pb::BackupResponse { event: Some(BackupEvent::Progress(progress)) })
            });
            let last = made.map_err(|error| refused(&error)).map(|made| {
                revisions.extend(made.revisions.clone());
                pb::BackupResponse { event: Some(BackupEvent::Summary(backup_out(&made, revisions))) }
            });
            let _ = job.answer(last);
        });
        Ok(Response::new(answered))
    }
}

fn stopped() -> Status {
    Status::unavailable("it was stopped before its end: the server stops")
}

/// Why there is no backup, as a status.
fn refused(error: &BackupError) -> Status {
    let text = error.to_string();
    match error {
        BackupError::Stopped => stopped(),
        BackupError::Busy { .. } => Status::unavailable(text),
        BackupError::Store(StoreError::Damaged { .. }) => Status::data_loss(text),
        BackupError::Store(StoreError::Full { .. }) => Status::resource_exhausted(text),
        BackupError::Store(_) => Status::unavailable(text),
        _ => Status::failed_precondition(text),
    }
}

fn verify_event(event: VerifyEvent) -> pb::VerifyResponse {
    pb::VerifyResponse { event: Some(event) }
}

/// A finding as the contract says it.
pub fn finding_out(finding: &Finding) -> pb::Finding {
    let touches = finding.touches.as_ref();
    let times = touches.and_then(|touches| touches.times);
    let timestamp = |time: crate::domain::time::Time| {
        let (seconds, nanos) = time.to_seconds_nanos();
        prost_types::Timestamp { seconds, nanos }
    };
    pb::Finding {
        file: finding.file.clone(),
        offset: finding.offset as i64,
        component: touches.map(|touches| touches.component.to_string()).unwrap_or_default(),
        metric: touches.and_then(|t| t.metric.as_ref()).map(|metric| metric.to_string()).unwrap_or_default(),
        labels: touches.and_then(|t| t.labels.clone()).unwrap_or_default().into_iter().collect(),
        first_time: times.map(|(first, _)| timestamp(first)),
        last_time: times.map(|(_, last)| timestamp(last)),
        what: finding.what.clone(),
        text: finding.to_string(),
    }
}

fn counts_out(counts: &Counts) -> pb::VerifyCounts {
    let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    pb::VerifyCounts {
        bytes: whole(counts.bytes),
        frames: whole(counts.frames),
        records: whole(counts.records),
        components: whole(counts.components),
        series: whole(counts.series),
        nodes: whole(counts.nodes),
        blocks: whole(counts.blocks),
        points: whole(counts.points),
    }
}

/// What a look came to, as the contract says it.
pub fn summary_out(counts: &Counts, finding_count: i64) -> pb::VerifySummary {
    pb::VerifySummary { counts: Some(counts_out(counts)), finding_count }
}

fn backup_out(made: &BackedUp, revisions: BTreeMap<crate::domain::name::ComponentName, i64>) -> pb::BackupSummary {
    let revisions = revisions.into_iter();
    let revisions =
        revisions.map(|(component, revision)| pb::ComponentRevision { component: component.to_string(), revision });
    pb::BackupSummary {
        store_id: id_text(&made.store),
        number: made.number as i64,
        position: made.through.0 as i64,
        copied_file_count: made.copied.files as i64,
        copied_bytes: made.copied.bytes as i64,
        present_file_count: made.there.files as i64,
        present_bytes: made.there.bytes as i64,
        revisions: revisions.collect(),
    }
}
