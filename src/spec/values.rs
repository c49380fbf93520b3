//! Single values: what a scalar has to be, and the bounds that it has to keep.

use super::extends::from_spec;
use super::scalars;
use super::shape::{Bounds, Shape, Word};
use super::tree::{Node, Yaml};
use super::walk::{Walker, called, not_supported, shown};
use crate::diag::{Code, Diagnostic, nearest};
use serde_json::Value;

impl Walker {
    pub(super) fn scalar(&mut self, shape: &Shape, node: &Node, at: &str) -> Option<Value> {
        let Yaml::Scalar { text, plain } = &node.yaml else { return self.wrong_type(&shape.noun(), node, at) };
        let value = match shape {
            Shape::Bool if *plain => scalars::boolean(text).map(Value::Bool),
            Shape::Integer(bounds) if *plain => match scalars::integer(text) {
                Some(value) => return self.integer(value, bounds, at),
                None => None,
            },
            Shape::Number(bounds) if *plain => match scalars::number(text) {
                Some(value) => return Some(self.number(value, bounds, at)),
                None => None,
            },
            Shape::Bytes => scalars::bytes(text).map(Value::from),
            Shape::Text | Shape::Path if *plain && scalars::boolean(text).is_some() => {
                let message = format!("{} takes text, and `{text}` without quotes is not", called(at));
                let help = format!("write `\"{text}\"`");
                self.error(Diagnostic::error(Code::WrongType, message).at(at, "expected text").help(help));
                return None;
            }
            Shape::Text => Some(Value::from(text.as_str())),
            Shape::Path => Some(Value::from(from_spec(node.home.as_deref().unwrap_or_default(), text))),
            Shape::Word(words) => return self.word(words, text, node, at),
            _ => None,
        };
        value.or_else(|| {
            self.wrong_type(&shape.noun(), node, at);
            if let (Shape::Integer(bounds) | Shape::Number(bounds), true) = (shape, *plain)
                && let (Some(number), Some(error)) = (before_unit(text), self.errors.last_mut())
            {
                *error = error.clone().help(without_unit(number, bounds));
            }
            None
        })
    }

    fn integer(&mut self, value: i128, bounds: &Bounds, at: &str) -> Option<Value> {
        let json = u64::try_from(value).map(Value::from).or_else(|_| i64::try_from(value).map(Value::from)).ok();
        if json.is_none() || !bounds.hold(value as f64) {
            self.out_of_range(&value.to_string(), bounds, at);
        }
        // What goes on is a value that could stand there.
        if bounds.hold(value as f64) { json } else { bounds.min.map(|min| Value::from(min.ceil() as i64)) }
    }

    /// A number; one out of range is reported and goes on as it is.
    pub(crate) fn number(&mut self, value: f64, bounds: &Bounds, at: &str) -> Value {
        if !bounds.hold(value) {
            self.out_of_range(&value.to_string(), bounds, at);
        }
        Value::from(value)
    }

    fn out_of_range(&mut self, value: &str, bounds: &Bounds, at: &str) {
        let message = format!("{} is out of range: {value}", called(at));
        let must = bounds.describe();
        let must = if must.is_empty() { "too large".to_owned() } else { format!("must be {must}") };
        self.error(Diagnostic::error(Code::OutOfRange, message).at(at, must));
    }

    fn word(&mut self, words: &[Word], text: &str, node: &Node, at: &str) -> Option<Value> {
        match words.iter().find(|word| word.text == text) {
            Some(word) if word.later => {
                self.error(not_supported(&format!("`{text}`")).at(at, ""));
                None
            }
            Some(_) => Some(Value::from(text)),
            None => {
                let noun = Shape::Word(words.to_vec()).noun();
                let message = format!("{} takes {noun}, not {}", called(at), shown(node));
                let label = match nearest(text, words.iter().map(|word| word.text.as_str())).first() {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("expected {noun}"),
                };
                self.error(Diagnostic::error(Code::WrongType, message).at(at, label));
                None
            }
        }
    }
}

/// The number that a text begins with, if a word comes behind it.
fn before_unit(text: &str) -> Option<&str> {
    let cuts = text.char_indices().map(|(at, _)| at).filter(|at| *at > 0);
    let (number, unit) =
        cuts.rev().map(|at| text.split_at(at)).find(|(number, _)| scalars::number(number).is_some())?;
    unit.trim().chars().all(char::is_alphabetic).then(|| number.trim_end())
}

/// What to write instead of a number with a unit.
fn without_unit(number: &str, bounds: &Bounds) -> String {
    if scalars::number(number).is_some_and(|value| bounds.hold(value)) {
        format!("numbers have no unit; `{number}` alone is one")
    } else {
        format!("numbers have no unit, and this one must be {}", bounds.describe())
    }
}
