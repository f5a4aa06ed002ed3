//! What the random runs once found, each by its name.

use std::collections::BTreeMap;

use milepost::proto::v1::*;

use crate::{
    ask::{Ask, Reply},
    asked::Asked,
    generate::create,
    oracle::timestamp,
    server::Server,
};

const NAME: &str = "c/first";

fn metric(name: &str) -> Metric {
    let mut metric = Metric { name: name.to_owned(), ..Metric::default() };
    metric.set_kind(metric::Kind::Delta);
    metric
}

fn openings(server: &mut Server, now: i64) -> usize {
    let ask = Ask::Series(ListSeriesRequest { metric: NAME.to_owned(), ..Default::default() });
    match server.ask(&ask, None, now) {
        Ok(Reply::Series(answer)) => answer.series.iter().filter(|series| series.opening.is_some()).count(),
        other => panic!("a list of series: {other:?}"),
    }
}

/// An index built anew had no page of a series without points: the next start, which trusts it, had lost the opening.
#[test]
fn an_opening_alone_outlives_an_index_built_anew() {
    let mut server = Server::new_in_folder();
    server.ask(&create(metric(NAME)), None, 1).expect("a metric");
    let opening = SetOpeningBalanceRequest {
        metric: NAME.to_owned(),
        labels: BTreeMap::new(),
        at: Some(set_opening_balance_request::At::Time(timestamp(0))),
        value: Some("3".to_owned()),
        ..Default::default()
    };
    server.ask(&Ask::Opening(opening), None, 2).expect("an opening");
    server.restart(true);
    assert_eq!(openings(&mut server, 3), 1);
    server.ask(&create(metric("c/second")), None, 4).expect("a metric");
    server.restart(false);
    assert_eq!(openings(&mut server, 5), 1);
}

/// A block whose only restated report was written again without the word has a column of zeros in memory and none where
/// it is stored: looking at everything took that for damage.
#[test]
fn a_word_taken_back_is_no_damage() {
    let mut server = Server::new_in_folder();
    let mut cumulative = metric(NAME);
    cumulative.set_kind(metric::Kind::Cumulative);
    server.ask(&create(cumulative), None, 1).expect("a metric");
    for restated in [true, false] {
        let point = |at: i128, restated| Point {
            at: Some(point::At::Time(timestamp(at))),
            value: at.to_string(),
            restated,
            ..Point::default()
        };
        let points = (1..9).map(|at| point(at, restated && at == 5)).collect();
        let series = SeriesPoints { metric: NAME.to_owned(), points, ..SeriesPoints::default() };
        server
            .ask(&Ask::Write(WritePointsRequest { series: vec![series], ..Default::default() }), None, 2)
            .expect("valid");
    }
    server.fold();
    let findings = crate::server::runtime().block_on(server.engine().verify()).findings;
    assert!(findings.is_empty(), "{findings:?}");
}
