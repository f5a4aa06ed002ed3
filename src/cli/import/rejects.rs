//! The rejects file: bad rows as they were, behind their line number and reason, ready to be mended and imported.

use super::Reject;
use super::file::Source;
use crate::cli::error::Error;
use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};

const FIRST_COLUMNS: [&str; 2] = ["line", "reason"];

/// `FILE.rejects.csv`; of stdin `stdin.rejects.csv`.
pub(super) fn default_path(file: &Path) -> PathBuf {
    let mut name = if file == Path::new("-") { "stdin".into() } else { file.as_os_str().to_owned() };
    name.push(".rejects.csv");
    name.into()
}

/// Writes the file where there are rejects. Where there are none, one of an earlier run under the default name
/// is taken away, for it would speak of rows that are in now.
pub(super) fn write(path: &Path, default: bool, source: &Source, rejects: &[Reject]) -> Result<(), Error> {
    let failed = |source| Error::Io { what: format!("cannot write {}", path.display()), source };
    if rejects.is_empty() {
        if default && is_rejects_file(path) {
            fs::remove_file(path).map_err(failed)?;
        }
        return Ok(());
    }
    let csv_failed = |e: csv::Error| failed(std::io::Error::other(e));
    let mut writer = csv::WriterBuilder::new().flexible(true).from_path(path).map_err(csv_failed)?;
    let first = FIRST_COLUMNS.iter().map(|c| c.as_bytes());
    writer.write_record(first.chain(source.header().iter())).map_err(csv_failed)?;
    for reject in rejects {
        let line = reject.line.to_string();
        let record = source.record_at(reject.offset);
        let cells = [line.as_bytes(), reject.reason.as_bytes()].into_iter().chain(record.iter());
        writer.write_record(cells).map_err(csv_failed)?;
    }
    writer.flush().map_err(failed)
}

fn is_rejects_file(path: &Path) -> bool {
    let mut first = String::new();
    fs::File::open(path).is_ok_and(|file| {
        std::io::BufReader::new(file).read_line(&mut first).is_ok() && first.starts_with("line,reason,")
    })
}
