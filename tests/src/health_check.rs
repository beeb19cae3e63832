//! What Cluster API does about sick Machines, as far as the provider sees it: a MachineHealthCheck with external remediation, and the
//! owner that replaces what is left to it. (The real ones judge in `cargo xtask e2e`, row `remediation`.)

use std::convert::Infallible;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::{Hand, condition};

/// A Node that is not healthy for so long fails its check.
const SICK_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// Between two looks, policy time.
const PERIOD: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct HealthCheck {
    /// `spec.strategy.retryLimit` of the requests.
    pub tries: i32,
    /// `spec.strategy.timeoutSeconds` of the requests.
    pub timeout: i32,
}

impl HealthCheck {
    /// Looks after all Machines of a management cluster for as long as it is polled.
    pub async fn run(self, hand: &Hand<'_>) -> Infallible {
        loop {
            for machine in hand.list("Machine").await {
                if machine.pointer("/metadata/deletionTimestamp").is_none() {
                    self.look(hand, &machine).await;
                }
            }
            hand.play.sandbox.clock.sleep(PERIOD).await;
        }
    }

    async fn look(self, hand: &Hand<'_>, machine: &Value) {
        let name = machine["metadata"]["name"].as_str().unwrap_or_default();
        let passed = condition(machine, "HealthCheckSucceeded").0;
        let requests = hand.api("MaasRemediation", "default");
        let request = hand.get("MaasRemediation", name).await;
        match self.is_sick(hand, machine) {
            Some(false) => {
                if request.is_some_and(|r| r.pointer("/metadata/deletionTimestamp").is_none()) {
                    // It may be gone by now.
                    let _ = requests.delete(name, &DeleteParams::default()).await;
                }
                if passed == "False" {
                    check(hand, machine, true).await;
                }
            }
            Some(true) => {
                if request.is_none() {
                    let request = serde_json::from_value(self.request(machine)).expect("it is an object");
                    let _ = requests.create(&PostParams::default(), &request).await;
                }
                if passed != "False" {
                    check(hand, machine, false).await;
                } else if condition(machine, "OwnerRemediated").0 == "False" {
                    hand.delete("Machine", name).await;
                }
            }
            None => {}
        }
    }

    /// `None`: it has no Node yet, or is not sick for long enough to say so.
    fn is_sick(self, hand: &Hand<'_>, machine: &Value) -> Option<bool> {
        machine.pointer("/status/nodeRef/name")?;
        let conditions = machine.pointer("/status/conditions")?.as_array()?;
        let node = conditions.iter().find(|c| c["type"] == "NodeHealthy")?;
        if node["status"] == "True" {
            return Some(false);
        }
        let since: Timestamp = node["lastTransitionTime"].as_str()?.parse().ok()?;
        (since + SICK_AFTER <= hand.play.sandbox.clock.now()).then_some(true)
    }

    /// As Cluster API makes it from a template.
    fn request(self, machine: &Value) -> Value {
        let meta = &machine["metadata"];
        json!({
            "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "MaasRemediation",
            "metadata": {
                "name": meta["name"], "namespace": "default",
                "labels": { "cluster.x-k8s.io/cluster-name": machine["spec"]["clusterName"] },
                "ownerReferences": [{
                    "apiVersion": machine["apiVersion"], "kind": "Machine", "name": meta["name"], "uid": meta["uid"],
                }],
            },
            "spec": { "strategy": { "type": "PowerCycle", "retryLimit": self.tries, "timeoutSeconds": self.timeout } },
        })
    }
}

/// Writes the outcome of the check into the Machine; a conflict is for the next look.
async fn check(hand: &Hand<'_>, machine: &Value, passed: bool) {
    let mut conditions = machine["status"]["conditions"].as_array().cloned().unwrap_or_default();
    // The owner forgets what it was asked for when the Machine is healthy again.
    conditions.retain(|c| c["type"] != "HealthCheckSucceeded" && !(passed && c["type"] == "OwnerRemediated"));
    let status = if passed { "True" } else { "False" };
    let time = hand.play.sandbox.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    conditions.push(json!({
        "type": "HealthCheckSucceeded", "status": status, "reason": "Checked", "message": "", "lastTransitionTime": time,
    }));
    let patch = json!({
        "metadata": { "resourceVersion": machine["metadata"]["resourceVersion"] }, "status": { "conditions": conditions },
    });
    let name = machine["metadata"]["name"].as_str().unwrap_or_default();
    let machines = hand.api("Machine", "default");
    let _ = machines.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
}
