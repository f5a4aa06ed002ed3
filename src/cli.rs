//! The command line of the one binary: parse, call, render.
//!
//! Every client command is one file below: its arguments, the request they make, and how its answer reads.

// The files a command is given are the user's, not the store's.
#![allow(clippy::disallowed_methods)]

mod admin;
mod calendar;
mod changes;
mod completions;
mod components;
mod connection;
mod cumulative;
mod demo;
mod error;
mod facts;
mod figure;
mod import;
mod json;
mod label;
mod metric;
mod milestones;
mod moment;
mod opening;
mod output;
mod page;
mod points;
mod push;
mod range;
mod repair;
mod retract;
mod selection;
mod series;
mod serve;
mod table;
mod total;
mod windows;

pub use admin::{BackupArgs, DirArgs, RestoreArgs, Written, refused};
pub use demo::demo;
pub use error::Error;
#[cfg(feature = "planted")]
pub use import::fuzzed::check_import;
pub use repair::RepairArgs;
pub use serve::ServeArgs;

use clap::{Args, Parser, Subcommand};
use connection::ConnectionArgs;
use std::io::Write;
use std::process::ExitCode;

/// What the whole command line says.
#[derive(Parser, Debug)]
#[command(
    name = "milepost",
    version,
    about = "Exact totals and milestones of what teams count: how many so far, and when did we get there?",
    after_help = "Exit codes: 0 done, 1 refused or failed, 2 wrong usage; verify: 3 found something.",
    max_term_width = 100
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
#[allow(clippy::large_enum_variant)] // there is one in a process
pub enum Command {
    /// Run the server
    #[command(after_help = "\
Logs go to stderr, as JSON where that is no terminal. MILEPOST_LOG in the environment says what is logged: a level (off, \
error, warn, info, debug, trace; info where it says nothing), or levels of modules: warn,milepost=debug.")]
    Serve(ServeArgs),
    /// Look at everything that is kept, and say what is not as it should be
    #[command(after_help = "\
Every checksum, every node against its children, every total against a scan of the points, the index against the \
files, the log against the folds; a line a finding: file, offset, series, times, what. A server that has the \
directory does it while it serves; where none has, this command opens the directory as a server would.

Exit codes: 0 everything is as it should be, 3 something is not, 1 it could not be looked at.

Example:
  milepost verify --data-dir ./milepost-data")]
    Verify(DirArgs),
    /// Copy everything into a directory, while it is served; a second time only what is new
    #[command(after_help = "\
Everything acknowledged before is in it. Damage is refused and named, never copied. What a backup holds may be \
restored however the next one ends.

Example:
  milepost backup --data-dir ./milepost-data /backups/milepost")]
    Backup(BackupArgs),
    /// Make a data directory of a backup
    #[command(after_help = "\
It is another store, with an id of its own: back it up into another directory. Every answer is the same, of the past \
too, and request ids are remembered.

Example:
  milepost restore /backups/milepost ./restored-data")]
    Restore(RestoreArgs),
    /// List what is lost to damage, and give it up
    #[command(after_help = "\
The server must be stopped. Without --give-up nothing is changed: each line says what is lost, of which series, \
between which keys, from which revision on, and where the damage is. Restoring a backup may be better.

Example:
  milepost repair --data-dir /var/lib/milepost --give-up")]
    Repair(RepairArgs),
    #[command(flatten)]
    Client(ClientCommand),
}

