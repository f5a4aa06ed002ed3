//! Cuts rows into batches, and writes a batch as a request whose id is made from what is in it.

use super::file::Loaded;
use super::{Row, Target};
use crate::cli::moment::to_proto;
use crate::domain::decimal;
use crate::domain::time::Time;
use crate::proto::v1 as pb;
use prost::Message;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Points in a batch at most.
pub(super) const POINTS_MAX: usize = 10_000;
/// Bytes in a batch at most, by a high estimate: well below the 4 MiB of the contract.
const BYTES_MAX: usize = 3 << 20;
/// Bytes of a point at most: times, a value of 20 digits, tags.
const POINT_BYTES: usize = 80;

/// Row numbers that are one batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) rows: Vec<usize>,
    /// It corrects what an earlier batch of the file wrote: that one must be settled first.
    pub(super) corrects: bool,
}

/// Rows cut into batches.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) batches: Vec<Batch>,
    /// Rows left out: what they say was said by the row before of their key.
    pub(super) same: usize,
    /// Rows left out: a later row corrects them, and the store has their key.
    pub(super) earlier: usize,
}

impl Cut {
    pub(super) fn left_out(&self) -> usize {
        self.same + self.earlier
    }
}

/// The keys that come more than once, each with its last row.
pub(super) fn repeated(rows: &[Row]) -> HashMap<(u32, Time), usize> {
    let mut keys: Vec<((u32, Time), usize)> = rows.iter().enumerate().map(|(i, row)| (row.key(), i)).collect();
    keys.sort_unstable();
    keys.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1]).collect()
}

/// In the order of the file; a new batch at a repeated key, so that the later row corrects the earlier one and
/// both stay visible. `stored` are the repeated keys that the store has a point at: of those only the last row
/// is sent, for sending an earlier one would undo the correction for a moment.
pub(super) fn cut(loaded: &Loaded, stored: &HashSet<(u32, Time)>, points_max: usize) -> Cut {
    let repeated = repeated(&loaded.rows);
    let mut cut = Cut { batches: Vec::new(), same: 0, earlier: 0 };
    let mut batch = Batch { rows: Vec::new(), corrects: false };
    let mut bytes = 0;
    let mut series_in_batch = HashSet::new();
    // Of repeated keys: the row sent last.
    let mut sent: HashMap<(u32, Time), usize> = HashMap::new();
    let mut keys_in_batch = HashSet::new();
    for (i, row) in loaded.rows.iter().enumerate() {
        let key = row.key();
        let last = repeated.get(&key).copied();
        if sent.get(&key).is_some_and(|before| loaded.rows[*before].same_value(row)) {
            cut.same += 1;
            continue;
        }
        if last.is_some_and(|last| i != last) && stored.contains(&key) {
            cut.earlier += 1;
            continue;
        }
        let labels: usize = loaded.series[row.series as usize].iter().map(|(n, v)| n.len() + v.len() + 8).sum();
        let size = POINT_BYTES + if series_in_batch.contains(&row.series) { 0 } else { labels + POINT_BYTES };
        if keys_in_batch.contains(&key) || batch.rows.len() >= points_max || bytes + size > BYTES_MAX {
            cut.batches.push(std::mem::replace(&mut batch, Batch { rows: Vec::new(), corrects: false }));
            bytes = 0;
            keys_in_batch.clear();
            series_in_batch.clear();
        }
        if last.is_some() {
            batch.corrects |= sent.insert(key, i).is_some();
            keys_in_batch.insert(key);
        }
        series_in_batch.insert(row.series);
        bytes += size;
        batch.rows.push(i);
    }
    if !batch.rows.is_empty() {
        cut.batches.push(batch);
    }
    cut
}

/// Writes batches as requests.
pub(super) struct Writer<'a> {
    pub(super) target: &'a Target,
    pub(super) rows: &'a [Row],
    pub(super) series: &'a [BTreeMap<String, String>],
    pub(super) reason: &'a str,
    /// Makes ids that were not used before; empty: the same content has the same id.
    pub(super) nonce: &'a str,
    pub(super) validate_only: bool,
}

/// A request, and which row each of its points is: `places[i][j]` of `series[i].points[j]`.
pub(super) struct Written {
    pub(super) request: pb::WritePointsRequest,
    pub(super) places: Vec<Vec<usize>>,
}

