//! What a CRD's schema does to its objects: validation, defaults, pruning.

use http::Method;
use serde_json::{Value, json};

use super::cases;
use crate::conformance::Failure;
use crate::conformance::session::{Outcome, Session};

cases! {
    "a value of the wrong type is refused with its path" => types,
    "a number out of bounds is refused with its path" => numbers,
    "a text too long, too short or of the wrong pattern is refused" => texts,
    "a value that is none of the enumerated is refused with the list" => choices,
    "a missing required field is refused with its path" => required,
    "several mistakes are told at once" => several,
    "a set with equal items and a map list with equal keys are refused" => lists,
    "a list or a map that is too long is refused" => sizes,
    "a time that is none is refused" => format,
    "exactly one of two fields is demanded by oneOf" => one_of,
    "defaults are filled in on create, at every depth" => defaults,
    "null becomes the default, or goes, unless it is allowed" => nulls,
    "an integer-or-string takes both and nothing else" => int_or_string,
    "unknown fields are dropped with a warning" => pruned,
    "unknown fields are refused by strict validation" => strict,
    "unknown fields are dropped silently if the client says so" => ignored,
    "a fieldValidation that nobody knows is refused" => bad_validation,
    "a field given twice is warned of, and refused by strict validation" => duplicates,
    "unknown fields of core kinds warn and are refused likewise" => core_kinds,
    "unknown fields in metadata are dropped" => metadata,
    "unknown fields are kept where the schema says so" => preserved,
    "a patch is validated and pruned like a whole object" => patched,
    "a value that was invalid before may stay" => ratcheting,
    "numbers keep their kind" => number_kinds,
}

async fn refused(s: &mut Session, specs: &[Value]) -> Outcome {
    let path = s.widgets();
    for spec in specs {
        let widget = s.widget("a", spec.clone());
        s.post(&path, &widget).pick(&["/code", "/reason", "/message", "/details/causes"]).await?;
    }
    Ok(())
}

async fn types(s: &mut Session) -> Outcome {
    let specs = [
        json!({"size": "big"}),
        json!({"size": 1.5}),
        json!({"even": "true"}),
        json!({"id": 7}),
        json!({"tags": "x"}),
        json!({"tags": [1]}),
        json!({"inner": []}),
        json!({"sizes": {"a": "b"}}),
    ];
    refused(s, &specs).await
}

async fn numbers(s: &mut Session) -> Outcome {
    refused(s, &[json!({"size": -1}), json!({"size": 101}), json!({"size": 3_000_000_000_u64})]).await
}

async fn texts(s: &mut Session) -> Outcome {
    refused(s, &[json!({"id": "a"}), json!({"id": "abcdefghi"}), json!({"id": "AB"})]).await
}

async fn choices(s: &mut Session) -> Outcome {
    refused(s, &[json!({"color": "green"})]).await
}

async fn required(s: &mut Session) -> Outcome {
    refused(s, &[json!({"inner": {}}), json!({"parts": [{"count": 1}]})]).await
}

async fn several(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({"color": "green", "id": "x", "size": 101}));
    // The server goes through the fields in no order.
    let causes = |status: &Value| {
        let mut causes: Vec<Value> = status["details"]["causes"].as_array().into_iter().flatten().cloned().collect();
        causes.sort_by_key(Value::to_string);
        Value::from(causes)
    };
    s.post(&path, &widget).only(causes).await?;
    Ok(())
}

async fn lists(s: &mut Session) -> Outcome {
    let same = json!({"parts": [{"name": "a", "count": 1}, {"name": "a", "count": 2}]});
    refused(s, &[json!({"tags": ["x", "y", "x"]}), same]).await
}

async fn sizes(s: &mut Session) -> Outcome {
    refused(s, &[json!({"tags": ["a", "b", "c", "d"]}), json!({"sizes": {"a": 1, "b": 2, "c": 3}})]).await
}

