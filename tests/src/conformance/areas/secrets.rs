//! Secrets and ConfigMaps.

use serde_json::{Value, json};

use super::cases;
use crate::conformance::fixtures::config_map;
use crate::conformance::session::{Outcome, Session};

cases! {
    "stringData of a Secret becomes data" => string_data,
    "a Secret without a type is Opaque" => opaque,
    "the type of a Secret can't be changed" => type_change,
    "an immutable Secret or ConfigMap can't be changed" => immutable,
    "data of a Secret that is not base64 is refused" => bad_data,
    "an invalid key of data is refused" => bad_key,
    "a key in data and binaryData is refused" => both,
    "data of a ConfigMap is text" => text,
    "stringData can be patched" => patched,
}

fn secret(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"a": "one"}})
}

async fn string_data(s: &mut Session) -> Outcome {
    let path = s.core("secrets");
    let mut both = secret("a");
    both["data"] = json!({"a": "b2xk", "b": "a2VwdA=="});
    s.post(&path, &both).await?;
    s.get(&format!("{path}/a")).pick(&["/data", "/stringData"]).await?;
    Ok(())
}

async fn opaque(s: &mut Session) -> Outcome {
    let path = s.core("secrets");
    s.post(&path, &json!({"metadata": {"name": "a"}})).await?;
    Ok(())
}

async fn type_change(s: &mut Session) -> Outcome {
    let path = s.core("secrets");
    s.post(&path, &secret("a")).quiet().await?;
    s.merge(&format!("{path}/a"), &json!({"type": "example.com/other"})).await?;
    Ok(())
}

async fn immutable(s: &mut Session) -> Outcome {
    for (path, mut object) in [(s.core("secrets"), secret("a")), (s.core("configmaps"), config_map("a"))] {
        object["immutable"] = json!(true);
        s.post(&path, &object).quiet().await?;
        let at = format!("{path}/a");
        s.merge(&at, &json!({"data": {"b": "MQ=="}})).await?;
        s.merge(&at, &json!({"immutable": null})).pick(&["/code", "/message"]).await?;
        s.merge(&at, &json!({"metadata": {"labels": {"a": "b"}}})).pick(&["/metadata/labels"]).await?;
    }
    Ok(())
}

async fn bad_data(s: &mut Session) -> Outcome {
    let path = s.core("secrets");
    s.post(
        &path,
        &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"a": "not base64!"}}),
    )
    .pick(&["/code", "/reason"])
    .await?;
    Ok(())
}

async fn bad_key(s: &mut Session) -> Outcome {
    let (secrets, maps) = (s.core("secrets"), s.core("configmaps"));
    s.post(&secrets, &json!({"metadata": {"name": "a"}, "stringData": {"a/b": "c"}})).await?;
    s.post(&maps, &json!({"metadata": {"name": "a"}, "data": {"a b": "c"}})).await?;
    Ok(())
}

async fn both(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    s.post(&path, &json!({"metadata": {"name": "a"}, "data": {"a": "1"}, "binaryData": {"a": "MQ=="}})).await?;
    Ok(())
}

async fn text(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    s.post(&path, &json!({"metadata": {"name": "a"}, "data": {"a": 1}})).pick(&["/code", "/reason"]).await?;
    Ok(())
}

async fn patched(s: &mut Session) -> Outcome {
    let path = s.core("secrets");
    s.post(&path, &secret("a")).quiet().await?;
    s.merge(&format!("{path}/a"), &json!({"stringData": {"a": "two", "b": "three"}}))
        .pick(&["/data", "/stringData"])
        .await?;
    s.merge(&format!("{path}/a"), &json!({"data": {"a": null}})).pick(&["/data"]).await?;
    Ok(())
}
