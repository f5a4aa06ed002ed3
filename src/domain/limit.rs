//! Every bound of the service in one place; the README repeats them.

/// Points in one batch.
pub const BATCH_POINTS_MAX: usize = 1_000_000;
/// Series in one batch.
pub const BATCH_SERIES_MAX: usize = 10_000;
/// Bytes of one request message.
pub const REQUEST_BYTES_MAX: usize = 4 << 20;
/// Bytes of one response or stream message.
pub const RESPONSE_BYTES_MAX: usize = 4 << 20;
/// Labels of a metric.
pub const LABELS_MAX: usize = 32;
/// Rows on a page where `page_size` is unset.
pub const PAGE_ROWS_DEFAULT: usize = 1_000;
/// Rows on a page at most.
pub const PAGE_ROWS_MAX: usize = 10_000;
/// Bytes of a request id.
pub const REQUEST_ID_BYTES_MAX: usize = 64;
/// Bytes of a batch's reason, or of an opening's note.
pub const REASON_BYTES_MAX: usize = 1_024;
/// Bytes of an offending value that an error repeats.
pub const OFFENDING_VALUE_BYTES_MAX: usize = 128;
/// Bytes of all trailers of an error.
pub const TRAILER_BYTES_MAX: usize = 6 << 10;
/// Violations in a stream's refusal.
pub const REFUSAL_VIOLATIONS_MAX: usize = 1_000;
/// Gaps named in a coverage.
pub const GAPS_MAX: usize = 100;
/// Openings named in an answer.
pub const OPENINGS_MAX: usize = 20;
/// Thresholds in a list.
pub const THRESHOLDS_MAX: usize = 10_000;
/// Units in a calendar's window.
pub const CALENDAR_COUNT_MAX: u32 = 10_000;
