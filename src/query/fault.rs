//! Why a question is refused.

use crate::domain::limit::OFFENDING_VALUE_BYTES_MAX;
use crate::store::StoreError;

/// Why a question is refused: each has one code and one name in the contract.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// A field that must be there is not.
    FieldRequired,
    /// A field has a value it cannot have.
    FieldInvalid,
    /// More than the table of limits allows.
    TooLarge,
    /// A time or a date is not one, or was skipped by the zone.
    TimeInvalid,
    /// The start is not before the end.
    IntervalEmpty,
    /// A text does not fit.
    ValueOutOfRange,
    /// Levels cannot be summed.
    NotAdditive,
    /// A threshold is not one, not above 0, or finer than the scale.
    ThresholdInvalid,
    /// The fill does not fit the kind.
    FillDiffers,
    /// Not one of the metric's labels.
    LabelUnknown,
    /// The page token is damaged, or another request's.
    PageTokenInvalid,
    /// Not an IANA name.
    TimeZoneUnknown,
    /// Reads more than the table of limits allows.
    QuestionTooCostly,
    /// The as-of lies after what is known.
    AsOfInFuture,
    /// The metric is not there.
    MetricNotFound,
}

/// One fault of a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Decides the code.
    pub reason: Reason,
    /// Where in the request.
    pub field: String,
    /// What is wrong, with the offending value, and the fix.
    pub message: String,
    /// Every dynamic part of the message.
    pub metadata: Vec<(&'static str, String)>,
}

impl Fault {
    /// A fault of a field. Offending values in the message are to be `cut`.
    pub fn new(reason: Reason, field: impl Into<String>, message: impl Into<String>) -> Fault {
        Fault { reason, field: field.into(), message: message.into(), metadata: Vec::new() }
    }

    /// Repeats a dynamic part of the message.
    pub fn with(mut self, key: &'static str, value: impl std::fmt::Display) -> Fault {
        self.metadata.push((key, cut(&value.to_string()).to_owned()));
        self
    }
}

/// Why a question has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueryError {
    /// Put the question right: at least one fault, in the order of the request.
    #[error("the question has {} faults", .0.len())]
    Faults(Vec<Fault>),
    /// Ask another server, or later.
    #[error("the engine is closed")]
    Closed,
    /// Something below failed; what it touches cannot be answered.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Fault> for QueryError {
    fn from(fault: Fault) -> QueryError {
        QueryError::Faults(vec![fault])
    }
}

/// The longest start of `text` of at most 128 bytes, on a character's boundary: as much as an error repeats.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(OFFENDING_VALUE_BYTES_MAX)]
}
