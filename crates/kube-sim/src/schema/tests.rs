use serde_json::{Value, json};

use super::{Schema, check_rules, check_shape};
use crate::error::Cause;

/// All there is to say.
fn check(schema: &Schema, value: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = check_shape(schema, value, old);
    causes.extend(check_rules(schema, value, old));
    causes
}

fn schema(json: Value) -> Schema {
    Schema::parse(&json, "schema").unwrap()
}

fn spec(of: Value) -> Schema {
    schema(json!({"type": "object", "properties": {"spec": of}}))
}

#[test]
fn pruning_names_what_it_drops_and_keeps_what_is_marked() {
    let s = schema(json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"a": {"type": "string"},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"in": {"type": "object", "properties": {"x": {"type": "string"}}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"k": {"type": "string"}}}},
            "inner": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}},
            "list": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "string"}}}}}}}}));
    let mut o = json!({"apiVersion": "v", "kind": "K", "metadata": {"name": "n", "odd": 1, "labels": {"any": "x"}}, "extra": 1,
        "spec": {"a": "1", "b": 2, "free": {"any": 1, "in": {"y": 1}}, "map": {"m": {"k": "1", "l": 2}},
            "inner": {"apiVersion": "v", "kind": "K", "metadata": {"name": "n"}, "spec": {}, "z": 1}, "list": [{"n": "1"}, {"o": 1}]}});
    let mut dropped = s.prune(&mut o);
    dropped.sort();
    assert_eq!(
        dropped,
        ["extra", "metadata.odd", "spec.b", "spec.free.in.y", "spec.inner.z", "spec.list[1].o", "spec.map.m.l"]
    );
    assert_eq!(s.prune(&mut o), Vec::<String>::new());
    assert_eq!(o["spec"]["free"]["any"], 1);
}

#[test]
fn defaults_fill_what_is_absent_or_null_but_not_nullable() {
    let s = spec(json!({"type": "object", "default": {}, "properties": {
        "n": {"type": "integer", "default": 3}, "null": {"type": "string", "nullable": true, "default": "d"},
        "gone": {"type": "string"}, "list": {"type": "array", "items": {"type": "object", "properties": {"p": {"type": "integer", "default": 80}}}}}}));
    for (have, want) in [
        (json!({}), json!({"spec": {"n": 3, "null": "d"}})),
        (json!({"spec": {"n": null, "null": null, "gone": null}}), json!({"spec": {"n": 3, "null": null}})),
        (
            json!({"spec": {"n": 1, "null": "x", "list": [{}]}}),
            json!({"spec": {"n": 1, "null": "x", "list": [{"p": 80}]}}),
        ),
    ] {
        let mut o = have;
        s.fill(&mut o);
        assert_eq!(o, want);
    }
}

#[test]
fn each_limit_is_checked_in_the_words_of_the_api_server() {
    for (of, value, want) in [
        (
            json!({"type": "integer", "maximum": 3}),
            json!(4),
            "spec: Invalid value: 4: spec in body should be less than or equal to 3",
        ),
        (
            json!({"type": "integer"}),
            json!("x"),
            "spec: Invalid value: \"string\": spec in body must be of type integer: \"string\"",
        ),
        (
            json!({"type": "string", "minLength": 2}),
            json!("x"),
            "spec: Invalid value: \"x\": spec in body should be at least 2 chars long",
        ),
        (json!({"type": "string", "maxLength": 1}), json!("xy"), "spec: Too long: may not be more than 1 bytes"),
        (
            json!({"type": "string", "pattern": "^a$"}),
            json!("b"),
            "spec: Invalid value: \"b\": spec in body should match '^a$'",
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("b"),
            "spec: Invalid value: \"b\": spec in body must be of type date-time: \"b\"",
        ),
        (
            json!({"type": "string", "format": "ipv4"}),
            json!("1.2.3"),
            "spec: Invalid value: \"1.2.3\": spec in body must be of type ipv4: \"1.2.3\"",
        ),
        (
            json!({"type": "array", "maxItems": 1, "items": {"type": "integer"}}),
            json!([1, 2]),
            "spec: Too many: 2: must have at most 1 items",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}}),
            json!([1, 1]),
            "spec[1]: Duplicate value: 1",
        ),
        (
            json!({"type": "object", "minProperties": 1}),
            json!({}),
            "spec: Invalid value: {}: spec in body should have at least 1 properties",
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!(true),
            "spec: Invalid value: \"boolean\": spec in body must be of type integer,string: \"boolean\"",
        ),
        (
            json!({"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 1}]}),
            json!(3),
            "spec: Invalid value: 3: spec in body must validate at least one schema (anyOf)",
        ),
        (
            json!({"type": "string", "not": {"enum": ["a"]}}),
            json!("a"),
            "spec: Invalid value: \"a\": spec in body must not validate the schema (not)",
        ),
    ] {
        let causes = check(&spec(of), &json!({"spec": value}), None);
        let text: Vec<String> = causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        assert_eq!(text, [want]);
    }
}

