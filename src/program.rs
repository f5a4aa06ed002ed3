//! What the one binary does: parse, then serve (build, listen, drain) or be a client.

use crate::admin;
use crate::cli::{self, Cli, Command, RepairArgs, ServeArgs};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::disk::RealDisk;
use crate::engine::Engine;
use crate::engine::repair::Repair;
use crate::random::SystemRandom;
use crate::server::{self, telemetry};
use crate::store::StoreError;
use crate::store::embedded::log::salvage::Unreadable;
use crate::store::embedded::{EmbeddedStore, format, lost_file};
use clap::Parser;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;

/// Runs the command that the command line says.
#[tokio::main]
pub async fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Client(command) => cli::run(command).await,
        Command::Verify(args) => admin::command::verify(args).await,
        Command::Backup(args) => admin::command::backup(args).await,
        Command::Restore(args) => admin::command::restore_command(args).await,
        Command::Serve(args) => ended(serve(args).await),
        Command::Repair(args) => ended(repair(&args)),
    }
}

fn ended(done: Result<(), Box<dyn Error>>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("milepost: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Lists what is lost, and gives it up where that is said: written down first.
fn repair(args: &RepairArgs) -> Result<(), Box<dyn Error>> {
    telemetry::init(LevelFilter::WARN);
    let (data_dir, config) = (args.data_dir.clone(), args.config.clone());
    let config = configured(&ServeArgs { data_dir, config, ..ServeArgs::default() })?;
    let (dir, clock) = (config.data_dir.clone(), SystemClock);
    if format::read(&RealDisk, &dir)?.is_none() {
        return Err(format!("there is no store in {}", dir.display()).into());
    }
    let open = |unreadable| -> Result<_, StoreError> {
        let (disk, random, settings) = (Arc::new(RealDisk), Arc::new(SystemRandom), config.store.settings());
        let store = Arc::new(EmbeddedStore::open_around(&dir, disk, random, settings, unreadable)?);
        let repair = Repair::look(store.clone(), &clock, config.engine.settings())?;
        Ok((store, repair))
    };
    let lines: Vec<String> = {
        let (store, listed) = open(Unreadable::Listed)?;
        let lines = listed.losses().iter().map(ToString::to_string).collect();
        store.release()?;
        lines
    };
    lines.iter().for_each(|line| println!("{line}"));
    if lines.is_empty() {
        println!("nothing is lost");
    }
    if !args.give_up {
        if !lines.is_empty() {
            println!("say --give-up to go on without it");
        }
        return Ok(());
    }
    if !lines.is_empty() {
        let now = clock.now();
        lost_file::write(&RealDisk, &dir, lines.iter().map(|line| format!("{now} given up: {line}")))?;
    }
    // Where nothing is lost too: an earlier repair may have been cut off before its last step.
    let (store, repair) = open(Unreadable::GivenUp)?;
    let given_up = repair.give_up()?;
    store.leave_out(&given_up.frames)?;
    store.fill(given_up.folds)?;
    if !lines.is_empty() {
        println!("given up, and written down in {}", dir.join(lost_file::NAME).display());
    }
    Ok(store.release()?)
}

/// Runs the server until SIGTERM or SIGINT.
async fn serve(args: ServeArgs) -> Result<(), Box<dyn Error>> {
    telemetry::init(LevelFilter::INFO);
    let config = configured(&args)?;
    // before the store is touched: a port that is taken is told at once
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
    let (engine, store) = tokio::task::spawn_blocking({
        let config = config.clone();
        move || open(&config)
    })
    .await??;
    let beside = admin::beside(&config.data_dir, engine.clone(), store).await;
    let address = listener.local_addr()?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // connections that came while the store was opened are taken now
    println!("listening on http://{address}");
    tracing::info!(%address, data_dir = %config.data_dir.display(), "serving");
    let demo = args.demo.then(|| format!("http://{address}"));
    let mut failed = Ok(());
    server::serve_beside(listener, engine, config.limits, beside, async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            Err(error) = run_demo(demo) => failed = Err(error),
        }
    })
    .await?;
    Ok(failed?)
}

/// Pushes the demo's series through the real API, where it was asked for, and prints what they come to.
async fn run_demo(server: Option<String>) -> Result<(), cli::Error> {
    if let Some(server) = server {
        println!("{}", cli::demo(&server).await?);
    }
    std::future::pending().await
}

/// The config file's settings, and what the command line puts in their place.
fn configured(args: &ServeArgs) -> Result<Config, Box<dyn Error>> {
    let mut config = match &args.config {
        Some(path) => Config::read(path)?,
        None => Config::default(),
    };
    config.listen = args.listen.unwrap_or(config.listen);
    config.data_dir = args.data_dir.clone().unwrap_or(config.data_dir);
    Ok(config.validate()?)
}

/// Opens the store, and replays what was not folded.
fn open(config: &Config) -> Result<(Engine, Arc<EmbeddedStore>), StoreError> {
    let (disk, random) = (Arc::new(RealDisk), Arc::new(SystemRandom));
    let store = Arc::new(EmbeddedStore::open(&config.data_dir, disk, random, config.store.settings())?);
    let engine = Engine::open(store.clone(), Arc::new(SystemClock), config.engine.settings())?;
    Ok((engine, store))
}
