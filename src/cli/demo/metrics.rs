//! What the demo makes: definitions, and what is written to each metric, in the order it is written.

use super::curve::day;
use super::series::{self, point};
use crate::proto::v1 as pb;
use std::collections::BTreeMap;

/// Ends every description, so that a store that has the demo is known by it.
const MADE_UP: &str = "Made up by the demo.";

/// One metric of the demo.
pub(super) struct DemoMetric {
    pub(super) definition: pb::Metric,
    pub(super) opening: Option<pb::SetOpeningBalanceRequest>,
    pub(super) batches: Vec<Written>,
}

/// Points of one series, written together.
pub(super) struct Written {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) points: Vec<pb::Point>,
    pub(super) reason: &'static str,
}

impl DemoMetric {
    fn new(name: &str, display_name: &str, unit: &str, kind: pb::metric::Kind, period: &str) -> DemoMetric {
        let definition = pb::Metric {
            name: name.into(),
            display_name: display_name.into(),
            unit: unit.into(),
            kind: kind.into(),
            period: period.into(),
            time_zone: "UTC".into(),
            ..pb::Metric::default()
        };
        DemoMetric { definition, opening: None, batches: Vec::new() }
    }

    pub(super) fn name(&self) -> &str {
        &self.definition.name
    }

    fn described(mut self, text: &str) -> DemoMetric {
        self.definition.description = format!("{text} {MADE_UP}");
        self
    }

    fn in_zone(mut self, zone: &str) -> DemoMetric {
        self.definition.time_zone = zone.into();
        self
    }

    fn written(mut self, labels: &[(&str, &str)], points: Vec<pb::Point>, reason: &'static str) -> DemoMetric {
        let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        self.batches.push(Written { labels, points, reason });
        self
    }
}

/// Whether a metric is the demo's.
pub(super) fn is_made_up(metric: &pb::Metric) -> bool {
    metric.description.ends_with(MADE_UP)
}

fn points(values: &[(i64, i64)]) -> Vec<pb::Point> {
    values.iter().map(|(at, value)| point(*at, value)).collect()
}

/// Pennies as pounds.
fn pounds(values: &[(i64, i64)]) -> Vec<pb::Point> {
    let text = |pennies: i64| format!("{}.{:02}", pennies / 100, pennies % 100);
    values.iter().map(|(at, pennies)| point(*at, text(*pennies))).collect()
}

/// All of it, up to today (days since 1970-01-01). The last one is the one that never reports.
pub(super) fn all(today: i64) -> Vec<DemoMetric> {
    use pb::metric::Kind::{Delta, Gauge};
    let mut amount = DemoMetric::new("govuk-pay/amount", "Amount paid", "GBP", Delta, "P1W")
        .described("Money taken in a week.")
        .in_zone("Europe/London")
        .written(&[], pounds(&series::amount(today)), "");
    amount.definition.scale = 2;
    vec![
        payments(today),
        amount,
        page_total(today),
        messages(today),
        logins(today),
        DemoMetric::new("govuk/visits", "Visits", "{visit}", Delta, "P1W")
            .described("Visits in a week, as far as cookies tell; counted otherwise since Christmas 2019.")
            .in_zone("Europe/London")
            .written(&[], series::visits(today), ""),
        DemoMetric::new("govuk-paas/apps", "Apps running", "{app}", Gauge, "P1W")
            .described("Apps running at the start of a week.")
            .written(&[], points(&series::apps(today)), ""),
        DemoMetric::new("govuk-paas/requests", "Requests", "{request}", Delta, "P1D")
            .described("Requests in a day. Known to exist, never reported."),
    ]
}

/// Weekly payments; one week was put right when its late invoices came.
fn payments(today: i64) -> DemoMetric {
    let (wrong, right) = corrected(points(&series::payments(today)), day("2019-03-25"), 1_204);
    DemoMetric::new("govuk-pay/payments", "Payments", "{payment}", pb::metric::Kind::Delta, "P1W")
        .described("Payments that succeeded in a week.")
        .in_zone("Europe/London")
        .written(&[], wrong, "")
        .written(&[], right, "late invoices")
}

/// A published total: one date was published twice, and the count began again when the page was rebuilt.
fn page_total(today: i64) -> DemoMetric {
    let (wrong, right) = corrected(series::page_total(today), day("2025-02-10"), 100_000);
    DemoMetric::new("govuk-pay/page-total", "Payments, as published", "{payment}", pb::metric::Kind::Cumulative, "P1W")
        .described("The total that the product page says, to a tenth of a million; from zero again since 2023-04-03.")
        .written(&[], wrong, "")
        .written(&[], right, "published again on the same day")
}

/// The points as they were first written, one of them too low, and that one as it should be.
fn corrected(points: Vec<pb::Point>, at: i64, too_low_by: i64) -> (Vec<pb::Point>, Vec<pb::Point>) {
    let at = point(at, 0).at;
    let right: Vec<_> = points.iter().filter(|p| p.at == at).cloned().collect();
    let mut wrong = points;
    for p in wrong.iter_mut().filter(|p| p.at == at) {
        let value: i64 = p.value.parse().expect("the demo's own figures are whole numbers");
        p.value = (value - too_low_by).to_string();
    }
    (wrong, right)
}

/// Daily messages by channel.
fn messages(today: i64) -> DemoMetric {
    let mut metric = DemoMetric::new("govuk-notify/messages", "Messages", "{message}", pb::metric::Kind::Delta, "P1D")
        .described("Messages sent in a day, by channel.");
    metric.definition.label_names = vec!["channel".into()];
    [("email", 0.70), ("text", 0.28), ("letter", 0.02)].into_iter().fold(metric, |metric, (channel, share)| {
        metric.written(&[("channel", channel)], points(&series::messages(channel, share, today)), "")
    })
}

/// Weekly logins, with what was counted before the weeks were; its years are tax years.
fn logins(today: i64) -> DemoMetric {
    let mut metric = DemoMetric::new("govuk-verify/logins", "Logins", "{login}", pb::metric::Kind::Delta, "P1W")
        .described("Logins in a week. The service closed in spring 2023.")
        .in_zone("Europe/London")
        .written(&[], points(&series::logins(today)), "");
    metric.definition.year_start = Some(pb::MonthDay { month: 4, day: 6 });
    metric.opening = Some(pb::SetOpeningBalanceRequest {
        metric: "govuk-verify/logins".into(),
        at: Some(pb::set_opening_balance_request::At::Date("2014-10-13".into())),
        value: Some("25000".into()),
        note: "private beta, from the team's own count".into(),
        ..pb::SetOpeningBalanceRequest::default()
    });
    metric
}