impl Writer<'_> {
    pub(super) fn request(&self, rows: &[usize]) -> Written {
        let mut index: HashMap<u32, usize> = HashMap::new();
        let mut series: Vec<pb::SeriesPoints> = Vec::new();
        let mut places: Vec<Vec<usize>> = Vec::new();
        for &i in rows {
            let row = &self.rows[i];
            let place = *index.entry(row.series).or_insert_with(|| {
                series.push(pb::SeriesPoints {
                    metric: self.target.metric.clone(),
                    labels: self.series[row.series as usize].clone(),
                    points: Vec::new(),
                    columns: None,
                });
                places.push(Vec::new());
                series.len() - 1
            });
            series[place].points.push(self.point(row));
            places[place].push(i);
        }
        let mut request = pb::WritePointsRequest {
            request_id: String::new(),
            series,
            mode: pb::write_points_request::Mode::Set.into(),
            reason: self.reason.into(),
            validate_only: self.validate_only,
        };
        request.request_id = self.request_id(&request);
        Written { request, places }
    }

    fn point(&self, row: &Row) -> pb::Point {
        pb::Point {
            at: Some(pb::point::At::Time(to_proto(row.time))),
            value: decimal::format(i128::from(row.units), self.target.scale),
            end: row.end.map(|end| pb::point::End::EndTime(to_proto(end))),
            start_time: row.start.map(to_proto),
            restated: row.restated,
        }
    }

    /// The same content has the same id, whatever file it came from: 160 bits of SHA-256.
    fn request_id(&self, request: &pb::WritePointsRequest) -> String {
        let hash = Sha256::new().chain_update(request.encode_to_vec()).chain_update(self.nonce.as_bytes()).finalize();
        let hex: String = hash.iter().take(20).map(|byte| format!("{byte:02x}")).collect();
        format!("import-{hex}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn loaded(rows: &[(i64, i64)]) -> Loaded {
        let row = |(i, (time, units)): (usize, &(i64, i64))| Row {
            line: i as u64 + 2,
            offset: 0,
            series: 0,
            time: Time(*time),
            units: *units,
            end: None,
            start: None,
            restated: false,
        };
        Loaded {
            rows: rows.iter().enumerate().map(row).collect(),
            series: vec![BTreeMap::new()],
            rejects: Vec::new(),
            rows_read: rows.len(),
        }
    }

    #[test]
    fn a_new_batch_starts_at_a_repeated_key() {
        let loaded = loaded(&[(1, 10), (2, 20), (2, 21), (3, 30), (3, 30), (1, 11)]);
        let fresh = cut(&loaded, &HashSet::new(), 100);
        let rows: Vec<_> = fresh.batches.iter().map(|b| (b.rows.as_slice(), b.corrects)).collect();
        assert_eq!(rows, [(&[0, 1][..], false), (&[2, 3, 5], true)]);
        assert_eq!((fresh.same, fresh.earlier), (1, 0));

        let again = cut(&loaded, &HashSet::from([(0, Time(1)), (0, Time(2)), (0, Time(3))]), 100);
        let rows: Vec<_> = again.batches.iter().map(|b| (b.rows.as_slice(), b.corrects)).collect();
        assert_eq!(rows, [(&[2, 4, 5][..], false)]);
        assert_eq!((again.same, again.earlier), (0, 3));
    }

    proptest! {
        /// Whatever the file and whatever is stored: no key twice in a batch, no batch too long, and after all
        /// batches every key has its last value.
        #[test]
        fn batches_end_in_the_last_values(
            rows in proptest::collection::vec((0i64..12, 0i64..4), 0..60),
            stored in proptest::collection::hash_set(0i64..12, 0..12),
            points_max in 1usize..8,
        ) {
            let loaded = loaded(&rows);
            let stored: HashSet<_> = stored.into_iter().map(|t| (0, Time(t))).collect();
            let cut = cut(&loaded, &stored, points_max);
            let mut state: BTreeMap<i64, i64> = BTreeMap::new();
            let mut seen = HashSet::new();
            for batch in &cut.batches {
                prop_assert!(!batch.rows.is_empty() && batch.rows.len() <= points_max);
                let keys: HashSet<_> = batch.rows.iter().map(|i| loaded.rows[*i].key()).collect();
                prop_assert_eq!(keys.len(), batch.rows.len());
                prop_assert_eq!(batch.corrects, keys.iter().any(|k| seen.contains(k)));
                seen.extend(keys);
                state.extend(batch.rows.iter().map(|i| (loaded.rows[*i].time.0, loaded.rows[*i].units)));
            }
            prop_assert_eq!(state, rows.iter().copied().collect::<BTreeMap<_, _>>());
            let sent: usize = cut.batches.iter().map(|b| b.rows.len()).sum();
            prop_assert_eq!(sent + cut.left_out(), rows.len());
        }
    }
}
