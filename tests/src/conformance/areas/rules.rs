//! CEL rules of CRDs.

use serde_json::{Value, json};

use super::cases;
use crate::conformance::session::{Outcome, Session};

cases! {
    "a rule that fails is told with its message and path" => message,
    "the message of a rule may be an expression" => expression,
    "a rule on a field that is not given is not asked" => absent,
    "a transition rule is not asked on create" => on_create,
    "a transition rule refuses a change, with the field and reason it names" => transition,
    "a transition rule at a field that is added is not asked" => added,
    "items of a map list are compared with their old selves by key" => by_key,
    "rules are asked only when the schema is satisfied" => after_schema,
    "rules are asked on status writes too" => on_status,
}

async fn create(s: &mut Session, name: &str, spec: Value) -> Outcome {
    let path = s.widgets();
    let widget = s.widget(name, spec);
    s.post(&path, &widget).pick(&["/spec", "/code", "/reason", "/message", "/details/causes"]).await?;
    Ok(())
}

async fn change(s: &mut Session, name: &str, spec: Value) -> Outcome {
    let path = format!("{}/{name}", s.widgets());
    let patch = json!({"spec": spec});
    s.merge(&path, &patch).pick(&["/spec", "/code", "/reason", "/message", "/details/causes"]).await?;
    Ok(())
}

async fn message(s: &mut Session) -> Outcome {
    create(s, "a", json!({"replicas": 1001})).await?;
    create(s, "a", json!({"size": 51})).await?;
    create(s, "a", json!({"size": 51, "color": "blue"})).await
}

async fn expression(s: &mut Session) -> Outcome {
    create(s, "a", json!({"host": "10.0.0.1"})).await
}

async fn absent(s: &mut Session) -> Outcome {
    create(s, "a", json!({"color": "red"})).await
}

async fn on_create(s: &mut Session) -> Outcome {
    create(s, "a", json!({"serial": "one", "id": "ab", "parts": [{"name": "a", "count": 5}]})).await
}

async fn transition(s: &mut Session) -> Outcome {
    create(s, "a", json!({"serial": "one", "id": "ab"})).await?;
    change(s, "a", json!({"serial": "two"})).await?;
    change(s, "a", json!({"id": "cd"})).await?;
    change(s, "a", json!({"id": null})).await?;
    change(s, "a", json!({"size": 3})).await
}

async fn added(s: &mut Session) -> Outcome {
    create(s, "a", json!({})).await?;
    change(s, "a", json!({"serial": "one"})).await?;
    change(s, "a", json!({"serial": null})).await?;
    change(s, "a", json!({"serial": "two"})).await
}

async fn by_key(s: &mut Session) -> Outcome {
    create(s, "a", json!({"parts": [{"name": "a", "count": 5}, {"name": "b", "count": 1}]})).await?;
    change(s, "a", json!({"parts": [{"name": "b", "count": 1}, {"name": "a", "count": 6}]})).await?;
    change(s, "a", json!({"parts": [{"name": "a", "count": 2}]})).await
}

async fn after_schema(s: &mut Session) -> Outcome {
    create(s, "a", json!({"size": 101, "host": "10.0.0.1"})).await
}

async fn on_status(s: &mut Session) -> Outcome {
    create(s, "a", json!({"serial": "one"})).await?;
    let path = s.widgets();
    let patch = json!({"spec": {"serial": "two"}, "status": {"phase": "x"}});
    s.merge(&format!("{path}/a/status"), &patch).pick(&["/spec", "/status", "/code"]).await?;
    Ok(())
}
