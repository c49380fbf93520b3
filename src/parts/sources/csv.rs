//! `csv`: a table of image paths, or of numbers, with labels.

use super::block::{Block, InMemory};
use super::image_files::ImageFiles;
use super::image_folder::class_index;
use super::table::{Column, Delimiter, Table};
use super::{Declared, ItemType, Labels, Samples, Source, existing_file, existing_folder};
use crate::diag::{Code, Diagnostic, Result};
use crate::parts::{Kind, Row, decode};
use crate::world::{self, Entry};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(super) const ROW: Row<dyn Source> =
    Row { kind: Kind::of::<Csv>("csv", None, DOC), build: |value| Ok(Box::new(decode::<Csv>(value)?)) };

const DOC: &str = "\
A table of images or of numbers, with labels; `.gz` is unpacked.

Each row is a sample: either `image` names a column of paths (relative to `root`, or else to the table's folder), or `features` names \
numeric columns. A `labels` column becomes classes: its distinct values sorted (as numbers if all are whole), or those of `classes`; \
with `threshold: t`, the class is 1 where the number is ≥ t, else 0. A `values` list becomes numeric targets. `where` keeps the rows \
whose column has the value. Without a header, columns go by index from 0.

```yaml
train: {csv: {path: data/train.csv, image: file, labels: species}}
cells: {csv: {path: data/labels.csv, delimiter: whitespace, header: false, image: 0, labels: 1, threshold: 0.5, where: {2: mono}}}
digits: {csv: {path: data/digits.csv.gz, header: false, features: rest, labels: 64, shape: [1, 8, 8], scale: 0.0625}}
```";

/// Configuration of `csv`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Csv {
    /// The table.
    #[schemars(extend("format" = "path"))]
    path: String,
    /// One character, `tab`, or `whitespace` for any number of blanks; `,` unless given.
    #[serde(default)]
    delimiter: Option<String>,
    /// Whether the first row names the columns.
    #[serde(default = "yes")]
    header: bool,
    /// Column of image paths.
    #[serde(default)]
    image: Option<Column>,
    /// Folder that image paths are relative to; without it, the folder of the table.
    #[serde(default)]
    #[schemars(extend("format" = "path"))]
    root: Option<String>,
    /// Numeric columns, or `rest` for all that nothing else names.
    #[serde(default)]
    features: Option<Features>,
    /// Column of classes.
    #[serde(default)]
    labels: Option<Column>,
    /// Shape that the features of a row are read as, without the batch; `[number of columns]` unless given.
    #[serde(default)]
    shape: Option<Vec<usize>>,
    /// Factor of the features, 1 unless given.
    #[serde(default)]
    scale: Option<f64>,
    /// Names of the classes in order of their index.
    #[serde(default)]
    classes: Option<Vec<String>>,
    /// Numbers in `labels` from this one on are class 1, below it class 0.
    #[serde(default)]
    threshold: Option<f64>,
    /// Columns of numeric targets.
    #[serde(default)]
    values: Option<Vec<Column>>,
    /// Column → value that kept rows have.
    #[serde(default, rename = "where")]
    filter: BTreeMap<String, Cell>,
}

fn yes() -> bool {
    true
}

/// Columns of features.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Features {
    /// All that nothing else names.
    Rest(Rest),
    /// These.
    Columns(Vec<Column>),
}

/// The word `rest`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Rest {
    /// All columns that nothing else names.
    Rest,
}

/// A value to compare a cell with.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Cell {
    /// Compared as a number.
    Number(f64),
    /// `true` or `false`.
    Truth(bool),
    /// Compared as text.
    Text(String),
}

impl Cell {
    fn is(&self, cell: &str) -> bool {
        match self {
            Self::Number(number) => cell.parse() == Ok(*number),
            Self::Truth(truth) => cell.eq_ignore_ascii_case(if *truth { "true" } else { "false" }),
            Self::Text(text) => cell == text,
        }
    }
}

