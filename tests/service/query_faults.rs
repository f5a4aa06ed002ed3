//! Questions that are refused: each fault of form, all of them together, and those of the state only after them.

use crate::harness::Server;
use crate::query_asking::{ask, push, refused, server_with};

const CALLS: [&str; 6] = ["GetTotal", "QueryRange", "QueryCumulative", "ListMilestones", "ReadPoints", "ListChanges"];

async fn check(server: &Server, cases: &[(&str, &str, &str)]) {
    for (method, rest, told) in cases {
        let answer = refused(server, method, rest).await;
        assert!(answer.starts_with(told), "{method} {rest}:\n{answer}");
    }
}

#[tokio::test]
async fn selections_that_are_none() {
    let server = server_with(r#""kind":"DELTA","period":"P1D","labelNames":["channel"]"#).await;
    for call in CALLS {
        let ladder = if call == "ListMilestones" { r#","every":"1""# } else { "" };
        let named = |name: &str| format!(r#""selection":{{"metric":"{name}"}}{ladder}"#);
        let filtered = format!(r#""selection":{{"metric":"team/counts","filters":[{{"label":"colour"}}]}}{ladder}"#);
        let nothing = "INVALID_ARGUMENT FIELD_REQUIRED selection.metric: ";
        check(
            &server,
            &[
                (call, &named(""), nothing),
                (
                    call,
                    &named("counts"),
                    "INVALID_ARGUMENT FIELD_INVALID selection.metric: \"counts\" is no metric's name",
                ),
                (call, &named("team/others"), "NOT_FOUND METRIC_NOT_FOUND selection.metric: "),
                (call, &filtered, "INVALID_ARGUMENT LABEL_UNKNOWN selection.filters[0].label: \"colour\""),
            ],
        )
        .await;
        let told = refused(&server, call, &named("team/others")).await;
        assert!(told.contains(r#"CreateMetric"#) && told.contains(r#""name":"team/others""#), "{told}");
    }
    let grouped = |label: &str| format!(r#""selection":{{"metric":"team/counts","groupBy":["{label}"]}}"#);
    check(
        &server,
        &[
            ("GetTotal", &grouped("colour"), "INVALID_ARGUMENT LABEL_UNKNOWN selection.group_by[0]: "),
            ("ReadPoints", &grouped("channel"), "INVALID_ARGUMENT FIELD_INVALID selection.group_by: "),
            ("ListChanges", &grouped("channel"), "INVALID_ARGUMENT FIELD_INVALID selection.group_by: "),
        ],
    )
    .await;
}

#[tokio::test]
async fn times_that_are_none() {
    let server = server_with(r#""kind":"DELTA","period":"P1D","timeZone":"Pacific/Apia""#).await;
    check(
        &server,
        &[
            ("GetTotal", r#""atDate":"2026-02-30""#, "INVALID_ARGUMENT TIME_INVALID at_date: "),
            ("GetTotal", r#""atDate":"2011-12-30""#, "INVALID_ARGUMENT TIME_INVALID at_date: 2011-12-30 never was"),
            ("GetTotal", r#""atTime":"1899-12-31T00:00:00Z""#, "INVALID_ARGUMENT TIME_INVALID at_time: "),
            (
                "QueryRange",
                r#""startDate":"2026-01-02","endDate":"2026-01-02""#,
                "INVALID_ARGUMENT INTERVAL_EMPTY start_date: ",
            ),
            (
                "ReadPoints",
                r#""startTime":"2026-01-02T00:00:00Z","endTime":"2026-01-01T00:00:00Z""#,
                "INVALID_ARGUMENT INTERVAL_EMPTY start_time: ",
            ),
            ("ListMilestones", r#""every":"1","endDate":"soon""#, "INVALID_ARGUMENT TIME_INVALID end_date: "),
            (
                "ListChanges",
                r#""revisions":{"startRevision":"3","endRevision":"3"}"#,
                "INVALID_ARGUMENT INTERVAL_EMPTY revisions.end_revision: ",
            ),
            (
                "ListChanges",
                r#""revisions":{"startRevision":"-3"}"#,
                "INVALID_ARGUMENT FIELD_INVALID revisions.start_revision: ",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn calendars_that_are_none() {
    let server = server_with(r#""kind":"DELTA""#).await;
    check(
        &server,
        &[
            (
                "QueryRange",
                r#""calendar":{}"#,
                "INVALID_ARGUMENT FIELD_REQUIRED calendar.unit: team/counts has no period",
            ),
            ("QueryRange", r#""calendar":{"unit":77}"#, "INVALID_ARGUMENT FIELD_INVALID calendar.unit: "),
            (
                "QueryRange",
                r#""calendar":{"unit":"DAY","count":-1}"#,
                "INVALID_ARGUMENT FIELD_INVALID calendar.count: ",
            ),
            (
                "QueryRange",
                r#""calendar":{"unit":"DAY","count":10001}"#,
                "INVALID_ARGUMENT FIELD_INVALID calendar.count: ",
            ),
            (
                "QueryRange",
                r#""calendar":{"unit":"DAY","timeZone":"Mars"}"#,
                "INVALID_ARGUMENT TIME_ZONE_UNKNOWN calendar.time_zone: ",
            ),
            (
                "QueryRange",
                r#""calendar":{"unit":"DAY","weekStart":8}"#,
                "INVALID_ARGUMENT FIELD_INVALID calendar.week_start: ",
            ),
            (
                "QueryRange",
                r#""calendar":{"unit":"DAY","yearStart":{"month":2,"day":29}}"#,
                "INVALID_ARGUMENT FIELD_INVALID calendar.year_start: ",
            ),
            ("QueryCumulative", r#""restart":"WEEK""#, "INVALID_ARGUMENT FIELD_INVALID restart: "),
            ("QueryRange", r#""fill":"PREVIOUS""#, "INVALID_ARGUMENT FILL_DIFFERS fill: "),
            ("QueryCumulative", r#""fill":"PREVIOUS""#, "INVALID_ARGUMENT FILL_DIFFERS fill: "),
            ("QueryRange", r#""fill":5"#, "INVALID_ARGUMENT FIELD_INVALID fill: "),
            ("ReadPoints", r#""form":5"#, "INVALID_ARGUMENT FIELD_INVALID form: "),
        ],
    )
    .await;
}

#[tokio::test]
async fn levels_are_never_summed() {
    let server = server_with(r#""kind":"GAUGE","labelNames":["channel"]"#).await;
    check(
        &server,
        &[
            ("GetTotal", "", "INVALID_ARGUMENT NOT_ADDITIVE selection.metric: "),
            ("QueryCumulative", "", "INVALID_ARGUMENT NOT_ADDITIVE selection.metric: "),
            ("QueryRange", r#""fill":"ZERO""#, "INVALID_ARGUMENT FILL_DIFFERS fill: "),
        ],
    )
    .await;
    push(&server, "channel=a", "2026-07-01=1").await;
    ask(&server, "QueryRange", "").await;
    push(&server, "channel=b", "2026-07-01=1").await;
    check(
        &server,
        &[
            ("QueryRange", "", "INVALID_ARGUMENT NOT_ADDITIVE selection: "),
            ("ListMilestones", r#""every":"1""#, "INVALID_ARGUMENT NOT_ADDITIVE selection: "),
        ],
    )
    .await;
    ask(&server, "QueryRange", r#""selection":{"metric":"team/counts","groupBy":["channel"]}"#).await;
}

#[tokio::test]
async fn what_is_not_known_yet_cannot_be_asked_for() {
    let server = server_with(r#""kind":"DELTA""#).await;
    check(
        &server,
        &[
            ("GetTotal", r#""asOf":{"revision":"2"}"#, "FAILED_PRECONDITION AS_OF_IN_FUTURE as_of.revision: "),
            (
                "GetTotal",
                r#""asOf":{"time":"2027-01-01T00:00:00Z"}"#,
                "FAILED_PRECONDITION AS_OF_IN_FUTURE as_of.time: ",
            ),
            ("GetTotal", r#""asOf":{"revision":"-2"}"#, "INVALID_ARGUMENT FIELD_INVALID as_of.revision: "),
            // faults of form come first
            ("GetTotal", r#""asOf":{"revision":"2"},"pageSize":-1"#, "INVALID_ARGUMENT FIELD_INVALID page_size: "),
            ("GetTotal", r#""asOf":{"revision":"2"},"atDate":"x""#, "INVALID_ARGUMENT TIME_INVALID at_date: "),
        ],
    )
    .await;
}

#[tokio::test]
async fn all_faults_of_form_are_told_together() {
    let server = server_with(r#""kind":"DELTA""#).await;
    let rest = r#""selection":{"metric":"team/counts","filters":[{"label":"x"}]},"calendar":{"unit":"DAY","count":-1},
        "startDate":"never","fill":"PREVIOUS","pageSize":-1"#;
    let told = refused(&server, "QueryRange", rest).await;
    assert!(told.starts_with("INVALID_ARGUMENT LABEL_UNKNOWN selection.filters[0].label: "), "{told}");
    assert!(told.ends_with("(and 4 more faults)"), "{told}");
    // of a metric that is not there too
    let rest = r#""selection":{"metric":"team/others"},"atDate":"never","pageSize":-1"#;
    let told = refused(&server, "GetTotal", rest).await;
    assert!(told.starts_with("INVALID_ARGUMENT TIME_INVALID at_date: "), "{told}");
}

#[tokio::test]
async fn a_token_is_bound_to_its_request() {
    let server = server_with(r#""kind":"DELTA","labelNames":["channel"]"#).await;
    for channel in ["a", "b", "c"] {
        push(&server, &format!("channel={channel}"), "2026-07-01=1").await;
    }
    let selection = r#""selection":{"metric":"team/counts","groupBy":["channel"]},"pageSize":1"#;
    let page = ask(&server, "GetTotal", selection).await;
    let token = page["nextPageToken"].as_str().expect("there is more").to_owned();
    let with = |rest: &str, token: &str| format!(r#"{selection}{rest},"pageToken":"{token}""#);
    ask(&server, "GetTotal", &with("", &token)).await;
    check(
        &server,
        &[
            (
                "GetTotal",
                &with(r#","atDate":"2026-08-01""#, &token),
                "INVALID_ARGUMENT PAGE_TOKEN_INVALID page_token: ",
            ),
            ("QueryRange", &with("", &token), "INVALID_ARGUMENT PAGE_TOKEN_INVALID page_token: "),
            ("GetTotal", &with("", &token.replace('0', "1")), "INVALID_ARGUMENT PAGE_TOKEN_INVALID page_token: "),
            ("GetTotal", &with("", "nonsense"), "INVALID_ARGUMENT PAGE_TOKEN_INVALID page_token: "),
        ],
    )
    .await;
}
