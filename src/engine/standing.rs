//! Which frames of a series stand: the rules by which a later one takes the place of earlier ones. Opening builds series
//! by them, and the sweep leaves out what they leave out.

use crate::domain::time::Time;
use crate::planted::{self, Bug};
use std::collections::BTreeMap;

/// A series while its frames are read, in order: what stands of it so far. `R` is what is kept of a record, `B` of a
/// block, `N` of a run.
pub struct Standing<R, B, N> {
    record: Option<R>,
    /// None of most, where there are very many: their points are in their records.
    own: Option<Box<Own<B, N>>>,
}

/// What a series has in frames of its own.
struct Own<B, N> {
    /// By first key, with the last key.
    blocks: BTreeMap<Time, (Time, B)>,
    runs: Vec<N>,
}

impl<R, B, N> Default for Standing<R, B, N> {
    fn default() -> Self {
        Standing { record: None, own: None }
    }
}

impl<B, N> Default for Own<B, N> {
    fn default() -> Self {
        Own { blocks: BTreeMap::new(), runs: Vec::new() }
    }
}

impl<R, B, N> Standing<R, B, N> {
    /// The last record stands.
    pub fn take_record(&mut self, record: R) {
        self.record = Some(record);
    }

    /// A later block stands in its range: what overlaps it was rewritten.
    pub fn take_block(&mut self, first: Time, last: Time, block: B) {
        let blocks = &mut self.own.get_or_insert_default().blocks;
        let overlaps = blocks.range(..=last).rev().take_while(|(_, (end, _))| *end >= first);
        let dead: Vec<Time> = overlaps.map(|(first, _)| *first).collect();
        if !planted::is(Bug::KeepReplacedBlock) {
            dead.iter().for_each(|first| {
                blocks.remove(first);
            });
        }
        blocks.insert(first, (last, block));
    }

    /// A run that is `whole` takes the place of all before.
    pub fn take_run(&mut self, run: N, whole: bool) {
        let runs = &mut self.own.get_or_insert_default().runs;
        if whole {
            runs.clear();
        }
        runs.push(run);
    }

    /// What stands: the record, the blocks in order of time, the runs. None: a series without a record is not there. One
    /// whose points are in its record has no blocks: they are of a time when it was longer.
    pub fn finish(self, is_inline: impl FnOnce(&R) -> bool) -> Option<(R, Vec<B>, Vec<N>)> {
        let record = self.record?;
        let Own { blocks, runs } = self.own.map(|own| *own).unwrap_or_default();
        let blocks = if is_inline(&record) { BTreeMap::new() } else { blocks };
        Some((record, blocks.into_values().map(|(_, block)| block).collect(), runs))
    }
}
