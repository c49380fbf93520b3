//! What may stand in a place of a spec. One description serves the walker, the JSON Schema and `pipe explain`.

use super::import;
use crate::diag::Diagnostic;
use crate::parts::{Family, Row};
use serde_json::Value;
use std::sync::Arc;

/// A place of a spec.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// Anything; values of `vars`.
    Any,
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds.
    Integer(Bounds),
    /// A number within bounds; `5%` is 0.05.
    Number(Bounds),
    /// Text.
    Text,
    /// A path; in a base it starts from the folder of the base.
    Path,
    /// One of these words.
    Word(Vec<Word>),
    /// A number of bytes, or a text such as `10GiB`.
    Bytes,
    /// A list; the numbers are the least and the most items.
    List(Box<Shape>, usize, Option<usize>),
    /// A list of fixed length with a shape for each place.
    Tuple(Vec<Shape>),
    /// One value or a list of them; canonically a list.
    OneOrMany(Box<Shape>),
    /// A map from free names.
    Map(Box<Shape>),
    /// A map with known keys.
    Record(Record),
    /// The value, or an empty value.
    Nullable(Box<Shape>),
    /// The first that fits.
    AnyOf(Vec<Shape>),
    /// One kind of a family.
    Choice(Choice),
    /// A loss: a kind, or named terms.
    Terms(Choice),
    /// `{kind: λ}`, or a list of them.
    Penalties(Choice),
    /// What is frozen.
    Freeze(Record),
    /// A list of transforms, or `{train, eval}`.
    Transforming(Choice, Record),
    /// Weight of a term: a number, or a ramp. Canonically `{constant: …}` or `{ramp: …}`.
    Weight(Record),
    /// `model.dropout`: a word, or a probability.
    Dropout,
    /// As inside, but a map is part of the language that this version does not run.
    NoMap(Box<Shape>, &'static str),
}

/// Bounds of a number.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    /// Whether the bound itself is out.
    pub(crate) open_min: bool,
    pub(crate) open_max: bool,
}

impl Bounds {
    pub(crate) fn least(min: f64) -> Self {
        Self { min: Some(min), ..Self::default() }
    }

    pub(crate) fn above(min: f64) -> Self {
        Self { min: Some(min), open_min: true, ..Self::default() }
    }

    /// Strictly between.
    pub(crate) fn between(min: f64, max: f64) -> Self {
        Self { min: Some(min), max: Some(max), open_min: true, open_max: true }
    }

    pub(crate) fn hold(&self, x: f64) -> bool {
        self.min.is_none_or(|min| if self.open_min { x > min } else { x >= min })
            && self.max.is_none_or(|max| if self.open_max { x < max } else { x <= max })
    }

    /// Such as `at least 1`, `above 0 and below 1`.
    pub(crate) fn describe(&self) -> String {
        let low = self.min.map(|min| format!("{} {min}", if self.open_min { "above" } else { "at least" }));
        let high = self.max.map(|max| format!("{} {max}", if self.open_max { "below" } else { "at most" }));
        [low, high].into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }
}

/// A word of a closed list.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) doc: String,
    /// Part of the language that this version does not run.
    pub(crate) later: bool,
}

/// A key of a record.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) shape: Shape,
    pub(crate) required: bool,
    pub(crate) default: Option<Value>,
    /// What a number counts or measures, such as `epochs`.
    pub(crate) unit: Option<String>,
}

impl Field {
    pub(crate) fn new(name: &str, shape: Shape, doc: &str) -> Self {
        Self { name: name.to_owned(), doc: doc.to_owned(), shape, required: false, default: None, unit: None }
    }

    pub(crate) fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(crate) fn unit(mut self, unit: &str) -> Self {
        self.unit = Some(unit.to_owned());
        self
    }

    /// The default that documentation and schema show; the typed spec fills it in.
    pub(crate) fn default(mut self, value: impl Into<Value>) -> Self {
        self.default = Some(value.into());
        self
    }
}

/// A map with known keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    pub(crate) fields: Vec<Field>,
    /// Keys of the language that this version does not run.
    pub(crate) later: &'static [&'static str],
    /// Groups of keys of which only one may stand.
    pub(crate) either: &'static [&'static [&'static str]],
    /// Whether the walker fills defaults in: in configurations of kinds; sections have theirs from the typed spec.
    pub(crate) fill: bool,
    /// Whether it is the configuration of a kind, which has a page of its own.
    pub(crate) is_kind: bool,
}

impl Record {
    pub(crate) fn new(fields: Vec<Field>) -> Self {
        Self { fields, later: &[], either: &[], fill: false, is_kind: false }
    }

