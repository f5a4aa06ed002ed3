//! Questions that tests ask before and after: their answers must be the same to the last byte.

use crate::book::{Kept, slot_of};
use milepost::proto::v1::query_service_client::QueryServiceClient;
use milepost::proto::v1::*;
use std::collections::BTreeMap;
use tonic::Status;
use tonic::transport::Channel;

/// What a set of questions was answered, of one revision.
#[derive(Clone, PartialEq, Debug)]
pub struct Answers {
    total: GetTotalResponse,
    opened: GetTotalResponse,
    range: QueryRangeResponse,
    milestones: ListMilestonesResponse,
    changes: Vec<Change>,
}

impl Answers {
    /// The first part that differs, cut for people.
    pub fn difference(&self, first: &Answers) -> Option<String> {
        let parts = |answers: &Answers| {
            [
                format!("{:?}", answers.total),
                format!("{:?}", answers.opened),
                format!("{:?}", answers.range),
                format!("{:?}", answers.milestones),
                format!("{:?}", answers.changes),
            ]
        };
        let (now, then) = (parts(self), parts(first));
        let at = (0..now.len()).find(|at| now[*at] != then[*at])?;
        let same = now[at].bytes().zip(then[at].bytes()).take_while(|(one, other)| one == other).count();
        let from = same.saturating_sub(100);
        let cut = |text: &str| text.chars().skip(from).take(300).collect::<String>();
        Some(format!("{}\nwas {}", cut(&now[at]), cut(&then[at])))
    }
}

pub fn selection(metric: String) -> Option<Selection> {
    Some(Selection { metric, filters: vec![], group_by: vec![] })
}

fn grouped(metric: String) -> Option<Selection> {
    Some(Selection { metric, filters: vec![], group_by: vec!["writer".to_owned()] })
}

pub fn at_revision(revision: i64) -> Option<AsOf> {
    Some(AsOf { as_of: Some(as_of::AsOf::Revision(revision)) })
}

/// Asks all of it as of a revision.
pub async fn ask(channel: &Channel, component: &str, revision: i64) -> Result<Answers, Status> {
    let mut client = QueryServiceClient::new(channel.clone());
    let as_of = at_revision(revision);
    let named = |metric: &str| format!("{component}/{metric}");
    let total = GetTotalRequest { selection: grouped(named("slots")), as_of, ..Default::default() };
    let opened = GetTotalRequest { selection: grouped(named("minutes")), as_of, ..Default::default() };
    let calendar = Calendar { unit: calendar::Unit::Hour as i32, ..Default::default() };
    let range = QueryRangeRequest {
        selection: selection(named("slots")),
        calendar: Some(calendar),
        as_of,
        ..Default::default()
    };
    let ladder = list_milestones_request::Ladder::Named(list_milestones_request::NamedLadder::OneTwoFive as i32);
    let milestones = ListMilestonesRequest {
        selection: selection(named("levels")),
        ladder: Some(ladder),
        as_of,
        ..Default::default()
    };
    let revisions = RevisionInterval { start_revision: (revision - 20).max(1), end_revision: revision + 1 };
    let changes = ListChangesRequest {
        selection: selection(named("slots")),
        include_new: true,
        interval: Some(list_changes_request::Interval::Revisions(revisions)),
        page_size: 300,
        ..Default::default()
    };
    Ok(Answers {
        total: client.get_total(total).await?.into_inner(),
        opened: client.get_total(opened).await?.into_inner(),
        range: client.query_range(range).await?.into_inner(),
        milestones: client.list_milestones(milestones).await?.into_inner(),
        changes: client.list_changes(changes).await?.into_inner().changes,
    })
}

/// Every point of a metric, by writer.
pub async fn read(
    channel: &Channel,
    metric: String,
    revision: Option<i64>,
) -> Result<BTreeMap<String, Vec<(i64, i64)>>, Status> {
    let request = ReadPointsRequest {
        selection: selection(metric),
        as_of: revision.and_then(at_revision),
        form: read_points_request::Form::Points as i32,
        ..Default::default()
    };
    let mut client = QueryServiceClient::new(channel.clone()).max_decoding_message_size(8 << 20);
    let mut messages = client.read_points(request).await?.into_inner();
    let mut found: BTreeMap<String, Vec<(i64, i64)>> = BTreeMap::new();
    while let Some(message) = messages.message().await? {
        for series in message.series {
            let points = found.entry(series.labels["writer"].clone()).or_default();
            for point in series.points {
                let Some(point::At::Time(time)) = point.at else { panic!("a point read says its time") };
                points.push((time.seconds, point.value.parse().expect("a whole number")));
            }
        }
    }
    Ok(found)
}

/// What is kept of every writer of a component.
pub async fn kept(channel: &Channel, component: &str) -> Result<BTreeMap<String, Kept>, Status> {
    let mut all: BTreeMap<String, Kept> = BTreeMap::new();
    for (writer, points) in read(channel, format!("{component}/slots"), None).await? {
        all.entry(writer).or_default().slots = points.into_iter().map(|(time, v)| (slot_of(time), v)).collect();
    }
    for (writer, points) in read(channel, format!("{component}/levels"), None).await? {
        all.entry(writer).or_default().levels = points.into_iter().map(|(t, v)| (t - crate::book::BASE, v)).collect();
    }
    for (writer, points) in read(channel, format!("{component}/minutes"), None).await? {
        let minute = |time: i64| (time - crate::book::BASE) / 60;
        all.entry(writer).or_default().minutes = points.into_iter().map(|(t, v)| (minute(t), v)).collect();
    }
    let request = GetTotalRequest { selection: grouped(format!("{component}/minutes")), ..Default::default() };
    let answer = QueryServiceClient::new(channel.clone()).get_total(request).await?.into_inner().answer;
    for group in answer.unwrap_or_default().groups {
        for opening in group.openings.unwrap_or_default().first {
            let value = opening.value.parse().expect("a whole number");
            all.entry(opening.labels["writer"].clone()).or_default().opening = Some(value);
        }
    }
    Ok(all)
}

/// As of a revision, each slot of each writer is of one batch, and whole.
pub async fn check_slots(channel: &Channel, component: &str, revision: i64, sizes: &BTreeMap<(String, i64), i64>) {
    let read = read(channel, format!("{component}/slots"), Some(revision)).await.expect("points of a revision");
    for (writer, points) in read {
        let mut slots: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        points.iter().for_each(|(time, value)| slots.entry(slot_of(*time).0).or_default().push(*value));
        for (slot, values) in slots {
            let one = values.iter().all(|value| *value == values[0]);
            let whole = sizes.get(&(writer.clone(), slot)).is_none_or(|size| *size == values.len() as i64);
            assert!(one && whole, "half a batch at revision {revision}: {writer} slot {slot} {values:?}");
        }
    }
}
