//! How an answer is written: a table for people, protobuf JSON or CSV for programs.

use super::error::Error;
use clap::{Args, ValueEnum};

/// How an answer is written.
#[derive(Args, Debug, Clone)]
pub(super) struct OutputArgs {
    /// How the answer is written: a table for people, the answer's protobuf JSON, or CSV with plain figures
    #[arg(long, short, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(super) output: Format,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
    Csv,
}

/// Rows as CSV, a header first.
pub(super) fn csv<R: AsRef<str>>(header: &[R], rows: impl IntoIterator<Item = Vec<String>>) -> Result<String, Error> {
    let failed = |e: &dyn std::fmt::Display| Error::Failed(format!("cannot write CSV: {e}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header.iter().map(|h| h.as_ref())).map_err(|e| failed(&e))?;
    for row in rows {
        writer.write_record(&row).map_err(|e| failed(&e))?;
    }
    let bytes = writer.into_inner().map_err(|e| failed(&e))?;
    String::from_utf8(bytes).map_err(|e| failed(&e))
}
