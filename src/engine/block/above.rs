//! Distances of numbers from one below them, in as few bytes as the greatest takes.

use std::ops::Range;

/// Distances, one each, in as few bytes as the greatest takes.
#[derive(Clone, Debug)]
pub enum Above {
    /// Up to 255.
    Bytes(Box<[u8]>),
    /// Up to 65,535.
    Words(Box<[u16]>),
    /// Up to 4,294,967,295.
    Doubles(Box<[u32]>),
}

/// The same of each: as one list of its numbers, and not number by number.
macro_rules! each {
    ($of:expr, $above:ident => $what:expr) => {
        match $of {
            Above::Bytes($above) => $what,
            Above::Words($above) => $what,
            Above::Doubles($above) => $what,
        }
    };
}

impl Above {
    /// Of numbers from the lowest to the highest: the number below them, and what each is above it. None where they are too
    /// far apart. Half of the room that is left is below the lowest, so that what takes the place of a number fits too.
    pub fn of(numbers: &[i64], lowest: i64, highest: i64) -> Option<(i64, Above)> {
        let widest = highest.wrapping_sub(lowest) as u64;
        let below = |most: u64| lowest.saturating_sub(((most - widest) / 2) as i64);
        let distances = |from: i64| numbers.iter().map(move |number| number.wrapping_sub(from));
        Some(match widest {
            0..=0xff => {
                let from = below(0xff);
                (from, Above::Bytes(distances(from).map(|above| above as u8).collect()))
            }
            0x100..=0xffff => {
                let from = below(0xffff);
                (from, Above::Words(distances(from).map(|above| above as u16).collect()))
            }
            0x1_0000..=0xffff_ffff => {
                let from = below(0xffff_ffff);
                (from, Above::Doubles(distances(from).map(|above| above as u32).collect()))
            }
            _ => return None,
        })
    }

    /// So many times 0, with room for one distance; None where that is too far.
    pub fn none(count: usize, distance: u64) -> Option<Above> {
        match distance {
            0..=0xff => Some(Above::Bytes(vec![0; count].into())),
            0x100..=0xffff => Some(Above::Words(vec![0; count].into())),
            0x1_0000..=0xffff_ffff => Some(Above::Doubles(vec![0; count].into())),
            _ => None,
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        each!(self, above => above.len())
    }

    /// The `i`th.
    pub fn at(&self, i: usize) -> i64 {
        each!(self, above => above[i].into())
    }

    /// The `i`th becomes this; false where it is too far.
    pub fn set(&mut self, i: usize, distance: u64) -> bool {
        each!(self, above => distance.try_into().is_ok_and(|distance| {
            above[i] = distance;
            true
        }))
    }

    /// Each number of a range.
    pub fn list(&self, range: Range<usize>, lowest: i64) -> Vec<i64> {
        each!(self, above => above[range].iter().map(|above| lowest + i64::from(*above)).collect())
    }

    /// Index of the first whose number is at or above `bound`, where they ascend.
    pub fn at_or_above(&self, bound: i64, lowest: i64) -> usize {
        each!(self, above => above.partition_point(|above| lowest + i64::from(*above) < bound))
    }

    /// Lowest and highest of a range; None where there is none.
    pub fn bounds(&self, range: Range<usize>) -> Option<(i64, i64)> {
        each!(self, above => bounds(&above[range]))
    }

    /// What those of a range come to.
    pub fn sum(&self, range: Range<usize>) -> i64 {
        match self {
            Above::Bytes(above) => sum(&above[range]),
            Above::Words(above) => sum(&above[range]),
            Above::Doubles(above) => above[range].iter().map(|above| i64::from(*above)).sum(),
        }
    }

    /// Of the first `count` of the `FEW` from `from` on; None where there are not so many.
    #[inline]
    pub fn sum_of_few(&self, from: usize, count: usize) -> Option<i64> {
        match self {
            Above::Bytes(above) => above[from..].first_chunk().map(|few| masked_sum(few, count)),
            Above::Words(above) => above[from..].first_chunk().map(|few| masked_sum(few, count)),
            Above::Doubles(above) => {
                above[from..].first_chunk::<FEW>().map(|few| few[..count].iter().map(|above| i64::from(*above)).sum())
            }
        }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        each!(self, above => size_of_val(&**above))
    }
}

/// Each by a fold over numbers, which compares many at once. (`Iterator::min` compares one after the other, and was 37 % of
/// what the committer did in corrections of many series.)
fn bounds<N: Copy + Ord + Into<i64>>(above: &[N]) -> Option<(i64, i64)> {
    let first = *above.first()?;
    let (lowest, highest) = (above.iter().copied().fold(first, N::min), above.iter().copied().fold(first, N::max));
    Some((lowest.into(), highest.into()))
}

/// As 32 bits so far as that holds them: twice as many are added up at once.
fn sum<N: Copy + Into<u16>>(above: &[N]) -> i64 {
    let part = |part: &[N]| i64::from(part.iter().map(|number| u32::from((*number).into())).sum::<u32>());
    above.chunks(1 << 16).map(part).sum()
}

/// Numbers that are added up at once, wanted or not.
pub const FEW: usize = 24;

/// As many ones as are wanted, and zeros behind them, from some place of it on.
static MASKS: [u16; 2 * FEW] = {
    let mut masks = [0; 2 * FEW];
    let mut i = 0;
    while i < FEW {
        masks[i] = u16::MAX;
        i += 1;
    }
    masks
};

/// What the first `count` come to. The others are added as nothing: so there is no loop whose end is not known, and all
/// of them fit some vector registers. (Of the weeks of 200 series, by their profile, a loop was 45 %.)
fn masked_sum<N: Copy + Into<u16>>(few: &[N; FEW], count: usize) -> i64 {
    let masks: &[u16; FEW] = MASKS[FEW - count..].first_chunk().expect("not more than there are");
    few.iter().zip(masks).map(|(number, mask)| u32::from((*number).into() & mask)).sum::<u32>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What just fits a width is held in it, wherever it begins, and what does not by one is not.
    #[test]
    fn numbers_as_far_apart_as_a_width_reaches_fit_it() {
        for (widest, bytes) in [(0, 1), (0xfe, 1), (0xff, 1), (0x100, 2), (0xfffe, 2), (0xffff, 2), (0x1_0000, 4)]
            .into_iter()
            .chain([(0xffff_fffe, 4), (0xffff_ffff, 4), (0x1_0000_0000, 8), (i64::MAX, 8)])
        {
            for lowest in [i64::MIN, i64::MIN + 1, -widest, -1, 0, i64::MAX - widest] {
                let Some(highest) = lowest.checked_add(widest) else { continue };
                let numbers = [highest, lowest, highest];
                match Above::of(&numbers, lowest, highest) {
                    None => assert_eq!(bytes, 8, "{lowest} to {highest}"),
                    Some((from, above)) => {
                        assert_eq!(above.bytes(), 3 * bytes, "{lowest} to {highest}");
                        assert_eq!(above.list(0..3, from), numbers);
                    }
                }
            }
        }
    }
}
