//! The text of a draft, section by section.

use super::head::{Head, Model};
use super::{Given, Set, seen_from};
use crate::parts::sources::{ItemType, Labels};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Classes where no data says how many there are.
const UNKNOWN: usize = 10;
/// Side to which pictures of any size are brought for a network of our own.
const SIDE: usize = 64;

/// What the sections agree on.
struct Draft<'a> {
    given: &'a Given,
    model: Option<&'a Model>,
    sets: &'a [Set],
    /// Units of the last layer.
    units: usize,
    /// Whether labels are classes.
    classes: bool,
    /// Whether the largest class has more than twice the samples of the smallest.
    unbalanced: bool,
    /// Whether samples are pictures.
    pictures: bool,
}

pub(super) fn text(given: &Given, model: Option<&Model>, sets: &[Set]) -> String {
    let train = sets.first();
    let (units, classes) = match train.map(|set| &set.labels) {
        Some(Labels::Classes { ids, names }) => {
            (names.len().max(ids.iter().max().map_or(0, |most| *most as usize + 1)), true)
        }
        Some(Labels::Values { width, .. }) => (*width, false),
        Some(Labels::None) | None => (UNKNOWN, true),
    };
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    if let Some(Labels::Classes { ids, .. }) = train.map(|set| &set.labels) {
        for id in ids {
            *counts.entry(*id).or_default() += 1;
        }
    }
    let unbalanced = counts.values().max().zip(counts.values().min()).is_some_and(|(most, least)| *most > 2 * least);
    let pictures = match train {
        Some(set) => matches!(set.item, ItemType::Image { .. }),
        None => model.is_none_or(|model| model.sample.len() == 3),
    };
    let draft = Draft { given, model, sets, units, classes, unbalanced, pictures };
    let mut out = draft.top();
    out += &draft.network();
    out += &draft.data();
    out += &draft.training();
    out
}

