//! The attributes of a schema as a table.

use super::{cell, text};
use serde_json::Value;
use std::{collections::BTreeSet, fmt::Write as _};

/// Where a schema may hold further attributes of the same object.
const BRANCHES: [&str; 6] = ["oneOf", "anyOf", "allOf", "then", "else", "if"];

/// What a value is bound by, and how that is written.
const BOUNDS: [(&str, &str); 12] = [
    ("minimum", "≥ "),
    ("exclusiveMinimum", "> "),
    ("maximum", "≤ "),
    ("exclusiveMaximum", "< "),
    ("minLength", "length ≥ "),
    ("maxLength", "length ≤ "),
    ("minItems", "items ≥ "),
    ("maxItems", "items ≤ "),
    ("minProperties", "entries ≥ "),
    ("maxProperties", "entries ≤ "),
    ("pattern", "matches "),
    ("format", "format "),
];

/// Whether an object must have an attribute.
#[derive(Clone, Copy)]
enum Required {
    No,
    /// In some branch of the schema only.
    InItsCase,
    Yes,
}

/// A row of the table.
struct Row {
    name: String,
    required: Required,
    schema: Value,
}

/// The table, and below it what the object needs as a whole. Attributes of inner objects have dotted names, those of
/// the items of lists follow `[]`, and `*` stands for any name.
pub(super) fn table(schema: &Value) -> String {
    let mut rows = Vec::new();
    collect("", schema, Required::Yes, &mut rows);
    if rows.is_empty() {
        return "There are none.\n".to_owned();
    }
    let mut table =
        "| Name | Type | Required | Default | Bounds | Description |\n|---|---|---|---|---|---|\n".to_owned();
    for row in &rows {
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} |",
            code(&row.name),
            cell(&type_of(&row.schema)),
            match row.required {
                Required::No => "",
                Required::InItsCase => "in its case",
                Required::Yes => "yes",
            },
            row.schema.get("default").map_or_else(String::new, |default| code(&default.to_string())),
            bounds(&row.schema),
            cell(text(&row.schema, "description")),
        );
    }
    for (key, words) in [("oneOf", "Exactly one"), ("anyOf", "At least one")] {
        let choices: Vec<String> = list(schema, key).map(needed).filter(|names| !names.is_empty()).collect();
        if !choices.is_empty() {
            let _ = writeln!(table, "\n{words} of these is needed: {}.", choices.join("; "));
        }
    }
    table
}

/// The names that a branch requires.
fn needed(branch: &Value) -> String {
    list(branch, "required").filter_map(Value::as_str).map(code).collect::<Vec<_>>().join(" and ")
}

/// `if_named` is what attributes are that the schema requires.
fn collect(at: &str, schema: &Value, if_named: Required, rows: &mut Vec<Row>) {
    let required: BTreeSet<&str> = list(schema, "required").filter_map(Value::as_str).collect();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        add(
            &format!("{at}{name}"),
            if required.contains(name.as_str()) { if_named } else { Required::No },
            property,
            rows,
        );
    }
    for property in schema["patternProperties"].as_object().into_iter().flat_map(|object| object.values()) {
        add(&format!("{at}*"), Required::No, property, rows);
    }
    if schema["additionalProperties"].is_object() {
        add(&format!("{at}*"), Required::No, &schema["additionalProperties"], rows);
    }
    for key in BRANCHES {
        let if_named = if key == "allOf" { if_named } else { Required::InItsCase };
        let branches = list(schema, key).chain(schema.get(key).filter(|branch| branch.is_object()));
        branches.for_each(|branch| collect(at, branch, if_named, rows));
    }
}

/// A property and what is in it. What several branches say of a name counts once.
fn add(name: &str, required: Required, property: &Value, rows: &mut Vec<Row>) {
    if !rows.iter().any(|row| row.name == name) && is_telling(property) {
        rows.push(Row { name: name.to_owned(), required, schema: property.clone() });
    }
    collect(&format!("{name}."), property, Required::Yes, rows);
    let branches = list(property, "oneOf").chain(list(property, "anyOf"));
    for items in std::iter::once(property).chain(branches).filter_map(|schema| schema.get("items")) {
        collect(&format!("{name}[]."), items, Required::Yes, rows);
    }
}

