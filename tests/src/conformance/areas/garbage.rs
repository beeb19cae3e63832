//! Owners and dependents. The real server's collector works in its own time: only where things end is written down.
//! ConfigMaps play the parts: it looks for new kinds only every half minute.

use serde_json::{Value, json};

use super::cases;
use crate::conformance::Failure;
use crate::conformance::fixtures::{config_map, owned};
use crate::conformance::session::{Outcome, Session, names};

cases! {
    "dependents go when their owner has gone" => background,
    "a foreground deletion waits for the dependents that block it" => foreground,
    "an orphaning deletion leaves the dependents, without the reference" => orphan,
    "an object with two owners goes with the last one" => two_owners,
    "an object whose owner never was goes" => never_was,
    "a chain of owners goes to its end" => chain,
    "a dependent with finalizers is marked and waits" => waits,
}

async fn make(s: &mut Session, object: &Value) -> Result<String, Failure> {
    let path = s.core("configmaps");
    Ok(s.post(&path, object).await?.uid())
}

fn policy(name: &str) -> Value {
    json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": name})
}

/// Waits until exactly these ConfigMaps are left.
async fn left(s: &mut Session, wanted: &'static [&'static str]) -> Outcome {
    let path = s.core("configmaps");
    s.until(&path, names, |list| names(&list.body) == json!(wanted)).await?;
    Ok(())
}

async fn background(s: &mut Session) -> Outcome {
    let uid = make(s, &config_map("owner")).await?;
    make(s, &owned("a", &[("owner", &uid)])).await?;
    make(s, &owned("b", &[("owner", &uid)])).await?;
    make(s, &config_map("other")).await?;
    let path = s.core("configmaps");
    s.delete_with(&format!("{path}/owner"), &policy("Background")).await?;
    left(s, &["other"]).await
}

async fn foreground(s: &mut Session) -> Outcome {
    let uid = make(s, &config_map("owner")).await?;
    let mut child = owned("a", &[("owner", &uid)]);
    child["metadata"]["finalizers"] = json!(["example.com/hold"]);
    make(s, &child).await?;
    let path = s.core("configmaps");
    s.delete_with(&format!("{path}/owner"), &policy("Foreground")).await?;
    let marked =
        |answer: &crate::conformance::session::Answer| answer.body["metadata"]["deletionTimestamp"].is_string();
    s.until(&format!("{path}/a"), |child| child["metadata"].clone(), marked).await?;
    s.get(&format!("{path}/owner")).pick(&["/metadata/finalizers"]).await?;
    s.merge(&format!("{path}/a"), &json!({"metadata": {"finalizers": null}})).quiet().await?;
    left(s, &[]).await
}

async fn orphan(s: &mut Session) -> Outcome {
    let uid = make(s, &config_map("owner")).await?;
    make(s, &owned("a", &[("owner", &uid)])).await?;
    let path = s.core("configmaps");
    s.delete_with(&format!("{path}/owner"), &policy("Orphan")).quiet().await?;
    left(s, &["a"]).await?;
    s.get(&format!("{path}/a")).await?;
    Ok(())
}

async fn two_owners(s: &mut Session) -> Outcome {
    let first = make(s, &config_map("first")).await?;
    let second = make(s, &config_map("second")).await?;
    make(s, &owned("a", &[("first", &first), ("second", &second)])).await?;
    let path = s.core("configmaps");
    s.delete(&format!("{path}/first")).quiet().await?;
    let one = |answer: &crate::conformance::session::Answer| {
        answer.body["metadata"]["ownerReferences"].as_array().is_some_and(|owners| owners.len() == 1)
    };
    s.until(&format!("{path}/a"), |child| child["metadata"]["ownerReferences"].clone(), one).await?;
    s.delete(&format!("{path}/second")).quiet().await?;
    left(s, &[]).await
}

async fn never_was(s: &mut Session) -> Outcome {
    make(s, &config_map("other")).await?;
    let path = s.core("configmaps");
    let child = owned("a", &[("owner", "00000000-0000-0000-0000-000000000000")]);
    s.post(&path, &child).pick(&["/kind"]).await?;
    left(s, &["other"]).await
}

async fn chain(s: &mut Session) -> Outcome {
    let first = make(s, &config_map("first")).await?;
    let second = make(s, &owned("second", &[("first", &first)])).await?;
    make(s, &owned("third", &[("second", &second)])).await?;
    let path = s.core("configmaps");
    s.delete(&format!("{path}/first")).quiet().await?;
    left(s, &[]).await
}

async fn waits(s: &mut Session) -> Outcome {
    let uid = make(s, &config_map("owner")).await?;
    let mut child = owned("a", &[("owner", &uid)]);
    child["metadata"]["finalizers"] = json!(["example.com/hold"]);
    make(s, &child).await?;
    let path = s.core("configmaps");
    s.delete(&format!("{path}/owner")).quiet().await?;
    left(s, &["a"]).await?;
    let marked =
        |answer: &crate::conformance::session::Answer| answer.body["metadata"]["deletionTimestamp"].is_string();
    s.until(&format!("{path}/a"), |child| child["metadata"].clone(), marked).await?;
    s.merge(&format!("{path}/a"), &json!({"metadata": {"finalizers": null}})).quiet().await?;
    left(s, &[]).await
}
