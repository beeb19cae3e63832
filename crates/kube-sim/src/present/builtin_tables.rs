//! Columns of the built-in kinds, as kubectl users know them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::table::{Col, age};

type Rows = (Vec<Col>, Vec<Vec<Value>>);

/// Column name, type, priority, and how the cell is made.
type Maker = (&'static str, &'static str, i64, fn(&Value, Timestamp) -> Value);

pub(super) fn columns(kind: &str, items: &[Value], now: Timestamp) -> Rows {
    let makers: &[Maker] = match kind {
        "Namespace" => &[NAME, ("Status", "string", 0, |o, _| text(&o["status"]["phase"])), AGE],
        "Node" => &[
            NAME,
            ("Status", "string", 0, node_status),
            ("Roles", "string", 0, node_roles),
            AGE,
            ("Version", "string", 0, |o, _| text(&o["status"]["nodeInfo"]["kubeletVersion"])),
            ("Internal-IP", "string", 1, |o, _| node_address(o, "InternalIP")),
            ("External-IP", "string", 1, |o, _| node_address(o, "ExternalIP")),
            ("OS-Image", "string", 1, |o, _| known(&o["status"]["nodeInfo"]["osImage"])),
            ("Kernel-Version", "string", 1, |o, _| known(&o["status"]["nodeInfo"]["kernelVersion"])),
            ("Container-Runtime", "string", 1, |o, _| known(&o["status"]["nodeInfo"]["containerRuntimeVersion"])),
        ],
        "Pod" => &[
            NAME,
            ("Ready", "string", 0, pod_ready),
            ("Status", "string", 0, pod_status),
            ("Restarts", "string", 0, pod_restarts),
            AGE,
            ("IP", "string", 1, |o, _| none(&o["status"]["podIP"])),
            ("Node", "string", 1, |o, _| none(&o["spec"]["nodeName"])),
        ],
        "Secret" => &[NAME, ("Type", "string", 0, |o, _| text(&o["type"])), ("Data", "string", 0, data), AGE],
        "ConfigMap" => &[NAME, ("Data", "string", 0, data), AGE],
        "Event" => &[
            ("Last Seen", "string", 0, last_seen),
            ("Type", "string", 0, |o, _| text(&o["type"])),
            ("Reason", "string", 0, |o, _| text(&o["reason"])),
            ("Object", "string", 0, event_object),
            ("Subobject", "string", 1, |o, _| text(&either(o, "involvedObject", "regarding")["fieldPath"])),
            ("Source", "string", 1, event_source),
            ("Message", "string", 0, |o, _| text(either(o, "message", "note"))),
            ("First Seen", "string", 1, first_seen),
            ("Count", "string", 1, |o, _| json!(either(o, "count", "deprecatedCount").as_i64().unwrap_or(1))),
            ("Name", "string", 1, NAME.3),
        ],
        "ServiceAccount" => &[
            NAME,
            ("Secrets", "string", 0, |o, _| json!(o["secrets"].as_array().map_or(0, Vec::len).to_string())),
            AGE,
        ],
        "Service" => &[
            NAME,
            ("Type", "string", 0, |o, _| text(&o["spec"]["type"])),
            ("Cluster-IP", "string", 0, |o, _| none(&o["spec"]["clusterIP"])),
            ("External-IP", "string", 0, |o, _| none(&o["status"]["loadBalancer"]["ingress"][0]["ip"])),
            ("Port(s)", "string", 0, ports),
            AGE,
        ],
        "Lease" => &[NAME, ("Holder", "string", 0, |o, _| text(&o["spec"]["holderIdentity"])), AGE],
        "CustomResourceDefinition" | "ClusterRole" | "Role" => {
            &[NAME, ("Created At", "date", 0, |o, _| text(&o["metadata"]["creationTimestamp"]))]
        }
        "RoleBinding" | "ClusterRoleBinding" => &[
            NAME,
            ("Role", "string", 0, |o, _| {
                let part = |f: &str| o["roleRef"][f].as_str().unwrap_or_default().to_owned();
                json!(format!("{}/{}", part("kind"), part("name")))
            }),
            AGE,
        ],
        _ => &[NAME, AGE],
    };
    let cols = makers.iter().map(|(name, kind, priority, _)| Col::new(name, kind, *priority)).collect();
    let rows = items.iter().map(|o| makers.iter().map(|m| (m.3)(o, now)).collect()).collect();
    (cols, rows)
}

