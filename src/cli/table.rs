//! A table of aligned columns in plain text.

use std::fmt;

const BETWEEN: &str = "  ";

/// A column: its head, and the alignment of its cells.
pub(super) struct Column {
    head: String,
    is_right: bool,
}

impl Column {
    /// Creates a column of words.
    pub(super) fn left(head: impl Into<String>) -> Self {
        Self { head: head.into(), is_right: false }
    }

    /// Creates a column of numbers.
    pub(super) fn right(head: impl Into<String>) -> Self {
        Self { head: head.into(), is_right: true }
    }
}

/// A head, rows, and an optional last row of sums.
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    footer: Option<Vec<String>>,
}

impl Table {
    /// Creates an empty table.
    pub(super) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new(), footer: None }
    }

    /// Adds a row with a cell for each column.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Sets the last row, which is below a rule.
    pub(super) fn footer(&mut self, cells: impl IntoIterator<Item = String>) {
        self.footer = Some(cells.into_iter().collect());
    }

    /// Returns the width of the lines in characters.
    pub(super) fn width(&self) -> usize {
        let widths = self.widths();
        2 + widths.iter().sum::<usize>() + BETWEEN.len() * widths.len().saturating_sub(1)
    }

    fn widths(&self) -> Vec<usize> {
        let rows = self.rows.iter().chain(&self.footer);
        let mut widths: Vec<usize> = self.columns.iter().map(|column| column.head.chars().count()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }

    fn line<'a>(&self, widths: &[usize], cells: impl Iterator<Item = &'a str>) -> String {
        let cells = cells.zip(widths).zip(&self.columns).map(|((cell, width), column)| {
            if column.is_right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        format!("  {}", cells.collect::<Vec<_>>().join(BETWEEN)).trim_end().to_owned()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let rule = format!("  {}", "─".repeat(self.width() - 2));
        writeln!(f, "{}\n{rule}", self.line(&widths, self.columns.iter().map(|column| column.head.as_str())))?;
        for row in &self.rows {
            writeln!(f, "{}", self.line(&widths, row.iter().map(String::as_str)))?;
        }
        if let Some(footer) = &self.footer {
            writeln!(f, "{rule}\n{}", self.line(&widths, footer.iter().map(String::as_str)))?;
        }
        Ok(())
    }
}