    pub(crate) fn either(mut self, groups: &'static [&'static [&'static str]]) -> Self {
        self.either = groups;
        self
    }

    pub(crate) fn later(mut self, keys: &'static [&'static str]) -> Self {
        self.later = keys;
        self
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// The kinds of a family with the shapes of their configurations.
#[derive(Debug)]
pub(crate) struct Kinds {
    /// Such as `transform`.
    pub(crate) noun: &'static str,
    #[expect(clippy::struct_field_names, reason = "a kind is what the language calls them")]
    pub(crate) kinds: Vec<KindShape>,
    /// Kinds of the language that this version does not run.
    pub(crate) later: &'static [&'static str],
}

/// What makes a part of a kind's configuration.
pub(crate) trait Builds: Sync {
    /// What the part says against a configuration of the right shape.
    fn objection(&self, config: &Value) -> Option<Diagnostic>;
}

impl<T: ?Sized> Builds for Row<T> {
    fn objection(&self, config: &Value) -> Option<Diagnostic> {
        (self.build)(config).err()
    }
}

impl std::fmt::Debug for dyn Builds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Builds")
    }
}

/// One kind.
#[derive(Debug)]
pub(crate) struct KindShape {
    pub(crate) name: &'static str,
    pub(crate) short: Option<&'static str>,
    pub(crate) doc: &'static str,
    pub(crate) config: Record,
    pub(crate) builds: &'static dyn Builds,
}

impl KindShape {
    fn of<T: ?Sized>(row: &'static Row<T>) -> Self {
        let kind = &row.kind;
        Self { name: kind.name, short: kind.short, doc: kind.doc, config: import::record(kind.schema), builds: row }
    }

    /// The field that a bare value stands for.
    pub(crate) fn short_field(&self) -> Option<&Field> {
        self.config.field(self.short?)
    }
}

impl Kinds {
    pub(crate) fn of<F: Family>(later: &'static [&'static str]) -> Arc<Self> {
        let kinds = F::rows().iter().map(KindShape::of).collect();
        Arc::new(Self { noun: F::NAME, kinds, later })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&KindShape> {
        self.kinds.iter().find(|kind| kind.name == name)
    }

    /// Whether the language knows it, run or not.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.get(name).is_some() || self.later.contains(&name)
    }
}

/// A place for one kind of a family.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) kinds: Arc<Kinds>,
    /// Key of the typed spec that holds the choice; without one the choice stands alone.
    pub(crate) slot: Option<&'static str>,
    /// Generic keys beside the kind.
    pub(crate) beside: Record,
    /// Generic keys inside the kind's map.
    pub(crate) inside: Vec<Field>,
}

impl Choice {
    pub(crate) fn new(kinds: &Arc<Kinds>) -> Self {
        Self { kinds: Arc::clone(kinds), slot: None, beside: Record::default(), inside: Vec::new() }
    }

    pub(crate) fn slot(mut self, slot: &'static str) -> Self {
        self.slot = Some(slot);
        self
    }

    pub(crate) fn beside(mut self, record: Record) -> Self {
        self.beside = record;
        self
    }

    pub(crate) fn inside(mut self, fields: Vec<Field>) -> Self {
        self.inside = fields;
        self
    }
}

impl Shape {
    /// For messages, such as `a number`.
    pub(crate) fn noun(&self) -> String {
        match self {
            Self::Any => "a value".to_owned(),
            Self::Bool => "`true` or `false`".to_owned(),
            Self::Integer(_) => "a whole number".to_owned(),
            Self::Number(_) => "a number".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Word(words) => {
                let words: Vec<String> =
                    words.iter().filter(|word| !word.later).map(|word| format!("`{}`", word.text)).collect();
                alternatives(&words)
            }
            Self::Bytes => "a number of bytes such as `10GiB`".to_owned(),
            Self::List(..) | Self::Tuple(_) => "a list".to_owned(),
            Self::OneOrMany(shape) => format!("{} or a list", shape.noun()),
            Self::Map(_) | Self::Record(_) => "a map".to_owned(),
            Self::Nullable(shape) | Self::NoMap(shape, _) => shape.noun(),
            Self::AnyOf(shapes) => alternatives(&shapes.iter().map(Self::noun).collect::<Vec<_>>()),
            Self::Choice(choice) | Self::Terms(choice) | Self::Penalties(choice) => article(choice.kinds.noun),
            Self::Freeze(_) => "`all`, `none`, a list of patterns or a map".to_owned(),
            Self::Transforming(..) => "a list of transforms or `{train, eval}`".to_owned(),
            Self::Weight(_) => "a number or a ramp".to_owned(),
            Self::Dropout => "`keep`, `off` or a probability".to_owned(),
        }
    }
}

/// The noun with its indefinite article.
pub(crate) fn article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

/// `a`, `a or b`, `a, b or c`.
pub(crate) fn alternatives(words: &[String]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
