//! The tables that tshark wrote: one row a frame, tab between columns, comma between values.

use std::collections::BTreeMap;
use std::path::Path;

/// A table.
pub(crate) struct Table {
    columns: BTreeMap<String, usize>,
    rows: Vec<Vec<String>>,
}

/// One row of it.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    table: &'a Table,
    cells: &'a [String],
}

impl Table {
    pub(crate) fn read(path: &Path) -> Self {
        let octets = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let text = String::from_utf8_lossy(&octets);
        let mut lines = text.split('\n').filter(|line| !line.is_empty());
        let head = lines.next().expect("a header");
        Self {
            columns: head
                .split('\t')
                .zip(0..)
                .map(|(name, index)| (name.to_string(), index))
                .collect(),
            rows: lines
                .map(|line| line.split('\t').map(String::from).collect())
                .collect(),
        }
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|cells| Row { table: self, cells })
    }
}

impl Row<'_> {
    /// A cell; empty where the row is short. A column that is not there is a mistake of ours.
    pub(crate) fn cell(&self, column: &str) -> &str {
        let index = self
            .table
            .columns
            .get(column)
            .unwrap_or_else(|| panic!("no column {column}"));
        self.cells.get(*index).map_or("", String::as_str)
    }

    /// The values of a cell.
    pub(crate) fn values(&self, column: &str) -> Vec<String> {
        self.cell(column)
            .split(',')
            .map(str::trim)
            .filter(|value| !value.is_empty())
            .map(String::from)
            .collect()
    }

    /// Those values of a cell that are numbers, decimal or hexadecimal.
    pub(crate) fn numbers(&self, column: &str) -> Vec<u64> {
        self.values(column)
            .iter()
            .filter_map(|value| match value.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16).ok(),
                None => value.parse().ok(),
            })
            .collect()
    }

    /// The values of a cell as hex digits alone.
    pub(crate) fn hex(&self, column: &str) -> Vec<String> {
        self.values(column)
            .iter()
            .map(|value| {
                value
                    .strip_prefix("0x")
                    .unwrap_or(value)
                    .to_lowercase()
                    .chars()
                    .filter(char::is_ascii_hexdigit)
                    .collect()
            })
            .collect()
    }

    /// The frame number.
    pub(crate) fn frame(&self) -> u64 {
        self.numbers("frame.number")[0]
    }

    /// Whether tshark gave up on a part of the frame.
    pub(crate) fn is_malformed(&self) -> bool {
        !self.cell("_ws.malformed").is_empty()
    }
}
