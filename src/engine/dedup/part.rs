//! Request ids that are forgotten together, packed: some 40 bytes an id, so that 4 million are 160 MB.
//!
//! Entries lie one behind the other in chunks:
//!
//! ```text
//!   0  16  fingerprint of (component, who, id)
//!  16   8  the first half of the body's digest: what is told apart has the same id already
//!  24   .  varints: revision (zigzag), the three counts, the number of metrics and their ids
//! ```
//!
//! Beside them a table of places, probed from the fingerprint's first bytes on, which are as good as random; at most
//! three quarters of it are taken.

use super::First;
use crate::engine::batch::MetricId;
use crate::engine::codec::{Reader, Undecodable, Writer};

/// Bytes of a chunk; an entry that is longer has one of its own.
const CHUNK_BYTES: usize = 1 << CHUNK_BITS;
const CHUNK_BITS: u32 = 20;
/// So many chunks that a place fits a slot beside `EMPTY` and `REMOVED`.
const CHUNKS_MAX: usize = (1 << (32 - CHUNK_BITS)) - 1;
const EMPTY: u32 = u32::MAX;
const REMOVED: u32 = u32::MAX - 1;
const SLOTS_MIN: usize = 16;
const FINGERPRINT_BYTES: usize = 16;

/// See the module.
pub struct Part {
    chunks: Vec<Vec<u8>>,
    slots: Vec<u32>,
    /// Slots that are not `EMPTY`.
    taken: usize,
    count: usize,
}

impl Part {
    /// An empty one.
    pub fn new() -> Part {
        Part { chunks: Vec::new(), slots: vec![EMPTY; SLOTS_MIN], taken: 0, count: 0 }
    }

    /// How many ids are in it.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no room for an entry of any length.
    pub fn is_full(&self) -> bool {
        self.chunks.len() >= CHUNKS_MAX
    }

    /// The answer to an id. Cost: a few look-ups in memory.
    pub fn get(&self, fingerprint: &[u8; 16]) -> Option<First> {
        let slot = self.find(fingerprint)?;
        let entry = &self.entry(self.slots[slot])[FINGERPRINT_BYTES..];
        Some(read(entry).expect("an entry is what was put"))
    }

    /// Every fingerprint.
    pub fn fingerprints(&self) -> impl Iterator<Item = [u8; 16]> + '_ {
        let places = self.slots.iter().filter(|place| **place < REMOVED);
        places.map(|place| fingerprint_of(self.entry(*place)))
    }

    /// Puts an answer; whether the id is new.
    pub fn insert(&mut self, fingerprint: &[u8; 16], first: &First) -> bool {
        let place = self.append(fingerprint, first);
        if let Some(slot) = self.find(fingerprint) {
            self.slots[slot] = place;
            return false;
        }
        if (self.taken + 1) * 4 > self.slots.len() * 3 {
            self.rehash();
        }
        self.put(fingerprint, place);
        self.count += 1;
        true
    }

    /// Takes an id out; whether it was there.
    pub fn remove(&mut self, fingerprint: &[u8; 16]) -> bool {
        let Some(slot) = self.find(fingerprint) else { return false };
        self.slots[slot] = REMOVED;
        self.count -= 1;
        true
    }

    fn append(&mut self, fingerprint: &[u8; 16], first: &First) -> u32 {
        let mut out = Writer::default();
        out.0.extend_from_slice(fingerprint);
        out.0.extend_from_slice(&first.body);
        out.signed(first.revision);
        first.counts.iter().for_each(|count| out.unsigned(*count));
        out.unsigned(first.metrics.len() as u64);
        first.metrics.iter().for_each(|id| out.unsigned(id.0));
        let fits = |chunk: &Vec<u8>| chunk.len() + out.0.len() <= CHUNK_BYTES;
        if !self.chunks.last().is_some_and(fits) {
            // The first grows as it is filled: most parts are small.
            let capacity = if self.chunks.is_empty() { 0 } else { CHUNK_BYTES };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        let number = self.chunks.len() - 1;
        let chunk = &mut self.chunks[number];
        let place = number << CHUNK_BITS | chunk.len();
        chunk.extend_from_slice(&out.0);
        u32::try_from(place).expect("a part that is full gets no more entries")
    }

    fn entry(&self, place: u32) -> &[u8] {
        let place = place as usize;
        &self.chunks[place >> CHUNK_BITS][place & (CHUNK_BYTES - 1)..]
    }

    /// The slots that an id may be in, in order.
    fn probes(&self, fingerprint: &[u8; 16]) -> impl Iterator<Item = usize> + use<> {
        let from = u64::from_le_bytes(fingerprint[..8].try_into().expect("eight bytes of sixteen")) as usize;
        let mask = self.slots.len() - 1;
        (0..=mask).map(move |i| (from + i) & mask)
    }

    fn find(&self, fingerprint: &[u8; 16]) -> Option<usize> {
        for slot in self.probes(fingerprint) {
            match self.slots[slot] {
                EMPTY => return None,
                REMOVED => {}
                place if fingerprint_of(self.entry(place)) == *fingerprint => return Some(slot),
                _ => {}
            }
        }
        None
    }

    fn put(&mut self, fingerprint: &[u8; 16], place: u32) {
        let slot = self.probes(fingerprint).find(|slot| self.slots[*slot] == EMPTY);
        self.slots[slot.expect("a quarter of the slots is empty")] = place;
        self.taken += 1;
    }

    /// Twice as many slots, or as many where removed ones had filled them.
    fn rehash(&mut self) {
        let slots = if self.count * 2 >= self.slots.len() { self.slots.len() * 2 } else { self.slots.len() };
        let before = std::mem::replace(&mut self.slots, vec![EMPTY; slots]);
        self.taken = 0;
        for place in before.into_iter().filter(|place| *place < REMOVED) {
            let fingerprint = fingerprint_of(self.entry(place));
            self.put(&fingerprint, place);
        }
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.chunks.iter().map(Vec::capacity).sum::<usize>() + self.slots.capacity() * size_of::<u32>()
    }
}

