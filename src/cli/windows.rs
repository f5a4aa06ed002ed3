//! Windows as rows: what `range` and `cumulative` share.

use super::error::Error;
use super::facts::{self, group_cells};
use super::figure::{readable, readable_or_blank};
use super::moment::Reader;
use super::output;
use super::table::Table;
use crate::proto::v1 as pb;

/// Which figures the windows of an answer have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figures {
    Flow,
    FlowAndTotal,
    FlowAndRunning,
    Levels,
}

impl Figures {
    fn titles(self) -> &'static [&'static str] {
        match self {
            Figures::Flow => &["flow"],
            Figures::FlowAndTotal => &["flow", "total"],
            Figures::FlowAndRunning => &["flow", "running"],
            Figures::Levels => &["last", "min", "max", "mean"],
        }
    }

    fn cells(self, window: &pb::Window) -> Vec<Option<&String>> {
        match self {
            Figures::Flow => vec![window.flow.as_ref()],
            Figures::FlowAndTotal => vec![window.flow.as_ref(), window.total.as_ref()],
            Figures::FlowAndRunning => vec![window.flow.as_ref(), window.running.as_ref()],
            Figures::Levels => {
                let levels = window.levels.as_ref();
                let of = |f: fn(&pb::GaugeLevels) -> Option<&String>| levels.and_then(f);
                vec![of(|l| l.last.as_ref()), of(|l| l.min.as_ref()), of(|l| l.max.as_ref()), of(|l| l.mean.as_ref())]
            }
        }
    }
}

/// An answer of windows, ready to be written.
pub(super) struct Windows<'a> {
    pub(super) title: String,
    pub(super) answer: &'a pb::Answer,
    pub(super) rows: &'a [pb::Window],
    pub(super) group_by: &'a [String],
    pub(super) figures: Figures,
    pub(super) reader: &'a Reader,
}

impl Windows<'_> {
    pub(super) fn table(&self) -> String {
        let mut table = Table::new().lefts(self.group_by).left("from").left("to");
        for title in self.figures.titles() {
            table = table.right(title);
        }
        let mut table = table.right("points").left("marks");
        for window in self.rows {
            let mut cells = group_cells(self.group_by, &window.group);
            cells.push(self.reader.short_or_blank(window.start_time.as_ref()));
            cells.push(self.reader.short_or_blank(window.end_time.as_ref()));
            cells.extend(self.figures.cells(window).into_iter().map(readable_or_blank));
            cells.push(readable(&window.point_count.to_string()));
            cells.push(facts::marks(&window.marks));
            table.row(cells);
        }
        let body = if table.is_empty() {
            String::from("No windows.\n")
        } else {
            table.without_blank("from").without_blank("to").without_blank("marks").render()
        };
        let marks = facts::mark_notes(self.rows.iter().map(|w| w.marks.as_slice()));
        let marks = if marks.is_empty() { marks } else { format!("\n{marks}") };
        format!("{}{body}{marks}{}", self.title, facts::notes(self.answer, self.reader))
    }

    pub(super) fn csv(&self) -> Result<String, Error> {
        let mut header: Vec<&str> = self.group_by.iter().map(String::as_str).collect();
        header.extend(["start_time", "end_time"]);
        header.extend(self.figures.titles());
        header.extend(["point_count", "marks"]);
        let rows = self.rows.iter().map(|window| {
            let mut cells = group_cells(self.group_by, &window.group);
            cells.push(self.reader.exact(window.start_time.as_ref()));
            cells.push(self.reader.exact(window.end_time.as_ref()));
            cells.extend(self.figures.cells(window).into_iter().map(|c| c.cloned().unwrap_or_default()));
            cells.push(window.point_count.to_string());
            cells.push(mark_names(&window.marks));
            cells
        });
        output::csv(&header, rows)
    }
}

/// The contract's names of marks, one cell.
pub(super) fn mark_names(marks: &[i32]) -> String {
    let name = |mark: &i32| pb::window::Mark::try_from(*mark).map_or("MARK_UNSPECIFIED", |m| m.as_str_name());
    marks.iter().map(name).collect::<Vec<_>>().join(" ")
}