/// A property below an `if` or a `not` often says a name or a constant only.
fn is_telling(property: &Value) -> bool {
    ["type", "description", "oneOf", "anyOf", "enum", "default"].iter().any(|key| property.get(key).is_some())
}

fn type_of(schema: &Value) -> String {
    let mut names = Vec::new();
    types(schema, &mut names);
    names.dedup();
    names.join(" or ")
}

fn types(schema: &Value, names: &mut Vec<String>) {
    let items = type_of_items(schema);
    match &schema["type"] {
        Value::String(name) if name == "array" && !items.is_empty() => names.push(format!("array of {items}")),
        Value::String(name) => names.push(name.clone()),
        Value::Array(list) => names.extend(list.iter().filter_map(|name| name.as_str().map(str::to_owned))),
        _ => {
            list(schema, "oneOf").chain(list(schema, "anyOf")).for_each(|branch| types(branch, names));
            if names.is_empty()
                && let Some(first) = list(schema, "enum").next()
            {
                names.push(kind_of(first).to_owned());
            }
        }
    }
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
}

fn type_of_items(schema: &Value) -> String {
    schema.get("items").map(type_of).unwrap_or_default()
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn bounds(schema: &Value) -> String {
    let mut bounds = Vec::new();
    let values = |schema: &Value| list(schema, "enum").map(|value| code(&value.to_string())).collect::<Vec<_>>();
    let allowed = values(schema);
    if !allowed.is_empty() {
        bounds.push(format!("one of {}", allowed.join(", ")));
    }
    let allowed = values(&schema["items"]);
    if !allowed.is_empty() {
        bounds.push(format!("each one of {}", allowed.join(", ")));
    }
    for (key, words) in BOUNDS {
        match &schema[key] {
            Value::Number(number) => bounds.push(format!("{words}{number}")),
            Value::String(text) => bounds.push(format!("{words}{}", code(text))),
            _ => {}
        }
    }
    if schema["uniqueItems"] == true {
        bounds.push("items differ".to_owned());
    }
    if let Value::String(text) = &schema["items"]["pattern"] {
        bounds.push(format!("each matches {}", code(text)));
    }
    bounds.join("; ")
}

fn list<'a>(schema: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    schema[key].as_array().into_iter().flatten()
}

/// Code in a cell; backticks in it need longer ones around it.
fn code(text: &str) -> String {
    let fence = if text.contains('`') { "``" } else { "`" };
    format!("{fence}{}{fence}", text.replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn attributes_become_rows() {
        let schema = json!({
            "properties": {
                "count": { "description": "how many", "type": "integer", "minimum": 1, "default": 5 },
                "policy": { "description": "a | b", "enum": ["local", "redis"] },
                "nodes": { "type": "array", "items": { "type": "object", "properties": { "host": { "type": "string" } },
                    "required": ["host"] } },
                "labels": { "type": "object", "patternProperties": { ".*": { "oneOf": [{ "type": "string" },
                    { "type": "number" }] } } },
            },
            "required": ["count"],
            "anyOf": [{ "required": ["policy"] }, { "required": ["nodes", "labels"] }],
            "if": { "properties": { "policy": { "const": "redis" } } },
            "then": { "properties": { "redis_host": { "type": "string", "minLength": 2 } },
                "required": ["redis_host"] },
        });
        let expected = "\
| Name | Type | Required | Default | Bounds | Description |
|---|---|---|---|---|---|
| `count` | integer | yes | `5` | ≥ 1 | how many |
| `policy` | string |  |  | one of `\"local\"`, `\"redis\"` | a \\| b |
| `nodes` | array of object |  |  |  |  |
| `nodes[].host` | string | yes |  |  |  |
| `labels` | object |  |  |  |  |
| `labels.*` | string or number |  |  |  |  |
| `redis_host` | string | in its case |  | length ≥ 2 |  |

At least one of these is needed: `policy`; `nodes` and `labels`.
";
        assert_eq!(table(&schema), expected);
    }

    #[test]
    fn a_schema_without_attributes_says_so() {
        assert_eq!(table(&json!({ "type": "object" })), "There are none.\n");
    }
}
