//! What can go wrong for a client, how it reads on stderr, and the exit code it has.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;
use tonic_types::StatusExt;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line asks for something that cannot be: read the help (exit code 2).
    #[error("{0}")]
    Usage(String),
    /// No server answers there: start one, or name another.
    #[error("no server answers at {server}: {reason}")]
    Unreachable {
        /// What was tried.
        server: String,
        /// What the transport says.
        reason: String,
    },
    /// The server refused the call: the message says the fix.
    #[error("{}", .status.message())]
    Refused {
        /// What it said.
        status: Box<tonic::Status>,
        /// How the user wrote what the server calls by a field's name.
        written: BTreeMap<String, String>,
    },
    /// A file or a pipe failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The answer, or what it was asked of, is not what it should be: the message says what to do.
    #[error("{0}")]
    Failed(String),
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Error {
        Error::Refused { status: Box::new(status), written: BTreeMap::new() }
    }
}

impl Error {
    /// The same, knowing what the user wrote for each field (a prefix as `series[0].points[3]`).
    pub(super) fn with_written(self, written: BTreeMap<String, String>) -> Error {
        match self {
            Error::Refused { status, .. } => Error::Refused { status, written },
            other => other,
        }
    }

    /// 2 for wrong usage, else 1.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(if matches!(self, Error::Usage(_)) { 2 } else { 1 })
    }

    /// For stderr: the message, or a line a fault where there are several; then code and reason.
    pub fn text(&self) -> String {
        let Error::Refused { status, written } = self else { return format!("error: {self}\n") };
        let details = status.get_error_details();
        let faults = details.bad_request().map(|b| b.field_violations.as_slice()).unwrap_or_default();
        let mut text = String::new();
        match faults {
            [] => _ = writeln!(text, "error: {self}"),
            [only] => {
                let words = words_for(written, &only.field).map(|w| format!("{w}: ")).unwrap_or_default();
                let _ = writeln!(text, "error: {words}{self}");
            }
            several => {
                let named = several.len();
                let all = fault_count(status.message()).unwrap_or(named).max(named);
                let shown = if all > named { format!(", the first {named}") } else { String::new() };
                let _ = writeln!(text, "error: refused as a whole, for {all} faults{shown}:");
                for fault in several {
                    let words = words_for(written, &fault.field).map(|w| format!("{w}: ")).unwrap_or_default();
                    let _ = writeln!(text, "  {words}{}: {}", fault.field, fault.description);
                }
            }
        }
        let reason = details.error_info().map(|i| format!(" {}", i.reason)).unwrap_or_default();
        let _ = writeln!(text, "  [{}{reason}]", code_name(status.code()));
        text
    }
}

/// How many faults there are in all, from the end of the message: `... (and 12 more faults)`.
fn fault_count(message: &str) -> Option<usize> {
    let (_, more) = message.rsplit_once("(and ")?;
    more.split(' ').next()?.parse::<usize>().ok().map(|n| n + 1)
}

/// What the user wrote for a field, by the longest prefix of its name that is known.
fn words_for<'a>(written: &'a BTreeMap<String, String>, field: &str) -> Option<&'a str> {
    written
        .iter()
        .filter(|(prefix, _)| field.strip_prefix(prefix.as_str()).is_some_and(|r| r.is_empty() || r.starts_with('.')))
        .max_by_key(|(prefix, _)| prefix.len())
        .map(|(_, words)| words.as_str())
}

/// A code as the protocol spells it.
pub(super) fn code_name(code: tonic::Code) -> &'static str {
    use tonic::Code as C;
    match code {
        C::Ok => "OK",
        C::Cancelled => "CANCELLED",
        C::Unknown => "UNKNOWN",
        C::InvalidArgument => "INVALID_ARGUMENT",
        C::DeadlineExceeded => "DEADLINE_EXCEEDED",
        C::NotFound => "NOT_FOUND",
        C::AlreadyExists => "ALREADY_EXISTS",
        C::PermissionDenied => "PERMISSION_DENIED",
        C::ResourceExhausted => "RESOURCE_EXHAUSTED",
        C::FailedPrecondition => "FAILED_PRECONDITION",
        C::Aborted => "ABORTED",
        C::OutOfRange => "OUT_OF_RANGE",
        C::Unimplemented => "UNIMPLEMENTED",
        C::Internal => "INTERNAL",
        C::Unavailable => "UNAVAILABLE",
        C::DataLoss => "DATA_LOSS",
        C::Unauthenticated => "UNAUTHENTICATED",
    }
}
