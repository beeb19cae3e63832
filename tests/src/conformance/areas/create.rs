//! Creating objects.

use http::Method;
use serde_json::{Value, json};

use super::cases;
use crate::conformance::fixtures::config_map;
use crate::conformance::session::{Outcome, Session, ensure};

cases! {
    "a created object comes back with uid, version and creation time" => comes_back,
    "a created custom resource has generation 1" => generation,
    "creating what exists is a conflict of reason AlreadyExists" => exists,
    "generateName is completed by five characters" => generate_name,
    "an object without a name is refused" => no_name,
    "an invalid name is refused with its field" => invalid_name,
    "an invalid label is refused with its field" => invalid_label,
    "an invalid annotation key is refused" => invalid_annotation,
    "a body for another namespace is refused" => other_namespace,
    "a body of another kind or version is refused" => other_kind,
    "a custom resource without kind or apiVersion is refused" => no_kind,
    "a body with a resourceVersion is refused" => with_version,
    "what the server owns in metadata is ignored on create" => owned_metadata,
    "a body that is no JSON is refused" => no_json,
    "a body that is no object is refused" => no_object,
    "a YAML body is taken" => yaml,
    "POST to the name of a core object is not allowed" => post_to_name,
    "POST to all namespaces is not allowed" => post_to_all,
    "an object in a namespace that does not exist is refused" => no_namespace,
}

async fn comes_back(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    let created = s.post(&path, &config_map("a")).await?;
    ensure(created.uid().len() == 36 && !created.version().is_empty(), "uid and version")?;
    s.get(&format!("{path}/a")).await?;
    Ok(())
}

async fn generation(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({"size": 3}));
    s.post(&path, &widget).await?;
    Ok(())
}

async fn exists(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    let widget = s.widget("a", json!({}));
    for _ in 0..2 {
        s.post(&maps, &config_map("a")).pick(&["/message", "/reason", "/code", "/details"]).await?;
        s.post(&widgets, &widget).pick(&["/message", "/reason", "/code", "/details"]).await?;
    }
    Ok(())
}

async fn generate_name(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "a-"}});
    let created = s.post(&path, &object).await?;
    let name = created.text("/metadata/name").to_owned();
    ensure(name.strip_prefix("a-").is_some_and(|rest| rest.len() == 5), format!("a- and five characters: {name}"))?;
    let again = s.post(&path, &object).await?;
    ensure(again.text("/metadata/name") != name, "another name")?;
    let long = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "x".repeat(70)}});
    let cut = s.post(&path, &long).quiet().await?;
    ensure(cut.text("/metadata/name").len() == 63, format!("63 characters: {}", cut.text("/metadata/name")))?;
    Ok(())
}

async fn no_name(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    s.post(&maps, &json!({"apiVersion": "v1", "kind": "ConfigMap"})).await?;
    let mut widget = s.widget("", json!({}));
    widget["metadata"] = json!({});
    s.post(&widgets, &widget).await?;
    Ok(())
}

async fn invalid_name(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    s.post(&maps, &config_map("Not_A_Name")).await?;
    let widget = s.widget("-a", json!({}));
    s.post(&widgets, &widget).await?;
    Ok(())
}

async fn invalid_label(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    for labels in [json!({"a": "not valid"}), json!({"a b": "x"}), json!({"a/b/c": "x"}), json!({"a": "x".repeat(64)})]
    {
        let mut object = config_map("a");
        object["metadata"]["labels"] = labels;
        s.post(&path, &object).await?;
    }
    Ok(())
}

async fn invalid_annotation(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    let mut object = config_map("a");
    object["metadata"]["annotations"] = json!({"a b": "x"});
    s.post(&path, &object).await?;
    object["metadata"]["annotations"] = json!({"Example.COM/A": "any text, also\nover lines"});
    s.post(&path, &object).pick(&["/metadata/annotations"]).await?;
    Ok(())
}

async fn other_namespace(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    let mut map = config_map("a");
    map["metadata"]["namespace"] = json!("default");
    s.post(&maps, &map).await?;
    let mut widget = s.widget("a", json!({}));
    widget["metadata"]["namespace"] = json!("default");
    s.post(&widgets, &widget).await?;
    Ok(())
}

async fn other_kind(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    s.post(&maps, &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}})).await?;
    let mut widget = s.widget("a", json!({}));
    widget["kind"] = json!("Gadget");
    s.post(&widgets, &widget).await?;
    let mut widget = s.widget("a", json!({}));
    widget["apiVersion"] = json!(format!("{}/v1beta1", s.group()));
    s.post(&widgets, &widget).await?;
    Ok(())
}

async fn no_kind(s: &mut Session) -> Outcome {
    let path = s.widgets();
    for field in ["kind", "apiVersion"] {
        let mut widget = s.widget("a", json!({}));
        widget[field] = Value::Null;
        // The message shows the whole body in an order of its own.
        s.post(&path, &widget).pick(&["/kind", "/code", "/reason"]).await?;
    }
    // Core kinds are known by their path.
    let maps = s.core("configmaps");
    s.post(&maps, &json!({"metadata": {"name": "a"}})).pick(&["/kind", "/apiVersion"]).await?;
    Ok(())
}

async fn with_version(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    let mut map = config_map("a");
    map["metadata"]["resourceVersion"] = json!("1");
    s.post(&maps, &map).await?;
    let mut widget = s.widget("a", json!({}));
    widget["metadata"]["resourceVersion"] = json!("1");
    s.post(&widgets, &widget).await?;
    Ok(())
}

async fn owned_metadata(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let mut widget = s.widget("a", json!({}));
    widget["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000000");
    widget["metadata"]["creationTimestamp"] = json!("2020-01-01T00:00:00Z");
    widget["metadata"]["deletionTimestamp"] = json!("2020-01-01T00:00:00Z");
    widget["metadata"]["generation"] = json!(7);
    s.post(&path, &widget).await?;
    Ok(())
}

async fn no_json(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let refused = ["/kind", "/reason", "/code"];
    for body in ["{\"kind\":", "", "no: json: at: all"] {
        s.raw(Method::POST, &path, "application/json", body)
            .only(move |b| refused.iter().map(|at| b.pointer(at).cloned()).collect())
            .await?;
    }
    Ok(())
}

async fn no_object(s: &mut Session) -> Outcome {
    let path = s.widgets();
    for body in ["[]", "\"text\""] {
        s.raw(Method::POST, &path, "application/json", body).pick(&["/kind", "/reason", "/code"]).await?;
    }
    Ok(())
}

async fn yaml(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let body = format!("apiVersion: {}/v1\nkind: Widget\nmetadata:\n  name: a\nspec:\n  size: 3\n", s.group());
    s.raw(Method::POST, &path, "application/yaml", &body).pick(&["/kind", "/spec"]).await?;
    Ok(())
}

async fn post_to_name(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    s.post(&format!("{path}/a"), &config_map("a")).await?;
    Ok(())
}

async fn post_to_all(s: &mut Session) -> Outcome {
    s.post("/api/v1/configmaps", &config_map("a")).await?;
    let path = format!("/apis/{}/v1/widgets", s.group());
    let widget = s.widget("a", json!({}));
    s.post(&path, &widget).await?;
    Ok(())
}

async fn no_namespace(s: &mut Session) -> Outcome {
    let missing = format!("{}-missing", s.token);
    s.post(&format!("/api/v1/namespaces/{missing}/configmaps"), &config_map("a")).await?;
    let path = format!("/apis/{}/v1/namespaces/{missing}/widgets", s.group());
    let widget = s.widget("a", json!({}));
    s.post(&path, &widget).await?;
    Ok(())
}