#[test]
fn what_did_not_change_is_not_judged_again() {
    let s = spec(
        json!({"type": "object", "properties": {"a": {"type": "integer", "maximum": 1}, "b": {"type": "integer"}}}),
    );
    let old = json!({"spec": {"a": 5, "b": 1}});
    assert!(check(&s, &json!({"spec": {"a": 5, "b": 2}}), Some(&old)).is_empty());
    assert_eq!(check(&s, &json!({"spec": {"a": 6, "b": 2}}), Some(&old)).len(), 1);
}

#[test]
fn rules_see_old_selves_of_map_list_items_by_key() {
    let s =
        spec(json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"], "items": {
        "type": "object", "properties": {"n": {"type": "string"}, "v": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v", "message": "only up"}]}}));
    let old = json!({"spec": [{"n": "a", "v": 5}, {"n": "b", "v": 1}]});
    assert!(
        check(&s, &json!({"spec": [{"n": "b", "v": 2}, {"n": "a", "v": 5}]}), Some(&old)).is_empty(),
        "moved, not lowered"
    );
    let lowered = check(&s, &json!({"spec": [{"n": "b", "v": 1}, {"n": "a", "v": 4}]}), Some(&old));
    assert_eq!(lowered[0].field, "spec[1]");
    assert!(check(&s, &json!({"spec": [{"n": "c", "v": 0}]}), Some(&old)).is_empty(), "new");
}

#[test]
fn rules_have_messages_reasons_and_paths_and_see_the_name() {
    for (rule, want) in [
        (json!({"rule": "self.spec.a == 1"}), "<nil>: Invalid value: failed rule: self.spec.a == 1"),
        (json!({"rule": "self.spec.a == 1", "message": "m", "fieldPath": ".spec.a"}), "spec.a: Invalid value: m"),
        (
            json!({"rule": "self.metadata.name == 'x'", "messageExpression": "'not ' + self.metadata.name"}),
            "<nil>: Invalid value: not n",
        ),
        (
            json!({"rule": "false", "message": "m", "reason": "FieldValueRequired", "fieldPath": ".spec.b"}),
            "spec.b: Required value: m",
        ),
    ] {
        let s = schema(json!({"type": "object", "x-kubernetes-validations": [rule], "properties": {
            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
            "spec": {"type": "object", "properties": {"a": {"type": "integer"}}}}}));
        let causes = check(&s, &json!({"metadata": {"name": "n"}, "spec": {"a": 2}}), None);
        assert_eq!(format!("{}: {}", causes[0].field, causes[0].message), want);
    }
}

#[test]
fn schemas_that_are_not_structural_are_refused() {
    for (json, want) in [
        (json!({"type": "object", "properties": {"a": {}}}), "schema.properties[a].type"),
        (json!({"type": "object", "properties": {"a": {"type": "array"}}}), "schema.properties[a].items"),
        (json!({"type": "object", "properties": {"a": {"type": "text"}}}), "schema.properties[a].type"),
        (
            json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}),
            "schema.properties[a].pattern",
        ),
        (
            json!({"type": "object", "x-kubernetes-validations": [{"rule": "self.("}]}),
            "schema.x-kubernetes-validations[0].rule",
        ),
        (json!({"type": "object", "$ref": "#/x"}), "schema.$ref"),
    ] {
        let causes = Schema::parse(&json, "schema").unwrap_err();
        assert_eq!(causes[0].field, want);
    }
}
