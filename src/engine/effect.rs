//! What a judged batch does: applied to a component when it is written, and again when the log is replayed.
//! Judging happens once; an effect is facts.
//!
//! A record's list says what it touches, and has a checksum of its own, so that damage to the body has a name:
//!
//! ```text
//! byte   0     byte   format 2 or 3     n things, each
//!   byte 1, metric's name, metric id, series id, labels, time first key, time last key, time latest end
//!   byte 2, metric's name, metric id, series id, labels: its opening
//!   byte 3, metric's name, metric id: its definition
//!   byte 4, as byte 1 without the latest end: all keys are taken back
//! ```
//!
//! In format 1 it was for each series: metric's name, metric id, series id, labels; of a definition nothing.
//!
//! A record's body, formats 1 to 3:
//!
//! ```text
//! byte   format
//! byte   1: a request id follows (fingerprint 16, body digest 16, n, n metric ids)   2: values were added
//! text   who        text   reason
//! byte   deed: 0 nothing, 1 points, 2 opening, 3 define, 4 delete
//! points: n series, and of each in the order of the list what `points` draws, formats 1 and 2 or 3
//! opening: flag, time, value, note     define, delete: the definition
//! ```

mod points;

use super::Settings;
use super::batch::MetricId;
use super::codec::{Reader, Undecodable, Writer};
use super::definition_codec::{read_definition, write_definition};
use super::history::Version;
use super::lost::{Lost, Whose};
use super::state::{Aside, BatchFacts, CatalogChange, Component, KeyChange, KeyChanged, Metric, Series};
use super::tree::apply::{Apply, Changes};
use super::tree::child::Loader;
use crate::domain::calendar::Calendar;
use crate::domain::definition::Definition;
use crate::domain::name::MetricName;
use crate::domain::point::{Labels, Opening};
use crate::domain::time::Time;
use crate::store::{Damage, Record, StoreError, Touched};
use imbl::Vector;
use std::sync::Arc;

/// What a judged batch does.
#[derive(Clone, PartialEq, Debug)]
pub struct Effect {
    /// What to remember of its request id.
    pub memo: Option<Memo>,
    /// Who sent it.
    pub who: Arc<str>,
    /// Why.
    pub reason: Arc<str>,
    /// Its values were added.
    pub added: bool,
    /// What it does.
    pub deed: Deed,
}

/// A request id, and what its batch was about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Memo {
    /// Of (component, who, id).
    pub fingerprint: [u8; 16],
    /// Of the body, by its meaning.
    pub body: [u8; 16],
    /// The creations of the metrics it named, in the body's order.
    pub metrics: Vec<MetricId>,
}

/// What it does.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Deed {
    /// Nothing changed; only the request id is remembered.
    #[default]
    Nothing,
    /// Points of series.
    Points(Vec<SeriesDeed>),
    /// An opening.
    Opening(SeriesKey, Option<Opening>),
    /// A metric is made, or defined anew.
    Define(MetricId, Arc<Definition>),
    /// A metric is deleted.
    Delete(MetricId, Arc<Definition>),
}

/// Names a series.
#[derive(Clone, PartialEq, Debug)]
pub struct SeriesKey {
    /// Its metric.
    pub metric: MetricName,
    /// Its metric's creation.
    pub metric_id: MetricId,
    /// Its id; one above all others where the batch makes it.
    pub id: u64,
    /// Its label values.
    pub labels: Labels,
}

/// Changed keys of one series.
#[derive(Clone, PartialEq, Debug)]
pub struct SeriesDeed {
    /// The series.
    pub key: SeriesKey,
    /// What becomes of them.
    pub changes: Changes,
}

/// What applying needs from around.
pub struct Around<'a> {
    /// Sizes.
    pub settings: &'a Settings,
    /// Reads children.
    pub loader: &'a Loader,
    /// Takes index nodes that nothing refers to any more.
    pub replaced_nodes: &'a mut Vec<u64>,
    /// Bytes added to memory, roughly.
    pub bytes_added: usize,
}

impl SeriesKey {
    fn is_of_metric(&self, other: &SeriesKey) -> bool {
        self.metric_id == other.metric_id && self.metric == other.metric
    }
}

