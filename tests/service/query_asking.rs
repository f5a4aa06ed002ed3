//! Short ways to set a scene for questions, and to write answers down as tables.

use crate::harness::Server;
use serde_json::{Value, json};

/// A server with one metric, `team/counts`; `definition` as protobuf JSON without its braces.
pub async fn server_with(definition: &str) -> Server {
    let server = Server::start().await;
    let metric = format!(r#"{{"metric":{{"name":"team/counts",{definition}}}}}"#);
    server.ok("CatalogService/CreateMetric", &metric).await;
    server
}

/// Writes points to a series: labels as `a=b c=d`, points as `date=value`, `date..end=value` (DELTA),
/// `date<start=value` (CUMULATIVE), `date!=value` (restated).
pub async fn push(server: &Server, labels: &str, points: &str) {
    let labels: serde_json::Map<String, Value> = pairs(labels).map(|(name, value)| (name, json!(value))).collect();
    let points: Vec<Value> = points.split_whitespace().map(point).collect();
    let series = json!([{"metric": "team/counts", "labels": labels, "points": points}]);
    server.ok("IngestService/WritePoints", &json!({ "series": series }).to_string()).await;
}

fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split_whitespace().map(|pair| {
        let (name, value) = pair.split_once('=').expect("name=value");
        (name.to_owned(), value.to_owned())
    })
}

fn point(text: &str) -> Value {
    let (when, value) = text.split_once('=').expect("when=value");
    let mut point = json!({ "value": value });
    let when = when.strip_suffix('!').inspect(|_| point["restated"] = json!(true)).unwrap_or(when);
    let mut at = when;
    if let Some((start, end)) = when.split_once("..") {
        at = start;
        let key = if end.contains('T') { "endTime" } else { "endDate" };
        point[key] = json!(end);
    } else if let Some((date, start)) = when.split_once('<') {
        at = date;
        point["startTime"] = json!(format!("{start}T00:00:00Z"));
    }
    let key = if at.contains('T') { "time" } else { "date" };
    point[key] = json!(at);
    point
}

/// Sets an opening balance.
pub async fn open(server: &Server, labels: &str, date: &str, value: &str) {
    let labels: serde_json::Map<String, Value> = pairs(labels).map(|(name, value)| (name, json!(value))).collect();
    let request =
        json!({"metric": "team/counts", "labels": labels, "date": date, "value": value, "note": "the old books"});
    server.ok("IngestService/SetOpeningBalance", &request.to_string()).await;
}

/// Asks `QueryService/METHOD`; `rest` is added to the selection of `team/counts`.
pub async fn ask(server: &Server, method: &str, rest: &str) -> Value {
    server.ok(&format!("QueryService/{method}"), &request(rest)).await
}

/// The same, of a question that must be refused.
pub async fn refused(server: &Server, method: &str, rest: &str) -> String {
    server.refused(&format!("QueryService/{method}"), &request(rest)).await
}

fn request(rest: &str) -> String {
    if rest.contains("\"selection\"") {
        return format!("{{{rest}}}");
    }
    let comma = if rest.is_empty() { "" } else { "," };
    format!(r#"{{"selection":{{"metric":"team/counts"}}{comma}{rest}}}"#)
}

/// Rows as lines: the columns named, one after the other; `-` is unset. Midnights are dates, a group its values.
pub fn table(rows: &Value, columns: &[&str]) -> String {
    let rows = rows.as_array().cloned().unwrap_or_default();
    let line = |row: &Value| columns.iter().map(|column| cell(&row[*column])).collect::<Vec<_>>().join(" ");
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A value as a cell.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.strip_suffix("T00:00:00Z").unwrap_or(text).to_owned(),
        Value::Array(list) => list.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Object(map) => map.values().map(cell).collect::<Vec<_>>().join("/"),
        other => other.to_string(),
    }
}
