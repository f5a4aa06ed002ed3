//! Answers that run while others write and fold: each is of one revision, never half of a batch.

use std::collections::BTreeMap;

use milepost::proto::v1::{query_service_server::QueryService, *};
use tonic::Request;

use crate::{
    ask::{Ask, Reply},
    generate::Chance,
    oracle::timestamp,
    serve::Served,
    server::{Server, runtime},
};

const DAY: i128 = 86_400_000_000_000;

/// The same points to two series of one metric: in every answer they agree.
fn twice(chance: &mut Chance) -> Ask {
    let mut points = BTreeMap::new();
    for _ in 0..chance.within(1, 12) {
        points.insert(chance.within(0, 60), chance.within(-3, 20));
    }
    let points: Vec<Point> = points
        .into_iter()
        .map(|(day, value)| Point {
            at: Some(point::At::Time(timestamp(i128::from(day) * DAY))),
            value: value.to_string(),
            ..Point::default()
        })
        .collect();
    let series = ["a", "b"].map(|side| SeriesPoints {
        metric: "c/race".to_owned(),
        labels: BTreeMap::from([("side".to_owned(), side.to_owned())]),
        points: points.clone(),
        columns: None,
    });
    Ask::Write(WritePointsRequest { series: series.into(), ..Default::default() })
}

#[test]
fn an_answer_while_others_write_and_fold_is_of_one_revision() {
    let server = Server::new_in_folder();
    let (engine, served) = (server.engine(), server.served());
    let metric = Metric {
        name: "c/race".to_owned(),
        kind: metric::Kind::Delta as i32,
        period: "P1D".to_owned(),
        label_names: vec!["side".to_owned()],
        ..Metric::default()
    };
    let create = Ask::Create(CreateMetricRequest { metric: Some(metric) });
    runtime().block_on(async {
        served.ask(&create, None).await.expect("a metric is made");
        let writer = tokio::spawn({
            let served = served.clone();
            async move {
                let mut chance = Chance::new(7);
                for _ in 0..150 {
                    served.ask(&twice(&mut chance), None).await.expect("a valid batch");
                }
            }
        });
        let folder = tokio::spawn({
            let engine = engine.clone();
            async move {
                for _ in 0..20 {
                    engine.fold().await.expect("it folds");
                    tokio::task::yield_now().await;
                }
            }
        });
        let mut revision = 0;
        while !(writer.is_finished() && folder.is_finished()) {
            revision = one_question(served, revision).await;
        }
        writer.await.expect("the writer ends well");
        folder.await.expect("the folder ends well");
        assert!(one_question(served, revision).await > 100, "most batches changed something");
    });
}

/// Asks for both sides, checks that they agree, and that revisions never go back.
async fn one_question<C, I, Q: QueryService>(served: &Served<C, I, Q>, before: i64) -> i64 {
    let selection =
        Selection { metric: "c/race".to_owned(), group_by: vec!["side".to_owned()], ..Selection::default() };
    let calendar = Some(Calendar { unit: calendar::Unit::Week as i32, ..Calendar::default() });
    let request = QueryCumulativeRequest { selection: Some(selection), calendar, ..Default::default() };
    let answer = served.query.query_cumulative(Request::new(request)).await.expect("an answer").into_inner();
    let side = |value: &str| -> Vec<Window> {
        let of = answer.windows.iter().filter(|window| window.group["side"] == value);
        of.map(|window| Window { group: BTreeMap::new(), ..window.clone() }).collect()
    };
    assert_eq!(side("a"), side("b"));
    let revision = answer.answer.expect("a head").revision;
    assert!(revision >= before, "{revision} after {before}");
    revision
}

/// The streams of raw points too.
#[test]
fn raw_points_while_others_write_are_of_one_revision() {
    let server = Server::new_in_folder();
    let served = server.served();
    let mut metric = Metric {
        name: "c/race".to_owned(),
        period: "P1D".to_owned(),
        label_names: vec!["side".to_owned()],
        time_zone: "UTC".to_owned(),
        ..Metric::default()
    };
    metric.set_kind(metric::Kind::Delta);
    let create = Ask::Create(CreateMetricRequest { metric: Some(metric.clone()) });
    let selection = Some(Selection { metric: "c/race".to_owned(), ..Selection::default() });
    let read = Ask::Read(ReadPointsRequest { selection, ..Default::default() });
    runtime().block_on(async {
        served.ask(&create, None).await.expect("a metric is made");
        let writer = tokio::spawn({
            let served = served.clone();
            async move {
                let mut chance = Chance::new(11);
                for _ in 0..80 {
                    served.ask(&twice(&mut chance), None).await.expect("a valid batch");
                }
            }
        });
        while !writer.is_finished() {
            let Ok(Reply::Read(_, series)) = served.ask(&read, Some(&metric)).await else { panic!("points") };
            if let [(_, a), (_, b)] = series.as_slice() {
                assert_eq!(a, b);
            } else {
                assert!(series.is_empty(), "both sides or none");
            }
        }
        writer.await.expect("the writer ends well");
    });
}