impl Effect {
    /// Whether it makes a revision.
    pub fn changes(&self) -> bool {
        self.deed != Deed::Nothing
    }

    /// Makes the component's next revision of it, recorded at `record_time`.
    pub fn apply(&self, component: &mut Component, record_time: Time, around: &mut Around) -> Result<(), StoreError> {
        if !self.changes() {
            return Ok(());
        }
        component.revision += 1;
        let last = component.batches.last();
        let who = kept(&self.who, last.map(|last| &last.who));
        let reason = kept(&self.reason, last.map(|last| &last.reason));
        component.batches.push_back(BatchFacts { record_time, who, reason, added: self.added });
        match &self.deed {
            Deed::Nothing => {}
            Deed::Points(series) => {
                // Mostly they are all of one metric, which is looked for once.
                for of_metric in series.chunk_by(|a, b| a.key.is_of_metric(&b.key)) {
                    apply_points(component, of_metric, around)?;
                }
            }
            Deed::Opening(key, _) if component.skips(&key.metric, key.metric_id) => {
                component.pass_over(key.metric_id, key.id);
            }
            Deed::Opening(key, opening) => apply_opening(component, key, opening),
            Deed::Define(id, definition) => define(component, *id, definition),
            Deed::Delete(id, definition) => {
                let (revision, old) = (component.revision, Some(definition.clone()));
                component.take_catalog(CatalogChange { revision, id: *id, old, new: None });
            }
        }
        Ok(())
    }
}

/// A text; mostly it is that of the batch before, and one piece of memory for all of them.
fn kept(text: &Arc<str>, before: Option<&Arc<str>>) -> Arc<str> {
    before.filter(|before| *before == text).unwrap_or(text).clone()
}

/// What lies around a series that is changed.
struct Beside<'a> {
    definition: &'a Definition,
    periods: Option<&'a Calendar>,
    recent_changes: &'a mut Vector<KeyChanged>,
}

/// The metric of series that are to be changed, of which this is the highest id.
fn metric_of<'c>(component: &'c mut Component, name: &MetricName, highest: u64) -> &'c mut Metric {
    component.next_series = component.next_series.max(highest + 1);
    let metric = component.metrics.get_mut(name).expect("a deed that is not skipped names a metric that is there");
    Arc::make_mut(metric)
}

