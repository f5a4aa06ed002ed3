//! A component in memory: its catalogue, its series, its revisions. Persistent: a clone is a snapshot, and a
//! change makes anew only what it touches.

use super::batch::MetricId;
use super::history::History;
use super::lost::{Lost, LostFacts, LostIds, LostMetric};
use super::tree::Entry;
use crate::domain::calendar::Calendar;
use crate::domain::definition::Definition;
use crate::domain::name::{ComponentName, MetricName};
use crate::domain::point::{Labels, Opening, Point};
use crate::domain::time::Time;
use crate::planted::{self, Bug};
use crate::store::{Damage, FrameRef, Position, StoreError};
use imbl::{OrdMap, Vector};
use std::sync::{Arc, LazyLock};

/// A component.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its name.
    pub name: ComponentName,
    /// Its last revision; 0: none yet.
    pub revision: i64,
    /// The log position of its last record.
    pub position: Position,
    /// The metrics there are.
    pub metrics: OrdMap<MetricName, Arc<Metric>>,
    /// The last definition of every metric there ever was.
    pub last_definitions: OrdMap<MetricName, Arc<Definition>>,
    /// Every making, changing and deleting of a metric.
    pub catalog: Vector<CatalogChange>,
    /// What each revision was, from revision 1.
    pub batches: Vector<BatchFacts>,
    /// How many of `catalog` the folds hold.
    pub stored_catalog: usize,
    /// How many of `batches` the folds hold.
    pub stored_batches: usize,
    /// The next creation of a metric gets this.
    pub next_metric: u64,
    /// The next series gets this.
    pub next_series: u64,
    /// Definitions of its metrics that are lost.
    pub lost: Vec<LostMetric>,
    /// What is not known of its revisions. `batches` holds what was known before in their place.
    pub lost_facts: Vec<LostFacts>,
    /// Request ids that are lost, those that were recorded last.
    pub lost_ids: Option<LostIds>,
    /// What of it could not be read when it was opened: nothing is answered of it, and nothing taken.
    pub damaged: Option<StoreError>,
}

/// A metric.
#[derive(Clone, Debug)]
pub struct Metric {
    /// This creation of it.
    pub id: MetricId,
    /// Its definitions, each from a revision on.
    pub versions: Vec<(i64, Arc<Definition>)>,
    /// Its periods; None where it is irregular.
    pub periods: Option<Arc<Calendar>>,
    /// Its series, by label values.
    pub series: OrdMap<Labels, Arc<Series>>,
    /// Whether a point or an opening was ever written.
    pub written: bool,
    /// Changes of keys that were there, by revision; those of stored frames first.
    pub stored_changes: Vec<StoredChanges>,
    /// Changes not stored yet, by revision.
    pub recent_changes: Vector<KeyChanged>,
}

/// A series.
#[derive(Clone, Debug)]
pub struct Series {
    /// Unique in its component.
    pub id: u64,
    /// Its label values.
    pub labels: Labels,
    /// Its points.
    pub root: Option<Entry>,
    /// What else there is of it, shared with what the series was: a push leaves it as it is. None: nothing.
    aside: Option<Arc<Aside>>,
}

/// What most series have nothing of: so each of a million takes 256 bytes here, where it took 384.
#[derive(Clone, Default, Debug)]
pub struct Aside {
    /// Opening balances, each from a revision on.
    pub openings: Vec<(i64, Option<Opening>)>,
    /// Its past.
    pub history: History,
    /// What of it is lost, by revision.
    pub lost: Vec<Lost>,
}

/// Of all series that have nothing aside.
static NOTHING_ASIDE: LazyLock<Aside> = LazyLock::new(Aside::default);

/// What a revision was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BatchFacts {
    /// When it was recorded.
    pub record_time: Time,
    /// Who sent it.
    pub who: Arc<str>,
    /// Why.
    pub reason: Arc<str>,
    /// Its values were added.
    pub added: bool,
}

/// A metric was made, changed or deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CatalogChange {
    /// By this revision.
    pub revision: i64,
    /// Which creation.
    pub id: MetricId,
    /// None: it was made.
    pub old: Option<Arc<Definition>>,
    /// None: it was deleted.
    pub new: Option<Arc<Definition>>,
}

/// A frame of changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredChanges {
    /// Lowest revision in it.
    pub first_revision: i64,
    /// Highest revision in it.
    pub last_revision: i64,
    /// Where it is.
    pub at: FrameRef,
}

/// A key that was there got another value, or an opening was changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyChanged {
    /// By this revision.
    pub revision: i64,
    /// The series.
    pub labels: Labels,
    /// What happened.
    pub what: KeyChange,
}

/// What happened to a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyChange {
    /// A point that was there (old, new; None: taken back).
    Point(Point, Option<Point>),
    /// The opening (old, new).
    Opening(Option<Opening>, Option<Opening>),
}

