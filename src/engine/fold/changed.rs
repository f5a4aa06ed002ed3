//! The ids of series that changed. They are given out one after the other and changed in much the same order, so that 64
//! neighbours are one number: of a million series half a megabyte where a set of ids is 18, and one look into it for 64 of them.

use std::collections::HashMap;

/// Ids of series.
#[derive(Clone, Default, Debug)]
pub struct Changed {
    /// By id / 64, a bit for each.
    words: HashMap<u64, u64>,
}

impl Changed {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether it is one of them.
    pub fn contains(&self, id: u64) -> bool {
        self.words.get(&(id / 64)).is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    /// Every one, in no order.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.words
            .iter()
            .flat_map(|(at, word)| (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at * 64 + bit))
    }

    /// Those of both.
    pub fn merge(&mut self, others: Changed) {
        for (at, word) in others.words {
            *self.words.entry(at).or_default() |= word;
        }
    }
}

impl Extend<u64> for Changed {
    fn extend<I: IntoIterator<Item = u64>>(&mut self, ids: I) {
        let mut ids = ids.into_iter().peekable();
        while let Some(id) = ids.next() {
            let mut word = 1 << (id % 64);
            while let Some(next) = ids.next_if(|next| next / 64 == id / 64) {
                word |= 1 << (next % 64);
            }
            *self.words.entry(id / 64).or_default() |= word;
        }
    }
}

impl FromIterator<u64> for Changed {
    fn from_iter<I: IntoIterator<Item = u64>>(ids: I) -> Changed {
        let mut changed = Changed::default();
        changed.extend(ids);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// They are the set of their ids, in whatever order and company they came.
        #[test]
        fn changed_ids_are_a_set(
            one in vec(prop_oneof![0u64..200, any::<u64>()], 0..80), other in vec(0u64..200, 0..80), asked in 0u64..200,
        ) {
            let mut changed: Changed = one.iter().copied().collect();
            changed.merge(other.iter().copied().collect());
            let set: BTreeSet<u64> = one.iter().chain(&other).copied().collect();
            let (mut told, is_empty): (Vec<u64>, bool) = (changed.iter().collect(), changed.is_empty());
            told.sort_unstable();
            prop_assert_eq!(told, set.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!((changed.contains(asked), is_empty), (set.contains(&asked), set.is_empty()));
            prop_assert!(set.iter().all(|id| changed.contains(*id)));
        }
    }
}