/// A series, to be changed; it is made where it is not there.
fn with_series<T>(metric: &mut Metric, key: &SeriesKey, change: impl FnOnce(Beside<'_>, &mut Arc<Series>) -> T) -> T {
    let Metric { versions, periods, series: all, written, recent_changes, .. } = metric;
    *written = true;
    let definition = Metric::last_of(versions);
    let beside = Beside { definition, periods: periods.as_deref(), recent_changes };
    // Mostly it is there: looked for once, where an entry of the map is three times.
    if let Some(series) = all.get_mut(&key.labels) {
        return change(beside, series);
    }
    let mut series = Arc::new(Series::new(key.id, key.labels.clone(), None, Aside::default()));
    let changed = change(beside, &mut series);
    all.insert(key.labels.clone(), series);
    changed
}

/// What a series of a batch counts as in the memtable beside its points, in bytes: it is noted as changed, a fold writes its
/// record, and until then opening replays it, at some 3 us. So very many series that get a point each are folded before
/// their replay takes many seconds.
const DEED_BYTES: usize = 256;

/// Changes series of one metric.
fn apply_points(component: &mut Component, deeds: &[SeriesDeed], around: &mut Around) -> Result<(), StoreError> {
    let (Some(first), Some(highest)) = (deeds.first(), deeds.iter().map(|deed| deed.key.id).max()) else {
        return Ok(());
    };
    if component.skips(&first.key.metric, first.key.metric_id) {
        component.pass_over(first.key.metric_id, highest);
        return Ok(());
    }
    let revision = component.revision;
    let metric = metric_of(component, &first.key.metric, highest);
    for deed in deeds {
        with_series(metric, &deed.key, |beside, series| change_points(beside, series, deed, revision, around))?;
    }
    Ok(())
}

fn change_points(
    beside: Beside<'_>,
    series: &mut Arc<Series>,
    deed: &SeriesDeed,
    revision: i64,
    around: &mut Around,
) -> Result<(), StoreError> {
    let mut replaced = Vec::new();
    let mut apply = Apply {
        kind: beside.definition.kind,
        periods: beside.periods,
        revision,
        settings: around.settings,
        loader: around.loader,
        replaced: &mut replaced,
        replaced_nodes: around.replaced_nodes,
        bytes_added: 0,
    };
    let applied = apply.apply(series.root.as_ref(), &deed.changes);
    let root = applied.map_err(|error| {
        let whose = Whose { definition: beside.definition, labels: &series.labels };
        let (first, last) = deed.changes.ends();
        error.touching(|| Touched { series: whose.text(), first, last })
    })?;
    Series::take_root(series, root);
    around.bytes_added += apply.bytes_added + DEED_BYTES;
    record_changes(beside, series, replaced, deed, revision);
    Ok(())
}

/// What the change replaced is put into the series' past, and is what `ListChanges` tells of it.
fn record_changes(beside: Beside, series: &mut Arc<Series>, replaced: Vec<Version>, deed: &SeriesDeed, revision: i64) {
    if replaced.is_empty() {
        return;
    }
    for ((time, _), old) in &replaced {
        if let Some(old) = *old {
            let new = deed.changes.point(deed.changes.times().at_or_above(time.0));
            let what = KeyChange::Point(old, new);
            beside.recent_changes.push_back(KeyChanged { revision, labels: series.labels.clone(), what });
        }
    }
    Arc::make_mut(series).aside_mut().history.recent.extend(replaced);
}

/// Makes the component's next revision of a record whose body cannot be read: what it touched is lost. Answers the
/// series among it. None: nobody can say what it touched.
pub fn apply_lost(
    component: &mut Component,
    record: &Record,
    damage: &Damage,
) -> Result<Option<Vec<SeriesKey>>, Undecodable> {
    let things = match read_list(&record.series)? {
        Some(things) => things,
        None if record.revision == component.revision => Vec::new(),
        None => return Ok(None),
    };
    let mut keys = Vec::new();
    if record.revision == component.revision {
        return Ok(Some(keys)); // only a request id: its retry is judged anew
    }
    component.revision += 1;
    let (who, reason): (Arc<str>, Arc<str>) = ("".into(), "".into());
    component.batches.push_back(BatchFacts { record_time: record.record_time, who, reason, added: false });
    for thing in things {
        let whole = Lost::whole(damage.clone(), component.revision);
        let (key, lost) = match thing {
            Thing::Points(key, first, last, end) => {
                let last_end = end.map_or(last, |end| end.max(last));
                (key, Lost { first, last, last_end, taken_back: end.is_none(), ..whole })
            }
            Thing::Series(key) => (key, whole),
            Thing::Metric(name, id) => {
                component.lose_metric(name, id, whole);
                continue;
            }
        };
        if !component.skips(&key.metric, key.metric_id) {
            with_series(metric_of(component, &key.metric, key.id), &key, |_, series| {
                Arc::make_mut(series).aside_mut().lost.push(lost);
            });
            keys.push(key);
        }
    }
    Ok(Some(keys))
}

fn apply_opening(component: &mut Component, key: &SeriesKey, opening: &Option<Opening>) {
    let revision = component.revision;
    with_series(metric_of(component, &key.metric, key.id), key, |beside, series| {
        let what = KeyChange::Opening(series.opening().cloned(), opening.clone());
        Arc::make_mut(series).aside_mut().openings.push((revision, opening.clone()));
        beside.recent_changes.push_back(KeyChanged { revision, labels: series.labels.clone(), what });
    });
}

fn define(component: &mut Component, id: MetricId, definition: &Arc<Definition>) {
    let old = component.metrics.get(&definition.name).map(|m| m.definition().clone());
    let revision = component.revision;
    component.take_catalog(CatalogChange { revision, id, old, new: Some(definition.clone()) });
}

const HAS_MEMO: u8 = 1;
const ADDED: u8 = 2;
/// The format that is written, and the highest that is read.
const FORMAT: u8 = points::FORMAT_COLUMNS;
/// How a list says that its format follows: no metric's name is so short.
const LIST_MARK: u8 = 0;

/// What a series mostly takes in a record's list, and one point of it in the body: room that is made at once.
const LISTED_BYTES: usize = 64;
const CHANGED_BYTES: usize = 32;

/// What a record's list says that it touches.
#[derive(Clone, PartialEq, Debug)]
pub enum Thing {
    /// Keys of a series: the first, the last, and the latest end of what is written there (None: all are taken back).
    Points(SeriesKey, Time, Time, Option<Time>),
    /// A series' opening; or what a list of format 1 does not say.
    Series(SeriesKey),
    /// A metric's definition.
    Metric(MetricName, MetricId),
}

/// A record's list of series, and its body.
pub fn write_effect(effect: &Effect) -> (Vec<u8>, Vec<u8>) {
    let (mut list, mut out) = (Writer::default(), Writer::default());
    list.byte(LIST_MARK);
    list.byte(FORMAT);
    out.byte(FORMAT);
    out.byte(if effect.memo.is_some() { HAS_MEMO } else { 0 } | if effect.added { ADDED } else { 0 });
    if let Some(memo) = &effect.memo {
        write_memo(&mut out, memo);
    }
    out.text(&effect.who);
    out.text(&effect.reason);
    match &effect.deed {
        Deed::Nothing => {
            list.unsigned(0);
            out.byte(0);
        }
        Deed::Points(series) => {
            out.byte(1);
            out.unsigned(series.len() as u64);
            list.unsigned(series.len() as u64);
            list.0.reserve(LISTED_BYTES * series.len());
            out.0.reserve(CHANGED_BYTES * series.len());
            for deed in series {
                let end = deed.changes.latest_end();
                list.byte(if end.is_some() { 1 } else { 4 });
                write_key(&mut list, &deed.key);
                let (first, last) = deed.changes.ends();
                [Some(first), Some(last), end].into_iter().flatten().for_each(|time| list.time(time));
                points::write_changes(&mut out, &deed.changes);
            }
        }
        Deed::Opening(key, opening) => {
            out.byte(2);
            list.unsigned(1);
            list.byte(2);
            write_key(&mut list, key);
            write_opening(&mut out, opening.as_ref());
        }
        Deed::Define(id, definition) => {
            out.byte(3);
            write_metric(&mut list, *id, definition);
            out.unsigned(id.0);
            write_definition(&mut out, definition);
        }
        Deed::Delete(id, definition) => {
            out.byte(4);
            write_metric(&mut list, *id, definition);
            out.unsigned(id.0);
            write_definition(&mut out, definition);
        }
    }
    (list.0, out.0)
}

fn write_metric(list: &mut Writer, id: MetricId, definition: &Definition) {
    list.unsigned(1);
    list.byte(3);
    list.text(definition.name.as_str());
    list.unsigned(id.0);
}

/// What a record touches; None where its list, of format 1, cannot say it: a definition, or nothing.
pub fn read_list(list: &[u8]) -> Result<Option<Vec<Thing>>, Undecodable> {
    let mut reader = Reader(list);
    let mut things = Vec::new();
    if list.first() != Some(&LIST_MARK) {
        while reader.end().is_err() {
            things.push(Thing::Series(read_key(&mut reader, &things)?));
        }
        return Ok(if things.is_empty() { None } else { Some(things) });
    }
    reader.byte()?;
    reader.format(FORMAT)?;
    for _ in 0..reader.count()? {
        things.push(match reader.byte()? {
            1 => Thing::Points(read_key(&mut reader, &things)?, reader.time()?, reader.time()?, Some(reader.time()?)),
            4 => Thing::Points(read_key(&mut reader, &things)?, reader.time()?, reader.time()?, None),
            2 => Thing::Series(read_key(&mut reader, &things)?),
            3 => {
                let name = MetricName::parse(reader.text()?).ok_or(Undecodable::Form("not a metric's name"))?;
                Thing::Metric(name, MetricId(reader.unsigned()?))
            }
            _ => return Err(Undecodable::Form("an unknown thing")),
        });
    }
    reader.end()?;
    Ok(Some(things))
}

/// As `write_effect`.
pub fn read_effect(list: &[u8], body: &[u8]) -> Result<Effect, Undecodable> {
    let mut reader = Reader(body);
    let format = reader.format(FORMAT)?;
    let keys = read_list(list)?.unwrap_or_default().into_iter().filter_map(|thing| match thing {
        Thing::Points(key, ..) | Thing::Series(key) => Some(key),
        Thing::Metric(..) => None,
    });
    let mut keys = keys.fuse();
    let mut key = || keys.next().ok_or(Undecodable::Form("the list is too short"));
    let flags = reader.byte()?;
    let memo = if flags & HAS_MEMO != 0 { Some(read_memo(&mut reader)?) } else { None };
    let (who, reason) = (reader.text()?.into(), reader.text()?.into());
    let deed = match reader.byte()? {
        0 => Deed::Nothing,
        1 => {
            let count = reader.count()?;
            let one = |_| Ok(SeriesDeed { key: key()?, changes: points::read_changes(&mut reader, format)? });
            Deed::Points((0..count).map(one).collect::<Result<_, _>>()?)
        }
        2 => Deed::Opening(key()?, read_opening(&mut reader)?),
        3 => Deed::Define(MetricId(reader.unsigned()?), Arc::new(read_definition(&mut reader)?)),
        4 => Deed::Delete(MetricId(reader.unsigned()?), Arc::new(read_definition(&mut reader)?)),
        _ => return Err(Undecodable::Form("an unknown deed")),
    };
    if keys.next().is_some() {
        return Err(Undecodable::Form("the list is too long"));
    }
    reader.end()?;
    Ok(Effect { memo, who, reason, added: flags & ADDED != 0, deed })
}

/// Two digests and the metrics' ids.
pub fn write_memo(out: &mut Writer, memo: &Memo) {
    out.0.extend_from_slice(&memo.fingerprint);
    out.0.extend_from_slice(&memo.body);
    out.unsigned(memo.metrics.len() as u64);
    memo.metrics.iter().for_each(|id| out.unsigned(id.0));
}

/// As `write_memo`.
pub fn read_memo(reader: &mut Reader) -> Result<Memo, Undecodable> {
    let mut digest = || Ok(reader.take(16)?.try_into().expect("16 bytes were taken"));
    let (fingerprint, body) = (digest()?, digest()?);
    let count = reader.count()?;
    let metrics = (0..count).map(|_| Ok(MetricId(reader.unsigned()?))).collect::<Result<_, Undecodable>>()?;
    Ok(Memo { fingerprint, body, metrics })
}

/// Label values.
pub fn write_labels(out: &mut Writer, labels: &Labels) {
    out.unsigned(labels.len() as u64);
    labels.iter().for_each(|value| out.text(value));
}

/// As `write_labels`.
pub fn read_labels(reader: &mut Reader) -> Result<Labels, Undecodable> {
    let count = reader.count()?;
    let values = (0..count).map(|_| reader.text()).collect::<Result<Vec<_>, _>>()?;
    Labels::of(values).ok_or(Undecodable::Form("not a label's value"))
}

fn write_key(out: &mut Writer, key: &SeriesKey) {
    out.text(key.metric.as_str());
    out.unsigned(key.metric_id.0);
    out.unsigned(key.id);
    write_labels(out, &key.labels);
}

/// As `write_key`. Mostly its metric is that of the one before it, whose name is not checked and made again.
fn read_key(reader: &mut Reader, before: &[Thing]) -> Result<SeriesKey, Undecodable> {
    let name = reader.text()?;
    let metric = match before.last() {
        Some(Thing::Points(last, ..) | Thing::Series(last)) if last.metric.as_str() == name => last.metric.clone(),
        _ => MetricName::parse(name).ok_or(Undecodable::Form("not a metric's name"))?,
    };
    Ok(SeriesKey {
        metric,
        metric_id: MetricId(reader.unsigned()?),
        id: reader.unsigned()?,
        labels: read_labels(reader)?,
    })
}

/// An opening, or none.
pub fn write_opening(out: &mut Writer, opening: Option<&Opening>) {
    out.byte(u8::from(opening.is_some()));
    if let Some(opening) = opening {
        out.time(opening.time);
        out.signed(opening.value);
        out.text(&opening.note);
    }
}

/// As `write_opening`.
pub fn read_opening(reader: &mut Reader) -> Result<Option<Opening>, Undecodable> {
    if reader.byte()? == 0 {
        return Ok(None);
    }
    let (time, value) = (reader.time()?, reader.signed()?);
    Ok(Some(Opening { time, value, note: reader.text()?.into() }))
}
