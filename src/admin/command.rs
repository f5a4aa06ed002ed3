//! `milepost verify`, `backup` and `restore`: through the socket of the server that has the directory, or where none
//! has, with the directory taken for as long as it lasts.

use super::service::{Admin, finding_out, summary_out};
use super::socket::{NAME, Short};
use crate::cli::{BackupArgs, DirArgs, Error, RestoreArgs, Written, refused};
use crate::clock::SystemClock;
use crate::disk::RealDisk;
use crate::engine::verify::{Counts, Finding};
use crate::engine::{Engine, Settings};
use crate::proto::v1 as pb;
use crate::proto::v1::admin_service_client::AdminServiceClient;
use crate::proto::v1::admin_service_server::AdminService;
use crate::proto::v1::backup_response::Event as BackupEvent;
use crate::proto::v1::verify_response::Event as VerifyEvent;
use crate::random::SystemRandom;
use crate::store::StoreError;
use crate::store::embedded::backup::id_text;
use crate::store::embedded::backup::restore::restore;
use crate::store::embedded::{EmbeddedStore, StoreSettings, look};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::watch;
use tonic::transport::Endpoint;
use tonic::{Request, Status};

/// The exit code of `verify` where it found something.
const FOUND: u8 = 3;

/// Who answers.
enum Asked {
    /// The server that has the directory.
    Served(AdminServiceClient<tonic::transport::Channel>),
    /// Nobody has it: this process does.
    Taken(Box<Taken>),
    /// Nobody has it, and it cannot be opened.
    Broken(StoreError),
}

/// A directory that this process has opened.
struct Taken {
    engine: Engine,
    store: Arc<EmbeddedStore>,
    _stop: watch::Sender<bool>,
    admin: Admin,
}

/// `milepost verify`: 0 where everything is as it should be, 3 where not, 1 where it could not be looked at.
pub async fn verify(args: DirArgs) -> ExitCode {
    match verified(&args).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(FOUND),
        Err(error) => failed(&error),
    }
}

