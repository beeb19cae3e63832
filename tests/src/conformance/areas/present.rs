//! Shapes of answers: Tables, metadata only.

use serde_json::{Value, json};

use super::cases;
use crate::conformance::fixtures::{CRDS, config_map, labelled};
use crate::conformance::session::{Outcome, Session};

cases! {
    "kubectl gets custom resources as a Table of their printer columns" => table,
    "a kind without printer columns has a Table of name and age" => plain_table,
    "a Table of one object has one row" => one_row,
    "a Table of nothing has columns and no rows" => empty_table,
    "rows carry metadata, the whole object or nothing" => rows,
    "ConfigMaps and Secrets have Tables of their own" => maps_and_secrets,
    "Namespaces and Leases have Tables of their own" => namespaces_and_leases,
    "CRDs have a Table of their own" => crds,
    "metadata alone is had of one object and of a list" => metadata,
    "an unknown shape or media type is not acceptable" => unknown,
    "the first shape that the server knows is taken" => first,
}

/// What kubectl prints of a Table. Descriptions are long, and kubectl does not print them.
fn printed(table: &Value) -> Value {
    let columns = table["columnDefinitions"].as_array().into_iter().flatten();
    let columns: Vec<Value> = columns.map(|c| json!([c["name"], c["type"], c["format"], c["priority"]])).collect();
    let rows = table["rows"].as_array().into_iter().flatten().map(|row| row["cells"].clone());
    json!({"kind": table["kind"], "apiVersion": table["apiVersion"], "columns": columns, "cells": rows.collect::<Vec<_>>()})
}

async fn table(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let full = s.widget("a", json!({"size": 3, "even": false, "tags": ["x", "y"]}));
    s.post(&path, &labelled(full, &[("example.com/cluster", "one")])).quiet().await?;
    let status =
        json!({"status": {"conditions": [{"type": "Big", "status": "False"}, {"type": "Ready", "status": "True"}]}});
    s.merge(&format!("{path}/a/status"), &status).quiet().await?;
    let bare = s.widget("b", json!({}));
    s.post(&path, &bare).quiet().await?;
    s.get(&path).table().await?;
    Ok(())
}

async fn plain_table(s: &mut Session) -> Outcome {
    let path = format!("/apis/{}/v1/boxes", s.group());
    let name = s.token.clone();
    let cardboard = json!({"apiVersion": format!("{}/v1", s.group()), "kind": "Box", "metadata": {"name": name}});
    s.post(&path, &cardboard).quiet().await?;
    s.sweep_later(&format!("{path}/{name}"));
    s.get(&format!("{path}?fieldSelector=metadata.name%3D{name}")).table().only(printed).await?;
    Ok(())
}

async fn one_row(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    s.post(&path, &config_map("a")).quiet().await?;
    s.get(&format!("{path}/a")).table().pick(&["/kind", "/metadata", "/rows"]).await?;
    s.get(&format!("{path}/b")).table().await?;
    Ok(())
}

async fn empty_table(s: &mut Session) -> Outcome {
    let path = s.widgets();
    s.get(&path).table().only(printed).await?;
    Ok(())
}

async fn rows(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    s.post(&path, &config_map("a")).quiet().await?;
    for include in ["Object", "Metadata", "None"] {
        s.get(&format!("{path}?includeObject={include}")).table().only(|table| table["rows"].clone()).await?;
    }
    s.get(&format!("{path}?includeObject=All")).table().pick(&["/kind", "/reason", "/code"]).await?;
    Ok(())
}

async fn maps_and_secrets(s: &mut Session) -> Outcome {
    let (maps, secrets) = (s.core("configmaps"), s.core("secrets"));
    let mut map = config_map("a");
    map["binaryData"] = json!({"b": "AAAA"});
    s.post(&maps, &map).quiet().await?;
    s.post(&secrets, &json!({"metadata": {"name": "a"}, "stringData": {"x": "1", "y": "2"}})).quiet().await?;
    s.get(&maps).table().only(printed).await?;
    s.get(&secrets).table().only(printed).await?;
    Ok(())
}

async fn namespaces_and_leases(s: &mut Session) -> Outcome {
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", s.token);
    s.post(&leases, &json!({"metadata": {"name": "a"}, "spec": {"holderIdentity": "me"}})).quiet().await?;
    s.get(&leases).table().only(printed).await?;
    let me = format!("/api/v1/namespaces?fieldSelector=metadata.name%3D{}", s.token);
    s.get(&me).table().only(printed).await?;
    Ok(())
}

async fn crds(s: &mut Session) -> Outcome {
    let path = format!("{CRDS}?fieldSelector=metadata.name%3Dwidgets.{}", s.group());
    s.get(&path).table().only(printed).await?;
    Ok(())
}

async fn metadata(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    let widget = labelled(s.widget("a", json!({})), &[("app", "web")]);
    s.post(&maps, &config_map("a")).quiet().await?;
    s.post(&widgets, &widget).quiet().await?;
    for path in [maps, widgets] {
        s.get(&path).metadata("PartialObjectMetadataList").await?;
        s.get(&format!("{path}/a")).metadata("PartialObjectMetadata").await?;
    }
    Ok(())
}

async fn unknown(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    for accept in
        ["text/html", "application/json;as=Picture;v=v1;g=meta.k8s.io", "application/json;as=Table;v=v9;g=meta.k8s.io"]
    {
        s.get(&path).accept(accept).pick(&["/kind", "/reason", "/code"]).await?;
    }
    Ok(())
}

async fn first(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    let accept = "application/json;as=Table;v=v9;g=meta.k8s.io,application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json";
    s.get(&path).accept(accept).pick(&["/kind", "/apiVersion"]).await?;
    s.get(&path).accept("*/*").pick(&["/kind", "/apiVersion"]).await?;
    Ok(())
}
