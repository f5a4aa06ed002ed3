//! A leaf that points are added to, push by push: pieces that follow a leaf as it was, the last of which alone is copied
//! when a point is added, however long the leaf is. Whoever wants to read it puts them together, once.

use crate::engine::block::{Columns, Leaf};
use std::ops::Range;
use std::sync::Arc;

/// A piece of so small a part of a block is not copied for points that follow, which begin a piece of their own: with
/// blocks of 5,120 points a push of one copies fewer than 80. Each piece takes some 270 bytes beside its points.
pub const PIECES_A_BLOCK: usize = 64;

/// Points that follow others.
#[derive(Debug)]
pub struct Growing {
    before: Before,
    points: Columns,
    /// Of this piece and all before it.
    count: usize,
    /// Of this piece and all before it, in memory.
    bytes: usize,
    /// Which columns are no even ones once all pieces are put together.
    uneven: [bool; Columns::COUNT],
}

/// What points follow.
#[derive(Clone, Debug)]
pub enum Before {
    /// A leaf in one piece.
    Leaf(Arc<Leaf>),
    /// Pieces.
    Pieces(Arc<Growing>),
}

/// A leaf with points added to it.
pub enum Grown {
    /// In one piece still.
    Leaf(Leaf),
    /// In pieces.
    Pieces(Growing),
}

impl Before {
    /// How many points there are.
    pub fn count(&self) -> usize {
        match self {
            Before::Leaf(leaf) => leaf.columns.len(),
            Before::Pieces(pieces) => pieces.count,
        }
    }

    /// Bytes in memory, roughly; never less than what it takes in one piece.
    pub fn bytes(&self) -> usize {
        match self {
            Before::Leaf(leaf) => leaf.bytes(),
            Before::Pieces(pieces) => pieces.bytes(),
        }
    }

    /// The last piece.
    pub fn last(&self) -> &Columns {
        match self {
            Before::Leaf(leaf) => &leaf.columns,
            Before::Pieces(pieces) => &pieces.points,
        }
    }

    /// With points added that are later than all of its own, made what they are by this revision. Copies them, and fewer
    /// than `piece_points_max` others.
    pub fn with(&self, more: &Columns, range: Range<usize>, revision: i64, piece_points_max: usize) -> Grown {
        let last = self.last();
        if last.len() + range.len() > piece_points_max {
            let mut points = Columns::default();
            points.extend_as(more, range, revision);
            return Grown::Pieces(Growing::behind(self.clone(), points));
        }
        let mut points = last.with_room(range.len());
        points.extend_as(more, range, revision);
        match self {
            Before::Leaf(_) => Grown::Leaf(Leaf::new(points)),
            Before::Pieces(pieces) => Grown::Pieces(Growing::behind(pieces.before.clone(), points)),
        }
    }
}

impl Growing {
    fn behind(before: Before, points: Columns) -> Growing {
        let (mut uneven, own) = match &before {
            Before::Leaf(leaf) => (leaf.columns.all().map(|column| column.bytes() > 0), leaf.bytes()),
            Before::Pieces(pieces) => (pieces.uneven, pieces.bytes),
        };
        for (uneven, (before, own)) in uneven.iter_mut().zip(before.last().all().into_iter().zip(points.all())) {
            *uneven = *uneven || !before.is_followed_evenly(own);
        }
        let bytes = own + points.bytes() + size_of::<Growing>();
        Growing { count: before.count() + points.len(), bytes, uneven, before, points }
    }

    /// Bytes in memory, roughly: of the pieces, or of all in one piece where that is more.
    pub fn bytes(&self) -> usize {
        let uneven = self.uneven.iter().filter(|uneven| **uneven).count();
        self.bytes.max(Leaf::bytes_of(self.count, self.count * uneven * size_of::<i64>()))
    }

    /// All of its points in one piece. Cost: that of copying them.
    pub fn whole(&self) -> Leaf {
        let mut pieces = vec![&self.points];
        let mut before = &self.before;
        while let Before::Pieces(growing) = before {
            pieces.push(&growing.points);
            before = &growing.before;
        }
        let mut left = self.count - before.count();
        let mut columns = before.last().with_room(left);
        for piece in pieces.into_iter().rev() {
            columns.reserve(left);
            columns.extend(piece, 0..piece.len());
            left -= piece.len();
        }
        Leaf::new(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::point::Point;
    use crate::domain::time::Time;
    use crate::engine::block::Row;
    use proptest::prelude::*;

    fn before(grown: Grown) -> Before {
        match grown {
            Grown::Leaf(leaf) => Before::Leaf(Arc::new(leaf)),
            Grown::Pieces(pieces) => Before::Pieces(Arc::new(pieces)),
        }
    }

    fn rows(leaf: &Before) -> Vec<Row> {
        match leaf {
            Before::Leaf(leaf) => leaf.columns.rows().collect(),
            Before::Pieces(pieces) => pieces.whole().columns.rows().collect(),
        }
    }

    proptest! {
        /// Whatever is added in whatever pushes: it is the list of all points, what was there before stays as it was,
        /// fewer points are copied than a piece may have, and no more bytes are held than it is said, in pieces or in one.
        #[test]
        fn pieces_are_the_list_of_their_points(
            pushes in prop::collection::vec((prop::collection::vec((1i64..3, -2i64..9, 0i64..3), 1..9), 1i64..3), 1..30),
            piece_points_max in 0usize..12,
        ) {
            let (mut time, mut revision) = (0, 0);
            let mut list: Vec<Row> = Vec::new();
            let mut leaf: Option<Before> = None;
            for (points, revisions) in pushes {
                revision += revisions;
                let one = |(step, value, length): (i64, i64, i64)| {
                    time += step;
                    Point::of_period(Time(time), Time(time + length), value)
                };
                let points: Vec<Point> = points.into_iter().map(one).collect();
                let columns = Columns::from(points.clone());
                let more = points.iter().map(|point| Row { point: *point, revision });
                let longer = match &leaf {
                    None => Before::Leaf(Arc::new(Leaf::new(more.clone().collect()))),
                    Some(leaf) => {
                        let longer = before(leaf.with(&columns, 0..columns.len(), revision, piece_points_max));
                        prop_assert_eq!(rows(leaf), &list[..]);
                        let copied = longer.last().len() - points.len();
                        prop_assert!(copied == 0 || longer.last().len() <= piece_points_max, "{} were copied", copied);
                        longer
                    }
                };
                list.extend(more);
                prop_assert_eq!((rows(&longer), longer.count()), (list.clone(), list.len()));
                if let Before::Pieces(pieces) = &longer {
                    prop_assert!(pieces.whole().bytes() <= longer.bytes(), "{} of {}", pieces.whole().bytes(), longer.bytes());
                }
                leaf = Some(longer);
            }
        }
    }
}