impl Source for Csv {
    fn open(&self, base: &Path) -> Result<Box<dyn Samples>> {
        let (path, _) = existing_file(base, &self.path)?;
        let mut table = Table::read(&path, self.delimiter()?, self.header)?;
        let mut used = BTreeSet::new();
        for (column, value) in &self.filter {
            let found = table.find(&Column::Name(column.clone()));
            let column = found.map_err(|error| error.at_key(format!("where/{column}"), "not in the table"))?;
            used.insert(column);
            table.retain(|row| value.is(row.get(column).unwrap_or("").trim()));
        }
        if table.len() == 0 {
            let rows = if self.filter.is_empty() { "has no rows" } else { "has no row that `where` keeps" };
            return Err(Diagnostic::error(Code::DataEmpty, format!("`{}` {rows}", path.display())));
        }
        let labels = self.read_labels(&table, &mut used)?;
        match (&self.image, &self.features) {
            (Some(image), None) => {
                if let Some(key) =
                    [self.shape.is_some().then_some("shape"), self.scale.map(|_| "scale")].iter().flatten().next()
                {
                    return Err(conflict(&format!("`{key}` is for `features`, not for images")));
                }
                let root = match &self.root {
                    Some(root) => existing_folder(base, root)?,
                    None => path.parent().unwrap_or(base).to_owned(),
                };
                let paths = image_paths(&table, find(&table, image, "image")?, &root)?;
                Ok(Box::new(ImageFiles { root, paths, labels }))
            }
            (None, Some(features)) => {
                let block = self.features(&table, features, &mut used)?;
                Ok(Box::new(InMemory::new(&path, table.len(), block, labels)?))
            }
            (Some(_), Some(_)) => Err(conflict("`image` and `features` cannot stand together in `csv`")),
            (None, None) => Err(Diagnostic::error(Code::MissingKey, "`csv` needs `image` or `features`")
                .help("`image: COLUMN` for a column of paths, `features: rest` for numbers")),
        }
    }

    fn declares(&self) -> Declared {
        match (&self.image, &self.features) {
            (Some(_), _) => Declared::Item(ItemType::Image { h: None, w: None, channels: 3 }),
            (None, Some(Features::Columns(columns))) => {
                let shape = self.shape.clone().unwrap_or_else(|| vec![columns.len()]);
                Declared::Item(ItemType::Array { shape })
            }
            (None, _) => Declared::Numbers,
        }
    }

    fn files(&self, _base: &Path) -> Vec<PathBuf> {
        vec![PathBuf::from(&self.path)]
    }
}

fn conflict(message: &str) -> Diagnostic {
    Diagnostic::error(Code::Conflict, message)
}

impl Csv {
    fn delimiter(&self) -> Result<Delimiter> {
        match self.delimiter.as_deref() {
            None => Ok(Delimiter::Byte(b',')),
            Some("tab" | "\t") => Ok(Delimiter::Byte(b'\t')),
            Some("whitespace") => Ok(Delimiter::Whitespace),
            Some(text) => match text.as_bytes() {
                [byte] if !matches!(byte, b'"' | b'\n' | b'\r') => Ok(Delimiter::Byte(*byte)),
                _ => Err(Diagnostic::error(Code::OutOfRange, format!("`{text}` is no delimiter"))
                    .help("one character, `tab` or `whitespace`")),
            },
        }
    }

    fn read_labels(&self, table: &Table, used: &mut BTreeSet<usize>) -> Result<Labels> {
        if let Some(columns) = &self.values {
            if self.labels.is_some() || self.classes.is_some() || self.threshold.is_some() {
                return Err(conflict("`values` cannot stand beside `labels`, `classes` or `threshold`"));
            }
            let columns = find_all(table, columns, "values")?;
            used.extend(&columns);
            let mut data = Vec::with_capacity(table.len() * columns.len());
            for row in 0..table.len() {
                for column in &columns {
                    data.push(table.number(row, *column)? as f32);
                }
            }
            return match columns.len() {
                0 => Err(Diagnostic::error(Code::OutOfRange, "`values` lists no column")),
                width => Ok(Labels::Values { data, width }),
            };
        }
        let Some(column) = &self.labels else {
            return match (&self.classes, self.threshold) {
                (None, None) => Ok(Labels::None),
                _ => Err(conflict("`classes` and `threshold` need `labels`")),
            };
        };
        let column = find(table, column, "labels")?;
        used.insert(column);
        if let Some(threshold) = self.threshold {
            if self.classes.is_some() {
                return Err(conflict("`classes` and `threshold` cannot stand together"));
            }
            let ids = (0..table.len())
                .map(|row| Ok(i64::from(table.number(row, column)? >= threshold)))
                .collect::<Result<_>>()?;
            return Ok(Labels::Classes { ids, names: vec!["0".to_owned(), "1".to_owned()] });
        }
        self.classes(table, column)
    }

