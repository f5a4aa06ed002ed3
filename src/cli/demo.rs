//! The demo: made-up series that meet the facts of a real platform's story, pushed through the real API.

mod curve;
mod metrics;
mod series;

use super::connection::Server;
use super::error::Error;
use super::figure::count;
use super::metric::list;
use super::milestones::{self, MilestonesArgs};
use crate::clock::{Clock, SystemClock};
use crate::proto::v1 as pb;
use clap::{Args, Command, FromArgMatches};
use metrics::DemoMetric;
use std::collections::BTreeSet;

/// Points in a batch at most.
const BATCH_POINTS: usize = 5_000;
/// Where a client looks for a server that nobody named.
const DEFAULT_SERVER: &str = "127.0.0.1:6453";

/// Pushes the demo into a fresh store and says, for stdout, what there is to see.
///
/// `server` is `http://HOST:PORT` of a server that listens. A store that has the demo is left as it is, one in
/// which it was interrupted is completed; any other store that is not empty is an error.
pub async fn demo(server: &str) -> Result<String, Error> {
    let address = server.trim_start_matches("http://").trim_end_matches('/');
    let server = Server::connect(server, None).await?;
    let demo = metrics::all(today());
    let there: BTreeSet<String> =
        list::all("", &server).await?.metrics.into_iter().filter(metrics::is_made_up).map(|m| m.name).collect();
    let first_line = if demo.iter().all(|m| there.contains(m.name())) {
        "The demo is here already; it is served as it is.".to_owned()
    } else {
        refuse_other_metrics(&server, &demo).await?;
        let mut points = 0;
        for metric in &demo {
            points += push(metric, &server).await?;
        }
        format!("The demo is in: {} metrics, {}, all made up.", demo.len(), count(points, "point"))
    };
    let table = milestones::run(milestones_args()?, &server).await?;
    Ok(format!("\n{first_line}\n\n{table}\n{}", next_steps(address)))
}

/// The date of today, UTC, in days since 1970-01-01.
fn today() -> i64 {
    const NANOS_PER_DAY: i64 = 86_400_000_000_000;
    SystemClock.now().0.div_euclid(NANOS_PER_DAY)
}

async fn refuse_other_metrics(server: &Server, demo: &[DemoMetric]) -> Result<(), Error> {
    let all = list::all("", server).await?.metrics;
    let is_demo = |m: &pb::Metric| metrics::is_made_up(m) && demo.iter().any(|d| d.name() == m.name);
    match all.iter().find(|m| !is_demo(m)) {
        None => Ok(()),
        Some(other) => Err(Error::Failed(format!(
            "the demo goes into a fresh store only, and this one has {}: serve without --demo, or give another --data-dir",
            other.name
        ))),
    }
}

/// Makes the metric and writes what it has. Answers how many points.
async fn push(metric: &DemoMetric, server: &Server) -> Result<i64, Error> {
    let request = pb::CreateMetricRequest { metric: Some(metric.definition.clone()) };
    server.catalog().create_metric(request).await?;
    if let Some(opening) = &metric.opening {
        server.ingest().set_opening_balance(opening.clone()).await?;
    }
    let mut points = 0;
    for written in &metric.batches {
        for chunk in written.points.chunks(BATCH_POINTS) {
            let series = pb::SeriesPoints {
                metric: metric.name().into(),
                labels: written.labels.clone(),
                points: chunk.to_vec(),
                columns: None,
            };
            let request = pb::WritePointsRequest {
                series: vec![series],
                reason: written.reason.into(),
                ..pb::WritePointsRequest::default()
            };
            let response = server.ingest().write_points(request).await?.into_inner();
            points += response.accepted_count - response.corrected_count;
        }
    }
    Ok(points)
}

/// As if it had been typed.
fn milestones_args() -> Result<MilestonesArgs, Error> {
    let typed = ["milestones", "govuk-pay/payments", "--thresholds", "1m,2m,4m,10m,25m,50m,100m,200m"];
    MilestonesArgs::augment_args(Command::new("milestones"))
        .try_get_matches_from(typed)
        .and_then(|matches| MilestonesArgs::from_arg_matches(&matches))
        .map_err(|e| Error::Failed(e.to_string()))
}

fn next_steps(address: &str) -> String {
    let at = if address == DEFAULT_SERVER { String::new() } else { format!(" --server {address}") };
    let steps = [
        ("how many by channel", "total govuk-notify/messages --group-by channel"),
        ("when was each billion, when is the next", "milestones govuk-notify/messages --every 1bn"),
        ("money, exact to the penny, by year", "cumulative govuk-pay/amount --by year"),
        (
            "each tax year's running total",
            "cumulative govuk-verify/logins --by quarter --restart year --from 2018-04-06",
        ),
        (
            "the drop of Christmas 2019, the spike of spring 2020",
            "range govuk/visits --by month --from 2019-10-01 --to 2020-08-01",
        ),
        ("a level, never summed", "range govuk-paas/apps --by quarter"),
        ("a published total that was put right, and began again", "changes govuk-pay/page-total"),
        ("what nobody has reported yet", "total govuk-paas/requests"),
    ];
    let mut text = String::from("Where to go next:\n");
    for (what, command) in steps {
        text.push_str(&format!("  # {what}\n  milepost {command}{at}\n"));
    }
    text
}
