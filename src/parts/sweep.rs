//! Sweeps over the rows of all families: names, pages and schemas hold what other rooms count on.

use super::*;

fn sweep<F: Family>() {
    let rows = F::rows();
    assert!(rows.windows(2).all(|pair| pair[0].kind.name < pair[1].kind.name), "{} rows are sorted by name", F::NAME);
    for Row { kind, build } in rows {
        let page = kind.doc;
        assert!(page.contains("```yaml") && page.contains(kind.name), "the page of `{}` has an example", kind.name);
        let schema = (kind.schema)(&mut SchemaGenerator::default()).to_value();
        assert_eq!(schema["additionalProperties"], false, "`{}` is closed", kind.name);
        let none = serde_json::Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&none);
        for (key, property) in properties {
            assert!(property["description"].is_string(), "`{}.{key}` is documented", kind.name);
            assert!(!property.to_string().contains("$ref"), "`{}.{key}` stands by itself", kind.name);
        }
        if let Some(short) = kind.short {
            assert!(properties.contains_key(short), "`{}` has no `{short}`", kind.name);
        }
        assert!(build(&serde_json::json!({"no_such_key": 1})).is_err(), "`{}` is closed", kind.name);
        assert!(build(&Value::Null).is_err() && build(&serde_json::json!([1, "x"])).is_err(), "`{}`", kind.name);
    }
}

#[test]
fn every_row_keeps_its_promises() {
    sweep::<initializers::Initializers>();
    sweep::<layers::Layers>();
    sweep::<losses::Losses>();
    sweep::<metrics::Metrics>();
    sweep::<optimizers::Optimizers>();
    sweep::<regularizers::Regularizers>();
    sweep::<schedules::Schedules>();
}
