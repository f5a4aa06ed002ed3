//! Tables for people: aligned columns, figures to the right.

/// Where a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// A table being put together.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new() -> Table {
        Table { columns: Vec::new(), rows: Vec::new() }
    }

    pub(super) fn left(mut self, title: &str) -> Table {
        self.columns.push((title.into(), Align::Left));
        self
    }

    pub(super) fn lefts<'a>(self, titles: impl IntoIterator<Item = &'a String>) -> Table {
        titles.into_iter().fold(self, |table, title| table.left(title))
    }

    pub(super) fn right(mut self, title: &str) -> Table {
        self.columns.push((title.into(), Align::Right));
        self
    }

    /// A row, a cell a column.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "a cell a column");
        self.rows.push(cells);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes a column out where all its cells are blank.
    pub(super) fn without_blank(mut self, title: &str) -> Table {
        let Some(i) = self.columns.iter().position(|(t, _)| t == title) else { return self };
        if self.rows.iter().all(|row| row[i].is_empty()) {
            self.columns.remove(i);
            for row in &mut self.rows {
                row.remove(i);
            }
        }
        self
    }

    /// The text: a header, a rule, the rows; no blanks at the ends of lines.
    pub(super) fn render(&self) -> String {
        let width = |i: usize| {
            let cells = self.rows.iter().map(|row| row[i].chars().count());
            cells.chain([self.columns[i].0.chars().count()]).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut out = String::new();
            for ((cell, (_, align)), width) in cells.zip(&self.columns).zip(&widths) {
                if !out.is_empty() {
                    out.push_str("  ");
                }
                let blank = " ".repeat(width - cell.chars().count());
                match align {
                    Align::Left => out.extend([cell, &blank]),
                    Align::Right => out.extend([&blank, cell]),
                }
            }
            text.push_str(out.trim_end());
            text.push('\n');
        };
        line(&mut self.columns.iter().map(|(title, _)| title.as_str()));
        let rules: Vec<String> = widths.iter().map(|w| "─".repeat(*w)).collect();
        line(&mut rules.iter().map(String::as_str));
        for row in &self.rows {
            line(&mut row.iter().map(String::as_str));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_are_aligned_and_blank_ones_left_out() {
        let mut table = Table::new().left("who").right("total").left("marks").left("note");
        table.row(vec!["é".into(), "1,000".into(), "".into(), "first".into()]);
        table.row(vec!["email".into(), "7".into(), "".into(), "".into()]);
        let expected = "who    total  note\n─────  ─────  ─────\né      1,000  first\nemail      7\n";
        assert_eq!(table.without_blank("marks").without_blank("note").render(), expected);
    }
}
