//! What lies at a path, told from its looks: the sources that would read it.

use super::table::{Delimiter, Table};
use super::{archive, npz};
use crate::diag::{Code, Diagnostic, Result};
use crate::world;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A dataset as it would stand in a spec.
#[derive(Debug, Clone, PartialEq)]
pub struct Guess {
    /// `train`, `validation` or `test`.
    pub set: &'static str,
    /// Kind of source.
    pub kind: &'static str,
    /// Configuration of the kind, with paths as the caller wrote them.
    pub config: Value,
    /// What was guessed and should be looked at.
    pub remark: Option<String>,
}

impl Guess {
    fn of(set: &'static str, kind: &'static str, config: Value) -> Self {
        Self { set, kind, config, remark: None }
    }
}

/// Folders that stand for a set.
const FOLDERS: &[(&str, &[&str])] = &[
    ("train", &["train", "training"]),
    ("validation", &["val", "valid", "validation", "dev"]),
    ("test", &["test", "testing"]),
];
/// Names of columns and arrays that hold labels.
const LABELS: &[&str] = &["label", "labels", "class", "classes", "target", "y", "category", "species", "diagnosis"];
/// Distinct whole numbers that are still taken for classes.
const CLASSES: usize = 100;

/// The datasets at a path, `train` first.
///
/// # Errors
/// `P0501` where nothing is, `P0502` for a file that cannot be read, `P0503` for a folder that looks like no dataset.
pub fn guess(path: &Path) -> Result<Vec<Guess>> {
    if world::is_folder(path) {
        return folder(path);
    }
    if !world::is_file(path) {
        return Err(Diagnostic::error(Code::DataMissing, format!("`{}` does not exist", path.display())));
    }
    let ending = |path: &Path| path.extension().map(|end| end.to_string_lossy().to_lowercase()).unwrap_or_default();
    let end = if ending(path) == "gz" { ending(&path.with_extension("")) } else { ending(path) };
    match end.as_str() {
        "npz" => arrays(path),
        "csv" | "tsv" | "txt" | "data" => table(path).map(|guess| vec![guess]),
        _ => Err(unknown(path)),
    }
}

fn unknown(path: &Path) -> Diagnostic {
    Diagnostic::error(Code::DataEmpty, format!("`{}` looks like no dataset", path.display())).help(
        "give a folder with a folder of pictures per class, one with the files of MNIST or of CIFAR-10, a table (.csv, .tsv) or a NumPy \
         archive (.npz)",
    )
}

fn folder(path: &Path) -> Result<Vec<Guess>> {
    let has = |name: &str| world::is_file(&path.join(name));
    let split = |kind, test: bool| {
        let of = |split| Guess::of(split, kind, json!({ "path": path, "split": split }));
        [Some(of("train")), test.then(|| of("test"))].into_iter().flatten().collect()
    };
    if has("data_batch_1.bin") {
        return Ok(split("cifar10", has("test_batch.bin")));
    }
    let idx = |name: &str| has(name) || has(&format!("{name}.gz"));
    if idx("train-images-idx3-ubyte") {
        return Ok(split("idx", idx("t10k-images-idx3-ubyte")));
    }
    let below: Vec<PathBuf> =
        world::list_entries(path)?.into_iter().filter(|(_, is_folder)| *is_folder).map(|(path, _)| path).collect();
    let mut found = Vec::new();
    for (set, names) in FOLDERS {
        let named =
            |path: &&PathBuf| path.file_name().is_some_and(|name| names.iter().any(|n| name.eq_ignore_ascii_case(n)));
        found.extend(below.iter().find(named).map(|path| Guess::of(set, "image_folder", json!(path))));
    }
    if found.first().is_some_and(|first| first.set == "train") {
        return Ok(found);
    }
    if below.is_empty() { Err(unknown(path)) } else { Ok(vec![Guess::of("train", "image_folder", json!(path))]) }
}

