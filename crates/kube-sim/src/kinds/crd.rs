//! CustomResourceDefinition objects: checked, given their conditions, and turned into a [`Kind`].

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Column, Kind, Scale, Version, compare_versions};
use crate::error::Cause;
use crate::schema::Schema;

/// Finalizer that keeps a CRD until its objects are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Checks a CRD and fills what the API server fills: names, defaults and the conditions `NamesAccepted` and `Established`.
pub(crate) fn prepare(crd: &mut Value, now: &str) -> Result<(), Vec<Cause>> {
    let spec = &mut crd["spec"];
    let kind = spec["names"]["kind"].as_str().unwrap_or_default().to_owned();
    if !kind.is_empty() {
        if spec["names"]["listKind"].is_null() {
            spec["names"]["listKind"] = json!(format!("{kind}List"));
        }
        if spec["names"]["singular"].is_null() {
            spec["names"]["singular"] = json!(kind.to_lowercase());
        }
    }
    if spec["conversion"].is_null() {
        spec["conversion"] = json!({"strategy": "None"});
    }
    for version in spec["versions"].as_array_mut().into_iter().flatten() {
        let Some(fields) = version.as_object_mut() else { continue };
        fields.retain(|_, v| !v.is_null());
        for column in fields.get_mut("additionalPrinterColumns").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(fields) = column.as_object_mut() {
                fields.retain(|_, v| !v.is_null());
            }
        }
    }
    let causes = check(crd);
    if !causes.is_empty() {
        return Err(causes);
    }
    let stored: Vec<Value> = crd["spec"]["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|v| v["storage"] == true)
        .map(|v| v["name"].clone())
        .collect();
    let mut known: Vec<Value> = crd["status"]["storedVersions"].as_array().cloned().unwrap_or_default();
    for s in stored {
        if !known.contains(&s) {
            known.push(s);
        }
    }
    // Times of conditions stay what they were: preparing twice must change nothing.
    let since = |t: &str| -> Value {
        let old = crd["status"]["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == t);
        old.map_or_else(|| json!(now), |c| c["lastTransitionTime"].clone())
    };
    let conditions = json!([
        {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "message": "no conflicts found",
         "lastTransitionTime": since("NamesAccepted")},
        {"type": "Established", "status": "True", "reason": "InitialNamesAccepted",
         "message": "the initial names have been accepted", "lastTransitionTime": since("Established")},
    ]);
    crd["status"] = json!({"conditions": conditions, "acceptedNames": crd["spec"]["names"], "storedVersions": known});
    Ok(())
}

fn check(crd: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let spec = &crd["spec"];
    for (path, value) in [
        ("spec.group", &spec["group"]),
        ("spec.names.plural", &spec["names"]["plural"]),
        ("spec.names.kind", &spec["names"]["kind"]),
        ("spec.scope", &spec["scope"]),
    ] {
        if value.as_str().is_none_or(str::is_empty) {
            causes.push(Cause::required(path));
        }
    }
    let group = spec["group"].as_str().unwrap_or_default();
    let wanted = format!("{}.{group}", spec["names"]["plural"].as_str().unwrap_or_default());
    if crd["metadata"]["name"] != wanted.as_str() {
        causes.push(Cause::invalid(
            "metadata.name",
            &crd["metadata"]["name"],
            "must be spec.names.plural+\".\"+spec.group",
        ));
    }
    if spec["conversion"]["strategy"] != "None" {
        let what = "kube-sim lacks conversion webhooks (see GAPS.md)";
        causes.push(Cause::forbidden("spec.conversion.strategy", what));
    }
    let versions: Vec<&Value> = spec["versions"].as_array().into_iter().flatten().collect();
    if versions.iter().filter(|v| v["storage"] == true).count() != 1 {
        causes.push(Cause::invalid(
            "spec.versions",
            &json!("versions"),
            "must have exactly one version marked as storage version",
        ));
    }
    for (i, v) in versions.iter().enumerate() {
        let at = format!("spec.versions[{i}]");
        if v["name"].as_str().is_none_or(str::is_empty) {
            causes.push(Cause::required(format!("{at}.name")));
        }
        let schema = &v["schema"]["openAPIV3Schema"];
        if !schema.is_object() {
            causes.push(Cause::required(format!("{at}.schema.openAPIV3Schema")));
        } else {
            let at = format!("{at}.schema.openAPIV3Schema");
            match Schema::parse(schema, &at) {
                Ok(schema) => schema.check_defaults(&at, &mut causes),
                Err(more) => causes.extend(more),
            }
        }
        for (j, c) in v["additionalPrinterColumns"].as_array().into_iter().flatten().enumerate() {
            let path = c["jsonPath"].as_str().unwrap_or_default();
            if crate::present::jsonpath::Path::parse(path).is_none() {
                let text = "must be a JSON path of the form .a.b, .a['b'], .a[0] or .a[?(@.b==\"c\")].d";
                causes.push(Cause::invalid(
                    format!("{at}.additionalPrinterColumns[{j}].jsonPath"),
                    &c["jsonPath"],
                    text,
                ));
            }
        }
    }
    causes
}

/// The kind a (prepared) CRD serves.
pub(crate) fn from_crd(crd: &Value) -> Result<Kind, Vec<Cause>> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let list = |v: &Value| -> Vec<String> {
        v.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let spec = &crd["spec"];
    let names = &spec["names"];
    let (group, plural) = (text(&spec["group"]), text(&names["plural"]));
    let mut versions = Vec::new();
    let mut storage = String::new();
    for v in spec["versions"].as_array().into_iter().flatten() {
        if v["storage"] == true {
            storage = text(&v["name"]);
        }
        versions.push(version(v, &group, &text(&names["kind"]))?);
    }
    versions.sort_by(|a, b| compare_versions(&a.name, &b.name));
    Ok(Kind {
        id: Arc::from(format!("{plural}.{group}")),
        kind: text(&names["kind"]),
        list_kind: text(&names["listKind"]),
        singular: text(&names["singular"]),
        short_names: list(&names["shortNames"]),
        categories: list(&names["categories"]),
        namespaced: spec["scope"] == "Namespaced",
        stored_api_version: format!("{group}/{storage}"),
        versions,
        custom: true,
        status_on_create: false,
        fields: Vec::new(),
        view: &[],
        review: false,
        group,
        plural,
    })
}

fn version(v: &Value, group: &str, kind: &str) -> Result<Version, Vec<Cause>> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let dotted = |v: &Value| text(v).trim_start_matches('.').to_owned();
    let published = v["schema"]["openAPIV3Schema"].clone();
    // Rules on the root may look at the name; nothing else of the metadata is visible to them.
    let mut typed = published.clone();
    typed["properties"]["metadata"] = json!({"type": "object",
        "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}}});
    typed["properties"]["apiVersion"] = json!({"type": "string"});
    typed["properties"]["kind"] = json!({"type": "string"});
    if typed.get("type").is_none() {
        typed["type"] = json!("object");
    }
    let mut schema = Schema::parse(&typed, "schema")?;
    for own in ["metadata", "apiVersion", "kind"] {
        schema.properties.remove(own);
    }
    let scale = &v["subresources"]["scale"];
    let columns = match v["additionalPrinterColumns"].as_array() {
        Some(list) if !list.is_empty() => list
            .iter()
            .map(|c| Column {
                name: text(&c["name"]),
                kind: text(&c["type"]),
                format: text(&c["format"]),
                description: match c["description"].as_str().filter(|d| !d.is_empty()) {
                    Some(given) => given.to_owned(),
                    None => format!("Custom resource definition column (in JSONPath format): {}", text(&c["jsonPath"])),
                },
                path: text(&c["jsonPath"]),
                priority: c["priority"].as_i64().unwrap_or(0),
            })
            .collect(),
        _ => vec![Column {
            name: "Age".into(),
            kind: "date".into(),
            format: String::new(),
            description: "Time since the object was made.".into(),
            path: ".metadata.creationTimestamp".into(),
            priority: 0,
        }],
    };
    Ok(Version {
        name: text(&v["name"]),
        served: v["served"] == true,
        deprecation: (v["deprecated"] == true).then(|| {
            let what = || format!("{group}/{} {kind} is deprecated", text(&v["name"]));
            v["deprecationWarning"].as_str().map_or_else(what, str::to_owned)
        }),
        schema,
        published,
        status: v["subresources"]["status"].is_object(),
        scale: scale.is_object().then(|| Scale {
            spec: dotted(&scale["specReplicasPath"]),
            status: dotted(&scale["statusReplicasPath"]),
            selector: scale["labelSelectorPath"].as_str().map(|p| p.trim_start_matches('.').to_owned()),
        }),
        columns,
        selectable: v["selectableFields"].as_array().into_iter().flatten().map(|f| dotted(&f["jsonPath"])).collect(),
    })
}
