//! A delimited text file in memory: rows, their line numbers, and columns by name or index.

use super::{archive, corrupt};
use crate::diag::{Code, Diagnostic, Result, nearest};
use crate::world::{self, Entry};
use csv::{ReaderBuilder, StringRecord};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A column by its name in the header, or by its index from 0.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Column {
    /// Index from 0.
    Index(usize),
    /// Name in the header.
    Name(String),
}

/// Bytes that a table may take in memory, and how many times the size of its file beyond that.
const ALWAYS: usize = 1 << 30;
const RATIO: u64 = 64;

/// The table.
pub(super) struct Table {
    pub(super) path: PathBuf,
    /// Names of the columns, `None` without a header.
    header: Option<Vec<String>>,
    width: usize,
    rows: Vec<(u64, StringRecord)>,
}

/// How cells are separated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Delimiter {
    /// By this byte, with quotes.
    Byte(u8),
    /// By any number of blanks, without quotes.
    Whitespace,
}

impl Table {
    /// Reads a table; gzip is unpacked. All rows have as many cells as the first.
    pub(super) fn read(path: &Path, delimiter: Delimiter, header: bool) -> Result<Self> {
        let text = String::from_utf8(archive::read(path)?)
            .map_err(|error| corrupt(path, format!("it is not UTF-8: {}", error.utf8_error())))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let size = if let Some(Entry::File(size)) = world::entry(path) { size } else { 0 };
        let limit = ALWAYS.max(usize::try_from(size.saturating_mul(RATIO)).unwrap_or(usize::MAX));
        let rows = match delimiter {
            Delimiter::Byte(byte) => delimited(text, byte, limit),
            Delimiter::Whitespace => {
                let rows = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
                within(rows.map(|(i, line)| Ok((i as u64 + 1, line.split_whitespace().collect()))), limit)
            }
        };
        let mut rows = rows.map_err(|cause| corrupt(path, cause))?;
        let width = rows.first().map_or(0, |(_, row)| row.len());
        if let Some((line, row)) = rows.iter().find(|(_, row)| row.len() != width) {
            return Err(corrupt(path, format!("line {line} has {} cells, the first row has {width}", row.len())));
        }
        let header = (header && !rows.is_empty()).then(|| rows.remove(0).1.iter().map(str::to_owned).collect());
        Ok(Self { path: path.to_owned(), header, width, rows })
    }

    /// All cells, a list for each row.
    pub(super) fn cells(&self) -> Vec<Vec<String>> {
        self.rows.iter().map(|(_, row)| row.iter().map(str::to_owned).collect()).collect()
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Number of columns.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Line of a row in the file, from 1.
    pub(super) fn line(&self, row: usize) -> u64 {
        self.rows[row].0
    }

    /// A cell without surrounding blanks.
    pub(super) fn cell(&self, row: usize, column: usize) -> &str {
        self.rows[row].1.get(column).unwrap_or("").trim()
    }

    /// Keeps the rows that `keep` says.
    pub(super) fn retain(&mut self, keep: impl Fn(&StringRecord) -> bool) {
        self.rows.retain(|(_, row)| keep(row));
    }

    /// A name for messages.
    pub(super) fn title(&self, column: usize) -> String {
        match &self.header {
            Some(names) => names[column].clone(),
            None => column.to_string(),
        }
    }

    /// Index of a column.
    ///
    /// # Errors
    /// `P0506` with the nearest names.
    pub(super) fn find(&self, column: &Column) -> Result<usize> {
        let place = self.path.display();
        let (index, name) = match (column, &self.header) {
            (Column::Index(index), _) => (Some(*index), index.to_string()),
            (Column::Name(name), None) => (name.parse().ok(), name.clone()),
            (Column::Name(name), Some(header)) => {
                (header.iter().position(|known| known.trim() == name.trim()), name.clone())
            }
        };
        if let Some(index) = index.filter(|index| *index < self.width) {
            return Ok(index);
        }
        let error = Diagnostic::error(Code::DataColumn, format!("`{place}` has no column `{name}`"));
        let Some(header) = &self.header else {
            return Err(error.note(format!("without a header, columns are 0 to {}", self.width.saturating_sub(1))));
        };
        let known: Vec<String> = header.iter().take(20).map(|name| format!("`{name}`")).collect();
        let more = if header.len() > 20 { ", …" } else { "" };
        let error = error.note(format!("it has {}{more}", known.join(", ")));
        Err(match nearest(&name, header.iter().map(String::as_str)).first() {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error,
        })
    }

    /// A cell as a finite number.
    ///
    /// # Errors
    /// `P0502` naming the line and the column.
    pub(super) fn number(&self, row: usize, column: usize) -> Result<f64> {
        let cell = self.cell(row, column);
        cell.parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(|| {
            let what =
                if cell.is_empty() { "empty".to_owned() } else { format!("`{cell}`, which is no finite number") };
            corrupt(&self.path, format!("line {}: column `{}` is {what}", self.line(row), self.title(column)))
        })
    }
}

type Rows = std::result::Result<Vec<(u64, StringRecord)>, String>;

fn delimited(text: &str, byte: u8, limit: usize) -> Rows {
    let mut reader =
        ReaderBuilder::new().delimiter(byte).has_headers(false).flexible(true).from_reader(text.as_bytes());
    let rows = reader.records().map(|row| {
        let row = row.map_err(|error| error.to_string())?;
        Ok((row.position().map_or(0, csv::Position::line), row))
    });
    within(rows, limit)
}

/// The rows, as long as what they take in memory is within the limit: a packed file of a few kilobytes may hold millions.
fn within(rows: impl Iterator<Item = std::result::Result<(u64, StringRecord), String>>, limit: usize) -> Rows {
    /// What a row takes beside its cells and their ends, at least.
    const ROW: usize = 128;
    let (mut kept, mut taken) = (Vec::new(), 0usize);
    for row in rows {
        let row = row?;
        taken += ROW + row.1.as_slice().len() + 8 * row.1.len();
        if taken > limit {
            return Err(format!("its rows take more than {limit} bytes of memory"));
        }
        kept.push(row);
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_take_no_more_than_they_may() {
        let text = "a,b\n".repeat(100);
        assert_eq!(delimited(&text, b',', 100 * 146).unwrap().len(), 100);
        assert!(delimited(&text, b',', 99 * 146).unwrap_err().contains("memory"));
    }
}
