//! What a key takes, in words.

use super::super::shape::{Bounds, Field, Shape};

/// Such as `whole number ≥ 1 (epochs)`.
pub(super) fn takes(field: &Field) -> String {
    let unit = field.unit.as_ref().map(|unit| format!(" ({unit})"));
    type_of(&field.shape) + &unit.unwrap_or_default()
}

/// Such as `number > 0`.
fn type_of(shape: &Shape) -> String {
    match shape {
        Shape::Any => "anything".to_owned(),
        Shape::Bool => "true or false".to_owned(),
        Shape::Integer(bounds) => bounded("whole number", bounds),
        Shape::Number(bounds) => bounded("number", bounds),
        Shape::Text => "text".to_owned(),
        Shape::Word(words) => {
            words.iter().filter(|word| !word.later).map(|word| word.text.as_str()).collect::<Vec<_>>().join(" | ")
        }
        Shape::List(item, least, most) => listed(item, *least, *most),
        Shape::Tuple(items) => match items.as_slice() {
            [first, rest @ ..] if rest.iter().all(|item| type_of(item) == type_of(first)) => {
                format!("list of {}, each a {}", items.len(), type_of(first))
            }
            items => format!("list of {}", items.len()),
        },
        Shape::Map(values) => format!("map of names to: {}", type_of(values)),
        Shape::Nullable(inner) | Shape::NoMap(inner, _) => type_of(inner),
        Shape::OneOrMany(inner) => format!("{}, or a list of them", type_of(inner)),
        Shape::AnyOf(shapes) => shapes.iter().map(type_of).collect::<Vec<_>>().join(", or "),
        Shape::Bytes => "bytes".to_owned(),
        Shape::Choice(choice) => choice.kinds.noun.to_owned(),
        Shape::Terms(choice) => format!("{0}, or a map of names to: {0}", choice.kinds.noun),
        Shape::Penalties(choice) => format!("{}, or a list of them", choice.kinds.noun),
        other => other.noun().trim_start_matches("a ").trim_start_matches("an ").replace('`', ""),
    }
}

fn bounded(name: &str, bounds: &Bounds) -> String {
    if let Bounds { min: Some(min), max: Some(max), open_min: false, open_max: false } = bounds {
        return format!("{name} from {min} to {max}");
    }
    let low = bounds.min.map(|min| format!(" {} {min}", if bounds.open_min { ">" } else { "≥" }));
    let high = bounds.max.map(|max| format!(" {} {max}", if bounds.open_max { "<" } else { "≤" }));
    let both = if low.is_some() && high.is_some() { " and" } else { "" };
    format!("{name}{}{both}{}", low.unwrap_or_default(), high.unwrap_or_default())
}

fn listed(item: &Shape, least: usize, most: Option<usize>) -> String {
    let of = format!("list of: {}", type_of(item));
    match (least, most) {
        (0, None) => of,
        (1, None) => format!("{of}; not empty"),
        (least, Some(most)) if least == most => format!("{of}; {most} of them"),
        (least, Some(most)) => format!("{of}; {least} to {most} of them"),
        (least, None) => format!("{of}; at least {least}"),
    }
}

/// What the words of a key mean, where that is said.
pub(super) fn words(shape: &Shape) -> Vec<(&str, &str)> {
    match shape {
        Shape::Word(words) => words
            .iter()
            .filter(|word| !word.later && !word.doc.is_empty())
            .map(|word| (word.text.as_str(), word.doc.as_str()))
            .collect(),
        Shape::Nullable(inner) | Shape::OneOrMany(inner) | Shape::NoMap(inner, _) => words(inner),
        Shape::AnyOf(shapes) => shapes.iter().flat_map(words).collect(),
        _ => Vec::new(),
    }
}
