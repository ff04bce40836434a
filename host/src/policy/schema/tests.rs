//! Schemas as tables: settings and what is wrong with them, and texts that are no schema.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

#[track_caller]
fn check(schema: &Value, settings: &Value, expected: &[&str]) {
    let schema = Schema::parse(schema.to_string().as_bytes()).expect("a schema");
    let found: Vec<String> = schema.check(settings).iter().map(ToString::to_string).collect();
    assert_eq!(found, expected, "{settings}");
}

#[test]
fn values() {
    let text = json!({"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^[a-z]+$"});
    check(&text, &json!("ab"), &[]);
    check(&text, &json!("äb"), &["must match ^[a-z]+$"]);
    check(&text, &json!("a"), &["has 1 characters, at least 2 are needed"]);
    check(&text, &json!("abcd"), &["has 4 characters, at most 3 are taken"]);
    check(&text, &json!(7), &["expected text, found a number"]);
    let number = json!({"type": ["integer", "null"], "minimum": 1, "maximum": 3});
    check(&number, &json!(null), &[]);
    check(&number, &json!(3), &[]);
    check(&number, &json!(2.0), &[]);
    check(&number, &json!(2.5), &["expected a whole number or nothing, found a number"]);
    check(&number, &json!(0), &["must be at least 1"]);
    check(&number, &json!(4), &["must be at most 3"]);
    check(&json!({"enum": ["a", 1]}), &json!("b"), &["must be \"a\" or 1"]);
    check(&json!({"const": true}), &json!(false), &["must be true"]);
    check(&json!({"const": "\u{202e}"}), &json!(1), &[r#"must be "\u{202e}""#]);
    let cut = format!("must be \"{}…", "x".repeat(1012));
    check(&json!({"const": "x".repeat(2000)}), &json!(1), &[&cut]);
    check(&json!(true), &json!({"anything": []}), &[]);
    let either = json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]});
    check(&either, &json!(["a"]), &[]);
    check(&either, &json!([1]), &["fits none of the forms that this may have"]);
}

#[test]
fn lists_and_maps() {
    let list = json!({"items": {"type": "integer"}, "minItems": 1, "maxItems": 2, "uniqueItems": true});
    check(&list, &json!([]), &["has 0 items, at least 1 are needed"]);
    check(&list, &json!([1, "x"]), &["[1]: expected a whole number, found text"]);
    check(&list, &json!([1, 1]), &["[1]: is in the list already"]);
    let map = json!({"type": "object", "additionalProperties": false, "required": ["rules"], "properties": {
        "rules": {"type": "array", "items": {"$ref": "#/$defs/rule"}}
    }, "$defs": {"rule": {"type": "object", "properties": {"role": {"type": "string"}}, "additionalProperties": false}}});
    check(&map, &json!({}), &["the key `rules` is missing"]);
    check(&map, &json!([]), &["expected a map, found a list"]);
    check(
        &map,
        &json!({"rules": [{"role": "a"}, {"rol": 1}]}),
        &["rules[1].rol: unknown key `rol`, did you mean `role`?"],
    );
    check(&map, &json!({"rules": [], "more": 1}), &["more: unknown key `more`"]);
    let table = json!({"propertyNames": {"pattern": "^[0-9]+$"}, "additionalProperties": {"type": "string"},
        "minProperties": 1, "maxProperties": 1});
    check(&table, &json!({"12": "a"}), &[]);
    check(&table, &json!({}), &["has 0 keys, at least 1 are needed"]);
    check(&table, &json!({"x": 1}), &["x: must match ^[0-9]+$", "x: expected text, found a number"]);
    check(
        &json!({"items": {"type": "null"}}),
        &json!([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        &[
            "[0]: expected nothing, found a number",
            "[1]: expected nothing, found a number",
            "[2]: expected nothing, found a number",
            "[3]: expected nothing, found a number",
            "[4]: expected nothing, found a number",
            "[5]: expected nothing, found a number",
            "[6]: expected nothing, found a number",
            "[7]: expected nothing, found a number",
            "[8]: expected nothing, found a number",
            "[9]: expected nothing, found a number",
        ],
    );
}

#[test]
fn what_refers_to_itself_ends() {
    let tree = json!({"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object",
        "additionalProperties": {"$ref": "#/$defs/tree"}}}});
    check(&tree, &json!({"a": {"b": {}}}), &[]);
    check(&tree, &json!({"a": {"b": 1}}), &["a.b: expected a map, found a number"]);
    let endless = json!({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}});
    check(&endless, &json!(1), &["fits none of the forms that this may have"]);
    let many = json!({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}}});
    check(&many, &json!(1), &["fits none of the forms that this may have"]);
}

#[test]
fn what_takes_too_long_is_given_up() {
    let (alternatives, pattern) = (vec![json!({"$ref": "#/$defs/slow"}); 5000], json!({"pattern": "^(a?){900}$"}));
    let slow = json!({"anyOf": alternatives, "$defs": {"slow": pattern}});
    let schema = Schema::parse(slow.to_string().as_bytes()).expect("a schema");
    let found = schema.check_until(Instant::now() + Duration::from_millis(100), &json!("a".repeat(500) + "b"));
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["cannot be held to this schema: it takes too long"]);
}

#[test]
fn a_long_list_is_searched_for_doubles_in_no_time() {
    let mut list: Vec<String> = (0..100_000).map(|number| format!("somebody-{number}")).collect();
    let began = Instant::now();
    check(&json!({"uniqueItems": true}), &json!(list), &[]);
    list.push("somebody-7".to_owned());
    check(&json!({"uniqueItems": true}), &json!(list), &["[100000]: is in the list already"]);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn texts_that_are_no_schema() {
    #[track_caller]
    fn check(schema: &str, expected: &str) {
        let error = Schema::parse(schema.as_bytes()).expect_err("no schema").to_string();
        assert!(error.contains(expected), "{error}");
    }
    check("{", "EOF");
    check("[]", "a schema is a map of keywords, or true");
    check("false", "a schema is a map");
    check(r#"{"properties": {"a": {"items": {"patern": "x"}}}}"#, "properties.a.items: unknown field `patern`");
    check(r#"{"oneOf": []}"#, "unknown field `oneOf`");
    check(r#"{"type": "text"}"#, "`type`: unknown variant `text`");
    check(r#"{"pattern": "("}"#, "`pattern`: ");
    check(r##"{"$ref": "#/$defs/no"}"##, "`#/$defs/no` leads nowhere");
    check(r##"{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}"##, "leads nowhere");
    check(r#"{"$ref": "https://example.com/a"}"#, "`$ref` must begin with `#/$defs/`");
    check(r#"{"properties": {"a": {"$defs": {}}}}"#, "`$defs` is known on top alone");
    check(&format!("{}true{}", r#"{"items":"#.repeat(40), "}".repeat(40)), "nested too deep");
    check(&format!(r#"{{"pattern": "{}"}}"#, "(a{1000}){1000}"), "`pattern`");
}
