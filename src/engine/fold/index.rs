//! What goes into the index: nodes of trees, and pages of series, in batches. sled takes them far faster in key order
//! than one by one, and for every batch it is looked whether the disk has room.

use super::pages;
use crate::engine::codec::Writer;
use crate::engine::state::Component;
use crate::engine::tree::Entry;
use crate::engine::tree::child::{Body, Child, Loader, Place, node_key, write_entries};
use crate::store::{IndexEntry, StoreError};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Entries after which a batch is written: with nodes of 64 children, or pages, some MiB.
const ENTRIES_AT_ONCE: usize = 1_000;

/// Entries that go into the index together. A node among them counts as stored only once they are written: from then
/// on it may be let go of, and somebody may want to read it again.
pub struct IndexWriter<'a> {
    loader: &'a Loader,
    entries: Vec<IndexEntry>,
    nodes: Vec<(Arc<Child>, Place)>,
}

impl<'a> IndexWriter<'a> {
    /// Nothing yet.
    pub fn new(loader: &'a Loader) -> IndexWriter<'a> {
        IndexWriter { loader, entries: Vec::new(), nodes: Vec::new() }
    }

    /// The nodes under an entry that are not stored yet, children first; its blocks are. Answers where it will be.
    pub fn tree(&mut self, entry: &Entry) -> Result<Place, StoreError> {
        if let Some(place) = entry.child.place() {
            return Ok(place.clone());
        }
        let body = entry.child.in_memory().expect("what is not stored is in memory");
        let Body::Node(children) = &body else { unreachable!("blocks are stored before nodes") };
        let places = children.iter().map(|child| self.tree(child)).collect::<Result<Vec<_>, _>>()?;
        let mut out = Writer::default();
        write_entries(&mut out, &children.iter().cloned().collect::<Vec<_>>(), &places);
        let id = self.loader.next_node();
        self.entries.push((node_key(id), Some(out.0)));
        self.nodes.push((entry.child.clone(), Place::Node(id)));
        if self.entries.len() >= ENTRIES_AT_ONCE {
            self.write()?;
        }
        Ok(Place::Node(id))
    }

    /// Pages by their numbers; all that the component is, is stored. One without series is removed.
    pub fn pages(&mut self, component: &Component, numbers: &BTreeSet<u64>) -> Result<(), StoreError> {
        for (page, series) in pages::of(component, numbers) {
            self.entries.push(pages::entry(&component.name, page, &series));
            if self.entries.len() >= ENTRIES_AT_ONCE {
                self.write()?;
            }
        }
        Ok(())
    }

    /// Writes what is left.
    pub fn write(&mut self) -> Result<(), StoreError> {
        self.loader.store().write_index(std::mem::take(&mut self.entries))?;
        self.nodes.drain(..).for_each(|(node, place)| self.loader.stored(&node, place));
        Ok(())
    }
}