impl Component {
    /// Takes a change of the catalogue, which is of the component's last revision or of one that a fold holds.
    pub fn take_catalog(&mut self, change: CatalogChange) {
        self.next_metric = self.next_metric.max(change.id.0 + 1);
        match (&change.old, &change.new) {
            (_, Some(definition)) => {
                self.last_definitions.insert(definition.name.clone(), definition.clone());
                match self.metrics.get_mut(&definition.name) {
                    // Of another creation only where the deletion between is lost.
                    Some(metric) if metric.id == change.id => {
                        let metric = Arc::make_mut(metric);
                        metric.versions.push((change.revision, definition.clone()));
                        metric.periods = definition.periods().map(Arc::new);
                    }
                    _ => {
                        let metric = Metric::new(change.id, change.revision, definition.clone());
                        self.metrics.insert(definition.name.clone(), Arc::new(metric));
                    }
                }
            }
            (Some(deleted), None) => {
                self.metrics.remove(&deleted.name);
            }
            (None, None) => {}
        }
        self.catalog.push_back(change);
    }

    /// A metric's definition is lost.
    pub fn lose_metric(&mut self, name: MetricName, id: MetricId, lost: Lost) {
        self.next_metric = self.next_metric.max(id.0 + 1);
        // Of a metric that was written to only texts can have changed.
        let skips = !self.metrics.get(&name).is_some_and(|metric| metric.id == id && metric.written);
        self.lost.push(LostMetric { name, id, skips, lost });
    }

    /// Whether what is written to this creation of a metric is lost, for nobody knows what it means.
    pub fn skips(&self, name: &MetricName, id: MetricId) -> bool {
        self.metrics.get(name).is_none_or(|metric| metric.id != id)
            || self.lost.iter().any(|lost| lost.skips && lost.id == id)
    }

    /// What is lost had these ids: nothing else gets them.
    pub fn pass_over(&mut self, metric: MetricId, series: u64) {
        self.next_metric = self.next_metric.max(metric.0 + 1);
        self.next_series = self.next_series.max(series + 1);
    }

    /// Refuses a metric whose definition at a revision (None: now) is lost.
    pub fn check_metric(&self, name: &MetricName, revision: Option<i64>) -> Result<(), StoreError> {
        let metric = self.metrics.get(name);
        let there = metric.map(|metric| metric.id);
        // Of a time before it was made its definition now is told.
        let revision = revision.filter(|r| metric.is_none_or(|metric| metric.definition_at(*r).is_some()));
        let is_its = |old: &Arc<Definition>| old.name == *name;
        let deletes = |change: &CatalogChange| change.new.is_none() && change.old.as_ref().is_some_and(is_its);
        let deleted = |id: MetricId| self.catalog.iter().any(|change| deletes(change) && change.id >= id);
        let is_lost = |lost: &&LostMetric| {
            lost.name == *name
                && match there {
                    Some(id) => id <= lost.id && revision.is_none_or(|r| lost.lost.revision <= r),
                    None => !deleted(lost.id),
                }
        };
        match self.lost.iter().find(is_lost) {
            None => Ok(()),
            Some(lost) => Err(lost.lost.refused(name.to_string())),
        }
    }

    /// An empty one.
    pub fn new(name: ComponentName) -> Component {
        Component {
            name,
            revision: 0,
            position: Position(0),
            metrics: OrdMap::new(),
            last_definitions: OrdMap::new(),
            catalog: Vector::new(),
            batches: Vector::new(),
            stored_catalog: 0,
            stored_batches: 0,
            next_metric: 1,
            next_series: 1,
            lost: Vec::new(),
            lost_facts: Vec::new(),
            lost_ids: None,
            damaged: None,
        }
    }

    /// Goes on from a revision though nobody knows what those before it were: they are recorded at `record_time`.
    pub fn leave_out_revisions(&mut self, revision: i64, record_time: Time) {
        let nobody: Arc<str> = "".into();
        while self.revision < revision {
            self.revision += 1;
            let (who, reason) = (nobody.clone(), nobody.clone());
            self.batches.push_back(BatchFacts { record_time, who, reason, added: false });
        }
    }

    /// Goes on behind so many revisions of which it is lost what they were.
    pub fn lose_facts(&mut self, count: i64, damage: Damage) {
        let first = self.batches.len() as i64 + 1;
        let nobody: Arc<str> = "".into();
        let record_time = self.batches.last().map_or(Time::MIN, |batch| batch.record_time);
        let unknown = BatchFacts { record_time, who: nobody.clone(), reason: nobody, added: false };
        self.batches.extend(std::iter::repeat_n(unknown, count.max(0) as usize));
        self.lost_facts.push(LostFacts { damage, first, last: first + count - 1 });
    }

    /// Request ids are lost, of which the last was recorded then.
    pub fn lose_ids(&mut self, last: Time, damage: Damage) {
        if self.lost_ids.as_ref().is_none_or(|lost| lost.last < last) && !planted::is(Bug::ForgetLostIds) {
            self.lost_ids = Some(LostIds { damage, last });
        }
    }

