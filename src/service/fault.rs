//! What is wrong with a request: faults, each with its field, reason and dynamic parts, gathered before any effect.

use crate::domain::limit::{OFFENDING_VALUE_BYTES_MAX, REFUSAL_VIOLATIONS_MAX};
pub use crate::proto::v1::Reason;
use std::fmt::Display;

/// One fault. `status` makes a `Status` or a `Refusal` of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Decides the code.
    pub reason: Reason,
    /// Where in the request, as `series[3].points[17].time`; empty where it is about no field.
    pub field: String,
    /// What is wrong, with the offending value, and the fix.
    pub description: String,
    /// Every dynamic part of the description.
    pub metadata: Vec<(&'static str, String)>,
    /// The metric it is about: makes a ResourceInfo.
    pub metric: Option<String>,
    /// Waiting so long may cure it: makes a RetryInfo.
    pub retry_after_nanos: Option<i64>,
    /// What ran out: makes a QuotaFailure.
    pub quota: Option<&'static str>,
}

impl Fault {
    /// A fault of a field (empty: of none). Offending values in the description are to be `cut`.
    pub fn new(reason: Reason, field: impl Into<String>, description: impl Into<String>) -> Fault {
        Fault {
            reason,
            field: field.into(),
            description: description.into(),
            metadata: Vec::new(),
            metric: None,
            retry_after_nanos: None,
            quota: None,
        }
    }

    /// Repeats a dynamic part of the description, cut to 128 bytes.
    pub fn with(mut self, key: &'static str, value: impl Display) -> Fault {
        self.metadata.push((key, cut(&value.to_string()).to_owned()));
        self
    }

    /// Says which metric it is about, in the metadata and as ResourceInfo.
    pub fn of_metric(mut self, name: impl Display) -> Fault {
        let name = name.to_string();
        self.metric = Some(cut(&name).to_owned());
        self.with("metric", name)
    }

    /// Says when to try again.
    pub fn retry_after(mut self, nanos: i64) -> Fault {
        self.retry_after_nanos = Some(nanos.max(0));
        self
    }

    /// Says what ran out.
    pub fn of_quota(mut self, what: &'static str) -> Fault {
        self.quota = Some(what);
        self
    }
}

/// The longest start of `text` of at most 128 bytes, on a character's boundary: how much of an offending value an
/// error repeats.
pub fn cut(text: &str) -> &str {
    cut_to(text, OFFENDING_VALUE_BYTES_MAX)
}

/// The longest start of `text` of at most `bytes_max` bytes, on a character's boundary.
pub(super) fn cut_to(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let end = (0..=bytes_max).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    &text[..end]
}

/// Where in a request a fault stands: faults are told in this order.
pub type Place = (u32, u32, u32);

/// Faults of one request: the first 1,000 in the order of the request, and how many there are in all.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    list: Vec<(Place, Fault)>,
    count: usize,
}

impl Faults {
    /// None yet.
    pub fn new() -> Faults {
        Faults::default()
    }

    /// Adds one that stands after all that were added so far.
    pub fn push(&mut self, fault: Fault) {
        let place = self.list.last().map_or((0, 0, 0), |(place, _)| *place);
        self.push_at(place, || fault);
    }

    /// Adds one at its place in the request; after those of the same place. The fault is only made where it is
    /// among the first that are kept.
    pub fn push_at(&mut self, place: Place, fault: impl FnOnce() -> Fault) {
        self.count += 1;
        let index = self.list.partition_point(|(at, _)| *at <= place);
        if index < REFUSAL_VIOLATIONS_MAX {
            self.list.insert(index, (place, fault()));
            self.list.truncate(REFUSAL_VIOLATIONS_MAX);
        }
    }

    /// Counts a fault that is not told.
    pub fn count_more(&mut self, count: usize) {
        self.count += count;
    }

    /// Adds all of `other`, each at its place.
    pub fn append(&mut self, other: Faults) {
        self.count += other.count - other.list.len();
        for (place, fault) in other.list {
            self.push_at(place, || fault);
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many in all, also those that are not kept.
    pub fn count(&self) -> usize {
        self.count
    }

    /// In the order of the request, the first 1,000.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.list.iter().map(|(_, fault)| fault)
    }

    /// `Err` with the faults, where there are any.
    pub fn check(self) -> Result<(), Faults> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Faults {
        let mut faults = Faults::new();
        faults.push(fault);
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fault(n: u32) -> Fault {
        Fault::new(Reason::FieldInvalid, format!("f[{n}]"), "is wrong")
    }

    proptest! {
        #[test]
        fn a_cut_is_a_start_that_fits(text in "\\PC{0,200}") {
            let start = cut(&text);
            prop_assert!(text.starts_with(start) && start.len() <= 128);
            prop_assert!(start.len() == text.len() || start.len() > 124);
        }

        #[test]
        fn the_first_in_the_order_of_the_request_are_kept(places in prop::collection::vec(0u32..5_000, 0..3_000)) {
            let mut faults = Faults::new();
            for &place in &places {
                faults.push_at((place, 0, 0), || fault(place));
            }
            let mut sorted = places.clone();
            sorted.sort();
            let expected: Vec<_> = sorted.iter().take(1_000).map(|&n| fault(n)).collect();
            prop_assert_eq!(faults.iter().cloned().collect::<Vec<_>>(), expected);
            prop_assert_eq!(faults.count(), places.len());
        }
    }
}
