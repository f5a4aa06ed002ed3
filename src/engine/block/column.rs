//! Numbers of a block's points, one each. Times are mostly even, revisions mostly the same: such a column is two numbers
//! however long it is, and costs nothing to make, copy or unpack.

use super::above::Above;
pub use super::above::FEW;
use crate::planted::{self, Bug};
use std::borrow::Cow;
use std::ops::Range;

/// A column of numbers. Equal where it holds the same numbers, however it holds them.
#[derive(Clone, Debug)]
pub enum Column {
    /// `first`, `first + step`, and so on; all of them fit (made by `evenly` only).
    Even {
        /// The first number.
        first: i64,
        /// From each to the next.
        step: i64,
        /// How many.
        count: usize,
    },
    /// Any numbers.
    Each(Vec<i64>),
    /// Numbers near each other, as what each is above `lowest`: how numbers are held that nobody adds to.
    Near {
        /// The lowest number, or below it.
        lowest: i64,
        /// What each number is above it.
        above: Above,
    },
}

impl Default for Column {
    fn default() -> Column {
        Column::of(0, 0)
    }
}

impl PartialEq for Column {
    fn eq(&self, other: &Column) -> bool {
        match (self, other) {
            (Column::Even { first, step, count: 2.. }, Column::Even { first: other_first, step: other_step, .. }) => {
                (first, step) == (other_first, other_step) && self.len() == other.len()
            }
            _ => self.len() == other.len() && self.iter().eq(other.iter()),
        }
    }
}

impl Eq for Column {}

impl From<Vec<i64>> for Column {
    fn from(numbers: Vec<i64>) -> Column {
        match even(&numbers) {
            Some(column) => column,
            None => Column::Each(numbers),
        }
    }
}

impl From<&[i64]> for Column {
    fn from(numbers: &[i64]) -> Column {
        even(numbers).unwrap_or_else(|| Column::Each(numbers.to_vec()))
    }
}

/// The numbers as an even column, where they are even.
fn even(numbers: &[i64]) -> Option<Column> {
    let first = numbers.first().copied().unwrap_or(0);
    let step = numbers.get(1).map_or(Some(0), |second| second.checked_sub(first))?;
    let is_even = numbers.windows(2).all(|pair| pair[1].checked_sub(pair[0]) == Some(step));
    is_even.then_some(Column::Even { first, step, count: numbers.len() })
}

impl Column {
    /// The same number so often.
    pub fn of(number: i64, count: usize) -> Column {
        Column::Even { first: number, step: 0, count }
    }

    /// `first`, `first + step`, and so on; None where one of them does not fit.
    pub fn evenly(first: i64, step: i64, count: usize) -> Option<Column> {
        let last = i128::from(first) + i128::from(step) * count.saturating_sub(1) as i128;
        i64::try_from(last).is_ok().then_some(Column::Even { first, step, count })
    }

    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Column::Even { count, .. } => *count,
            Column::Each(numbers) => numbers.len(),
            Column::Near { above, .. } => above.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `i`th number; beyond the last there is none to be asked for.
    pub fn at(&self, i: usize) -> i64 {
        match self {
            Column::Even { first, step, count } => {
                debug_assert!(i < *count, "there are {count}");
                // The number fits; what is multiplied on the way to it may not.
                first.wrapping_add(step.wrapping_mul(i as i64))
            }
            Column::Each(numbers) => numbers[i],
            Column::Near { lowest, above } => lowest + above.at(i),
        }
    }

    /// The `i`th number.
    pub fn get(&self, i: usize) -> Option<i64> {
        (i < self.len()).then(|| self.at(i))
    }

    /// The last number.
    pub fn last(&self) -> Option<i64> {
        self.get(self.len().wrapping_sub(1))
    }

