//! How a Machine is left to its owner: condition `OwnerRemediated` is False, in the words of both contracts.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::conditions::{OWNER_REMEDIATED, reason};

/// The merge patch for the status of a Machine, as the API server showed it, that gives it to its owner; `None` when that stands.
///
/// Both lists get the condition: that of today and that of contract v1beta1, which lie elsewhere depending on the version at which the
/// Machine was read. The patch has its resourceVersion: lists are replaced as a whole.
///
/// ```
/// use serde_json::json;
///
/// let machine = json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine", "metadata": {"name": "m", "resourceVersion": "7"}});
/// let patch = capi_types::owner_remediated(&machine, "it did not help", "2026-01-01T00:00:00Z".parse()?).expect("it is new");
/// assert_eq!(patch["metadata"]["resourceVersion"], "7");
/// assert_eq!(patch["status"]["conditions"][0]["status"], "False");
/// assert_eq!(patch["status"]["deprecated"]["v1beta1"]["conditions"][0]["severity"], "Warning");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn owner_remediated(machine: &Value, message: &str, now: Timestamp) -> Option<Value> {
    let old = machine["apiVersion"].as_str().is_some_and(|version| version.ends_with("/v1beta1"));
    let (today, before) = if old {
        ("/status/v1beta2/conditions", "/status/conditions")
    } else {
        ("/status/conditions", "/status/deprecated/v1beta1/conditions")
    };
    let time = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    let condition = json!({
        "type": OWNER_REMEDIATED, "status": "False", "reason": reason::WAITING_FOR_REMEDIATION, "message": message,
        "lastTransitionTime": time,
    });
    let mut condition_before = condition.clone();
    condition_before["severity"] = json!("Warning");
    let today = with(machine, today, condition);
    let before = with(machine, before, condition_before);
    if today.is_none() && before.is_none() {
        return None;
    }
    let mut status = json!({});
    if let Some(list) = today {
        status[if old { "v1beta2" } else { "conditions" }] = if old { json!({ "conditions": list }) } else { list };
    }
    if let Some(list) = before {
        status[if old { "conditions" } else { "deprecated" }] =
            if old { list } else { json!({ "v1beta1": { "conditions": list } }) };
    }
    Some(json!({
        "metadata": { "resourceVersion": machine["metadata"]["resourceVersion"] },
        "status": status,
    }))
}

/// The list at a JSON pointer with this condition instead of the one of its type; `None` when that has its status already.
fn with(machine: &Value, path: &str, condition: Value) -> Option<Value> {
    let mut list = machine.pointer(path).and_then(Value::as_array).cloned().unwrap_or_default();
    match list.iter_mut().find(|c| c["type"] == condition["type"]) {
        Some(there) if there["status"] == condition["status"] => return None,
        Some(there) => *there = condition,
        None => list.push(condition),
    }
    Some(Value::Array(list))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CoreMachine;

    fn now() -> Timestamp {
        "2026-01-01T00:00:00.5Z".parse().unwrap()
    }

    fn machine(version: &str, status: Value) -> Value {
        json!({"apiVersion": format!("cluster.x-k8s.io/{version}"), "kind": "Machine",
            "metadata": {"name": "m", "resourceVersion": "7"}, "status": status})
    }

    /// A JSON merge patch, as far as statuses go.
    fn merge(into: &mut Value, patch: &Value) {
        match patch {
            Value::Object(fields) => {
                for (name, value) in fields {
                    merge(&mut into[name], value);
                }
            }
            other => *into = other.clone(),
        }
    }

    #[test]
    fn the_machine_is_given_to_its_owner_in_both_lists_of_either_version_and_other_conditions_stay() {
        let ready = json!({"type": "Ready", "status": "True"});
        let lists = [
            ("v1beta2", ["/status/conditions", "/status/deprecated/v1beta1/conditions"]),
            ("v1beta1", ["/status/v1beta2/conditions", "/status/conditions"]),
        ];
        for (version, [today, before]) in lists {
            let mut object = machine(version, json!({"conditions": [ready], "nodeRef": {"name": "n"}}));
            let patch = owner_remediated(&object, "why", now()).unwrap();
            assert_eq!(patch["metadata"], json!({"resourceVersion": "7"}), "{version}");
            merge(&mut object, &patch);
            for (list, severity) in [(today, Value::Null), (before, json!("Warning"))] {
                let found = object.pointer(list).unwrap().as_array().unwrap();
                let ours = found.iter().find(|c| c["type"] == "OwnerRemediated").unwrap();
                let shown = [&ours["status"], &ours["reason"], &ours["message"], &ours["lastTransitionTime"]];
                let wanted =
                    [json!("False"), json!("WaitingForRemediation"), json!("why"), json!("2026-01-01T00:00:00Z")];
                assert_eq!(shown, wanted.each_ref(), "{version} {list}");
                assert_eq!(ours["severity"], severity, "{version} {list}");
            }
            let kept = object["status"]["conditions"].as_array().unwrap();
            assert!(kept.contains(&ready), "{version}: {kept:?}");
            assert_eq!(object["status"]["nodeRef"]["name"], "n");
            assert!(CoreMachine::from_value(&object).unwrap().owner_remediates, "{version}");
            assert_eq!(owner_remediated(&object, "other words", now()), None, "{version}: it stands");
        }
    }

    #[test]
    fn a_finished_remediation_is_begun_anew_and_a_half_written_one_is_completed() {
        let done = machine("v1beta2", json!({"conditions": [{"type": "OwnerRemediated", "status": "True"}]}));
        let patch = owner_remediated(&done, "again", now()).unwrap();
        assert_eq!(patch["status"]["conditions"].as_array().unwrap().len(), 1);
        let half = machine("v1beta2", json!({"conditions": [{"type": "OwnerRemediated", "status": "False"}]}));
        let patch = owner_remediated(&half, "again", now()).unwrap();
        assert!(patch["status"].get("conditions").is_none(), "{patch}");
    }
}
