//! JSON as text: what is short stands on one line, so that a long schema can be read and its changes seen.

use serde_json::Value;

/// Widest line that holds a whole value.
const WIDTH: usize = 140;

/// The text, with a newline at its end.
pub(super) fn text(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    out.push('\n');
    out
}

fn write(value: &Value, indent: usize, out: &mut String) {
    let start = out.len();
    line(value, out);
    let column = start - out[..start].rfind('\n').map_or(0, |at| at + 1);
    if column + (out.len() - start) <= WIDTH {
        return;
    }
    let inner = " ".repeat(indent + 1);
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.truncate(start);
            for (at, (key, value)) in map.iter().enumerate() {
                out.push_str(if at == 0 { "{\n" } else { ",\n" });
                out.push_str(&inner);
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push_str(": ");
                write(value, indent + 1, out);
            }
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            out.push('}');
        }
        Value::Array(items) if !items.is_empty() => {
            out.truncate(start);
            for (at, value) in items.iter().enumerate() {
                out.push_str(if at == 0 { "[\n" } else { ",\n" });
                out.push_str(&inner);
                write(value, indent + 1, out);
            }
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            out.push(']');
        }
        _ => {}
    }
}

/// All of it on one line.
fn line(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (at, (key, value)) in map.iter().enumerate() {
                out.push_str(if at == 0 { "{ " } else { ", " });
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push_str(": ");
                line(value, out);
            }
            out.push_str(" }");
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, value) in items.iter().enumerate() {
                out.push_str(if at == 0 { "[" } else { ", " });
                line(value, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn short_values_stand_on_one_line_and_nothing_is_lost() {
        let long = "x".repeat(70);
        let value =
            json!({ "a": { "b": [1, 2.5, null, true] }, "c": [{ "d": long }, { "d": long }, [], {}], "e": "\"\n" });
        let text = text(&value);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert!(text.starts_with("{\n \"a\": { \"b\": [1, 2.5, null, true] },\n \"c\": [\n  { \"d\": "));
        assert!(text.ends_with("\n}\n"));
        assert_eq!(super::text(&super::super::schema()).matches('\t').count(), 0);
    }
}