    fn classes(&self, table: &Table, column: usize) -> Result<Labels> {
        if let Some(row) = (0..table.len()).find(|row| table.cell(*row, column).is_empty()) {
            let message = format!("line {} of `{}` has no label", table.line(row), table.path.display());
            return Err(Diagnostic::error(Code::LabelRange, message));
        }
        let names = match &self.classes {
            Some(names) => names.clone(),
            None => sorted((0..table.len()).map(|row| table.cell(row, column)).collect()),
        };
        let mut index = BTreeMap::new();
        for (id, name) in names.iter().enumerate() {
            if index.insert(name.as_str(), id as i64).is_some() {
                return Err(Diagnostic::error(Code::DuplicateName, format!("`classes` lists `{name}` twice")));
            }
        }
        let ids = (0..table.len())
            .map(|row| {
                let cell = table.cell(row, column);
                index.get(cell).copied().map_or_else(|| class_index(cell, &names, &table.path), Ok)
            })
            .collect::<Result<_>>()?;
        Ok(Labels::Classes { ids, names })
    }

    fn features(&self, table: &Table, features: &Features, used: &mut BTreeSet<usize>) -> Result<Block> {
        if self.root.is_some() {
            return Err(conflict("`root` is for `image`, not for `features`"));
        }
        let columns: Vec<usize> = match features {
            Features::Rest(Rest::Rest) => (0..table.width()).filter(|column| !used.contains(column)).collect(),
            Features::Columns(columns) => find_all(table, columns, "features")?,
        };
        let shape = self.shape.clone().unwrap_or_else(|| vec![columns.len()]);
        if columns.is_empty() || shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)) != Some(columns.len()) {
            let message = format!("{} feature columns do not fill the shape {shape:?}", columns.len());
            return Err(Diagnostic::error(Code::DataShape, message));
        }
        let scale = self.scale.unwrap_or(1.0);
        let mut data = Vec::with_capacity(table.len() * columns.len());
        for row in 0..table.len() {
            for column in &columns {
                data.push((table.number(row, *column)? * scale) as f32);
            }
        }
        Ok(Block::Floats { shape, data })
    }
}

/// Index of a column that stands under a key of the source.
fn find(table: &Table, column: &Column, key: &str) -> Result<usize> {
    table.find(column).map_err(|error| error.at(key, "not in the table"))
}

fn find_all(table: &Table, columns: &[Column], key: &str) -> Result<Vec<usize>> {
    columns.iter().enumerate().map(|(i, column)| find(table, column, &format!("{key}/{i}"))).collect()
}

/// Distinct values, as numbers if all are whole.
fn sorted(cells: Vec<&str>) -> Vec<String> {
    let distinct: BTreeSet<&str> = cells.into_iter().collect();
    let mut names: Vec<String> = distinct.into_iter().map(str::to_owned).collect();
    if names.iter().all(|name| name.parse::<i64>().is_ok()) {
        names.sort_by_key(|name| name.parse::<i64>().unwrap_or_default());
    }
    names
}

fn image_paths(table: &Table, column: usize, root: &Path) -> Result<Vec<PathBuf>> {
    let paths: Vec<PathBuf> = (0..table.len()).map(|row| root.join(table.cell(row, column))).collect();
    let gone: Vec<usize> =
        (0..paths.len()).filter(|row| !matches!(world::entry(&paths[*row]), Some(Entry::File(_)))).collect();
    let Some(first) = gone.first() else { return Ok(paths) };
    let message =
        format!("{} of the {} images that `{}` names do not exist", gone.len(), paths.len(), table.path.display());
    let mut error = Diagnostic::error(Code::DataMissing, message)
        .help(format!("paths are relative to `{}`; `root` names another folder", root.display()));
    for row in gone.iter().take(10) {
        error = error.note(format!("line {}: `{}`", table.line(*row), paths[*row].display()));
    }
    if table.cell(*first, column).is_empty() {
        error = error.note("an empty cell names no image");
    }
    Err(error)
}
