//! Checks of what every question says: selection, as-of, page. Faults are gathered in the order of the request.

use super::super::ask::{AsOfAsk, Head, SelectionAsk};
use super::super::fault::{Fault, Reason, cut};
use super::super::page::Pin;
use super::scale_of;
use crate::domain::definition::{Definition, Kind};
use crate::domain::limit::{FILTERS_MAX, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use crate::domain::name::MetricName;
use crate::domain::time::Time;
use crate::engine::AsOf;
use crate::engine::batch::Filter;
use std::sync::Arc;

/// The faults of a question so far, and what it is checked against.
pub(in crate::query) struct Checks {
    /// None: no such metric; what hangs on its definition is left unchecked.
    definition: Option<Arc<Definition>>,
    faults: Vec<Fault>,
}

impl Checks {
    pub(super) fn new(definition: Option<Arc<Definition>>) -> Checks {
        Checks { definition, faults: Vec::new() }
    }

    pub(super) fn definition(&self) -> Option<&Arc<Definition>> {
        self.definition.as_ref()
    }

    pub(super) fn kind(&self) -> Option<Kind> {
        self.definition.as_ref().map(|definition| definition.kind)
    }

    pub(super) fn scale(&self) -> u8 {
        scale_of(self.definition.as_ref())
    }

    pub(super) fn metric_text(&self) -> String {
        self.definition.as_ref().map_or_else(String::new, |definition| definition.name.to_string())
    }

    pub(super) fn fault(&mut self, reason: Reason, field: &str, message: String, metadata: &[(&'static str, String)]) {
        let fault = Fault::new(reason, field, message);
        self.push(metadata.iter().fold(fault, |fault, (key, value)| fault.with(key, value)));
    }

    pub(super) fn push(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub(super) fn unknown(&mut self, field: &str, number: i32, known: &str) {
        let what = format!("{number} is not one of {known}");
        self.fault(Reason::FieldInvalid, field, what, &[("value", number.to_string())]);
    }

    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    /// The name, where it is one.
    pub(super) fn metric_name(&mut self, text: &str) -> Option<MetricName> {
        let name = MetricName::parse(text);
        if text.is_empty() {
            let how = "say which metric, as \"govuk-pay/payments\"";
            self.fault(Reason::FieldRequired, "selection.metric", how.to_owned(), &[]);
        } else if name.is_none() {
            let shown = cut(text).to_owned();
            let what = format!("{shown:?} is no metric's name: write component/metric, each [a-z][a-z0-9._-]{{0,62}}");
            self.fault(Reason::FieldInvalid, "selection.metric", what, &[("metric", shown.clone())]);
        }
        name
    }

    pub(super) fn filters(&mut self, selection: &SelectionAsk) -> Vec<Filter> {
        let mut filters = Vec::new();
        let count = selection.filters.len();
        if count > FILTERS_MAX {
            let what = format!("has {count} filters; a selection has at most {FILTERS_MAX}");
            self.fault(Reason::TooLarge, "selection.filters", what, &[("filters", count.to_string())]);
            return filters;
        }
        for (i, filter) in selection.filters.iter().enumerate() {
            let Some(index) = self.label(&filter.label, &format!("selection.filters[{i}].label")) else { continue };
            filters.push(Filter::new(index, filter.any_of.clone(), filter.none_of.clone()));
        }
        filters
    }

    pub(super) fn group_by(&mut self, selection: &SelectionAsk) -> Vec<usize> {
        let mut indexes = Vec::new();
        for (i, label) in selection.group_by.iter().enumerate() {
            let field = format!("selection.group_by[{i}]");
            let Some(index) = self.label(label, &field) else { continue };
            if indexes.contains(&index) {
                let what = format!("{label} stands twice in group_by; name each label once");
                self.fault(Reason::FieldInvalid, &field, what, &[("label", label.clone())]);
            }
            indexes.push(index);
        }
        indexes
    }

    /// Its place in `label_names`.
    fn label(&mut self, label: &str, field: &str) -> Option<usize> {
        if label.is_empty() {
            self.fault(Reason::FieldRequired, field, "say which label".to_owned(), &[]);
            return None;
        }
        let definition = self.definition.as_ref()?;
        let index = definition.label_names.iter().position(|name| name == label);
        if index.is_none() {
            let (shown, known) = (cut(label).to_owned(), definition.label_names.join(", "));
            let which = if known.is_empty() { "it has none".to_owned() } else { format!("they are {}", cut(&known)) };
            let what = format!("{shown:?} is not one of the labels of {}; {which}", definition.name);
            let metadata = [("label", shown), ("label_names", known), ("metric", self.metric_text())];
            self.fault(Reason::LabelUnknown, field, what, &metadata);
        }
        index
    }

    pub(super) fn refuse_group_by(&mut self, selection: &SelectionAsk) {
        if !selection.group_by.is_empty() {
            let what = "rows are of single series here; leave group_by out";
            self.fault(Reason::FieldInvalid, "selection.group_by", what.to_owned(), &[]);
        }
    }

    /// What the as-of names; now, where it is at fault.
    pub(super) fn as_of(&mut self, ask: AsOfAsk) -> AsOf {
        match ask {
            AsOfAsk::Now => AsOf::Now,
            AsOfAsk::Revision(revision) if revision >= 0 => AsOf::Revision(revision),
            AsOfAsk::Revision(revision) => {
                let what = format!("{revision} is no revision: they count from 0");
                self.fault(Reason::FieldInvalid, "as_of.revision", what, &[("revision", revision.to_string())]);
                AsOf::Now
            }
            AsOfAsk::Recorded { seconds, nanos } => match self.instant(seconds, nanos, "as_of.time") {
                Some(time) => AsOf::Recorded(time),
                None => AsOf::Now,
            },
        }
    }

    pub(super) fn instant(&mut self, seconds: i64, nanos: i32, field: &str) -> Option<Time> {
        let time = Time::from_seconds_nanos(seconds, nanos);
        if time.is_none() {
            let what = Time::refused(seconds, nanos);
            let metadata = [("seconds", seconds.to_string()), ("nanos", nanos.to_string())];
            self.fault(Reason::TimeInvalid, field, what, &metadata);
        }
        time
    }

    /// Rows on the page, and what its token says.
    pub(super) fn page(&mut self, head: &Head) -> (usize, Option<Pin>) {
        let size = head.page.size;
        let rows = match usize::try_from(size) {
            Ok(0) => PAGE_ROWS_DEFAULT,
            Ok(rows) => rows.min(PAGE_ROWS_MAX),
            Err(_) => {
                let what = format!("{size} is no page size: give 1 to {PAGE_ROWS_MAX}, or 0 for {PAGE_ROWS_DEFAULT}");
                self.fault(Reason::FieldInvalid, "page_size", what, &[("page_size", size.to_string())]);
                PAGE_ROWS_DEFAULT
            }
        };
        match &head.page.pin {
            Ok(pin) => (rows, *pin),
            Err(fault) => {
                self.push(fault.clone());
                (rows, None)
            }
        }
    }
}
