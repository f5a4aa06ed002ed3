//! Every bound of the service in one place; the README repeats them.

use super::time::Time;

/// Points in one batch.
pub const BATCH_POINTS_MAX: usize = 1_000_000;
/// Series in one batch.
pub const BATCH_SERIES_MAX: usize = 10_000;
/// Bytes of one request message.
pub const REQUEST_BYTES_MAX: usize = 4 << 20;
/// Bytes of one response or stream message.
pub const RESPONSE_BYTES_MAX: usize = 4 << 20;
/// Points that are read and not yet acknowledged, of all calls together; more wait. Some 400 MB of them.
pub const POINTS_IN_FLIGHT_MAX: usize = 8_000_000;
/// An entry of a batch counts as so many more points in flight: with its labels, what it is read into and what the
/// committer makes of it, it takes some 3 KB beside its points.
pub const ENTRY_IN_FLIGHT_POINTS: usize = 64;
/// Batches of one stream that are read and not yet answered; more wait.
pub const STREAM_BATCHES_IN_FLIGHT_MAX: usize = 64;
/// Labels of a metric.
pub const LABELS_MAX: usize = 32;
/// Bytes of a metric's `display_name`.
pub const DISPLAY_NAME_BYTES_MAX: usize = 256;
/// Bytes of a metric's `description`.
pub const DESCRIPTION_BYTES_MAX: usize = 4_096;
/// Bytes of a metric's `unit`.
pub const UNIT_BYTES_MAX: usize = 64;
/// Filters of a selection.
pub const FILTERS_MAX: usize = 100;
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
/// Years in a calendar's window: its edges stay within what a `Time` can say.
pub const CALENDAR_YEARS_MAX: u32 = 200;
/// The first instant that input may name: 1900-01-01T00:00:00Z.
pub const TIME_MIN: Time = Time(-2_208_988_800_000_000_000);
/// The last instant that input may name: the last nanosecond of the year 2200, in UTC.
pub const TIME_MAX: Time = Time(7_289_654_400_000_000_000 - 1);
/// A threshold, or a rung of a ladder, in units: so far below 2^127 that it can be added to and taken from any total.
pub const THRESHOLD_MAX: i128 = 10_i128.pow(36);
/// Bytes of one page of an answer, reckoned on the safe side: well below `RESPONSE_BYTES_MAX`.
pub const PAGE_BYTES_MAX: usize = 7 << 19;
/// Windows times series that one page reckons; a page ends early there.
pub const RANGE_WORK_MAX: usize = 10_000_000;
/// Series that one question selects.
pub const QUESTION_SERIES_MAX: usize = 1_000_000;
/// Gaps of single series that are held before they are put together.
pub const GAPS_HELD_MAX: usize = 1_000_000;
/// Blocks changed since that one question as of an earlier revision makes as they were.
pub const QUESTION_PAST_BLOCKS_MAX: usize = 100_000;
/// Points that a milestone search in a sum of series merges at once.
pub const MERGE_POINTS_MAX: usize = 4_096;
/// The same for each of very many series: merging these takes less time than cutting once more.
pub const MERGE_POINTS_PER_SERIES: usize = 4;
/// Points that one milestone search in a sum of series merges in all.
pub const QUESTION_MERGED_POINTS_MAX: u64 = 100_000_000;
/// The longest stretch whose pace an estimate uses: 365 days.
pub const ESTIMATE_WINDOW_NANOS_MAX: i64 = 365 * 86_400 * 1_000_000_000;
/// Bytes of replies that are kept to be sent again, with their questions.
pub const KEPT_REPLIES_BYTES_MAX: usize = 16 << 20;
/// Bytes of one reply that is kept: some 10,000 windows or milestones.
pub const KEPT_REPLY_BYTES_MAX: usize = 1 << 20;
/// Questions that are remembered to have come lately, so that their reply is kept when they come again.
pub const KEPT_QUESTIONS_REMEMBERED: usize = 8_192;
/// Points of one series that `ReadPoints` hands on at once, or up to a block more.
pub const READ_RUN_POINTS_MAX: usize = 4_096;
/// Bytes of points after which a message of `ReadPoints` is sent.
pub const READ_MESSAGE_BYTES: usize = 128 << 10;
/// Messages of `ReadPoints` that wait for a slow reader.
pub const READ_MESSAGES_WAITING_MAX: usize = 2;