fn fingerprint_of(entry: &[u8]) -> [u8; 16] {
    entry[..FINGERPRINT_BYTES].try_into().expect("an entry starts with sixteen bytes")
}

fn read(entry: &[u8]) -> Result<First, Undecodable> {
    let mut reader = Reader(entry);
    let body = reader.take(8)?.try_into().expect("eight bytes were taken");
    let revision = reader.signed()?;
    let counts = [reader.unsigned()?, reader.unsigned()?, reader.unsigned()?];
    let metrics =
        (0..reader.unsigned()?).map(|_| Ok(MetricId(reader.unsigned()?))).collect::<Result<_, Undecodable>>()?;
    Ok(First { body, metrics, revision, counts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn first(number: u64) -> First {
        let metrics = (0..number % 4).map(|i| MetricId(i * 1_000 + number)).collect();
        First { body: number.to_le_bytes(), metrics, revision: number as i64, counts: [number, 0, u64::MAX - number] }
    }

    proptest! {
        /// As a map, whatever is put and taken; fingerprints that collide in their first bytes too.
        #[test]
        fn a_part_is_a_map(steps in proptest::collection::vec((0u8..3, 0u8..40, any::<u64>()), 0..400)) {
            let (mut part, mut model) = (Part::new(), HashMap::new());
            for (deed, id, number) in steps {
                let mut fingerprint = [id % 5; 16];
                fingerprint[15] = id;
                match deed {
                    0 => prop_assert_eq!(part.remove(&fingerprint), model.remove(&fingerprint).is_some()),
                    _ => prop_assert_eq!(part.insert(&fingerprint, &first(number)), model.insert(fingerprint, first(number)).is_none()),
                }
                prop_assert_eq!(part.len(), model.len());
            }
            for id in 0..40 {
                let mut fingerprint = [id % 5; 16];
                fingerprint[15] = id;
                prop_assert_eq!(part.get(&fingerprint), model.get(&fingerprint).cloned());
            }
            let (mut found, mut there): (Vec<_>, Vec<_>) = (part.fingerprints().collect(), model.into_keys().collect());
            found.sort_unstable();
            there.sort_unstable();
            prop_assert_eq!(found, there);
        }
    }

    /// What the README's table of limits promises of memory.
    #[test]
    fn an_id_costs_some_forty_bytes() {
        let mut part = Part::new();
        let count = 300_000u64;
        for i in 0..count {
            let mut fingerprint = [0; 16];
            fingerprint[..8].copy_from_slice(&i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
            fingerprint[8..].copy_from_slice(&i.to_le_bytes());
            let metrics = vec![MetricId(7)];
            assert!(
                part.insert(&fingerprint, &First { body: [1; 8], metrics, revision: i as i64, counts: [10, 0, 0] })
            );
        }
        let an_id = part.bytes() as f64 / count as f64;
        assert!((30.0..48.0).contains(&an_id), "{an_id}");
    }
}