/// What a client asks of a running server.
#[derive(Subcommand, Debug)]
pub enum ClientCommand {
    /// Make, show, list, change or delete metrics
    #[command(subcommand)]
    Metric(metric::MetricCommand),
    /// Write points: milepost push govuk-pay/payments 2016-08-29=1
    #[command(after_help = "\
A value takes the place of the one that is there; the same value again changes nothing. Each call is one atomic \
batch, on stable storage before it is answered.

Examples:
  milepost push govuk-pay/payments 2016-08-29=1 2016-09-05=12
  milepost push govuk-notify/messages 2016-05-30=2,000 --label channel=email
  milepost push govuk-pay/page-total 2026-08-17=142.9m --start 2016-08-29")]
    Push(Call<push::PushArgs>),
    /// Write the points of a CSV file
    #[command(after_help = "\
The file has a header line. Good rows go in, in batches over one stream; bad ones go to the rejects file with their \
line numbers and reasons, ready to be mended and imported (exit code 1).

Rows take effect in the order of the file: where a key (series, time) comes again, the later row is a correction. \
Interrupted or run twice it does no harm: batches carry request ids made from what is in them.

Example:
  milepost import FILE.csv --metric govuk-pay/payments --time-column as_of_date --value-column payments_total")]
    Import(Call<import::ImportArgs>),
    /// Say what a series' total was before a time
    #[command(after_help = "\
Setting it again replaces it, at another time too.

Example:
  milepost opening govuk-pay/payments 2021-04-01=14.1m --note 'from the annual report'")]
    Opening(Call<opening::OpeningArgs>),
    /// Take points back
    #[command(after_help = "\
Their values stay in `milepost changes`, and in every answer as of a revision before.

Example:
  milepost retract govuk-pay/payments 2016-08-29 --reason 'test traffic'")]
    Retract(Call<retract::RetractArgs>),
    /// How many so far, or before an instant
    #[command(after_help = "\
Examples:
  milepost total govuk-pay/payments --at 2020-10-05
  milepost total govuk-notify/messages --group-by channel")]
    Total(Call<total::TotalArgs>),
    /// What happened, window by window
    #[command(after_help = "\
Without --by there is one window. A window in which nothing counts has no figure: absent is not zero.

Example:
  milepost range govuk-pay/payments --by month --zone Europe/London --from 2016-08-01 --to 2020-10-01")]
    Range(Call<range::RangeArgs>),
    /// What happened window by window, and the total at each window's end
    #[command(after_help = "\
The total is of everything before a window's end, opening balances included, whatever --from says. With --restart \
it is a running total that begins anew with each year, quarter or month.

Examples:
  milepost cumulative govuk-pay/payments --by month
  milepost cumulative govuk-verify/logins --by month --restart year --year-start 04-06")]
    Cumulative(Call<cumulative::CumulativeArgs>),
    /// When the total first reached each threshold, and what is next
    #[command(after_help = "\
\"after X, by Y\": it happened between the two, nobody knows closer. \"by Y or earlier\": an opening balance had it \
already. Of a gauge it is the level that reached the threshold.

Examples:
  milepost milestones govuk-pay/payments --thresholds 1m,2m,4m
  milepost milestones govuk-notify/messages --every 1bn --group-by channel
  milepost milestones govuk-pay/amount --ladder 1-2-5")]
    Milestones(Call<milestones::MilestonesArgs>),
    /// The raw points
    Points(Call<points::PointsArgs>),
    /// What was corrected, added to, taken back or defined anew; newest first
    Changes(Call<changes::ChangesArgs>),
    /// List the series of a metric
    Series(Call<series::SeriesArgs>),
    /// List the components
    Components(Call<components::ComponentsArgs>),
    /// Print completions for a shell: milepost completions bash
    Completions(completions::CompletionsArgs),
}

/// A command's arguments, and which server it goes to.
#[derive(Args, Debug)]
pub struct Call<A: Args> {
    #[command(flatten)]
    args: A,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// What a command has to say on stdout, and whether it did all that was asked.
#[derive(Debug)]
struct Report {
    text: String,
    complete: bool,
}

impl From<String> for Report {
    fn from(text: String) -> Report {
        Report { text, complete: true }
    }
}

/// Runs a client command to its end: its answer goes to stdout, what is wrong to stderr.
pub async fn run(command: ClientCommand) -> ExitCode {
    match dispatch(command).await.and_then(|report| print(&report.text).map(|()| report.complete)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprint!("{}", error.text());
            error.exit_code()
        }
    }
}

async fn dispatch(command: ClientCommand) -> Result<Report, Error> {
    use ClientCommand as C;
    let text = match command {
        C::Metric(command) => metric::run(command).await?,
        C::Push(call) => push::run(call.args, &call.connection.connect().await?).await?,
        C::Import(call) => return import::run(call.args, &call.connection.connect().await?).await,
        C::Opening(call) => opening::run(call.args, &call.connection.connect().await?).await?,
        C::Retract(call) => retract::run(call.args, &call.connection.connect().await?).await?,
        C::Total(call) => total::run(call.args, &call.connection.connect().await?).await?,
        C::Range(call) => range::run(call.args, &call.connection.connect().await?).await?,
        C::Cumulative(call) => cumulative::run(call.args, &call.connection.connect().await?).await?,
        C::Milestones(call) => milestones::run(call.args, &call.connection.connect().await?).await?,
        C::Points(call) => points::run(call.args, &call.connection.connect().await?).await?,
        C::Changes(call) => changes::run(call.args, &call.connection.connect().await?).await?,
        C::Series(call) => series::run(call.args, &call.connection.connect().await?).await?,
        C::Components(call) => components::run(call.args, &call.connection.connect().await?).await?,
        C::Completions(args) => completions::text(args),
    };
    Ok(Report::from(text))
}

/// To stdout. A reader that has seen enough (`| head`) is no fault.
fn print(text: &str) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(source) if source.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::Io { what: "cannot write to stdout".into(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
