//! The JSON Schema of a policy document, made from the table that the parser reads by.
//!
//! For editors and for whoever writes policies by program. It refuses no policy that the parser accepts; the parser knows
//! more, so that what it lets through may still be wrong.

use serde_json::{Map, Value, json};

use super::language::{Beside, DOCUMENT, Has, Key, Kind, Mapping, NAME, Shape, Text};

/// The schema (2020-12), which names no other document.
pub fn schema() -> Value {
    let mut defined = Map::new();
    let document = mapping(&DOCUMENT, &mut defined);
    let mut schema = Map::new();
    schema.insert(
        "$schema".into(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    schema.insert("title".into(), json!("Stayhand policy"));
    schema.extend(document);
    schema.insert("$defs".into(), Value::Object(defined));
    Value::Object(schema)
}

type Schema = Map<String, Value>;

fn of(pairs: impl IntoIterator<Item = (&'static str, Value)>) -> Schema {
    let pairs = pairs.into_iter();
    pairs.map(|(key, value)| (key.to_owned(), value)).collect()
}

fn mapping(mapping: &Mapping, defined: &mut Schema) -> Schema {
    let mut schema = of([
        ("description", json!(mapping.says)),
        ("type", json!("object")),
    ]);
    let required: Vec<&str> = mapping
        .keys
        .iter()
        .filter(|key| key.required)
        .map(|key| key.name)
        .collect();
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    let mut properties = Map::new();
    for key in mapping.keys {
        let mut value = of([("description", json!(key.says))]);
        value.extend(shape(&key.value, defined));
        properties.insert(key.name.into(), Value::Object(value));
    }
    schema.insert("properties".into(), Value::Object(properties));
    schema.insert("additionalProperties".into(), json!(false));
    let each =
        |keys: &[&str]| -> Value { keys.iter().map(|key| json!({"required": [key]})).collect() };
    match mapping.has {
        Has::Anything => {}
        Has::OneOf(keys) => {
            schema.insert("oneOf".into(), each(keys));
        }
        Has::SomeOf(keys) => {
            schema.insert("anyOf".into(), each(keys));
        }
    }
    schema.extend(conditions(mapping.keys));
    schema
}

/// What has to stand beside what.
fn conditions(keys: &[Key]) -> Schema {
    let (mut required, mut words) = (Map::new(), Vec::new());
    for key in keys {
        match key.beside {
            Beside::Anything => {}
            Beside::Key(other) => {
                required.insert(key.name.into(), json!([other]));
            }
            Beside::Word(other, word) => words.push(json!({
                "if": { "required": [key.name] },
                "then": { "properties": { other: { "const": word } } },
            })),
        }
    }
    let mut schema = Map::new();
    if !required.is_empty() {
        schema.insert("dependentRequired".into(), Value::Object(required));
    }
    if !words.is_empty() {
        schema.insert("allOf".into(), Value::Array(words));
    }
    schema
}

fn shape(value: &Shape, defined: &mut Schema) -> Schema {
    match value {
        Shape::Text(text) => self::text(text),
        Shape::Word(words) => of([("enum", json!(words()))]),
        Shape::Flag => of([("type", json!("boolean"))]),
        Shape::List { of, min, max } => list(of, *min, *max, false, defined),
        Shape::OneOrList {
            of: item,
            max,
            differ,
        } => {
            let one = Value::Object(shape(item, defined));
            let differ = *differ && has_one_form(item);
            let list = Value::Object(list(item, 1, *max, differ, defined));
            of([("anyOf", json!([one, list]))])
        }
        Shape::Call {
            program,
            argument,
            max,
        } => {
            let one = Value::Object(shape(program, defined));
            let mut list = list(argument, 1, *max, false, defined);
            list.insert("prefixItems".into(), json!([one]));
            of([("anyOf", json!([one, Value::Object(list)]))])
        }
        Shape::Mapping(inner) => reference(inner, defined),
        Shape::Either { one, mapping } => {
            let one = Value::Object(shape(one, defined));
            let mapping = Value::Object(reference(mapping, defined));
            of([("anyOf", json!([one, mapping]))])
        }
        Shape::Named { of: item, max } => of([
            ("type", json!("object")),
            ("minProperties", json!(1)),
            ("maxProperties", json!(max)),
            ("propertyNames", Value::Object(self::text(&NAME))),
            ("additionalProperties", Value::Object(shape(item, defined))),
        ]),
    }
}

fn reference(inner: &Mapping, defined: &mut Schema) -> Schema {
    if !defined.contains_key(inner.name) {
        // The place is taken first: definitions stand in the order in which they are met.
        defined.insert(inner.name.into(), Value::Null);
        let schema = mapping(inner, defined);
        defined.insert(inner.name.into(), Value::Object(schema));
    }
    of([("$ref", json!(format!("#/$defs/{}", inner.name)))])
}

fn list(item: &Shape, min: usize, max: usize, differ: bool, defined: &mut Schema) -> Schema {
    let mut schema = of([
        ("type", json!("array")),
        ("minItems", json!(min)),
        ("maxItems", json!(max)),
        ("items", Value::Object(shape(item, defined))),
    ]);
    if differ {
        schema.insert("uniqueItems".into(), json!(true));
    }
    schema
}

/// Whether two items that YAML takes for the same are the same to the parser: it tells `1` from `1.0`.
fn has_one_form(item: &Shape) -> bool {
    match item {
        Shape::Text(text) => text.kind == Kind::Text,
        Shape::Word(_) => true,
        _ => false,
    }
}

fn text(text: &Text) -> Schema {
    let kinds = match text.kind {
        Kind::Text => json!("string"),
        Kind::Number => json!(["integer", "string"]),
        Kind::Scalar => json!(["string", "number", "boolean"]),
        Kind::Anything => json!(["string", "number", "boolean", "null"]),
    };
    let mut schema = of([("type", kinds)]);
    if let Some(pattern) = text.pattern {
        schema.insert("pattern".into(), json!(pattern));
    }
    if text.min > 0 {
        schema.insert("minLength".into(), json!(text.min));
    }
    if let Some(max) = text.max {
        schema.insert("maxLength".into(), json!(max));
    }
    if !text.examples.is_empty() {
        schema.insert("examples".into(), json!(text.examples));
    }
    schema
}
