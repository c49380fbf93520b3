//! The order of keys, from the shapes of the language.

use super::super::choice::{bare_term, short_form};
use super::super::place::Place;
use super::super::shape::{Choice, KindShape, Record, Shape};
use super::super::tree::{Entry, Node, Yaml};
use super::read::{Pair, What};
use crate::diag::Source;
use std::sync::Arc;

/// What is known about a place.
#[derive(Clone, Copy)]
pub(super) enum Keys<'l> {
    /// Nothing, or the names are the user's.
    Unknown,
    /// A shape, which may be a map of several forms.
    Shape(&'l Shape),
    /// A map from free names.
    Free(&'l Shape),
    /// Known keys.
    Record(&'l Record),
    /// A kind first, then the generic keys beside it.
    Choice(&'l Choice),
    /// Named terms.
    Terms(&'l Choice),
    /// The configuration of a kind.
    Kind(&'l KindShape, &'l Choice),
}

impl<'l> Keys<'l> {
    /// The form that a map with these entries has.
    pub(super) fn of_map(self, pairs: &[Pair]) -> Self {
        let shape = match self {
            Self::Shape(shape) => shape,
            Self::Kind(kind, choice) => match short_form(kind, choice, &map(pairs)) {
                Some(field) => return Self::Shape(&field.shape).of_map(pairs),
                None => return self,
            },
            known => return known,
        };
        match shape {
            Shape::Nullable(inner) | Shape::NoMap(inner, _) | Shape::OneOrMany(inner) => {
                Self::Shape(inner).of_map(pairs)
            }
            Shape::Record(record) | Shape::Freeze(record) | Shape::Transforming(_, record) | Shape::Weight(record) => {
                Self::Record(record)
            }
            Shape::Map(values) => Self::Free(values),
            Shape::Choice(choice) | Shape::Penalties(choice) => Self::Choice(choice),
            Shape::Terms(choice) => match map(pairs).entries().and_then(|entries| bare_term(choice, entries)) {
                Some(_) => Self::Choice(choice),
                None => Self::Terms(choice),
            },
            Shape::AnyOf(shapes) => {
                let forms = shapes.iter().map(|shape| Self::Shape(shape).of_map(pairs));
                let known = |form: &Self| pairs.iter().any(|pair| form.rank(pair.name()).is_some());
                forms
                    .clone()
                    .find(known)
                    .or_else(|| forms.clone().find(|form| matches!(form, Self::Free(_))))
                    .unwrap_or(Self::Unknown)
            }
            _ => Self::Unknown,
        }
    }

    /// What stands under a key.
    pub(super) fn value(self, key: &str) -> Self {
        let of = |record: &'l Record| record.field(key).map(|field| Self::Shape(&field.shape));
        let known = match self {
            Self::Record(record) => of(record),
            Self::Free(values) => Some(Self::Shape(values)),
            Self::Terms(choice) => Some(Self::Choice(choice)),
            Self::Choice(choice) => {
                of(&choice.beside).or_else(|| choice.kinds.get(key).map(|kind| Self::Kind(kind, choice)))
            }
            Self::Kind(kind, choice) => of(&kind.config).or_else(|| {
                choice.inside.iter().find(|field| field.name == key).map(|field| Self::Shape(&field.shape))
            }),
            Self::Unknown | Self::Shape(_) => None,
        };
        known.unwrap_or(Self::Unknown)
    }

    /// What an item of a list is.
    pub(super) fn item(self, at: usize) -> Self {
        let shape = match self {
            Self::Shape(shape) => shape,
            Self::Kind(kind, _) => match kind.short_field() {
                Some(field) => &field.shape,
                None => return Self::Unknown,
            },
            _ => return Self::Unknown,
        };
        match shape {
            Shape::Nullable(inner) | Shape::NoMap(inner, _) => Self::Shape(inner).item(at),
            Shape::List(item, ..) | Shape::OneOrMany(item) => Self::Shape(item),
            Shape::Tuple(items) => items.get(at).map_or(Self::Unknown, Self::Shape),
            Shape::Penalties(choice) | Shape::Transforming(choice, _) => Self::Choice(choice),
            Shape::AnyOf(shapes) => {
                let mut items = shapes.iter().map(|shape| Self::Shape(shape).item(at));
                items.find(|item| !matches!(item, Self::Unknown)).unwrap_or(Self::Unknown)
            }
            _ => Self::Unknown,
        }
    }

    /// Where a key stands among those of the language; merge keys come first.
    fn rank(self, key: &str) -> Option<usize> {
        let place = |record: &Record| {
            let later = || record.later.iter().position(|name| *name == key).map(|at| record.fields.len() + at);
            record.fields.iter().position(|field| field.name == key).or_else(later).map(|at| at + 1)
        };
        match self {
            _ if key == "<<" => Some(0),
            Self::Record(record) => place(record),
            Self::Choice(choice) => {
                place(&choice.beside).map(|at| at + 1).or_else(|| choice.kinds.knows(key).then_some(1))
            }
            // What it looks at, then how.
            Self::Kind(kind, choice) => {
                let inside = choice.inside.iter().position(|field| field.name == key).map(|at| at + 1);
                inside.or_else(|| place(&kind.config).map(|at| at + choice.inside.len()))
            }
            Self::Unknown | Self::Shape(_) | Self::Free(_) | Self::Terms(_) => None,
        }
    }

    /// The entries in order: those of the language, then what it does not know, as it stands. `None` where that is how they stand.
    pub(super) fn order(self, pairs: &[Pair]) -> Option<Vec<usize>> {
        if matches!(self, Self::Unknown | Self::Shape(_) | Self::Free(_) | Self::Terms(_)) {
            return None;
        }
        let mut order: Vec<usize> = (0..pairs.len()).collect();
        order.sort_by_cached_key(|at| self.rank(pairs[*at].name()).unwrap_or(usize::MAX));
        (!order.is_sorted()).then_some(order)
    }
}

/// The entries as the walker sees them, two levels deep, to ask what form they have.
fn map(pairs: &[Pair]) -> Node {
    let source = Arc::new(Source { name: String::new(), text: String::new() });
    nested(pairs, &Place { source, range: 0..0 }, 2)
}

fn nested(pairs: &[Pair], place: &Place, levels: usize) -> Node {
    let value = |pair: &Pair| match &pair.value.what {
        What::Map { pairs, .. } if levels > 1 => nested(pairs, place, levels - 1),
        What::Map { .. } => Node::new(place.clone(), Yaml::Map(vec![])),
        What::List(_) => Node::new(place.clone(), Yaml::List(vec![])),
        _ => Node::empty(place.clone()),
    };
    let entry = |pair: &Pair| Entry { key: pair.name().to_owned(), key_place: place.clone(), value: value(pair) };
    Node::new(place.clone(), Yaml::Map(pairs.iter().map(entry).collect()))
}