/// Pairs of arrays, as `np.savez` and MedMNIST name them.
fn arrays(path: &Path) -> Result<Vec<Guess>> {
    let names = npz::names(path)?;
    let has = |name: &str| names.iter().any(|found| found == name);
    if has("x") {
        return Ok(vec![Guess::of("train", "npz", json!(path))]);
    }
    let mut found = Vec::new();
    for (set, starts) in FOLDERS {
        for start in *starts {
            let pairs = [("images", "labels"), ("x", "y"), ("data", "labels"), ("inputs", "targets")];
            let named = |(x, y)| (format!("{start}_{x}"), format!("{start}_{y}"));
            if let Some((x, y)) = pairs.into_iter().map(named).find(|(x, y)| has(x) && has(y)) {
                found.push(Guess::of(set, "npz", json!({ "path": path, "inputs": x, "labels": y })));
            }
        }
    }
    if found.first().is_some_and(|first| first.set == "train") {
        return Ok(found);
    }
    Err(unknown(path).note(format!("the archive holds {}", names.join(", "))))
}

/// A table: what separates its cells, whether it has a header, and which columns are what.
fn table(path: &Path) -> Result<Guess> {
    let text = archive::read(path)?;
    let text = String::from_utf8_lossy(&text);
    let first = text.lines().next().unwrap_or_default();
    let (delimiter, said) = match [',', ';', '\t'].into_iter().max_by_key(|c| (first.matches(*c).count(), *c == ',')) {
        Some(c) if !first.contains(c) => (Delimiter::Whitespace, Some("whitespace")),
        Some(';') => (Delimiter::Byte(b';'), Some(";")),
        Some('\t') => (Delimiter::Byte(b'\t'), Some("tab")),
        _ => (Delimiter::Byte(b','), None),
    };
    let rows = Table::read(path, delimiter, false)?.cells();
    let number = |cell: &String| cell.trim().parse::<f64>().is_ok();
    let Some((head, body)) = rows.split_first().filter(|(_, body)| !body.is_empty()) else { return Err(unknown(path)) };
    let header = !head.iter().any(number) && !head.iter().any(|cell| is_picture(cell));
    let body = if header { body } else { &rows };
    let column = |at: usize| body.iter().map(move |row| &row[at]);
    let name = |at: usize| if header { json!(head[at].trim()) } else { json!(at) };
    let width = head.len();
    let picture = (0..width).find(|at| column(*at).all(|cell| is_picture(cell)));
    let named = |at: &usize| header && LABELS.iter().any(|label| head[*at].trim().eq_ignore_ascii_case(label));
    let others = || (0..width).filter(|at| Some(*at) != picture);
    let Some(label) = others().find(named).or_else(|| others().next_back()) else { return Err(unknown(path)) };
    let mut config = json!({ "path": path });
    if let Some(said) = said {
        config["delimiter"] = json!(said);
    }
    if !header {
        config["header"] = json!(false);
    }
    let distinct: BTreeSet<&str> = column(label).map(|cell| cell.trim()).collect();
    let whole = |cell: &&str| cell.parse::<f64>().is_ok_and(|number| number.fract() == 0.0);
    let targets = column(label).all(number) && !(distinct.iter().all(whole) && distinct.len() <= CLASSES);
    config[if targets { "values" } else { "labels" }] = if targets { json!([name(label)]) } else { name(label) };
    let text: Vec<usize> = others().filter(|at| *at != label && !column(*at).all(number)).collect();
    let mut remark = format!("column {} holds the {}", name(label), if targets { "targets" } else { "classes" });
    match picture {
        Some(picture) => config["image"] = name(picture),
        None if text.is_empty() => config["features"] = json!("rest"),
        None => {
            let numbers: Vec<Value> = others().filter(|at| *at != label && !text.contains(at)).map(name).collect();
            if numbers.is_empty() {
                return Err(unknown(path).note("the table has neither a column of pictures nor one of numbers"));
            }
            config["features"] = json!(numbers);
            let left: Vec<String> = text.into_iter().map(|at| name(at).to_string()).collect();
            remark = format!("{remark}; left out since they are no numbers: {}", left.join(", "));
        }
    }
    Ok(Guess { remark: Some(remark), ..Guess::of("train", "csv", config) })
}

fn is_picture(cell: &str) -> bool {
    let cell = cell.trim().to_lowercase();
    [".png", ".jpg", ".jpeg"].iter().any(|end| cell.ends_with(end))
}
