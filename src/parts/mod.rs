//! The parts a spec is put together from: a family per folder, a file per kind, a row per kind in the family's `mod.rs`.

mod head;
pub mod initializers;
pub mod layers;
pub mod losses;
pub mod metrics;
pub mod optimizers;
pub mod regularizers;
pub mod schedules;
pub mod sources;
#[cfg(test)]
mod sweep;
pub mod transforms;

use crate::diag::{Code, Diagnostic, Result};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::marker::PhantomData;

/// How one kind is written in a spec.
#[derive(Clone, Copy)]
pub struct Kind {
    /// The key that names it, such as `resize`.
    pub name: &'static str,
    /// The field that a bare value stands for: `resize: 256` is `resize: {size: 256}`. Without one, only the map form
    /// (and, if no field is required, the bare name) is read.
    pub short: Option<&'static str>,
    /// Closed JSON Schema of its configuration, from a struct with documented fields.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// One sentence, then formula, source and a YAML example: the page that `pipe explain KIND` prints.
    pub doc: &'static str,
}

impl Kind {
    /// The row of a kind whose configuration is `C`.
    pub const fn of<C: JsonSchema>(name: &'static str, short: Option<&'static str>, doc: &'static str) -> Self {
        Self { name, short, schema: |generator| C::json_schema(generator), doc }
    }
}

/// A kind and what makes a value of it. `T` is the trait object of the family.
pub struct Row<T: ?Sized> {
    /// How it is written.
    pub kind: Kind,
    /// Decodes the configuration and checks what the schema cannot say.
    pub build: fn(&Value) -> Result<Box<T>>,
}

/// A set of kinds that may stand in one place of a spec.
pub trait Family: 'static {
    /// The trait object that a row builds.
    type Item: ?Sized + 'static;
    /// Singular noun for messages and schema definitions, such as `transform`.
    const NAME: &'static str;
    /// All rows, sorted by name.
    fn rows() -> &'static [Row<Self::Item>];
}

/// A chosen kind with its checked configuration, before it is built.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Chosen<F: Family> {
    /// Name of the kind.
    pub kind: String,
    /// Its configuration, short form already expanded, defaults not filled in.
    pub config: Value,
    /// JSON pointer of the configuration in the spec, for later errors.
    pub at: String,
    #[serde(skip)]
    family: PhantomData<fn() -> F>,
}

impl<F: Family> Chosen<F> {
    /// A choice made in code; it has no place in a spec.
    pub fn new(kind: &str, config: Value) -> Self {
        Self { kind: kind.to_owned(), config, at: String::new(), family: PhantomData }
    }

    /// Makes the part. What it objects to gets the place of this choice.
    pub fn build(&self) -> Result<Box<F::Item>> {
        let row = F::rows().iter().find(|row| row.kind.name == self.kind).ok_or_else(|| {
            Diagnostic::error(Code::UnknownKind, format!("unknown {} `{}`", F::NAME, self.kind)).at(&self.at, "")
        })?;
        (row.build)(&self.config).map_err(|error| error.within(&self.at))
    }
}

/// Decodes a configuration that the schema has already checked.
pub fn decode<C: DeserializeOwned>(config: &Value) -> Result<C> {
    serde_json::from_value(config.clone()).map_err(|error| Diagnostic::error(Code::WrongType, error.to_string()))
}
