//! Events as our controller writes them and as kubectl describe looks for them.

use serde_json::{Value, json};

use super::cases;
use crate::conformance::session::{Outcome, Session, names};

cases! {
    "an Event as our controller writes it is taken" => taken,
    "Events of an object are found by their involved object" => selected,
    "an Event about an object of another namespace is refused" => other_namespace,
    "Events have a Table of their own" => table,
    "core Events are seen through events.k8s.io" => new_group,
    "an Event can be counted up" => counted,
}

fn event(s: &Session, name: &str, about: &str, warning: bool) -> Value {
    json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": s.token},
        "involvedObject": {"apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "MaasMachine", "name": about,
            "namespace": s.token, "uid": "00000000-0000-0000-0000-000000000007", "resourceVersion": "7"},
        "reason": "Deployed", "message": "MAAS deployed the machine", "type": if warning { "Warning" } else { "Normal" },
        "firstTimestamp": "2020-01-01T00:00:00Z", "lastTimestamp": "2020-01-01T00:00:00Z", "count": 1,
        "source": {"component": "capmaas-controller"}})
}

async fn taken(s: &mut Session) -> Outcome {
    let path = s.core("events");
    let event = event(s, "a.1", "a", false);
    s.post(&path, &event).await?;
    s.get(&format!("{path}/a.1")).await?;
    Ok(())
}

async fn selected(s: &mut Session) -> Outcome {
    let path = s.core("events");
    for (name, about, warning) in [("a.1", "a", false), ("a.2", "a", true), ("b.1", "b", false)] {
        let event = event(s, name, about, warning);
        s.post(&path, &event).quiet().await?;
    }
    let described = format!(
        "involvedObject.name%3Da,involvedObject.namespace%3D{},involvedObject.kind%3DMaasMachine,involvedObject.uid%3D00000000-0000-0000-0000-000000000007",
        s.token
    );
    for selector in [
        described.as_str(),
        "type%3DWarning",
        "reason%3DDeployed,involvedObject.name!%3Da",
        "source%3Dcapmaas-controller",
        "reportingComponent%3Dcapmaas-controller",
        "involvedObject.apiVersion%3Dv1",
        "message%3Dx",
    ] {
        s.get(&format!("{path}?fieldSelector={selector}"))
            .only(|list| if list["kind"] == "Status" { list["message"].clone() } else { names(list) })
            .await?;
    }
    Ok(())
}

async fn other_namespace(s: &mut Session) -> Outcome {
    let path = s.core("events");
    let mut event = event(s, "a.1", "a", false);
    event["involvedObject"]["namespace"] = json!("default");
    s.post(&path, &event).await?;
    Ok(())
}

async fn table(s: &mut Session) -> Outcome {
    let path = s.core("events");
    let event = event(s, "a.1", "a", false);
    s.post(&path, &event).quiet().await?;
    let printed = |table: &Value| {
        let columns = table["columnDefinitions"].as_array().into_iter().flatten();
        let columns: Vec<Value> = columns.map(|c| json!([c["name"], c["type"], c["priority"]])).collect();
        json!({"columns": columns, "cells": table["rows"][0]["cells"]})
    };
    s.get(&path).table().only(printed).await?;
    Ok(())
}

async fn new_group(s: &mut Session) -> Outcome {
    let path = s.core("events");
    let event = event(s, "a.1", "a", false);
    s.post(&path, &event).quiet().await?;
    let new = format!("/apis/events.k8s.io/v1/namespaces/{}/events", s.token);
    s.get(&format!("{new}/a.1")).await?;
    s.get(&format!("{new}?fieldSelector=regarding.name%3Da")).only(names).await?;
    Ok(())
}

async fn counted(s: &mut Session) -> Outcome {
    let path = s.core("events");
    let event = event(s, "a.1", "a", false);
    s.post(&path, &event).quiet().await?;
    let patch = json!({"count": 2, "lastTimestamp": "2020-01-02T00:00:00Z"});
    s.strategic(&format!("{path}/a.1"), &patch).pick(&["/count", "/firstTimestamp", "/lastTimestamp"]).await?;
    Ok(())
}
