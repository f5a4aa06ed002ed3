//! A table of bad inputs: each with its status code, reason and message, compared whole. None of them may write
//! anything, and none may be INTERNAL or UNKNOWN.
//!
//! A row is a line `Service/Method REQUEST` (protobuf JSON, or `hex:` and bytes), and below it, indented, what is
//! told. `UPDATE_EXPECT=1 cargo test --test abuse` writes down what is told now; read what changed.

#[path = "../service/bytes_codec.rs"]
mod bytes_codec;
#[path = "../service/harness.rs"]
mod harness;

use harness::{Server, told};
use milepost::engine::AsOf;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const TABLES: [&str; 3] = ["catalog", "ingest", "query"];
/// What the whole table promises.
const ROWS_MIN: usize = 150;

struct Row {
    method: String,
    request: String,
    expected: String,
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/abuse").join(name).with_extension("txt")
}

/// The rows of a table, and its text as a list of lines that are not expectations.
fn rows(text: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(expected) = line.strip_prefix("    ") {
            rows.last_mut().expect("an expectation stands below its row").expected = expected.to_owned();
        } else {
            let (method, request) = line.split_once(' ').unwrap_or_else(|| panic!("no request: {line}"));
            rows.push(Row { method: method.into(), request: request.into(), expected: String::new() });
        }
    }
    rows
}

/// What was there before the bad inputs.
async fn prepared() -> Server {
    let server = Server::start().await;
    for row in rows(&std::fs::read_to_string(path("state")).expect("the state")) {
        server.ok(&row.method, &row.request).await;
    }
    server
}

/// Every component's revision: any write changes one.
async fn revisions(server: &Server) -> Vec<(String, i64)> {
    let mut all = Vec::new();
    for name in server.engine.components() {
        let view = server.engine.view(&name, AsOf::Now).await.expect("the engine is open");
        all.push((name.to_string(), view.revision()));
    }
    all
}

async fn tell(server: &Server, row: &Row) -> String {
    let answer = match row.request.strip_prefix("hex:") {
        Some(hex) => {
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
            server.call_bytes(&row.method, (0..hex.len()).step_by(2).map(byte).collect()).await.map(drop)
        }
        None => server.call(&row.method, &row.request).await.map(drop),
    };
    match answer {
        Ok(()) => "OK".to_owned(),
        Err(status) => told(&status).replace('\n', "\\n"),
    }
}

/// The table's text with what is told now.
fn rewritten(text: &str, told: &[String]) -> String {
    let mut told = told.iter();
    let mut new = String::new();
    for line in text.lines().filter(|line| !line.starts_with("    ")) {
        let _ = writeln!(new, "{line}");
        if !line.is_empty() && !line.starts_with('#') {
            let _ = writeln!(new, "    {}", told.next().expect("a row a line"));
        }
    }
    new
}

#[tokio::test]
async fn every_bad_input_is_told_what_is_wrong_and_writes_nothing() {
    let server = prepared().await;
    let before = revisions(&server).await;
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let (mut count, mut wrong) = (0, String::new());
    for table in TABLES {
        let text = std::fs::read_to_string(path(table)).expect("the table");
        let mut all = Vec::new();
        for row in rows(&text) {
            let told = tell(&server, &row).await;
            let code = told.split(' ').next().expect("a code");
            if matches!(code, "OK" | "INTERNAL" | "UNKNOWN") || told.starts_with(&format!("{code} - ")) {
                let _ = writeln!(wrong, "{} {}\n    {told}", row.method, row.request);
            } else if told != row.expected && !update {
                let _ = writeln!(wrong, "{} {}\n    {told}\nnot {}", row.method, row.request, row.expected);
            }
            assert_eq!(revisions(&server).await, before, "{} {} wrote something", row.method, row.request);
            all.push(told);
            count += 1;
        }
        if update {
            std::fs::write(path(table), rewritten(&text, &all)).expect("the table can be written");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= ROWS_MIN, "{count} rows");
}
