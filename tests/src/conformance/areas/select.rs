//! Label and field selectors.

use serde_json::json;

use super::cases;
use crate::conformance::fixtures::{config_map, labelled};
use crate::conformance::session::{Outcome, Session, names};

cases! {
    "label selectors choose by value, by set and by presence" => labels,
    "a label selector that is none is refused" => bad_labels,
    "metadata.name and metadata.namespace select fields of every kind" => fields,
    "a field selector on anything else is refused" => unknown_field,
    "a custom resource is selected by its selectable fields" => selectable,
    "Secrets are listed by name and type" => secrets,
}

/// Selectors that kubectl, clusterctl and our feeders send, percent-encoded where HTTP wants it.
const LABELS: [&str; 13] = [
    "app%3Dweb",
    "app%3D%3Dweb",
    "app!%3Dweb",
    "app%20in%20(web,db)",
    "app%20notin%20(web,db)",
    "app",
    "!app",
    "app,tier%3Dfront",
    "app%3Dweb,tier!%3Dfront",
    "example.com/name%3D",
    "app%20in%20()",
    "app%3Dnothing",
    "",
];

async fn labels(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    let objects: [(&str, &[(&str, &str)]); 5] = [
        ("a", &[("app", "web"), ("tier", "front")]),
        ("b", &[("app", "web"), ("tier", "back")]),
        ("c", &[("app", "db")]),
        ("d", &[("example.com/name", "")]),
        ("e", &[]),
    ];
    for (name, labels) in objects {
        s.post(&path, &labelled(config_map(name), labels)).quiet().await?;
    }
    for selector in LABELS {
        s.get(&format!("{path}?labelSelector={selector}")).only(names).await?;
    }
    Ok(())
}

async fn bad_labels(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    for selector in ["app%20in%20web", "%3Dweb", "app%20near%20(web)", "app%3Dno%20value", "-%3Da"] {
        s.get(&format!("{path}?labelSelector={selector}")).pick(&["/kind", "/reason", "/code"]).await?;
    }
    Ok(())
}

async fn fields(s: &mut Session) -> Outcome {
    let (maps, widgets, group) = (s.core("configmaps"), s.widgets(), s.group());
    for name in ["a", "b", "c"] {
        let widget = s.widget(name, json!({}));
        s.post(&maps, &config_map(name)).quiet().await?;
        s.post(&widgets, &widget).quiet().await?;
    }
    let here = s.token.clone();
    for path in [maps, widgets] {
        for selector in ["metadata.name%3Da", "metadata.name!%3Da", "metadata.name%3Da,metadata.name%3Db"] {
            s.get(&format!("{path}?fieldSelector={selector}")).only(names).await?;
        }
    }
    for all in ["/api/v1/configmaps".to_owned(), format!("/apis/{group}/v1/widgets")] {
        s.get(&format!("{all}?fieldSelector=metadata.namespace%3D{here}")).only(names).await?;
    }
    Ok(())
}

async fn unknown_field(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    for path in [maps, widgets] {
        for selector in ["spec.size%3D3", "metadata.uid%3Da", "nonsense"] {
            s.get(&format!("{path}?fieldSelector={selector}")).await?;
        }
    }
    Ok(())
}

async fn selectable(s: &mut Session) -> Outcome {
    let path = s.widgets();
    for (name, color) in [("a", "red"), ("b", "blue"), ("c", "red")] {
        let widget = s.widget(name, json!({"color": color}));
        s.post(&path, &widget).quiet().await?;
    }
    s.get(&format!("{path}?fieldSelector=spec.color%3Dred")).only(names).await?;
    s.get(&format!("{path}?fieldSelector=spec.color%3Dred,metadata.name%3Dc")).only(names).await?;
    Ok(())
}

async fn secrets(s: &mut Session) -> Outcome {
    let path = s.core("secrets");
    for (name, kind) in [("a", "Opaque"), ("b", "cluster.x-k8s.io/secret"), ("c", "cluster.x-k8s.io/secret")] {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind});
        s.post(&path, &secret).quiet().await?;
    }
    s.get(&format!("{path}?fieldSelector=metadata.name%3Db")).await?;
    s.get(&format!("{path}?fieldSelector=type%3Dcluster.x-k8s.io/secret")).only(names).await?;
    Ok(())
}
