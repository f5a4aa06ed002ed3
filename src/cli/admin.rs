//! The arguments of `milepost verify`, `backup` and `restore`, and how their answers read. They are asked of a data
//! directory, not of a server: who does the work is not the client's business.

use super::error::{Error, code_name};
use super::json;
use crate::proto::v1 as pb;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Which directory.
#[derive(Args, Debug, Clone)]
pub struct DirArgs {
    /// The data directory, of a server that runs or of none
    #[arg(long, value_name = "DIR", default_value = "./milepost-data")]
    pub data_dir: PathBuf,
    /// How the answer is written: lines for people, or the answer's protobuf JSON
    #[arg(long, short, value_enum, default_value = "table", value_name = "FORMAT")]
    pub output: Written,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Written {
    /// Lines for people.
    Table,
    /// Protobuf JSON.
    Json,
}

/// What `milepost backup` is told.
#[derive(Args, Debug, Clone)]
pub struct BackupArgs {
    /// The directory to back up into, on the machine of the data directory; made where it is not there
    pub target: PathBuf,
    /// Which directory.
    #[command(flatten)]
    pub dir: DirArgs,
}

/// What `milepost restore` is told.
#[derive(Args, Debug, Clone)]
pub struct RestoreArgs {
    /// A directory that `milepost backup` made
    pub backup: PathBuf,
    /// The data directory to make; must not be there, or be empty
    pub data_dir: PathBuf,
}

impl Written {
    /// A finding, and its end of line.
    pub fn finding(self, finding: pb::Finding) -> Result<String, Error> {
        match self {
            Written::Table => Ok(format!("{}\n", finding.text.replace('\n', " "))),
            Written::Json => json::text("Finding", &finding),
        }
    }

    /// What a look at everything came to.
    pub fn verified(self, summary: pb::VerifySummary) -> Result<String, Error> {
        if self == Written::Json {
            return json::text("VerifySummary", &summary);
        }
        let counts = summary.counts.unwrap_or_default();
        let found = match summary.finding_count {
            0 => "Everything is as it should be".to_string(),
            1 => "1 finding".to_string(),
            n => format!("{n} findings"),
        };
        Ok(format!(
            "{found}: looked at {} points in {} blocks of {} series, {} nodes, {} frames and {} log records.\n",
            counts.points, counts.blocks, counts.series, counts.nodes, counts.frames, counts.records
        ))
    }

    /// What a backup came to.
    pub fn backed_up(self, target: &std::path::Path, summary: pb::BackupSummary) -> Result<String, Error> {
        if self == Written::Json {
            return json::text("BackupSummary", &summary);
        }
        let mut text = format!(
            "Backup {} of store {} in {}: {} files of {} bytes copied, {} files of {} bytes were there.\n",
            summary.number,
            summary.store_id,
            target.display(),
            summary.copied_file_count,
            summary.copied_bytes,
            summary.present_file_count,
            summary.present_bytes
        );
        text.push_str(&format!("It reaches record {}", summary.position));
        for (i, of) in summary.revisions.iter().enumerate() {
            let between = if i == 0 { ": " } else { ", " };
            text.push_str(&format!("{between}{} at revision {}", of.component, of.revision));
        }
        text.push_str(".\n");
        Ok(text)
    }
}

/// A refusal, for stderr.
pub fn refused(status: &tonic::Status) -> String {
    format!("error: {}\n  [{}]\n", status.message(), code_name(status.code()))
}
