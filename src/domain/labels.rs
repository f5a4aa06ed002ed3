//! A series' label values.

use std::fmt;
use std::ops::Index;
use std::sync::Arc;

/// A series' label values, in the order of its metric's `label_names`: all in one piece of memory, for whoever looks for
/// one of a million series compares it with some twenty, and each comparison is a piece that is not in the cache.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Labels(Arc<str>);

/// Stands behind each value: below all that a value holds, so that such texts are in the order of the lists of their values.
const END: char = '\0';
const END_BYTE: u8 = END as u8;
/// Bytes that most texts fit into: they are put together without making room three times.
const MOSTLY_ENOUGH: usize = 64;

impl Labels {
    /// These values; None where one of them holds a NUL, which no label's value does.
    pub fn of<S: AsRef<str>>(values: impl IntoIterator<Item = S>) -> Option<Labels> {
        let mut all = String::with_capacity(MOSTLY_ENOUGH);
        for value in values {
            if value.as_ref().as_bytes().contains(&END_BYTE) {
                return None;
            }
            all.push_str(value.as_ref());
            all.push(END);
        }
        Some(Labels(all.into()))
    }

    /// The values.
    pub fn iter(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.split_terminator(END)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.bytes().filter(|byte| *byte == END_BYTE).count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether these are its first values.
    pub fn begin_with(&self, values: &Labels) -> bool {
        self.0.starts_with(&*values.0)
    }

    /// The values, a text between each two.
    pub fn join(&self, between: &str) -> String {
        self.iter().collect::<Vec<_>>().join(between)
    }
}

impl Index<usize> for Labels {
    type Output = str;

    fn index(&self, index: usize) -> &str {
        self.iter().nth(index).expect("a metric's series have as many values as it has labels")
    }
}

/// Of values of the form, which have no NUL.
impl From<Vec<Box<str>>> for Labels {
    fn from(values: Vec<Box<str>>) -> Labels {
        Labels::of(values).expect("a label's value has no NUL")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        /// They are the list of their values, and in the order of such lists.
        #[test]
        fn labels_are_a_list(
            one in vec("[\u{1} a-c~\u{e9}\u{10ffff}]{0,3}", 0..4), other in vec("[\u{1} a-c~\u{e9}\u{10ffff}]{0,3}", 0..4),
        ) {
            let labels = Labels::of(&one).expect("no NUL");
            prop_assert_eq!(labels.iter().collect::<Vec<_>>(), one.iter().collect::<Vec<_>>());
            prop_assert_eq!((labels.len(), labels.is_empty(), labels.join(", ")), (one.len(), one.is_empty(), one.join(", ")));
            prop_assert!(one.iter().enumerate().all(|(i, value)| labels[i] == **value));
            prop_assert_eq!(format!("{labels:?}"), format!("{one:?}"));
            let others = Labels::of(&other).expect("no NUL");
            prop_assert_eq!(labels.cmp(&others), one.cmp(&other));
            prop_assert_eq!(labels.begin_with(&others), one.starts_with(&other));
            prop_assert!((0..=one.len()).all(|i| labels.begin_with(&Labels::of(&one[..i]).expect("no NUL"))));
        }
    }

    #[test]
    fn a_value_with_the_end_in_it_is_none() {
        assert_eq!(Labels::of(["a", "b\0c"]), None);
        assert_eq!(Labels::of(["\0"]), None);
    }
}
