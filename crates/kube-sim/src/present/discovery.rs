//! Discovery: the legacy lists and the aggregated documents.

use serde_json::{Value, json};

use crate::kinds::{Kind, Registry, Version};
use crate::verbs::native::deletes_collections;

const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// The same in the order in which custom resources have them.
const CUSTOM_VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

/// Media type of the aggregated documents.
pub(crate) const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// `/api`
pub(crate) fn api_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

fn group(name: &str, versions: &[String]) -> Value {
    let list: Vec<Value> =
        versions.iter().map(|v| json!({"groupVersion": format!("{name}/{v}"), "version": v})).collect();
    json!({"name": name, "versions": list, "preferredVersion": list.first()})
}

/// `/apis`
pub(crate) fn group_list(kinds: &Registry) -> Value {
    let groups: Vec<Value> =
        kinds.groups().iter().filter(|(g, _)| !g.is_empty()).map(|(g, versions)| group(g, versions)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/{group}`
pub(crate) fn one_group(kinds: &Registry, name: &str) -> Option<Value> {
    let mut out = group(name, kinds.groups().get(name)?);
    out["kind"] = json!("APIGroup");
    out["apiVersion"] = json!("v1");
    Some(out)
}

fn verbs(kind: &Kind) -> Vec<&'static str> {
    match kind {
        k if k.review => vec!["create"],
        k if k.custom => CUSTOM_VERBS.to_vec(),
        k => VERBS.into_iter().filter(|v| *v != "deletecollection" || deletes_collections(k)).collect(),
    }
}

/// `/api/v1`, `/apis/{group}/{version}`
pub(crate) fn resource_list(kinds: &Registry, group: &str, version: &str) -> Option<Value> {
    let mut resources = Vec::new();
    for (k, v) in served(kinds, group, version) {
        let mut one = json!({"name": k.plural, "singularName": k.singular, "namespaced": k.namespaced,
            "kind": k.kind, "verbs": verbs(k)});
        if !k.short_names.is_empty() {
            one["shortNames"] = json!(k.short_names);
        }
        if !k.categories.is_empty() {
            one["categories"] = json!(k.categories);
        }
        resources.push(one);
        for (sub, kind_group, kind_version, kind) in subresources(k, v) {
            let mut one = json!({"name": format!("{}/{sub}", k.plural), "singularName": "",
                "namespaced": k.namespaced, "kind": kind, "verbs": ["get", "patch", "update"]});
            if sub == "scale" {
                one["group"] = json!(kind_group);
                one["version"] = json!(kind_version);
            }
            resources.push(one);
        }
    }
    let gv = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    (!resources.is_empty())
        .then(|| json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": gv, "resources": resources}))
}

fn subresources<'a>(k: &'a Kind, v: &'a Version) -> Vec<(&'static str, &'a str, &'a str, &'a str)> {
    let mut out = Vec::new();
    if v.status {
        out.push(("status", k.group.as_str(), v.name.as_str(), k.kind.as_str()));
    }
    if v.scale.is_some() {
        out.push(("scale", "autoscaling", "v1", "Scale"));
    }
    out
}

fn served<'a>(kinds: &'a Registry, group: &str, version: &str) -> impl Iterator<Item = (&'a Kind, &'a Version)> {
    kinds
        .iter()
        .filter(move |k| k.group == group)
        .filter_map(move |k| k.version(version).map(|i| (&**k, &k.versions[i])))
}

/// Aggregated discovery of the core group (`/api`) or of all others (`/apis`).
pub(crate) fn aggregated(kinds: &Registry, core: bool) -> Value {
    let groups = kinds.groups();
    let items: Vec<Value> = groups
        .iter()
        .filter(|(g, _)| g.is_empty() == core)
        .map(|(g, versions)| {
            let mut meta = json!({});
            if !g.is_empty() {
                meta["name"] = json!(g);
            }
            let versions: Vec<Value> = versions.iter().map(|v| aggregated_version(kinds, g, v)).collect();
            json!({"metadata": meta, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_version(kinds: &Registry, group: &str, version: &str) -> Value {
    let resources: Vec<Value> = served(kinds, group, version)
        .map(|(k, v)| {
            let response = |g: &str, v: &str, kind: &str| json!({"group": g, "version": v, "kind": kind});
            let subs: Vec<Value> = subresources(k, v)
                .into_iter()
                .map(|(sub, g, v, kind)| {
                    json!({"subresource": sub, "responseKind": response(g, v, kind), "verbs": ["get", "patch", "update"]})
                })
                .collect();
            // The API server leaves the group and version of the built-in core kinds out.
            let version = if k.custom || !k.group.is_empty() { v.name.as_str() } else { "" };
            let mut one = json!({"resource": k.plural, "responseKind": response(&k.group, version, &k.kind),
                "scope": if k.namespaced { "Namespaced" } else { "Cluster" }, "singularResource": k.singular,
                "verbs": verbs(k)});
            for (field, list) in [("shortNames", &k.short_names), ("categories", &k.categories)] {
                if !list.is_empty() {
                    one[field] = json!(list);
                }
            }
            if !subs.is_empty() {
                one["subresources"] = json!(subs);
            }
            one
        })
        .collect();
    json!({"version": version, "resources": resources, "freshness": "Current"})
}
