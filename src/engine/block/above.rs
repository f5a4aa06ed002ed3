//! Distances of numbers from the lowest of them, in as few bytes as the greatest takes.

use std::ops::Range;

/// Distances, one each, in as few bytes as the greatest takes.
#[derive(Clone, Debug)]
pub enum Above {
    /// Up to 255.
    Bytes(Box<[u8]>),
    /// Up to 65,535.
    Words(Box<[u16]>),
}

impl Above {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Above::Bytes(above) => above.len(),
            Above::Words(above) => above.len(),
        }
    }

    /// The `i`th.
    pub fn at(&self, i: usize) -> i64 {
        match self {
            Above::Bytes(above) => i64::from(above[i]),
            Above::Words(above) => i64::from(above[i]),
        }
    }

    /// So many times 0, with room for one distance; None where that is too far.
    pub fn none(count: usize, distance: u64) -> Option<Above> {
        match distance {
            0..=0xff => Some(Above::Bytes(vec![0; count].into())),
            0x100..=0xffff => Some(Above::Words(vec![0; count].into())),
            _ => None,
        }
    }

    /// The `i`th becomes this; false where it is too far.
    pub fn set(&mut self, i: usize, distance: u64) -> bool {
        match self {
            Above::Bytes(above) => u8::try_from(distance).is_ok_and(|distance| {
                above[i] = distance;
                true
            }),
            Above::Words(above) => u16::try_from(distance).is_ok_and(|distance| {
                above[i] = distance;
                true
            }),
        }
    }

    /// A range of them, each made a number.
    pub fn list(&self, range: Range<usize>, lowest: i64) -> Vec<i64> {
        match self {
            Above::Bytes(above) => above[range].iter().map(|above| lowest + i64::from(*above)).collect(),
            Above::Words(above) => above[range].iter().map(|above| lowest + i64::from(*above)).collect(),
        }
    }

    /// Lowest and highest of a range; None where there is none.
    pub fn bounds(&self, range: Range<usize>) -> Option<(i64, i64)> {
        match self {
            Above::Bytes(above) => bounds(&above[range]),
            Above::Words(above) => bounds(&above[range]),
        }
    }

    /// What those of a range come to.
    pub fn sum(&self, range: Range<usize>) -> i64 {
        match self {
            Above::Bytes(above) => sum(&above[range]),
            Above::Words(above) => sum(&above[range]),
        }
    }

    /// Of the first `count` of the `FEW` from `from` on; None where there are not so many.
    #[inline]
    pub fn sum_of_few(&self, from: usize, count: usize) -> Option<i64> {
        match self {
            Above::Bytes(above) => above[from..].first_chunk().map(|few| masked_sum(few, count)),
            Above::Words(above) => above[from..].first_chunk().map(|few| masked_sum(few, count)),
        }
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
fn sum<N: Copy + Into<u32>>(above: &[N]) -> i64 {
    let part = |part: &[N]| i64::from(part.iter().map(|number| (*number).into()).sum::<u32>());
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