    /// All numbers.
    pub fn iter(&self) -> impl Iterator<Item = i64> + Clone + '_ {
        (0..self.len()).map(|i| self.at(i))
    }

    /// Whether each is 0.
    pub fn is_zero(&self) -> bool {
        match self {
            Column::Even { first, step, count } => *count == 0 || *first == 0 && (*step == 0 || *count == 1),
            Column::Each(_) | Column::Near { .. } => self.iter().all(|number| number == 0),
        }
    }

    /// Lowest and highest; None where there is none.
    pub fn bounds(&self) -> Option<(i64, i64)> {
        self.bounds_of(0..self.len())
    }

    /// Lowest and highest of a range; None where there is none.
    pub fn bounds_of(&self, range: Range<usize>) -> Option<(i64, i64)> {
        match self {
            Column::Each(numbers) => {
                let numbers = &numbers[range];
                let widen = |(lowest, highest): (i64, i64), number: &i64| (lowest.min(*number), highest.max(*number));
                Some(numbers.iter().fold((*numbers.first()?, *numbers.first()?), widen))
            }
            Column::Even { .. } if range.is_empty() => None,
            Column::Even { .. } => {
                let (first, last) = (self.at(range.start), self.at(range.end - 1));
                Some((last.min(first), last.max(first)))
            }
            // As one list of bytes or words, and not number by number: a tenth of what reading a block takes, each of them.
            Column::Near { lowest, above } => above.bounds(range).map(|(min, max)| (lowest + min, lowest + max)),
        }
    }

    /// What the numbers of a range come to; it fits.
    pub fn sum(&self, range: Range<usize>) -> i64 {
        match self {
            Column::Even { .. } => range.map(|i| self.at(i)).sum(),
            Column::Each(numbers) => numbers[range].iter().sum(),
            // What is added on the way may not fit; what all come to does.
            Column::Near { lowest, above } => lowest.wrapping_mul(range.len() as i64).wrapping_add(above.sum(range)),
        }
    }

    /// What up to `FEW` numbers from `from` on come to; it fits.
    #[inline]
    pub fn sum_of_few(&self, from: usize, count: usize) -> i64 {
        debug_assert!(count <= FEW, "{count} are not few");
        match self {
            Column::Near { lowest, above } => match above.sum_of_few(from, count) {
                // As in `sum`.
                Some(sum) => lowest.wrapping_mul(count as i64).wrapping_add(sum),
                None => self.sum(from..from + count),
            },
            Column::Each(numbers) => match numbers[from..].first_chunk::<FEW>() {
                Some(few) => (0..FEW).map(|i| if i < count { few[i] } else { 0 }).sum(),
                None => self.sum(from..from + count),
            },
            Column::Even { .. } => self.sum(from..from + count),
        }
    }

    /// The numbers of a range, one by one.
    pub fn numbers(&self, range: Range<usize>) -> Cow<'_, [i64]> {
        match self {
            Column::Even { .. } => range.map(|i| self.at(i)).collect(),
            Column::Each(numbers) => Cow::Borrowed(&numbers[range]),
            Column::Near { lowest, above } => Cow::Owned(above.list(range, *lowest)),
        }
    }

    /// The same numbers in less memory, where they are near each other. Cost: some ns a number.
    pub fn near(self) -> Column {
        let (Column::Each(numbers), Some((lowest, highest))) = (&self, self.bounds()) else { return self };
        match Above::of(numbers, lowest, highest) {
            Some((lowest, above)) => Column::Near { lowest, above },
            None => self,
        }
    }

    /// The first number and the step from each to the next, where two or more go on evenly.
    pub fn spacing(&self) -> Option<(i64, i64)> {
        match self {
            Column::Even { first, step, count } if *count > 1 => Some((*first, *step)),
            _ => None,
        }
    }

    /// Its numbers one by one.
    pub fn into_numbers(self) -> Vec<i64> {
        match self {
            Column::Even { .. } | Column::Near { .. } => self.listed(0),
            Column::Each(numbers) => numbers,
        }
    }

    /// The same, with room for so many more.
    pub fn with_room(&self, more: usize) -> Column {
        match self {
            Column::Even { .. } => self.clone(),
            Column::Each(_) | Column::Near { .. } => Column::Each(self.listed(more)),
        }
    }

    /// Makes room for so many more.
    pub fn reserve(&mut self, more: usize) {
        match self {
            Column::Even { .. } => {}
            Column::Each(numbers) => numbers.reserve_exact(more),
            Column::Near { .. } => *self = self.with_room(more),
        }
    }

    /// Whether these numbers and those are an even column together: asked of two such columns, without looking at each
    /// number. False where one of them lists its numbers.
    pub fn is_followed_evenly(&self, next: &Column) -> bool {
        let (Column::Even { step, count, .. }, Column::Even { first, step: next_step, count: more }) = (self, next)
        else {
            return false;
        };
        let Some(last) = self.last().filter(|_| *more > 0) else { return true };
        let across = i128::from(*first) - i128::from(last);
        (*count < 2 || across == i128::from(*step)) && (*more < 2 || across == i128::from(*next_step))
    }

    /// One more.
    pub fn push(&mut self, number: i64) {
        let longer = match self {
            Column::Each(numbers) => return numbers.push(number),
            Column::Near { .. } => None,
            Column::Even { count: 0, .. } => Some((number, 0)),
            Column::Even { first, count: 1, .. } => number.checked_sub(*first).map(|step| (*first, step)),
            Column::Even { first, step, count } => {
                let next = i128::from(*first) + i128::from(*step) * *count as i128;
                let is_next =
                    next == i128::from(number) || planted::is(Bug::UnevenColumn) && next + 1 == i128::from(number);
                is_next.then_some((*first, *step))
            }
        };
        *self = match longer {
            Some((first, step)) => Column::Even { first, step, count: self.len() + 1 },
            None => {
                let mut numbers = self.listed(1);
                numbers.push(number);
                Column::Each(numbers)
            }
        };
    }

    /// The `i`th number becomes this one. What is near stays near where it reaches it, and what is all the same becomes near.
    pub fn set(&mut self, i: usize, number: i64) {
        if self.at(i) == number {
            return;
        }
        // None: below the lowest, or farther away than numbers reach.
        let distance = |lowest: i64| number.checked_sub(lowest).and_then(|distance| u64::try_from(distance).ok());
        if let Column::Even { first, step: 0, count } = *self
            && let Some(above) = distance(first).and_then(|distance| Above::none(count, distance))
        {
            *self = Column::Near { lowest: first, above };
        }
        let is_set = match self {
            Column::Near { lowest, above } => distance(*lowest).is_some_and(|distance| above.set(i, distance)),
            Column::Even { .. } | Column::Each(_) => false,
        };
        if !is_set {
            let mut numbers = std::mem::take(self).into_numbers();
            numbers[i] = number;
            *self = Column::Each(numbers);
        }
    }

    /// The numbers of a range of another column, after these.
    pub fn extend(&mut self, other: &Column, range: Range<usize>) {
        if matches!(self, Column::Near { .. }) {
            *self = self.with_room(range.len());
        }
        let part = match other {
            Column::Near { .. } => {
                let numbers = other.numbers(range).into_owned();
                let count = numbers.len();
                return self.extend(&Column::from(numbers), 0..count);
            }
            Column::Even { first, step, .. } => {
                let first = first.wrapping_add(step.wrapping_mul(range.start as i64));
                Column::Even { first, step: *step, count: range.len() }
            }
            Column::Each(numbers) if matches!(self, Column::Each(_)) => {
                let Column::Each(own) = self else { unreachable!("it was just looked at") };
                return own.extend_from_slice(&numbers[range]);
            }
            Column::Each(numbers) => match even(&numbers[range.clone()]) {
                Some(part) => part,
                None => {
                    let mut all = self.listed(range.len());
                    all.extend_from_slice(&numbers[range]);
                    *self = Column::Each(all);
                    return;
                }
            },
        };
        self.extend_evenly(&part);
    }

    fn extend_evenly(&mut self, part: &Column) {
        let (Column::Even { count: more, .. }, Some(next)) = (part, part.get(0)) else { return };
        let even = match self {
            Column::Each(numbers) => return numbers.extend(part.iter()),
            Column::Near { .. } => None,
            Column::Even { count: 0, .. } => Some(part.clone()),
            Column::Even { .. } if !self.is_followed_evenly(part) => None,
            Column::Even { first, count: 1, .. } => {
                next.checked_sub(*first).map(|step| Column::Even { first: *first, step, count: 1 + more })
            }
            Column::Even { first, step, count } => {
                Some(Column::Even { first: *first, step: *step, count: *count + more })
            }
        };
        *self = even.unwrap_or_else(|| {
            // Room for all of it at once, so that it takes no more memory than its numbers do.
            let mut numbers = self.listed(*more);
            numbers.extend(part.iter());
            Column::Each(numbers)
        });
    }

    /// Its numbers one by one, with room for more.
    fn listed(&self, more: usize) -> Vec<i64> {
        let mut numbers = Vec::with_capacity(self.len() + more);
        match self {
            Column::Each(listed) => numbers.extend_from_slice(listed),
            Column::Even { .. } | Column::Near { .. } => numbers.extend(self.iter()),
        }
        numbers
    }

    /// Index of the first number at or above `bound`, in a column that ascends.
    #[inline]
    pub fn at_or_above(&self, bound: i64) -> usize {
        match self {
            Column::Each(numbers) => numbers.partition_point(|number| *number < bound),
            Column::Near { lowest, above } => above.at_or_above(bound, *lowest),
            Column::Even { first, step, count } if *step > 0 && *count > 1 => {
                if bound <= *first {
                    return 0;
                }
                usize::try_from(bound.abs_diff(*first).div_ceil(step.unsigned_abs())).map_or(*count, |i| i.min(*count))
            }
            Column::Even { first, count, .. } => {
                if *first < bound {
                    *count
                } else {
                    0
                }
            }
        }
    }

    /// Whether each is above the one before.
    pub fn ascends(&self) -> bool {
        match self {
            Column::Each(numbers) => numbers.windows(2).all(|pair| pair[0] < pair[1]),
            Column::Near { .. } => self.iter().zip(self.iter().skip(1)).all(|(one, next)| one < next),
            Column::Even { step, count, .. } => *count < 2 || *step > 0,
        }
    }

    /// Bytes in memory beside itself.
    pub fn bytes(&self) -> usize {
        match self {
            Column::Even { .. } => 0,
            Column::Each(numbers) => numbers.capacity() * size_of::<i64>(),
            Column::Near { above, .. } => above.bytes(),
        }
    }
}

