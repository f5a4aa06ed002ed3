//! What is written: series of equally spaced counts, read from a file in the peers' form or made up, and plain running
//! sums over them, which every answer is checked against.
//!
//! ```text
//! offset  0  8 bytes  magic "TSBENCH1"
//! offset  8  u32      number of series S
//! offset 12  u32      reserved, 0
//! offset 16  u64      points per series N
//! offset 24  i64      time of point 0, seconds since 1970-01-01 UTC
//! offset 32  i64      seconds between points
//! offset 40  i64 x S x N   values, series after series; all little-endian
//! ```

use std::fs;
use std::io;
use std::path::Path;

const SECOND: i64 = 1_000_000_000;
const HEADER_BYTES: usize = 40;

/// Series of counts, all at the same instants.
#[derive(Clone)]
pub struct Workload {
    /// How many series.
    pub series: usize,
    /// Points of each.
    pub points: usize,
    /// Time of the first point, in nanoseconds.
    pub first: i64,
    /// Nanoseconds between points.
    pub step: i64,
    values: Vec<i64>,
}

impl Workload {
    /// Reads a file of the peers.
    pub fn read(path: &Path) -> io::Result<Workload> {
        let bytes = fs::read(path)?;
        let word = |at: usize| i64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        if bytes.len() < HEADER_BYTES || &bytes[..8] != b"TSBENCH1" {
            return Err(io::Error::other(format!("{} is no workload", path.display())));
        }
        let (series, points) = (word(8) as u32 as usize, word(16) as usize);
        let values: Vec<i64> = (0..(bytes.len() - HEADER_BYTES) / 8).map(|i| word(HEADER_BYTES + 8 * i)).collect();
        if values.len() != series * points {
            return Err(io::Error::other(format!("{} is cut short", path.display())));
        }
        Ok(Workload { series, points, first: word(24) * SECOND, step: word(32) * SECOND, values })
    }

    /// Counts around 50 with a daily rhythm, from a small generator.
    pub fn made_up(series: usize, points: usize, step_seconds: i64) -> Workload {
        let value = |i: usize| {
            let noise = scatter(i as u64) >> 59;
            let hour = ((i % points) as i64 * step_seconds / 3_600) % 24;
            20 + 3 * hour.min(24 - hour) + noise as i64
        };
        let values = (0..series * points).map(value).collect();
        // 2015-08-01, the start of the peers' workloads.
        Workload { series, points, first: 1_438_387_200 * SECOND, step: step_seconds * SECOND, values }
    }

    /// The values of a series.
    pub fn values(&self, series: usize) -> &[i64] {
        &self.values[series * self.points..(series + 1) * self.points]
    }

    /// Puts a value in the place of another.
    pub fn correct(&mut self, series: usize, i: usize, value: i64) {
        self.values[series * self.points + i] = value;
    }

    /// Time of the `i`th point.
    pub fn time(&self, i: usize) -> i64 {
        self.first + i as i64 * self.step
    }

    /// All points of all series.
    pub fn all(&self) -> u64 {
        (self.series * self.points) as u64
    }

    /// Running sums over some series together: the `i`th holds what the first `i` instants come to.
    pub fn running(&self, series: impl Iterator<Item = usize>) -> Running {
        let mut sums = vec![0i64; self.points + 1];
        for s in series {
            self.values(s).iter().zip(&mut sums[1..]).for_each(|(value, sum)| *sum += value);
        }
        for i in 1..sums.len() {
            sums[i] += sums[i - 1];
        }
        Running { first: self.first, step: self.step, sums }
    }
}

/// Running sums at equally spaced instants.
pub struct Running {
    first: i64,
    step: i64,
    sums: Vec<i64>,
}

impl Running {
    /// The sum of everything.
    pub fn last(&self) -> i64 {
        self.sums[self.sums.len() - 1]
    }

    /// What was before `t`, in nanoseconds.
    pub fn before(&self, t: i64) -> i64 {
        let i = (t - self.first).div_euclid(self.step) + i64::from((t - self.first).rem_euclid(self.step) != 0);
        self.sums[i.clamp(0, self.sums.len() as i64 - 1) as usize]
    }

    /// Time of the point with which `threshold` was first reached.
    pub fn reach(&self, threshold: i64) -> i64 {
        // Counts do not fall: the running sums are in order.
        self.first + (self.sums.partition_point(|sum| *sum < threshold) as i64 - 1) * self.step
    }
}

/// A number far from its neighbours': the same for the same `k`, always.
pub fn scatter(k: u64) -> u64 {
    let k = k.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (k ^ (k >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(27).wrapping_mul(0x94d0_49bb_1331_11eb)
}
