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

    /// Lowest and highest; None where there is none.
    pub fn bounds(&self) -> Option<(i64, i64)> {
        match self {
            Above::Bytes(above) => Some((i64::from(*above.iter().min()?), i64::from(*above.iter().max()?))),
            Above::Words(above) => Some((i64::from(*above.iter().min()?), i64::from(*above.iter().max()?))),
        }
    }

    /// What those of a range come to.
    pub fn sum(&self, range: Range<usize>) -> i64 {
        match self {
            Above::Bytes(above) => above[range].iter().map(|above| i64::from(*above)).sum(),
            Above::Words(above) => above[range].iter().map(|above| i64::from(*above)).sum(),
        }
    }

    /// Of the first `count` of the `FEW` from `from` on; None where there are not so many.
    pub fn sum_of_few(&self, from: usize, count: usize) -> Option<i64> {
        match self {
            Above::Bytes(above) => above[from..].first_chunk().map(|few| masked_sum(few, count)),
            Above::Words(above) => above[from..].first_chunk().map(|few| masked_sum(few, count)),
        }
    }
}

/// Numbers that are added up at once, wanted or not.
pub const FEW: usize = 16;

/// What the first `count` come to. The others are added as nothing: so there is no loop whose end is not known, and all
/// of them fit some vector registers. (Of the weeks of 200 series, by their profile, a loop was 45 %, and this is 24 %.)
fn masked_sum<N: Copy + Default + Into<u32>>(few: &[N; FEW], count: usize) -> i64 {
    let masked: [N; FEW] = std::array::from_fn(|i| if i < count { few[i] } else { N::default() });
    masked.iter().map(|number| (*number).into()).sum::<u32>().into()
}