async fn format(s: &mut Session) -> Outcome {
    refused(s, &[json!({"since": "yesterday"})]).await?;
    let path = s.widgets();
    for (name, time) in
        [("b", "2020-01-01T00:00:00Z"), ("c", "2020-01-01T01:00:00+01:00"), ("d", "2020-01-01T00:00:00.123456Z")]
    {
        let widget = s.widget(name, json!({"since": time}));
        s.post(&path, &widget).pick(&["/spec"]).await?;
    }
    Ok(())
}

async fn one_of(s: &mut Session) -> Outcome {
    refused(s, &[json!({"either": {}}), json!({"either": {"a": "x", "b": "y"}})]).await?;
    let path = s.widgets();
    let widget = s.widget("b", json!({"either": {"a": "x"}}));
    s.post(&path, &widget).pick(&["/spec"]).await?;
    Ok(())
}

/// Creates one and records what became of its spec.
async fn becomes(s: &mut Session, name: &str, spec: Value) -> Outcome {
    let path = s.widgets();
    let widget = s.widget(name, spec);
    s.post(&path, &widget).pick(&["/spec"]).await?;
    Ok(())
}

async fn defaults(s: &mut Session) -> Outcome {
    becomes(s, "a", json!({})).await?;
    becomes(s, "b", json!({"inner": {"must": "x"}, "parts": [{"name": "a"}]})).await?;
    becomes(s, "c", json!({"color": "blue", "replicas": 0})).await?;
    // No spec, no defaults in it.
    let path = s.widgets();
    let mut widget = s.widget("d", json!({}));
    widget["spec"] = Value::Null;
    s.post(&path, &widget).pick(&["/spec", "/code"]).await?;
    let patch = json!({"spec": {"inner": {"must": "y"}}});
    s.merge(&format!("{path}/a"), &patch).pick(&["/spec"]).await?;
    Ok(())
}

async fn nulls(s: &mut Session) -> Outcome {
    becomes(s, "a", json!({"color": null, "note": null, "size": null, "tags": null})).await
}

async fn int_or_string(s: &mut Session) -> Outcome {
    becomes(s, "a", json!({"port": 80})).await?;
    becomes(s, "b", json!({"port": "http"})).await?;
    refused(s, &[json!({"port": true}), json!({"port": 1.5})]).await
}

const UNKNOWN: &str = r#"{"size": 1, "colour": "red", "inner": {"must": "x", "deep": {"leaves": 3}}, "parts": [{"name": "a", "paint": "b"}]}"#;

fn unknown() -> Value {
    serde_json::from_str(UNKNOWN).unwrap_or_default()
}

async fn pruned(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", unknown());
    s.post(&path, &widget).pick(&["/spec"]).await?;
    s.post(&format!("{path}?fieldValidation=Warn"), &s.widget("b", unknown())).pick(&["/spec"]).await?;
    Ok(())
}

async fn strict(s: &mut Session) -> Outcome {
    let path = format!("{}?fieldValidation=Strict", s.widgets());
    let widget = s.widget("a", unknown());
    s.post(&path, &widget).await?;
    let fine = s.widget("a", json!({"size": 1}));
    s.post(&path, &fine).pick(&["/spec"]).await?;
    Ok(())
}

async fn ignored(s: &mut Session) -> Outcome {
    let path = format!("{}?fieldValidation=Ignore", s.widgets());
    let widget = s.widget("a", unknown());
    s.post(&path, &widget).pick(&["/spec"]).await?;
    Ok(())
}

async fn bad_validation(s: &mut Session) -> Outcome {
    let path = format!("{}?fieldValidation=Perhaps", s.widgets());
    let widget = s.widget("a", json!({}));
    s.post(&path, &widget).pick(&["/code", "/reason", "/message"]).await?;
    Ok(())
}

async fn duplicates(s: &mut Session) -> Outcome {
    let body = format!(
        r#"{{"apiVersion": "{}/v1", "kind": "Widget", "metadata": {{"name": "a"}}, "spec": {{"size": 1, "size": 2}}}}"#,
        s.group()
    );
    let path = s.widgets();
    s.raw(Method::POST, &format!("{path}?fieldValidation=Strict"), "application/json", &body)
        .pick(&["/code", "/message"])
        .await?;
    s.raw(Method::POST, &path, "application/json", &body).pick(&["/spec"]).await?;
    Ok(())
}