impl Draft<'_> {
    fn top(&self) -> String {
        let mut out = String::from("# Written by `pipe init`: read it, change it, keep it in git.\n");
        out += "#   pipe check --data SPEC    looks at model and data\n#   pipe plan SPEC            shows what a run would do\n";
        let _ = writeln!(out, "version: 1\nname: {}\nseed: 0\n", word(&self.given.name));
        out
    }

    fn network(&self) -> String {
        let mut out = String::new();
        let (Some(model), Some(path)) = (self.model, &self.given.model) else {
            let (key, shape) = (if self.pictures { "image" } else { "x" }, self.sample());
            let _ = writeln!(out, "model:\n  input: {{{key}: {}}}\n", list(&shape));
            let _ = writeln!(out, "layers:\n  net:\n    stack:\n{}", self.stack(&shape));
            return out;
        };
        let _ = writeln!(out, "model:\n  source: {}", word(&seen_from(&self.given.folder, path)));
        if !model.free.is_empty() {
            let sizes: Vec<String> = model.free.iter().map(|(name, size)| format!("{}: {size}", word(name))).collect();
            let _ = writeln!(out, "  shape: {{{}}}    # the model leaves these free", sizes.join(", "));
        }
        out += "\nfreeze: all                # the new head is trained, on features that are computed once\n\n";
        out += "layers:\n  head:\n";
        let units = format!("      - linear: {}{}\n", self.units, self.about_units());
        match &model.head {
            Head::Replaces(name, had) => {
                let _ = writeln!(out, "    replaces: {}    # the last layer, of {had} units", word(name));
                let _ = write!(out, "    stack:\n{units}");
            }
            Head::From(name, rank) => {
                let _ = writeln!(
                    out,
                    "    from: {}    # no linear layer ends this model: a new one stands on its output",
                    word(name)
                );
                let pool = if *rank == 4 { "      - global_average_pool\n" } else { "" };
                let flat = if *rank > 2 { "      - flatten\n" } else { "" };
                let _ = write!(out, "    stack:\n{pool}{flat}{units}");
            }
        }
        out + "\n"
    }

    fn about_units(&self) -> String {
        match self.sets.first().map(|set| &set.labels) {
            None | Some(Labels::None) => "    # write the number of classes here".to_owned(),
            Some(Labels::Classes { names, .. }) if (1..=8).contains(&names.len()) => {
                format!("    # {}", names.join(", "))
            }
            Some(_) => String::new(),
        }
    }

    /// Shape of a sample for a network of our own.
    fn sample(&self) -> Vec<usize> {
        match self.sets.first().map(|set| &set.item) {
            Some(ItemType::Image { h: Some(h), w: Some(w), channels }) => vec![*channels, *h, *w],
            Some(ItemType::Image { channels, .. }) => vec![*channels, SIDE, SIDE],
            Some(ItemType::Array { shape }) => shape.clone(),
            None => vec![3, SIDE, SIDE],
        }
    }

    /// A small network: convolutions as long as there is something to halve, or two layers over numbers.
    fn stack(&self, shape: &[usize]) -> String {
        let mut out = String::new();
        if let [_, h, w] = shape {
            let mut side = *h.min(w);
            for channels in [32, 64, 128] {
                if side < 4 {
                    break;
                }
                let _ = writeln!(
                    out,
                    "      - conv: {{channels: {channels}, kernel: 3, padding: same}}\n      - batch_norm\n      - relu\n      - max_pool: 2"
                );
                side /= 2;
            }
            out += "      - flatten\n";
        } else {
            out += if shape.len() > 1 { "      - flatten\n" } else { "" };
            out += "      - linear: 64\n      - relu\n";
        }
        let _ = writeln!(out, "      - linear: {}{}", self.units, self.about_units());
        out
    }

    fn data(&self) -> String {
        let mut out = String::from("data:\n  sets:\n");
        for set in self.sets {
            let count = match &set.labels {
                Labels::Classes { names, .. } if !names.is_empty() => format!(", {} classes", names.len()),
                _ => String::new(),
            };
            let source = flow(&set.guess.config, &self.given.folder);
            let _ = writeln!(
                out,
                "    {}: {{{}: {source}}}    # {} samples{count}",
                set.guess.set, set.guess.kind, set.samples
            );
            if let Some(remark) = &set.guess.remark {
                let _ = writeln!(out, "    # guessed: {remark}");
            }
        }
        if self.sets.is_empty() {
            out += if self.pictures {
                "    train: {image_folder: data/train}    # a folder of pictures for each class\n"
            } else {
                "    train: {npz: data/train.npz}    # arrays `x` and `y` of NumPy\n"
            };
        }
        if !self.has("validation") {
            let stratify = if self.classes { ", stratify: true" } else { "" };
            let _ = writeln!(out, "  validation: {{from: train, fraction: 20%{stratify}}}");
        }
        if self.pictures {
            out += &self.transforms();
        }
        out + "\n"
    }

    fn has(&self, name: &str) -> bool {
        self.sets.iter().any(|set| set.guess.set == name)
    }

    fn transforms(&self) -> String {
        let wanted = self.model.map_or_else(|| self.sample(), |model| model.sample.clone());
        let item = self.sets.first().map(|set| &set.item);
        let mut out = String::from("  transforms:\n");
        if let [channels, h, w] = wanted[..] {
            let fits = matches!(item, Some(ItemType::Image { h: Some(a), w: Some(b), .. }) if (*a, *b) == (h, w));
            if !fits && h == w && self.model.is_some() {
                let _ = writeln!(out, "    - resize: {}           # the shorter side", h * 8 / 7);
                let _ = writeln!(out, "    - center_crop: {h}");
            } else if !fits {
                let _ = writeln!(out, "    - resize: [{h}, {w}]");
            }
            let found = match item {
                Some(ItemType::Image { channels, .. }) => *channels,
                _ => 3,
            };
            if found != channels {
                let _ = writeln!(out, "    - grayscale: {channels}");
            }
            out += "    - to_tensor\n";
            out += if channels == 3 && self.model.is_some() {
                "    # of ImageNet: write what the model was trained with\n    - normalize: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}\n"
            } else {
                "    - normalize: {mean: 0.5, std: 0.5}\n"
            };
        } else {
            out += "    - to_tensor\n";
        }
        out
    }

    fn training(&self) -> String {
        let samples = self.sets.first().map_or(1000, |set| set.samples);
        let batch = match samples {
            0..200 => 8,
            200..5000 => 32,
            _ => 64,
        };
        let metric = match (self.classes, self.unbalanced) {
            (true, true) => "balanced_accuracy",
            (true, false) => "accuracy",
            (false, _) => "rmse",
        };
        let mut out = String::new();
        out += match (self.classes, self.unbalanced) {
            (true, true) => {
                "loss:\n  # some classes have more than twice the samples of others\n  cross_entropy: {class_weights: balanced}\n\n"
            }
            (true, false) => "loss: cross_entropy\n\n",
            (false, _) => "loss: mse\n\n",
        };
        out += "optimizer:\n  adamw: {lr: 1e-3, weight_decay: 0.01}\n\n";
        let _ = writeln!(out, "schedule:\n  epochs: 20\n  batch: {batch}\n  lr: {{cosine: {{warmup: 5%}}}}");
        let _ =
            writeln!(out, "  stop: {{watch: validation.{metric}, patience: 5}}\n  keep: {{best: validation.{metric}}}");
        if self.model.is_some() {
            out += "  # to train the network as well once the head is good, write these in place of `epochs` and `freeze`:\n";
            out += "  # phases:\n  #   - {epochs: 5, freeze: all}\n";
            out += "  #   - {epochs: 15, freeze: {all_but: [\"PATTERN\"]}, optimizer: {adamw: {lr: 1e-4}}}    # `pipe inspect MODEL` lists names\n";
        }
        let more = match (self.classes, self.unbalanced) {
            (true, true) => "[balanced_accuracy, accuracy, confusion_matrix]",
            (true, false) => "[accuracy, confusion_matrix]",
            (false, _) => "[rmse, mae]",
        };
        let _ = writeln!(out, "\nevaluate:\n  metrics: {more}");
        out
    }
}

fn list(shape: &[usize]) -> String {
    format!("[{}]", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

/// A text in YAML, in quotes where it would be read as something else.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '.' | '_'));
    let lower = text.to_ascii_lowercase();
    let means_more =
        matches!(lower.as_str(), "true" | "false" | "null" | "yes" | "no" | "on" | "off" | ".nan" | ".inf");
    let safe = starts && text.chars().all(plain) && !means_more && text.parse::<f64>().is_err();
    if safe { text.to_owned() } else { Value::from(text).to_string() }
}

/// A configuration on one line; `path` as it is seen from the folder of the spec.
fn flow(config: &Value, folder: &Path) -> String {
    let path = |text: &str| word(&seen_from(folder, Path::new(text)));
    match config {
        Value::String(text) => path(text),
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| match value {
                Value::String(text) if key == "path" => format!("{key}: {}", path(text)),
                value => format!("{key}: {}", plain(value)),
            };
            format!("{{{}}}", map.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        other => plain(other),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => word(text),
        Value::Array(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}
