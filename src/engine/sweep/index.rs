//! What of the index is still wanted: pages of series, and the nodes that they, and the trees in memory, lead to. Nodes
//! are written anew at every change, and some that a fold stored were replaced before it ended: nothing refers to these,
//! and nobody tells.
//!
//! The nodes that they lead to are marked at one moment. A state from then on refers to these, and to nodes that
//! were stored later, which have higher numbers: for a node that was replaced never comes back. So once nobody reads an
//! older state any more, the rest can go.

use crate::engine::codec::Reader;
use crate::engine::committer::Shared;
use crate::engine::fold::pages;
use crate::engine::readers::Epoch;
use crate::engine::tree::Entry;
use crate::engine::tree::child::{Place, node_key, read_entries};
use crate::store::{Damage, StoreError};
use std::collections::HashSet;

/// Marked nodes.
pub struct Marked {
    /// What pages and trees lead to.
    nodes: HashSet<u64>,
    /// Nodes from this on were stored later.
    later_from: u64,
    /// Once this is over the rest can go.
    pub epoch: Epoch,
    /// Bytes of keys and values of what is wanted.
    pub bytes: u64,
}

impl Marked {
    /// Marks what is wanted now. No fold is published meanwhile. Costs reading all of it. None: `stops` said so.
    pub fn now(shared: &Shared, stops: &dyn Fn() -> bool) -> Result<Option<Marked>, StoreError> {
        let loader = &shared.loader;
        let behind = loader.hold_publishing();
        let epoch = loader.readers().end_epoch();
        let mut marked = Marked { nodes: HashSet::new(), later_from: loader.next_node(), epoch, bytes: 0 };
        let (mut waiting, mut failed) = (Vec::new(), None);
        loader.store().scan_index(pages::PREFIX, &mut |key, page| {
            marked.bytes += (key.len() + page.len()) as u64;
            match pages::read(&page) {
                // What is behind leads to nodes that nobody reads.
                Ok(_) if pages::is_among(&behind, key) => {}
                Ok(records) => {
                    records.iter().filter_map(|record| record.1.as_ref()).for_each(|root| wait(root, &mut waiting))
                }
                Err(e) => failed = Some(e),
            }
        })?;
        if let Some(e) = failed {
            return Err(e.in_file("the index".to_string()));
        }
        // No older than any that is read once the epoch is over.
        let state = shared.state.load_full();
        let series = state.values().flat_map(|c| c.metrics.values()).flat_map(|metric| metric.series.values());
        series.filter_map(|series| series.root.as_ref()).for_each(|root| wait(root, &mut waiting));
        while let Some(id) = waiting.pop() {
            if stops() {
                return Ok(None);
            }
            if !marked.nodes.insert(id) {
                continue;
            }
            let key = node_key(id);
            let file = format!("node {id} of the index");
            let missing = || Damage { file: file.clone(), offset: 0, what: "it is missing".to_string() };
            let node = loader.store().read_index(&key)?.ok_or_else(missing)?;
            marked.bytes += (key.len() + node.len()) as u64;
            let entries = read_entries(&mut Reader(&node)).map_err(|e| e.in_file(file))?;
            entries.iter().for_each(|entry| wait(entry, &mut waiting));
        }
        Ok(Some(marked))
    }

    /// Whether an entry is wanted, or came later.
    pub fn keeps(&self, key: &[u8]) -> bool {
        match key.strip_prefix(b"N").and_then(|id| id.try_into().ok()).map(u64::from_be_bytes) {
            Some(id) => id >= self.later_from || self.nodes.contains(&id),
            None => true,
        }
    }
}

fn wait(entry: &Entry, waiting: &mut Vec<u64>) {
    if let Some(Place::Node(id)) = entry.child.place() {
        waiting.push(*id);
    } else if let Some(children) = entry.child.fresh_children() {
        children.iter().for_each(|child| wait(child, waiting));
    }
}
