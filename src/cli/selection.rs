//! Which series of which metric, and as it was known when: the arguments that queries share.

use super::connection::Server;
use super::error::Error;
use super::label::{Condition, filters};
use super::moment::{Moment, parse_zone, to_proto};
use crate::domain::calendar::Zone;
use crate::proto::v1::{AsOf, Selection, as_of};
use clap::Args;

/// Which series, and whether they are put together in groups.
#[derive(Args, Debug, Clone)]
pub(super) struct SelectionArgs {
    #[command(flatten)]
    series: ChosenSeries,
    /// A row a value of this label, instead of one sum; several: comma-separated or repeated
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    group_by: Vec<String>,
}

/// Which series.
#[derive(Args, Debug, Clone)]
pub(super) struct ChosenSeries {
    /// The metric, COMPONENT/METRIC, as govuk-pay/payments
    pub(super) metric: String,
    /// Only series with this label value (NAME=VALUE), or without it (NAME!=VALUE); repeat for more
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<Condition>,
}

impl ChosenSeries {
    pub(super) fn selection(&self) -> Selection {
        Selection { metric: self.metric.clone(), filters: filters(&self.labels), group_by: Vec::new() }
    }
}

impl SelectionArgs {
    pub(super) fn selection(&self) -> Selection {
        Selection { group_by: self.group_by.clone(), ..self.series.selection() }
    }

    pub(super) fn metric(&self) -> &str {
        &self.series.metric
    }

    pub(super) fn group_by(&self) -> &[String] {
        &self.group_by
    }
}

/// Whose midnight a date is, and what was known when.
#[derive(Args, Debug, Clone)]
pub(super) struct ViewArgs {
    /// The zone whose midnight a date is, and in which times are shown [default: the metric's]
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    pub(super) zone: Option<Zone>,
    /// What was known then: a revision, or a recorded time (a date or RFC 3339)
    #[arg(long, value_name = "REVISION|TIME")]
    as_of: Option<AsOfArg>,
}

#[derive(Clone, Debug)]
enum AsOfArg {
    Revision(i64),
    Time(Moment),
}

impl std::str::FromStr for AsOfArg {
    type Err = String;

    fn from_str(text: &str) -> Result<AsOfArg, String> {
        if let Ok(revision) = text.parse() {
            return Ok(AsOfArg::Revision(revision));
        }
        text.parse().map(AsOfArg::Time).map_err(|e| format!("{e}, nor a revision (42)"))
    }
}

impl ViewArgs {
    /// A date among them is the first instant in `--zone`, else in the metric's zone, which is asked for then.
    pub(super) async fn as_of(&self, metric: &str, server: &Server) -> Result<Option<AsOf>, Error> {
        let as_of = match &self.as_of {
            None => return Ok(None),
            Some(AsOfArg::Revision(revision)) => as_of::AsOf::Revision(*revision),
            Some(AsOfArg::Time(moment)) => {
                let zone = zone_for(&[moment], self.zone.as_ref(), metric, server).await?;
                as_of::AsOf::Time(to_proto(moment.instant(&zone)?))
            }
        };
        Ok(Some(AsOf { as_of: Some(as_of) }))
    }
}

/// The zone whose midnights the dates among `moments` are: `zone`, else the metric's, which is asked for only
/// where there is a date among them.
pub(super) async fn zone_for(
    moments: &[&Moment],
    zone: Option<&Zone>,
    metric: &str,
    server: &Server,
) -> Result<Zone, Error> {
    match zone {
        Some(zone) => Ok(zone.clone()),
        None if moments.iter().any(|m| matches!(m, Moment::Date(_))) => {
            zone_of(&server.metric(metric).await?.time_zone)
        }
        None => Ok(Zone::utc()),
    }
}

/// A zone that the server named.
pub(super) fn zone_of(name: &str) -> Result<Zone, Error> {
    if name.is_empty() {
        return Ok(Zone::utc());
    }
    Zone::parse(name).ok_or_else(|| Error::Failed(format!("this build does not know the zone {name}; give --zone")))
}