    /// Refuses an id that is not remembered while one that is lost should be: it may be that one.
    pub fn check_ids(&self, now: Time, nanos_min: i64) -> Result<(), StoreError> {
        match &self.lost_ids {
            Some(lost) if now.0.saturating_sub(lost.last.0) < nanos_min => Err(lost.damage.clone().into()),
            _ => Ok(()),
        }
    }

    /// Refuses a revision of which nobody knows what it was.
    pub fn check_facts(&self, revision: i64) -> Result<(), StoreError> {
        match self.lost_facts.iter().find(|lost| (lost.first..=lost.last).contains(&revision)) {
            Some(lost) => Err(lost.damage.clone().into()),
            None => Ok(()),
        }
    }

    /// Whether all that is lost of a metric's definition was given up.
    pub fn is_given_up(&self, name: &MetricName) -> bool {
        let mut lost = self.lost.iter().filter(|lost| lost.name == *name).peekable();
        lost.peek().is_some() && lost.all(|lost| lost.lost.given_up)
    }

    /// Whether nothing is told of this creation of a metric any more.
    pub fn is_refused(&self, id: MetricId) -> bool {
        self.lost.iter().any(|lost| lost.id == id && lost.lost.given_up)
    }

    /// What a revision was; None for 0 and above the last.
    pub fn batch(&self, revision: i64) -> Option<&BatchFacts> {
        usize::try_from(revision - 1).ok().and_then(|index| self.batches.get(index))
    }

    /// The last revision recorded at or before `t`; 0: none. Refused where that is lost. O(log n).
    pub fn revision_at(&self, t: Time) -> Result<i64, StoreError> {
        let (mut low, mut high) = (0, self.batches.len());
        while low < high {
            let middle = (low + high) / 2;
            if self.batches[middle].record_time <= t { low = middle + 1 } else { high = middle }
        }
        // What is not known counts as recorded with the one before: the last of it is found wherever it might be.
        self.check_facts(low as i64).map(|()| low as i64)
    }
}

impl Metric {
    /// A metric that a revision makes.
    pub fn new(id: MetricId, revision: i64, definition: Arc<Definition>) -> Metric {
        Metric {
            id,
            periods: definition.periods().map(Arc::new),
            versions: vec![(revision, definition)],
            series: OrdMap::new(),
            written: false,
            stored_changes: Vec::new(),
            recent_changes: Vector::new(),
        }
    }

    /// As it is now.
    pub fn definition(&self) -> &Arc<Definition> {
        Metric::last_of(&self.versions)
    }

    /// The last of a metric's definitions.
    pub fn last_of(versions: &[(i64, Arc<Definition>)]) -> &Arc<Definition> {
        &versions.last().expect("a metric is made with a definition").1
    }

    /// As it was at a revision; None: before it was made.
    pub fn definition_at(&self, revision: i64) -> Option<&Arc<Definition>> {
        self.versions.iter().rev().find(|(from, _)| *from <= revision).map(|(_, definition)| definition)
    }

    /// Whether a series has a point or an opening now.
    pub fn has_content(&self) -> bool {
        self.series
            .values()
            .any(|s| !s.lost().is_empty() || s.opening().is_some() || s.root.as_ref().is_some_and(|r| r.sum.is_some()))
    }
}

impl Series {
    /// A series of these points.
    pub fn new(id: u64, labels: Labels, root: Option<Entry>, aside: Aside) -> Series {
        let Aside { openings, history, lost } = &aside;
        let is_nothing = openings.is_empty() && history.is_empty() && !history.anew && lost.is_empty();
        Series { id, labels, root, aside: (!is_nothing).then(|| Arc::new(aside)) }
    }

    /// Gives it another root. A series that others hold as it was is made anew of the new root: its old one is not copied.
    pub fn take_root(this: &mut Arc<Series>, root: Option<Entry>) {
        match Arc::get_mut(this) {
            Some(series) => series.root = root,
            None => {
                let Series { id, labels, aside, .. } = &**this;
                *this = Arc::new(Series { id: *id, labels: labels.clone(), root, aside: aside.clone() });
            }
        }
    }

    fn aside(&self) -> &Aside {
        self.aside.as_deref().unwrap_or(&NOTHING_ASIDE)
    }

    /// To be changed: it is made where there is none.
    pub fn aside_mut(&mut self) -> &mut Aside {
        Arc::make_mut(self.aside.get_or_insert_default())
    }

    /// Its opening balances, each from a revision on.
    pub fn openings(&self) -> &[(i64, Option<Opening>)] {
        &self.aside().openings
    }

    /// Its past.
    pub fn history(&self) -> &History {
        &self.aside().history
    }

    /// What of it is lost, by revision.
    pub fn lost(&self) -> &[Lost] {
        &self.aside().lost
    }

    /// Its opening now.
    pub fn opening(&self) -> Option<&Opening> {
        self.openings().last().and_then(|(_, opening)| opening.as_ref())
    }

    /// Its opening at a revision.
    pub fn opening_at(&self, revision: i64) -> Option<&Opening> {
        self.openings().iter().rev().find(|(from, _)| *from <= revision).and_then(|(_, opening)| opening.as_ref())
    }
}