impl FromIterator<i64> for Column {
    fn from_iter<I: IntoIterator<Item = i64>>(numbers: I) -> Column {
        Column::from(numbers.into_iter().collect::<Vec<i64>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// Even stretches of any step, and numbers between them: what is held either way.
    fn numbers() -> impl Strategy<Value = Vec<i64>> {
        let stretch = (any::<i64>(), prop_oneof![Just(0i64), -3i64..=3, any::<i64>()], 0usize..6);
        vec(stretch, 0..4).prop_map(|stretches| {
            let one = |(first, step, count): &(i64, i64, usize)| -> Vec<i64> {
                (0..*count as i64).map(|i| first.wrapping_add(step.wrapping_mul(i))).collect()
            };
            stretches.iter().flat_map(one).collect()
        })
    }

    /// An even column that turns into a list makes room for what is added at once, and not for twice as much.
    #[test]
    fn a_column_that_turns_uneven_takes_no_more_than_its_numbers() {
        for (count, more) in (0..20).flat_map(|count| (0..20).map(move |more| (count, more))) {
            let mut column = Column::of(0, count);
            column.extend(&Column::of(5, more), 0..more);
            let is_even = count == 0 || more == 0 || count == 1 && more == 1;
            assert_eq!(column.bytes(), if is_even { 0 } else { 8 * (count + more) }, "{more} after {count}");
        }
    }

    /// The distance from the highest number there is to the lowest wraps around to 1: they are not near each other.
    #[test]
    fn numbers_as_far_apart_as_they_reach_are_not_near() {
        for column in [Column::of(i64::MAX, 2), Column::from(vec![i64::MAX, i64::MAX - 1]).near()] {
            let (mut column, first) = (column.clone(), column.at(0));
            column.set(1, i64::MIN);
            assert_eq!(column.bounds(), Some((i64::MIN, first)));
            assert_eq!(column.into_numbers(), [first, i64::MIN]);
        }
    }

    fn near_above(number: i64) -> i64 {
        number.saturating_add(100)
    }

    proptest! {
        /// A column is the list that it stands for, whatever is done to both.
        #[test]
        fn it_is_a_list(first in numbers(), then in numbers(), pushed in numbers(), from in 0usize..20, to in 0usize..20) {
            let range = from.min(to).min(then.len())..from.max(to).min(then.len());
            let (mut column, mut list) = (Column::from(first.clone()), first);
            column.extend(&Column::from(then.clone()), range.clone());
            list.extend_from_slice(&then[range.clone()]);
            column.extend(&Column::Each(then.clone()), range.clone());
            list.extend_from_slice(&then[range]);
            for number in pushed {
                column.push(number);
                list.push(number);
            }
            prop_assert_eq!(column.iter().collect::<Vec<_>>(), &list[..]);
            prop_assert_eq!(&column, &Column::Each(list.clone()));
            prop_assert_eq!((column.len(), column.last()), (list.len(), list.last().copied()));
            prop_assert_eq!(column.is_zero(), list.iter().all(|number| *number == 0));
            prop_assert_eq!(column.bounds(), list.iter().min().copied().zip(list.iter().max().copied()));
            prop_assert_eq!(column.ascends(), list.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(column.get(list.len()), None);
        }

        /// So is one that holds each as what it is above the lowest, and whatever is added to it or taken from it.
        #[test]
        fn near_numbers_are_the_same_list(
            lowest in prop_oneof![any::<i64>(), -9i64..9, Just(i64::MIN), Just(i64::MAX - 70_000)], then in numbers(),
            above in vec(0i64..5_000_000_000, 0..60), small in 0u32..34, from in 0usize..60, to in 0usize..60, pushed in numbers(),
        ) {
            let near = |above: &i64| lowest.saturating_add(above >> small);
            let list: Vec<i64> = above.iter().map(near).collect();
            let column = Column::from(list.clone());
            let near = column.clone().near();
            let widest = list.iter().max().zip(list.iter().min()).map_or(0, |(max, min)| max.abs_diff(*min));
            let bytes = match widest { 0..=0xff => 1, 0x100..=0xffff => 2, 0x1_0000..=0xffff_ffff => 4, _ => 8 };
            let is_even = matches!(column, Column::Even { .. });
            prop_assert_eq!(near.bytes(), if is_even { 0 } else { bytes * list.len() });
            let range = from.min(to).min(list.len())..from.max(to).min(list.len());
            prop_assert_eq!(&near, &column);
            prop_assert_eq!(near.numbers(range.clone()), &list[range.clone()]);
            prop_assert_eq!(near.clone().into_numbers(), list.clone());
            prop_assert_eq!((near.is_zero(), near.bounds()), (column.is_zero(), column.bounds()));
            let part = &list[range.clone()];
            let bounds = part.iter().min().copied().zip(part.iter().max().copied());
            prop_assert_eq!((near.bounds_of(range.clone()), column.bounds_of(range.clone())), (bounds, bounds));
            prop_assert_eq!((near.ascends(), near.len(), near.get(from)), (column.ascends(), list.len(), column.get(from)));
            if list[range.clone()].iter().try_fold(0i64, |sum, number| sum.checked_add(*number)).is_some() {
                prop_assert_eq!(near.sum(range.clone()), list[range.clone()].iter().sum::<i64>());
            }
            for count in 0..=FEW.min(list.len() - range.start) {
                let few = list[range.start..][..count].iter().try_fold(0i64, |sum, number| sum.checked_add(*number));
                prop_assert_eq!(few.map(|_| near.sum_of_few(range.start, count)), few);
                prop_assert_eq!(few.map(|_| column.sum_of_few(range.start, count)), few);
            }
            let (mut added, mut longer) = (near.clone(), list.clone());
            added.reserve(3);
            added.extend(&Column::from(then.clone()), 0..then.len());
            longer.extend_from_slice(&then);
            for number in pushed {
                added.push(number);
                longer.push(number);
            }
            added.extend(&near, range.clone());
            longer.extend_from_slice(&list[range.clone()]);
            prop_assert_eq!(added.into_numbers(), longer);
            let (mut pushed, mut extended) = (near.clone(), Column::default());
            pushed.push(7);
            prop_assert_eq!(pushed.into_numbers(), [&list[..], &[7]].concat());
            extended.extend(&near, range.clone());
            prop_assert_eq!(extended.into_numbers(), &list[range]);
            let mut ascending = list.clone();
            ascending.sort_unstable();
            ascending.dedup();
            let sorted = Column::Each(ascending.clone()).near();
            for bound in ascending.iter().copied().chain([i64::MIN, i64::MAX, lowest, near_above(lowest)]) {
                prop_assert_eq!(sorted.at_or_above(bound), ascending.partition_point(|number| *number < bound));
            }
        }

        /// One of its numbers becomes another, however they are held; numbers that were all the same take few bytes each.
        #[test]
        fn a_number_that_is_set_is_set_in_the_list(
            lowest in any::<i64>(), then in numbers(), above in vec(0i64..5_000_000_000, 0..30), small in 0u32..34,
            at in any::<prop::sample::Index>(), far in any::<i64>(), more in prop_oneof![0i64..70_000, 0i64..5_000_000_000],
        ) {
            let near: Vec<i64> = above.iter().map(|above| lowest.saturating_add(above >> small)).collect();
            for list in [then, near, vec![lowest; above.len()]].into_iter().filter(|list| !list.is_empty()) {
                for column in [Column::from(list.clone()), Column::from(list.clone()).near(), Column::Each(list.clone())] {
                    for number in [far, list[0].saturating_add(more >> small), list[0].saturating_sub(more), list[0]] {
                        let (mut column, mut list, at) = (column.clone(), list.clone(), at.index(list.len()));
                        column.set(at, number);
                        list[at] = number;
                        prop_assert_eq!(column.into_numbers(), list);
                    }
                }
            }
            let (mut column, number, count) = (Column::of(lowest, 9), lowest.saturating_add(more), 9);
            column.set(at.index(count), number);
            let each = match number.abs_diff(lowest) { 0 => 0, 1..=0xff => 1, 0x100..=0xffff => 2, 0x1_0000..=0xffff_ffff => 4, _ => 8 };
            prop_assert_eq!(column.bytes(), each * count);
        }

        /// Two even columns are said to be one where they are put together as one.
        #[test]
        fn it_is_said_what_goes_on_evenly(
            first in -3i64..3, step in -2i64..3, count in 0usize..4, gap in -2i64..3, more_step in -2i64..3, more in 0usize..4,
        ) {
            let column = Column::evenly(first, step, count).expect("it fits");
            let next = Column::evenly(first + step * count as i64 + gap, more_step, more).expect("it fits");
            let mut both = column.clone();
            both.extend(&next, 0..more);
            prop_assert_eq!(column.is_followed_evenly(&next), matches!(both, Column::Even { .. }));
            let listed = Column::Each(next.iter().collect());
            prop_assert!(!column.is_followed_evenly(&listed) && !listed.is_followed_evenly(&next));
        }

        /// Of columns that ascend: where a number would stand.
        #[test]
        fn it_is_searched_as_a_list(first in -50i64..50, step in 1i64..9, count in 0usize..20, odd in any::<bool>(), bound in -60i64..200) {
            let mut list: Vec<i64> = (0..count as i64).map(|i| first + step * i).collect();
            if odd {
                list.push(1_000);
            }
            let column = Column::from(list.clone());
            prop_assert!(column.ascends());
            for bound in [bound, i64::MIN, i64::MAX] {
                prop_assert_eq!(column.at_or_above(bound), list.partition_point(|number| *number < bound));
            }
        }
    }
}