async fn core_kinds(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "1"}, "date": {"b": "2"}});
    s.post(&format!("{path}?fieldValidation=Strict"), &map).await?;
    s.post(&format!("{path}?fieldValidation=Warn"), &map).await?;
    s.merge(&format!("{path}/a?fieldValidation=Strict"), &json!({"date": {"b": "3"}})).only(last_words).await?;
    Ok(())
}

/// Code, and the end of the message: it begins with the object in Go's order of fields.
fn last_words(status: &Value) -> Value {
    let message = status["message"].as_str().unwrap_or_default();
    json!([status["code"], status["reason"], message.rsplit_once("strict decoding error").map(|(_, words)| words)])
}

async fn metadata(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let mut widget = s.widget("a", json!({}));
    widget["metadata"]["colour"] = json!("red");
    s.post(&path, &widget).pick(&["/metadata"]).await?;
    widget["metadata"]["name"] = json!("b");
    s.post(&format!("{path}?fieldValidation=Strict"), &widget).pick(&["/code", "/message"]).await?;
    Ok(())
}

async fn preserved(s: &mut Session) -> Outcome {
    becomes(s, "a", json!({"free": {"any": {"thing": [1, "two", null, {"three": 3.5}]}}})).await
}

async fn patched(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({"size": 1}));
    s.post(&path, &widget).quiet().await?;
    let at = format!("{path}/a");
    s.merge(&at, &json!({"spec": {"colour": "red"}})).pick(&["/spec"]).await?;
    s.merge(&format!("{at}?fieldValidation=Strict"), &json!({"spec": {"colour": "red"}})).only(last_words).await?;
    s.merge(&at, &json!({"spec": {"size": "big"}})).pick(&["/code", "/message"]).await?;
    s.merge(&at, &json!({"spec": null})).pick(&["/spec"]).await?;
    Ok(())
}

async fn shrink(s: &mut Session) -> Result<(String, String), Failure> {
    let group = format!("{}.example.org", s.token);
    let properties = [("id", json!({"type": "string"})), ("size", json!({"type": "integer"}))];
    let crd = crate::conformance::fixtures::crd(&group, "Thing", "things", &properties);
    s.install(&crd).await?;
    let path = format!("/apis/{group}/v1/namespaces/{}/things", s.token);
    let thing = json!({"apiVersion": format!("{group}/v1"), "kind": "Thing", "metadata": {"name": "a"}, "spec": {"id": "UPPER", "size": 1}});
    s.post(&path, &thing).quiet().await?;
    let at = format!("{}/things.{group}", crate::conformance::fixtures::CRDS);
    let pointer = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/id/pattern";
    s.json_patch(&at, &json!([{"op": "add", "path": pointer, "value": "^[a-z]+$"}])).quiet().await?;
    Ok((path, group))
}

async fn ratcheting(s: &mut Session) -> Outcome {
    let (path, group) = shrink(s).await?;
    // In force once a new object of the kind is refused; a dry run leaves nothing behind.
    let probe = json!({"apiVersion": format!("{group}/v1"), "kind": "Thing", "metadata": {"name": "probe"}, "spec": {"id": "UPPER"}});
    for _ in 0..100 {
        if s.post(&format!("{path}?dryRun=All"), &probe).unseen().await?.status == 422 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    s.merge(&format!("{path}/a"), &json!({"spec": {"size": 2}})).pick(&["/spec"]).await?;
    s.merge(&format!("{path}/a"), &json!({"spec": {"id": "OTHER"}})).pick(&["/code", "/message"]).await?;
    s.merge(&format!("{path}/a"), &json!({"spec": {"id": "lower"}})).pick(&["/spec"]).await?;
    Ok(())
}

async fn number_kinds(s: &mut Session) -> Outcome {
    becomes(s, "a", json!({"weight": 2, "size": 2.0, "free": {"a": 1.0, "b": 1e3, "c": 9_007_199_254_740_993_u64}}))
        .await
}
