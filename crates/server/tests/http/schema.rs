//! Checks values against the schemas of the API's document: as much of JSON Schema as it uses.

use serde_json::Value;

/// Everything wrong with `value`.
pub fn wrong(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let found = document.pointer(reference.trim_start_matches('#'));
        return wrong(document, found.unwrap_or_else(|| panic!("no {reference}")), value, at);
    }
    let mut all = Vec::new();
    for key in schema.as_object().into_iter().flat_map(|it| it.keys()) {
        let known = [
            "type",
            "properties",
            "required",
            "items",
            "enum",
            "const",
            "oneOf",
            "allOf",
            "description",
            "format",
            "minimum",
            "maximum",
            "minLength",
            "maxLength",
            "maxItems",
            "additionalProperties",
            "title",
        ];
        assert!(known.contains(&key.as_str()), "{at}: {key} is not checked here");
    }
    for one in schema["allOf"].as_array().into_iter().flatten() {
        all.extend(wrong(document, one, value, at));
    }
    if let Some(options) = schema["oneOf"].as_array() {
        let fits = options.iter().filter(|one| wrong(document, one, value, at).is_empty()).count();
        if fits != 1 {
            all.push(format!("{at}: {value} fits {fits} of {}", options.len()));
        }
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = |kind: &&str| match *kind {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other}"),
    };
    if !kinds.is_empty() && !kinds.iter().any(is) {
        all.push(format!("{at}: {value} is no {kinds:?}"));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        all.push(format!("{at}: {value} is none of {}", schema["enum"]));
    }
    if schema.get("const").is_some_and(|only| only != value) {
        all.push(format!("{at}: {value} is not {}", schema["const"]));
    }
    if let (Some(least), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
        && number < least
    {
        all.push(format!("{at}: {value} is below {least}"));
    }
    for (place, item) in value.as_array().into_iter().flatten().enumerate() {
        if schema.get("items").is_some() {
            all.extend(wrong(document, &schema["items"], item, &format!("{at}[{place}]")));
        }
    }
    if let Some(fields) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                all.push(format!("{at}: {name} is missing"));
            }
        }
        let declared = schema["properties"].as_object();
        for (name, value) in fields {
            match declared.and_then(|it| it.get(name)) {
                Some(schema) => all.extend(wrong(document, schema, value, &format!("{at}.{name}"))),
                None if declared.is_some() => all.push(format!("{at}: {name} is not described")),
                None => {}
            }
        }
    }
    all
}

#[test]
fn what_does_not_fit_is_found() {
    let document = serde_json::json!({ "components": { "a": { "type": "string", "enum": ["x"] } } });
    let schema = serde_json::json!({
        "type": "object", "required": ["n"],
        "properties": { "n": { "type": ["integer", "null"], "minimum": 0 }, "a": { "$ref": "#/components/a" } },
    });
    let of = |value: Value| wrong(&document, &schema, &value, "it").len();
    assert_eq!(of(serde_json::json!({ "n": 1, "a": "x" })), 0);
    assert_eq!(of(serde_json::json!({ "n": null })), 0);
    assert_eq!(of(serde_json::json!({ "n": -1, "a": "y" })), 2);
    assert_eq!(of(serde_json::json!({ "n": "1", "more": 1 })), 2);
    assert_eq!(of(serde_json::json!({})), 1);
}
