//! Whether an object is what a CustomResourceDefinition's schema says: enough of it to find fields that there are not, wrong types, missing
//! fields and words that are not in a set.

use serde_json::Value;

/// What is wrong, with paths; nothing when the object fits.
pub fn wrong(value: &Value, schema: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    check(value, schema, path, &mut found);
    found
}

fn check(value: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
    if schema["x-kubernetes-int-or-string"] == true {
        return;
    }
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        _ => true,
    };
    if !fits {
        found.push(format!("{path}: {value} is no {}", schema["type"]));
        return;
    }
    if let Some(words) = schema["enum"].as_array().filter(|words| !words.contains(value)) {
        found.push(format!("{path}: {value} is none of {words:?}"));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            found.push(format!("{path}.{name} is missing"));
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        check(item, &schema["items"], &format!("{path}[{index}]"), found);
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        if let Some(known) = schema["properties"].get(name) {
            check(inner, known, &path, found);
        } else if schema["additionalProperties"].is_object() {
            check(inner, &schema["additionalProperties"], &path, found);
        } else if schema["x-kubernetes-preserve-unknown-fields"] != true {
            found.push(format!("{path}: there is no such field"));
        }
    }
}