/// `milepost backup`.
pub async fn backup(args: BackupArgs) -> ExitCode {
    match backed_up(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// `milepost restore`.
pub async fn restore_command(args: RestoreArgs) -> ExitCode {
    let RestoreArgs { backup, data_dir } = args;
    let done = tokio::task::spawn_blocking({
        let data_dir = data_dir.clone();
        move || restore(&RealDisk, &SystemRandom, &backup, &data_dir, &mut |_| ControlFlow::Continue(()))
    });
    let restored = match done.await {
        Ok(Ok(restored)) => restored,
        Ok(Err(error)) => return failed(&Error::Failed(error.to_string())),
        Err(error) => return failed(&Error::Failed(error.to_string())),
    };
    let text = format!(
        "Store {} in {}: backup {} of store {}, {} files of {} bytes. It reaches record {}.\n",
        id_text(&restored.store),
        data_dir.display(),
        restored.number,
        id_text(&restored.from),
        restored.files.files,
        restored.files.bytes,
        restored.through.0
    );
    match print(&text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> ExitCode {
    let text = match error {
        Error::Refused { status, .. } => refused(status),
        other => other.text(),
    };
    eprint!("{text}");
    ExitCode::FAILURE
}

fn print(text: &str) -> Result<(), Error> {
    let failed = |source| Error::Io { what: "cannot write to stdout".into(), source };
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(failed)
}

/// How many findings there are; each is printed as it comes.
async fn verified(args: &DirArgs) -> Result<i64, Error> {
    let asked = asked(&args.data_dir).await?;
    let (taken, mut answers): (_, BoxStream<Result<pb::VerifyResponse, Status>>) = match asked {
        Asked::Served(mut client) => (None, client.verify(pb::VerifyRequest {}).await?.into_inner().boxed()),
        Asked::Taken(taken) => {
            let answers = taken.admin.verify(Request::new(pb::VerifyRequest {})).await?.into_inner().boxed();
            (Some(taken), answers)
        }
        Asked::Broken(error) => return looked(args, error).await,
    };
    while let Some(answer) = answers.try_next().await? {
        match answer.event {
            Some(VerifyEvent::Finding(finding)) => print(&args.output.finding(finding)?)?,
            Some(VerifyEvent::Summary(summary)) => {
                print(&args.output.verified(summary)?)?;
                // What is not as it should be stays as it is: closing would write.
                if let (Some(taken), 0) = (taken, summary.finding_count) {
                    taken.close().await?;
                }
                return Ok(summary.finding_count);
            }
            _ => {}
        }
    }
    Err(Error::Failed("it ended before everything was looked at".into()))
}

/// A directory that cannot be opened: its files are looked at one by one.
async fn looked(args: &DirArgs, error: StoreError) -> Result<i64, Error> {
    let dir = args.data_dir.clone();
    let (counts, findings) = tokio::task::spawn_blocking(move || {
        let (mut counts, mut errors) = (Counts::default(), Vec::new());
        let _ = look::look(&RealDisk, &dir, &mut |bytes, damage| {
            counts.bytes += bytes;
            errors.extend(damage);
            ControlFlow::Continue(())
        });
        (counts, errors)
    })
    .await
    .map_err(|error| Error::Failed(error.to_string()))?;
    let mut all: Vec<Finding> = findings.into_iter().map(Finding::from).collect();
    let opening = Finding::from(error);
    if !all.contains(&opening) {
        all.push(opening);
    }
    let count = all.len() as i64;
    all.iter().try_for_each(|finding| print(&args.output.finding(finding_out(finding))?))?;
    if args.output == Written::Table {
        print(&format!("{count} findings: the directory cannot be opened; only its files were looked at.\n"))?;
    } else {
        print(&args.output.verified(summary_out(&counts, count))?)?;
    }
    Ok(count)
}

async fn backed_up(args: &BackupArgs) -> Result<(), Error> {
    let target = std::path::absolute(&args.target)
        .map_err(|source| Error::Io { what: format!("cannot find {}", args.target.display()), source })?;
    let text = target.to_str().ok_or_else(|| Error::Usage("the target's path is not UTF-8".into()))?;
    let request = pb::BackupRequest { target: text.to_string() };
    let (taken, mut answers): (_, BoxStream<Result<pb::BackupResponse, Status>>) =
        match asked(&args.dir.data_dir).await? {
            Asked::Served(mut client) => (None, client.backup(request).await?.into_inner().boxed()),
            Asked::Taken(taken) => {
                let answers = taken.admin.backup(Request::new(request)).await?.into_inner().boxed();
                (Some(taken), answers)
            }
            Asked::Broken(error) => return Err(Error::Failed(error.to_string())),
        };
    let made = last_of(&mut answers).await;
    drop(answers);
    if let Some(taken) = taken {
        taken.close().await?;
    }
    print(&args.dir.output.backed_up(&target, made?)?)
}

/// The summary with which a backup ends.
async fn last_of(answers: &mut BoxStream<'_, Result<pb::BackupResponse, Status>>) -> Result<pb::BackupSummary, Error> {
    while let Some(answer) = answers.try_next().await? {
        if let Some(BackupEvent::Summary(summary)) = answer.event {
            return Ok(summary);
        }
    }
    Err(Error::Failed("it ended before the backup was made".into()))
}

impl Taken {
    async fn close(self: Box<Self>) -> Result<(), Error> {
        let closed = self.engine.close().await;
        drop(self.store);
        closed.map_err(|error| Error::Failed(format!("the directory was not closed cleanly: {error}")))
    }
}

/// Finds who answers for a directory.
async fn asked(dir: &Path) -> Result<Asked, Error> {
    if !look::is_store(&RealDisk, dir).map_err(|error| Error::Failed(error.to_string()))? {
        return Err(Error::Failed(format!("{} is no data directory: nothing of a store is in it", dir.display())));
    }
    let owned = dir.to_path_buf();
    let opened = tokio::task::spawn_blocking(move || {
        let reserve_bytes = look::reserve_bytes(&RealDisk, &owned)?;
        let settings = StoreSettings { reserve_bytes, ..StoreSettings::default() };
        let store = Arc::new(EmbeddedStore::open(&owned, Arc::new(RealDisk), Arc::new(SystemRandom), settings)?);
        let engine = Engine::open(store.clone(), Arc::new(SystemClock), Settings::default())?;
        Ok((engine, store))
    });
    match opened.await.map_err(|error| Error::Failed(error.to_string()))? {
        Ok((engine, store)) => {
            let (stop, stopping) = watch::channel(false);
            let admin = Admin::new(engine.clone(), store.clone(), stopping);
            Ok(Asked::Taken(Box::new(Taken { engine, store, _stop: stop, admin })))
        }
        Err(StoreError::Locked { holder, .. }) => connect(dir, &holder).await.map(Asked::Served),
        Err(error) => Ok(Asked::Broken(error)),
    }
}

async fn connect(dir: &Path, holder: &str) -> Result<AdminServiceClient<tonic::transport::Channel>, Error> {
    let server = dir.join(NAME).display().to_string();
    let unreachable = |reason: String| Error::Unreachable {
        server: server.clone(),
        reason: format!("{reason}; process {holder} has the directory. Wait until it listens there, or stop it"),
    };
    let short = Short::of(dir).await.map_err(|error| unreachable(error.to_string()))?;
    let path = std::path::absolute(short.path.join(NAME)).map_err(|error| unreachable(error.to_string()))?;
    let endpoint = Endpoint::from_shared(format!("unix:{}", path.display()));
    let endpoint = endpoint.map_err(|error| unreachable(error.to_string()))?;
    let channel = endpoint.connect().await.map_err(|error| {
        let mut cause: &dyn std::error::Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        unreachable(cause.to_string())
    })?;
    Ok(AdminServiceClient::new(channel))
}
