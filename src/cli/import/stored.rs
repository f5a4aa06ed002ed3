//! Which of a file's repeated keys the store has a point at.

use super::file::Loaded;
use super::{Target, batch};
use crate::cli::connection::Server;
use crate::cli::error::Error;
use crate::cli::moment::{from_proto, to_proto};
use crate::cli::points;
use crate::domain::time::Time;
use crate::proto::v1 as pb;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Label values that a filter names one by one; beyond that every series is read.
const FILTER_VALUES_MAX: usize = 1_000;

/// Reads the store's points around the repeated keys. Nothing is read where no key comes again.
pub(super) async fn repeated_keys(
    loaded: &Loaded,
    target: &Target,
    server: &Server,
) -> Result<HashSet<(u32, Time)>, Error> {
    let repeated: HashSet<(u32, Time)> = batch::repeated(&loaded.rows).into_keys().collect();
    let times = || repeated.iter().map(|(_, time)| *time);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(HashSet::new()) };
    let series: HashSet<u32> = repeated.iter().map(|(series, _)| *series).collect();
    let index: HashMap<&BTreeMap<String, String>, u32> =
        series.iter().map(|i| (&loaded.series[*i as usize], *i)).collect();
    let request = pb::ReadPointsRequest {
        selection: Some(pb::Selection {
            metric: target.metric.clone(),
            filters: filters(index.keys().copied()),
            group_by: Vec::new(),
        }),
        start: Some(pb::read_points_request::Start::StartTime(to_proto(first))),
        end: Some(pb::read_points_request::End::EndTime(to_proto(last.next()))),
        as_of: None,
        form: pb::read_points_request::Form::Points.into(),
    };
    let answer = points::read(request, server).await?;
    let mut stored = HashSet::new();
    for read in &answer.series {
        let Some(series) = index.get(&read.labels) else { continue };
        for point in &read.points {
            if let Some(pb::point::At::Time(time)) = &point.at {
                let key = (*series, from_proto(time));
                if repeated.contains(&key) {
                    stored.insert(key);
                }
            }
        }
    }
    Ok(stored)
}

/// At least these series: for each label the values that they have.
fn filters<'a>(series: impl Iterator<Item = &'a BTreeMap<String, String>>) -> Vec<pb::LabelFilter> {
    let mut values: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
    for labels in series {
        for (name, value) in labels {
            values.entry(name).or_default().insert(value);
        }
    }
    values
        .into_iter()
        .filter(|(_, values)| values.len() <= FILTER_VALUES_MAX)
        .map(|(name, values)| pb::LabelFilter {
            label: name.clone(),
            any_of: values.into_iter().cloned().collect(),
            none_of: Vec::new(),
        })
        .collect()
}
