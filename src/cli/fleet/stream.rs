//! Rows as they come. A table of a whole cluster is not held in memory to find out how wide it is: its
//! columns have least widths, and what is wider moves its row.

use serde::Serialize;

use super::sums::Sums;
use crate::cli::{Output, Text};
use crate::units::Raw;

/// A table, or the list of a JSON document.
pub(super) struct Stream<'a> {
    output: &'a Output,
    columns: &'static [(&'static str, usize)],
    rows: u64,
}

impl<'a> Stream<'a> {
    /// Begins; the header of a table comes with its first row.
    pub(super) fn new(
        output: &'a Output,
        key: &'static str,
        columns: &'static [(&'static str, usize)],
    ) -> anyhow::Result<Self> {
        if output.is_json() {
            output.text(&format!("{{\n\"{key}\": ["))?;
        }
        Ok(Self {
            output,
            columns,
            rows: 0,
        })
    }

    /// A row in both forms.
    pub(super) fn row(
        &mut self,
        value: &impl Serialize,
        cells: impl FnOnce() -> Vec<String>,
    ) -> anyhow::Result<()> {
        let first = self.rows == 0;
        self.rows = self.rows.saturating_add(1);
        if self.output.is_json() {
            let comma = if first { "" } else { "," };
            let text = serde_json::to_string(value)?;
            return self.output.text(&format!("{comma}\n{text}"));
        }
        let mut text = Text::new();
        if first {
            text.line(self.line(self.columns.iter().map(|(name, _)| (*name).to_owned())));
        }
        text.line(self.line(cells().into_iter()));
        self.output.text(&text.into_string())
    }

    fn line(&self, cells: impl Iterator<Item = String>) -> String {
        let mut line = String::new();
        for (cell, (_, width)) in cells.zip(self.columns) {
            let cell = Raw::from(cell).to_string();
            line.push_str(&cell);
            let padding = width.saturating_sub(cell.chars().count()).saturating_add(2);
            line.extend(std::iter::repeat_n(' ', padding));
        }
        line.truncate(line.trim_end().len());
        line
    }

    /// Ends, with sums.
    pub(super) fn end(self, sums: &Sums) -> anyhow::Result<()> {
        if self.output.is_json() {
            let text = serde_json::to_string_pretty(&sums.told())?;
            return self.output.text(&format!("\n],\n\"fleet\": {text}\n}}\n"));
        }
        self.output.text(&sums.text())
    }
}