const NAME: Maker = ("Name", "string", 0, |o, _| o["metadata"]["name"].clone());
const AGE: Maker = ("Age", "string", 0, |o, now| json!(age(o["metadata"]["creationTimestamp"].as_str(), now)));

fn text(v: &Value) -> Value {
    json!(v.as_str().unwrap_or_default())
}

fn none(v: &Value) -> Value {
    json!(v.as_str().filter(|s| !s.is_empty()).unwrap_or("<none>"))
}

fn known(v: &Value) -> Value {
    json!(v.as_str().filter(|s| !s.is_empty()).unwrap_or("<unknown>"))
}

fn either<'a>(o: &'a Value, a: &str, b: &str) -> &'a Value {
    if o[a].is_null() { &o[b] } else { &o[a] }
}

fn data(o: &Value, _: Timestamp) -> Value {
    let n = |f: &str| o[f].as_object().map_or(0, |d| d.len());
    json!(n("data") + n("binaryData"))
}

fn node_status(o: &Value, _: Timestamp) -> Value {
    let ready = o["status"]["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == "Ready");
    let mut out = match ready.and_then(|c| c["status"].as_str()) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if o["spec"]["unschedulable"] == true {
        out.push_str(",SchedulingDisabled");
    }
    json!(out)
}

fn node_roles(o: &Value, _: Timestamp) -> Value {
    let labels = o["metadata"]["labels"].as_object().into_iter().flatten();
    let mut roles: Vec<&str> = labels
        .filter_map(
            |(k, v)| if k == "kubernetes.io/role" { v.as_str() } else { k.strip_prefix("node-role.kubernetes.io/") },
        )
        .collect();
    roles.sort_unstable();
    json!(if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") })
}

fn node_address(o: &Value, kind: &str) -> Value {
    let found = o["status"]["addresses"].as_array().into_iter().flatten().find(|a| a["type"] == kind);
    found.map_or_else(|| json!("<none>"), |a| none(&a["address"]))
}

fn statuses(o: &Value) -> impl Iterator<Item = &Value> {
    o["status"]["containerStatuses"].as_array().into_iter().flatten()
}

fn pod_ready(o: &Value, _: Timestamp) -> Value {
    let all = o["spec"]["containers"].as_array().map_or(0, Vec::len);
    json!(format!("{}/{all}", statuses(o).filter(|s| s["ready"] == true).count()))
}

fn pod_status(o: &Value, _: Timestamp) -> Value {
    if o["metadata"]["deletionTimestamp"].is_string() { json!("Terminating") } else { text(&o["status"]["phase"]) }
}

fn pod_restarts(o: &Value, _: Timestamp) -> Value {
    json!(statuses(o).filter_map(|s| s["restartCount"].as_i64()).sum::<i64>().to_string())
}

fn ports(o: &Value, _: Timestamp) -> Value {
    let list: Vec<String> = o["spec"]["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|p| format!("{}/{}", p["port"], p["protocol"].as_str().unwrap_or("TCP")))
        .collect();
    json!(if list.is_empty() { "<none>".to_owned() } else { list.join(",") })
}

fn last_seen(o: &Value, now: Timestamp) -> Value {
    let times = [
        &o["series"]["lastObservedTime"],
        either(o, "lastTimestamp", "deprecatedLastTimestamp"),
        &o["eventTime"],
        &o["metadata"]["creationTimestamp"],
    ];
    json!(age(times.iter().find_map(|t| t.as_str()), now))
}

fn first_seen(o: &Value, now: Timestamp) -> Value {
    let times = [either(o, "firstTimestamp", "deprecatedFirstTimestamp"), &o["eventTime"]];
    json!(age(times.iter().find_map(|t| t.as_str()), now))
}

fn event_object(o: &Value, _: Timestamp) -> Value {
    let about = either(o, "involvedObject", "regarding");
    let part = |f: &str| about[f].as_str().unwrap_or_default();
    json!(format!("{}/{}", part("kind").to_lowercase(), part("name")))
}

fn event_source(o: &Value, _: Timestamp) -> Value {
    let source = either(o, "source", "deprecatedSource");
    let by = either(o, "reportingComponent", "reportingController");
    text(if source["component"].is_string() { &source["component"] } else { by })
}
