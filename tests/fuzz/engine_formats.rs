//! The engine's formats: what the log and the frames of folds and the index say.

use milepost::engine::formats::{Format, again};

use crate::{bend::bent, samples::frames};

/// The formats that are not targets of their own.
pub const OTHERS: [Format; 7] = [
    Format::Run,
    Format::SeriesPage,
    Format::Component,
    Format::Batches,
    Format::Changes,
    Format::Ids,
    Format::IndexPage,
];

/// The first byte says which of the others.
pub fn other(input: &[u8]) -> bool {
    let Some((&which, rest)) = input.split_first() else { return false };
    check(rest, OTHERS[usize::from(which) % OTHERS.len()])
}

/// What decodes comes back the same; a valid one decodes.
pub fn check(input: &[u8], format: Format) -> bool {
    let (bytes, valid) = bent(input, frames(format));
    let written = again(format, &bytes);
    if valid {
        assert_eq!(written.as_deref(), Some(&bytes[..]), "what was written comes to the same bytes");
    }
    written.is_some()
}
