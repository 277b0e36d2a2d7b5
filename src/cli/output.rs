//! Where results go: tables for people, JSON for programs.

use std::io::{self, IsTerminal as _, Write};

use anyhow::Context as _;
use comfy_table::{CellAlignment, ContentArrangement};
use serde::Serialize;

use crate::units::Raw;

/// The form of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// Tables and sentences for people.
    #[default]
    Table,
    /// JSON for programs.
    Json,
}

/// Standard output in the form that was asked for.
///
/// A reader that goes away (`… | head`) is no failure: what it did not read is dropped, and the
/// command ends as it would have.
#[derive(Clone, Debug)]
pub struct Output {
    form: Form,
    width: Option<u16>,
    color: bool,
}

impl Output {
    /// Standard output, with the width and colours of its terminal if it is one.
    #[must_use]
    pub fn new(form: Form) -> Self {
        let stdout = io::stdout();
        let width = stdout
            .is_terminal()
            .then(|| terminal_size::terminal_size_of(&stdout))
            .flatten()
            .map(|(width, _)| width.0);
        Self {
            form,
            width,
            color: super::wants_color(&stdout),
        }
    }

    /// Whether JSON was asked for.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    /// Prints a value as JSON, in whatever form was asked for.
    pub fn json<T: Serialize + ?Sized>(&self, value: &T) -> anyhow::Result<()> {
        let mut text =
            serde_json::to_string_pretty(value).context("the result has no JSON form")?;
        text.push('\n');
        self.bytes(text.as_bytes())
    }

    /// Prints text. A line break at its end is the caller's.
    pub fn text(&self, text: &str) -> anyhow::Result<()> {
        self.bytes(text.as_bytes())
    }

    /// Prints bytes as they are.
    pub fn bytes(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        quietly(stdout.write_all(bytes).and_then(|()| stdout.flush()))
            .context("the result can't be written to standard output")
    }

    /// Prints a table; one without rows prints nothing.
    pub fn table(&self, table: &Table) -> anyhow::Result<()> {
        self.text(&table.render(self.width, self.color))
    }

    /// Prints the value as JSON if that was asked for, the text otherwise.
    pub fn value_or<T: Serialize + ?Sized>(
        &self,
        value: &T,
        text: impl FnOnce(&Self) -> String,
    ) -> anyhow::Result<()> {
        match self.form {
            Form::Json => self.json(value),
            Form::Table => self.text(&text(self)),
        }
    }

    /// The table as this output would print it, to be joined with other text.
    #[must_use]
    pub fn rendered(&self, table: &Table) -> String {
        table.render(self.width, self.color)
    }
}

fn quietly(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Text built line by line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// No lines yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line. What it prints is taken as it is: names of a host go in as [`Raw`].
    pub fn line(&mut self, line: impl std::fmt::Display) {
        self.0.push_str(&line.to_string());
        self.0.push('\n');
    }

    /// Adds text that ends its lines itself, such as a rendered table.
    pub fn block(&mut self, lines: &str) {
        self.0.push_str(lines);
    }

    /// Whether there are no lines.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text, with a line break at its end.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

/// Which side of its column a cell keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table without lines: a header and rows, two spaces between columns.
///
/// On a terminal it keeps to the width and wraps; elsewhere each row is one line, so that `grep`
/// and `awk` work. Control characters in cells are escaped.
#[derive(Clone, Debug)]
pub struct Table {
    header: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    #[must_use]
    pub fn new(header: &[(&str, Align)]) -> Self {
        Self {
            header: header
                .iter()
                .map(|(name, align)| ((*name).to_owned(), *align))
                .collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row<C: ToString>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(
            cells
                .into_iter()
                .map(|cell| Raw::from(cell.to_string()).to_string())
                .collect(),
        );
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, with a line break at its end.
    fn render(&self, width: Option<u16>, bold_header: bool) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        if let Some(width) = width {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(width);
        } else {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
        table.set_header(self.header.iter().map(|(name, _)| name));
        table.add_rows(self.rows.iter().cloned());
        for (column, (_, align)) in table.column_iter_mut().zip(&self.header) {
            column.set_padding((0, 2));
            column.set_cell_alignment(match align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            });
        }
        let mut text = String::new();
        for (number, line) in table.lines().enumerate() {
            let line = line.trim_end();
            if number == 0 && bold_header {
                text.push_str("\x1b[1m");
                text.push_str(line);
                text.push_str("\x1b[0m");
            } else {
                text.push_str(line);
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&[
            ("ROOT", Align::Left),
            ("MB", Align::Right),
            ("WHY", Align::Left),
        ]);
        table.row(["/dcos/volume0", "240", "a rule names its mount point"]);
        table.row(["/mnt\n\x1b[2J", "5", ""]);
        table
    }

    #[test]
    fn without_a_terminal_each_row_is_one_line_without_escapes() {
        assert_eq!(
            sample().render(None, false),
            "ROOT              MB  WHY\n\
             /dcos/volume0    240  a rule names its mount point\n\
             /mnt\\x0a\\x1b[2J    5\n"
        );
    }

    #[test]
    fn on_a_terminal_lines_keep_to_the_width() {
        let text = sample().render(Some(30), false);
        assert!(
            text.lines().all(|line| line.chars().count() <= 30),
            "{text}"
        );
        assert!(text.lines().count() > 3, "{text}");
        assert!(sample().render(Some(80), true).starts_with("\x1b[1mROOT"));
    }

    #[test]
    fn a_table_without_rows_prints_nothing() {
        assert_eq!(Table::new(&[("A", Align::Left)]).render(None, false), "");
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure_but_a_full_disk_is() {
        let error = |kind| Err(io::Error::from(kind));
        assert!(quietly(error(io::ErrorKind::BrokenPipe)).is_ok());
        assert!(quietly(error(io::ErrorKind::StorageFull)).is_err());
    }
}
