//! The JSON report against docs/report.schema.json, and the example of docs/REPORT.md.
//!
//! The checker knows the part of JSON Schema that our schema uses, and fails on any other keyword,
//! so that no rule of the schema is passed over in silence.

use mmtrace_fixtures::{corpus, generate};
use serde_json::{Map, Value, json};

use crate::logs::{log_of, report_of, report_of_log};

fn document(name: &str) -> String {
    let path = format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn schema() -> Value {
    serde_json::from_str(&document("report.schema.json")).unwrap()
}

/// What is wrong with `value`; empty if nothing is.
fn faults(root: &Value, schema: &Value, value: &Value, at: &str, faults_: &mut Vec<String>) {
    for (keyword, rule) in schema.as_object().unwrap() {
        let is_met = match keyword.as_str() {
            // The schema lets keys be added; the test does not, or the documents would lag behind.
            "$schema" | "$id" | "$defs" | "title" | "description" | "additionalProperties" => true,
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                let found = root["$defs"].get(name).unwrap_or_else(|| panic!("no {name}"));
                faults(root, found, value, at, faults_);
                true
            }
            "type" => is_of_type(rule, value),
            "const" => rule == value,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
            "pattern" => matches(rule.as_str().unwrap(), value),
            "maxItems" => {
                value.as_array().is_none_or(|items| items.len() as u64 <= rule.as_u64().unwrap())
            }
            "items" => {
                for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                    faults(root, rule, item, &format!("{at}/{place}"), faults_);
                }
                true
            }
            "required" => rule.as_array().unwrap().iter().all(|key| {
                value.as_object().is_none_or(|object| object.contains_key(key.as_str().unwrap()))
            }),
            "properties" => {
                for (key, item) in value.as_object().into_iter().flatten() {
                    if let Some(rule) = rule.get(key) {
                        faults(root, rule, item, &format!("{at}/{key}"), faults_);
                    }
                }
                true
            }
            "oneOf" => {
                let fits = |option: &&Value| {
                    let mut found = Vec::new();
                    faults(root, option, value, at, &mut found);
                    found.is_empty()
                };
                rule.as_array().unwrap().iter().filter(fits).count() == 1
            }
            unknown => panic!("the checker does not know the keyword {unknown}"),
        };
        if !is_met {
            faults_.push(format!("{at}: {keyword} {rule} is not met by {value}"));
        }
    }
    unknown_keys(schema, value, at, faults_);
}

fn unknown_keys(schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    let (Some(known), Some(object)) = (schema.get("properties"), value.as_object()) else { return };
    for key in object.keys().filter(|key| known.get(key).is_none()) {
        faults.push(format!("{at}: the schema does not document {key}"));
    }
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("no type is called {other}"),
    };
    match rule {
        Value::Array(names) => names.iter().any(|name| is(name.as_str().unwrap())),
        name => is(name.as_str().unwrap()),
    }
}

/// The three patterns that the schema uses.
fn matches(pattern: &str, value: &Value) -> bool {
    let Some(text) = value.as_str() else { return true };
    let all = |text: &str, is: fn(char) -> bool| !text.is_empty() && text.chars().all(is);
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    match pattern {
        "^[0-9a-f]{16}$" => text.len() == 16 && all(text, is_hex),
        "^0x[0-9a-f]+$" => text.strip_prefix("0x").is_some_and(|rest| all(rest, is_hex)),
        "^t[0-9]+#[0-9]+$" => text
            .strip_prefix('t')
            .and_then(|rest| rest.split_once('#'))
            .is_some_and(|(a, b)| all(a, |c| c.is_ascii_digit()) && all(b, |c| c.is_ascii_digit())),
        other => panic!("the checker does not know the pattern {other}"),
    }
}

fn faults_of(value: &Value) -> Vec<String> {
    let schema = schema();
    let mut found = Vec::new();
    faults(&schema, &schema, value, "", &mut found);
    found
}

#[test]
fn reports_on_random_traces_and_on_the_corpus_fit_the_schema() {
    let mut with_findings = 0;
    for seed in 0..40 {
        let report = report_of_log(&log_of(&generate::random_trace(seed, 200)));
        with_findings += u32::from(!report.findings.is_empty());
        assert_eq!(faults_of(&serde_json::to_value(&report).unwrap()), [""; 0], "seed {seed}");
    }
    assert!(with_findings > 10, "only {with_findings} reports had findings");
    for case in corpus::traces() {
        let report = report_of_log(&log_of(&case.trace()));
        assert_eq!(faults_of(&serde_json::to_value(&report).unwrap()), [""; 0]);
    }
}

#[test]
fn the_checker_sees_what_does_not_fit() {
    let mut report = serde_json::to_value(report_of("t0 write x")).unwrap();
    let spoil = |report: &Value, key: &str, value: Value| {
        let mut object: Map<String, Value> = report.as_object().unwrap().clone();
        object.insert(key.to_owned(), value);
        faults_of(&Value::Object(object))
    };
    assert!(faults_of(&report).is_empty());
    assert!(!spoil(&report, "verdict", json!("fine")).is_empty());
    assert!(!spoil(&report, "schema", json!({"name": "mmtrace-report", "version": 2})).is_empty());
    assert!(!spoil(&report, "surprise", json!(1)).is_empty());
    report.as_object_mut().unwrap().remove("summary");
    assert!(!faults_of(&report).is_empty());
}

/// The story of docs/REPORT.md, and the report that it shows.
#[test]
fn the_documents_example_is_a_real_report() {
    let text = document("REPORT.md");
    let block = |opening: &str| {
        let (_, rest) = text.split_once(opening).unwrap_or_else(|| panic!("no {opening}"));
        rest.split_once("\n```").unwrap().0.trim_start_matches('\n').to_owned()
    };
    let report = report_of(&block("```text"));
    let mut shown = serde_json::to_string_pretty(&report).unwrap();
    if std::env::var_os("MMTRACE_BLESS").is_some() {
        let old = block("```json");
        let path = format!("{}/../docs/REPORT.md", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, text.replacen(&old, &shown, 1)).unwrap();
        shown = old;
    }
    assert_eq!(block("```json"), shown);
}
