//! What the system said, as what the caller should do.

use crate::store::{Damage, StoreError};
use std::io::{self, ErrorKind};
use std::path::Path;

/// Turns a failed operation on a file into the error of this floor.
pub fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let file = path.display().to_string();
    move |error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => StoreError::Full { file },
        ErrorKind::UnexpectedEof => Damage { file, offset: 0, what: "it ends too early".to_string() }.into(),
        ErrorKind::NotFound => Damage { file, offset: 0, what: "it is missing".to_string() }.into(),
        _ => StoreError::Io { operation, file, cause: error.to_string() },
    }
}

/// Names damage.
pub fn damaged(path: &Path, offset: u64, what: impl Into<String>) -> StoreError {
    Damage { file: path.display().to_string(), offset, what: what.into() }.into()
}
