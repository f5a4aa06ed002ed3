//! Bugs that the tests plant to see themselves fail: a harness that cannot catch these proves nothing.
//!
//! Behind the feature `planted`, which only this package's own tests switch on, and only where debug assertions are
//! on: so a release cannot have them, whatever it is built with. Which one is planted is chosen at run time, by
//! `MILEPOST_PLANTED`, so that one build serves all.

/// A bug, by its name in `MILEPOST_PLANTED`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// A group is answered without its sync.
    SkipSync,
    /// A batch is answered before its group is written.
    AcknowledgeBeforeSync,
    /// The log lets go of what no fold covers.
    TrimTooEarly,
    /// A request id is not looked up.
    SkipDedup,
    /// A window takes in the instant at which it ends.
    WindowEnd,
    /// A frame's checksum is not looked at.
    IgnoreFrameCrc,
    /// The checksum of a record's body is not looked at.
    IgnoreRecordCrc,
    /// A changed block keeps the highest prefix sum it had.
    ForgetHighestPrefix,
    /// The last group that was read is served without having been synced.
    ServeUnsyncedTail,
    /// A block that a later fold replaced is kept beside it.
    KeepReplacedBlock,
    /// The log is replayed from before the last fold.
    OverlayTwice,
    /// A fold leaves out request ids.
    ForgetIdsInFold,
    /// A fold file gets its name before it is synced.
    RenameBeforeSync,
    /// A new segment's name is not synced.
    SkipDirectorySync,
    /// Damage in the middle of the log is cut like a torn tail.
    CutDamage,
    /// The index is believed whatever folds its marker says that it covers.
    StaleIndex,
    /// After a failed sync writing goes on.
    RetrySync,
    /// What was written of a group on a full disk stays.
    KeepRefusedGroup,
    /// A fold leaves out openings.
    ForgetOpeningInFold,
    /// A fold leaves out what corrections replaced.
    ForgetPastInFold,
    /// Damage to the log is forgotten by the fold that follows.
    FoldDamageAway,
    /// A backup leaves out the log.
    BackupWithoutLog,
    /// A fold file is removed before the one that takes its place is there.
    RemoveBeforeWriting,
    /// The sweep does not wait for who reads an older state.
    SweepUnderViews,
    /// The sweep takes a page for dead of which one record is.
    SweepLivingPage,
    /// What a page or a fold file that was given up may have touched is served.
    ServeTouched,
    /// Request ids that were given up are taken for new ones.
    ForgetLostIds,
    /// A log that is salvaged does not tell of what it could not read.
    ForgetGap,
    /// A log that is salvaged ends where something cannot be read.
    StopAtGap,
    /// A number that is one off is taken into an even column.
    UnevenColumn,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 30] = [
        Bug::SkipSync,
        Bug::AcknowledgeBeforeSync,
        Bug::TrimTooEarly,
        Bug::SkipDedup,
        Bug::WindowEnd,
        Bug::IgnoreFrameCrc,
        Bug::IgnoreRecordCrc,
        Bug::ForgetHighestPrefix,
        Bug::ServeUnsyncedTail,
        Bug::KeepReplacedBlock,
        Bug::OverlayTwice,
        Bug::ForgetIdsInFold,
        Bug::RenameBeforeSync,
        Bug::SkipDirectorySync,
        Bug::CutDamage,
        Bug::StaleIndex,
        Bug::RetrySync,
        Bug::KeepRefusedGroup,
        Bug::ForgetOpeningInFold,
        Bug::ForgetPastInFold,
        Bug::FoldDamageAway,
        Bug::BackupWithoutLog,
        Bug::RemoveBeforeWriting,
        Bug::SweepUnderViews,
        Bug::SweepLivingPage,
        Bug::ServeTouched,
        Bug::ForgetLostIds,
        Bug::ForgetGap,
        Bug::StopAtGap,
        Bug::UnevenColumn,
    ];
}

/// Whether this bug is planted.
#[cfg(all(feature = "planted", debug_assertions))]
pub fn is(bug: Bug) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<Bug>> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(chosen) == Some(bug)
}

/// Whether this bug is planted: never.
#[cfg(not(all(feature = "planted", debug_assertions)))]
#[inline(always)]
pub const fn is(_bug: Bug) -> bool {
    false
}

/// The bug that `MILEPOST_PLANTED` names; a name that is none ends the process, so that no test passes for want of it.
#[cfg(all(feature = "planted", debug_assertions))]
fn chosen() -> Option<Bug> {
    let name = std::env::var("MILEPOST_PLANTED").ok().filter(|name| !name.is_empty())?;
    let bug = Bug::ALL.into_iter().find(|bug| format!("{bug:?}") == name);
    Some(bug.unwrap_or_else(|| panic!("MILEPOST_PLANTED={name} is no planted bug")))
}
