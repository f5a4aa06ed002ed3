//! The index against the files: what it says of every series, its tree down to the blocks, and its past, is what the
//! directories of the fold files come to without it. Where its pages are behind, as most are while the store is open, it
//! is what is said in memory that is held to the files.

use super::series::leaves;
use super::{Go, Touches, Verifying};
use crate::domain::name::ComponentName;
use crate::engine::fold::frames::SeriesRecord;
use crate::engine::fold::pages::{self, PageRecord};
use crate::engine::open::{Rebuilt, rebuild};
use crate::engine::state::Component;
use crate::engine::tree::Entry;
use crate::store::StoreError;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow::Continue;

/// The name of what is looked at, where it is no file.
const INDEX: &str = "the index";
const MEMORY: &str = "what is in memory";

impl Verifying<'_> {
    /// The whole index. No fold is published while its pages and the directories are read.
    pub(super) fn index(&mut self) -> Go {
        if self.shared.poisoned.load().is_some() {
            // It may lag behind the folds, and is built anew by the restart that there must be.
            return Continue(());
        }
        let loader = self.shared.loader.clone();
        let (mut lines, mut values) = (Vec::new(), Vec::new());
        let (behind, read) = {
            let behind = loader.hold_publishing();
            let lines_read = loader.store().read_lines(&mut |line, at| lines.push((line, at)));
            let read = lines_read.and(loader.store().scan_index(pages::PREFIX, &mut |key, value| {
                if !pages::is_among(&behind, key) {
                    values.push((key.to_vec(), value));
                }
            }));
            (behind.clone(), read.map(|()| self.state()))
        };
        let state = match read {
            Ok(state) => state,
            Err(error) => return self.damage(error, None),
        };
        let mut found: BTreeMap<ComponentName, BTreeMap<u64, PageRecord>> = BTreeMap::new();
        for (key, value) in values {
            match (pages::component_of(&key), pages::read(&value)) {
                (Some(component), Ok(records)) => {
                    let series = found.entry(component).or_default();
                    series.extend(records.into_iter().map(|record| (record.0.id, record)));
                }
                (_, read) => {
                    let what = read.err().map_or("a page's key names no component".to_string(), |e| e.to_string());
                    self.wrong(INDEX, None, what)?;
                }
            }
        }
        for (name, rebuilt) in rebuild(&loader, &self.shared.settings, &lines) {
            let in_index = found.remove(&name).unwrap_or_default();
            // What cannot be read is told of with the folds.
            if !rebuilt.damaged {
                let (behind, now) = (behind.get(&name), state.get(&name).map(|now| &**now));
                self.compare(&name, &rebuilt, in_index, (behind, now))?;
            }
        }
        Continue(())
    }

    /// `now`: as it was in memory when nothing was published, pages being behind.
    fn compare(
        &mut self,
        name: &ComponentName,
        rebuilt: &Rebuilt,
        mut found: BTreeMap<u64, PageRecord>,
        (behind, now): (Option<&BTreeSet<u64>>, Option<&Component>),
    ) -> Go {
        if let Some(what) = self.beside(name, rebuilt) {
            self.wrong("the folds", Some(Touches::component(name)), what)?;
        }
        let metrics = &rebuilt.component.metrics;
        let of = |record: &PageRecord| metrics.values().find(|metric| metric.id == record.0.metric);
        for (id, expected) in &rebuilt.series {
            let Some(metric) = of(expected) else { continue };
            let touches = Touches::series(name, metric.definition(), &expected.0.labels);
            let in_memory = behind.is_some_and(|pages| pages.contains(&pages::page_of(*id)));
            let (place, record) = match in_memory {
                false => (INDEX, found.remove(id)),
                true => match now.and_then(|now| remembered(now, expected, rebuilt.component.revision)) {
                    None => continue,
                    Some(record) => (MEMORY, record),
                },
            };
            let what = match record {
                None => Some(format!("it is not in {place}")),
                Some(record) => match self.differs(expected, &record) {
                    Ok(what) => what.map(str::to_string),
                    Err(error) => {
                        self.damage(error, Some(touches))?;
                        continue;
                    }
                },
            };
            if let Some(what) = what {
                self.wrong(place, Some(touches), what)?;
            }
        }
        // Series of metrics that are deleted stay until their page is written again.
        for record in found.values() {
            if let Some(metric) = of(record) {
                let touches = Touches::series(name, metric.definition(), &record.0.labels);
                self.wrong(INDEX, Some(touches), "it is in the index and in no fold")?;
            }
        }
        self.tell()
    }

    /// What is in memory of the component goes on from what the folds hold.
    fn beside(&self, name: &ComponentName, rebuilt: &Rebuilt) -> Option<&'static str> {
        let state = self.state();
        let now = state.get(name).filter(|now| now.damaged.is_none())?;
        let then = &rebuilt.component;
        let goes_on = now.revision >= then.revision
            && then.batches.len() as i64 == then.revision
            && now.batches.iter().zip(&then.batches).all(|(now, then)| now == then)
            && now.catalog.iter().zip(&then.catalog).all(|(now, then)| now == then)
            && now.catalog.len() >= then.catalog.len();
        (!goes_on).then_some("the catalogue or the revisions in memory are not those of the folds")
    }

    fn differs(&self, expected: &PageRecord, found: &PageRecord) -> Result<Option<&'static str>, StoreError> {
        let ((record, root, runs), (found_record, found_root, found_runs)) = (expected, found);
        let head = record.metric == found_record.metric
            && record.labels == found_record.labels
            && record.openings == found_record.openings;
        if !head {
            return Ok(Some("its metric, labels or openings are not those in the folds"));
        }
        if runs != found_runs {
            return Ok(Some("its past is not that in the folds"));
        }
        let blocks = |root: &Option<Entry>| {
            let mut blocks = Vec::new();
            root.iter().try_for_each(|root| leaves(self, root, &mut blocks))?;
            Ok::<_, StoreError>(blocks)
        };
        let (expected, found) = (blocks(root)?, blocks(found_root)?);
        let same = |(one, other): (&Entry, &Entry)| {
            one.extent == other.extent && one.sum == other.sum && one.child.place() == other.child.place()
        };
        if expected.len() != found.len() || !expected.iter().zip(&found).all(same) {
            return Ok(Some("its blocks, or what is said of them, are not those in the folds"));
        }
        let whole = |root: &Option<Entry>| root.as_ref().map(|root| (root.extent, root.sum));
        Ok((whole(root) != whole(found_root)).then_some("its root is not that of its blocks in the folds"))
    }
}

/// What is in memory of a series that the folds, through a revision, hold. None: it has changed since; inside, it is not
/// there.
fn remembered(now: &Component, expected: &PageRecord, revision: i64) -> Option<Option<PageRecord>> {
    let (record, ..) = expected;
    let metric = now.metrics.values().find(|metric| metric.id == record.metric)?;
    let Some(series) = metric.series.get(&record.labels).filter(|series| series.id == record.id) else {
        return Some(None);
    };
    let stands = series.root.as_ref().is_none_or(|root| root.child.place().is_some())
        && series.history().recent.is_empty()
        && series.openings().last().is_none_or(|(since, _)| *since <= revision);
    stands.then(|| {
        let (labels, openings, lost) = (series.labels.clone(), series.openings().to_vec(), series.lost().to_vec());
        let record = SeriesRecord { metric: metric.id, id: series.id, labels, openings, lost, inline: None };
        Some((record, series.root.clone(), series.history().runs.clone()))
    })
}
