//! A cluster of a user, as the user looks at it: with kubectl and clusterctl.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use capi_types::names::CONTROL_PLANE_LABEL;
use serde_json::Value;

use super::kubectl::{Kubectl, condition, conditions};
use super::patience::{pause, until, when};
use super::world::{CLUSTER_KINDS, World};

/// How long real controllers may take for one thing. A deployment takes 7 s.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// How long they may take for all machines of a cluster, which come one after the other.
pub(super) const LONG: Duration = Duration::from_secs(300);

/// Conditions that are False when all is well.
const BAD_WHEN_TRUE: [&str; 9] = [
    "Deleting",
    capi_types::conditions::LEFTOVER_WEBHOOKS,
    "Paused",
    "Remediating",
    "RollingOut",
    "ScalingDown",
    "ScalingUp",
    "Updating",
    "Unhealthy",
];

/// Reads a text, empty where there is none.
pub(super) fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// What of an object would alarm somebody who looks at all of its conditions.
fn alarms(object: &Value) -> Vec<String> {
    let all = object["status"]["conditions"].as_array();
    // A MachineHealthCheck leaves the condition of its request on the Machine that has become healthy.
    let healed = condition(object, "HealthCheckSucceeded").0 == "True";
    let bad = all.into_iter().flatten().filter(|condition| {
        if healed && condition["type"] == "ExternallyRemediated" {
            return false;
        }
        let good = if BAD_WHEN_TRUE.contains(&text(condition, "/type")) { "False" } else { "True" };
        condition["status"] != good
    });
    bad.map(|c| {
        let told = ["/type", "/status", "/reason", "/message"].map(|pointer| text(c, pointer));
        format!("{} {}: {}", text(object, "/kind"), text(object, "/metadata/name"), told.join(" "))
    })
    .collect()
}

/// A Cluster by name.
#[derive(Clone)]
pub(super) struct UserCluster {
    pub(super) namespace: String,
    pub(super) name: String,
}

/// How many machines a cluster is to have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Size {
    pub(super) control_planes: usize,
    pub(super) workers: usize,
}

impl UserCluster {
    /// Applies a manifest with kubectl, in a namespace that is made if it is not there.
    pub(super) fn apply(world: &World, namespace: &str, name: &str, manifest: &str) -> Result<Self> {
        let kubectl = &world.plane.kubectl;
        if kubectl.get("", "namespace", namespace)?.is_none() {
            kubectl.run(&["create", "namespace", namespace])?;
        }
        let file = kubectl.manifest(&format!("{namespace}-{name}.yaml"), manifest)?;
        kubectl.run(&["apply", "-n", namespace, "-f", &file])?;
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// The object of a kind with that name, which must be there.
    pub(super) fn get(&self, world: &World, kind: &str, name: &str) -> Result<Value> {
        world.plane.kubectl.get(&self.namespace, kind, name)?.with_context(|| format!("no {kind} {name}"))
    }

    /// Objects of a kind, or of several separated by commas.
    pub(super) fn list(&self, world: &World, kinds: &str) -> Result<Vec<Value>> {
        world.plane.kubectl.list(&self.namespace, kinds, "")
    }

    /// The one object of a kind.
    pub(super) fn only(&self, world: &World, kind: &str) -> Result<Value> {
        let found = self.list(world, kind)?;
        let [one] = found.as_slice() else { bail!("{} objects of kind {kind}", found.len()) };
        Ok(one.clone())
    }

    /// Merges into an object.
    pub(super) fn patch(&self, world: &World, kind: &str, name: &str, patch: &Value) -> Result<()> {
        let patch = patch.to_string();
        world.plane.kubectl.run(&["patch", "-n", &self.namespace, kind, name, "--type=merge", "-p", &patch])?;
        Ok(())
    }

    /// Waits until an object is as `look` wants it.
    pub(super) fn until(
        &self,
        world: &World,
        what: &str,
        (kind, name): (&str, &str),
        look: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        until(&format!("{kind} {name}: {what}"), PATIENCE, || {
            let object = self.get(world, kind, name)?;
            Ok(if look(&object) { Ok(object) } else { Err(conditions(&object)) })
        })
    }

    /// Waits for the MaasMachine of the control plane; there is to be one.
    pub(super) fn control_plane(&self, world: &World) -> Result<Value> {
        let machines = until("the MaasMachine of the control plane", PATIENCE, || {
            let machines = world.plane.kubectl.list(&self.namespace, "maasmachines", CONTROL_PLANE_LABEL)?;
            let control_plane = world.plane.kubectl.list(&self.namespace, "kubeadmcontrolplanes", "")?;
            let why = || control_plane.iter().map(conditions).collect::<Vec<_>>().join(" | ");
            Ok(if machines.is_empty() { Err(why()) } else { Ok(machines) })
        })?;
        let [machine] = machines.as_slice() else { bail!("{} control planes", machines.len()) };
        Ok(machine.clone())
    }

    /// Waits until the control plane's MaasMachine is provisioned, and returns it.
    pub(super) fn provisioned(&self, world: &World) -> Result<Value> {
        let machine = self.control_plane(world)?;
        self.until(world, "provisioned", ("maasmachine", text(&machine, "/metadata/name")), |machine| {
            machine["status"]["initialization"]["provisioned"] == true
        })
    }

    /// Waits until the control plane's machine is Deploying in MAAS; returns it as MAAS has it.
    pub(super) fn deploying(&self, world: &World) -> Result<Value> {
        let machine = self.control_plane(world)?;
        let name = text(&machine, "/metadata/name").to_owned();
        until("a machine that deploys", PATIENCE, || {
            let machine = self.get(world, "maasmachine", &name)?;
            let id = text(&machine, "/spec/systemID");
            let found = world.sim.machines()?.into_iter().find(|m| m["system_id"] == id && m["status"] == "deploying");
            Ok(found.ok_or_else(|| conditions(&machine)))
        })
    }

    /// The one Machine of the control plane.
    pub(super) fn only_control_plane_core(&self, world: &World) -> Result<Value> {
        let found = world.plane.kubectl.list(&self.namespace, "machines.cluster.x-k8s.io", CONTROL_PLANE_LABEL)?;
        let [one] = found.as_slice() else { bail!("{} Machines of the control plane", found.len()) };
        Ok(one.clone())
    }

    /// system_ids that MaasMachines name, by name of the MaasMachine.
    pub(super) fn boxes(&self, world: &World) -> Result<BTreeSet<(String, String)>> {
        let machines = self.list(world, "maasmachines")?;
        let held = machines.iter().filter(|machine| machine["spec"]["systemID"].is_string());
        Ok(held.map(|m| (text(m, "/metadata/name").to_owned(), text(m, "/spec/systemID").to_owned())).collect())
    }

    /// Waits until the cluster has that size and nothing of it would alarm anybody.
    pub(super) fn available(&self, world: &World, size: Size) -> Result<()> {
        until(&format!("{} is available with {size:?}", self.name), LONG, || {
            world.check_machines()?;
            let objects = self.list(world, CLUSTER_KINDS)?;
            let machines = objects.iter().filter(|o| o["kind"] == "Machine");
            let (control_planes, workers): (Vec<_>, Vec<_>) =
                machines.partition(|m| m["metadata"]["labels"].get(CONTROL_PLANE_LABEL).is_some());
            let found = Size { control_planes: control_planes.len(), workers: workers.len() };
            let mut why: Vec<String> = objects.iter().flat_map(alarms).collect();
            if found != size {
                why.insert(0, format!("{found:?}"));
            }
            let stale = objects.iter().filter(|o| {
                let seen = &o["status"]["observedGeneration"];
                seen.is_number() && *seen != o["metadata"]["generation"]
            });
            why.extend(stale.map(|o| format!("{} {} is not up to date", text(o, "/kind"), text(o, "/metadata/name"))));
            let cluster = objects.iter().find(|o| o["kind"] == "Cluster");
            if cluster.is_none_or(|cluster| condition(cluster, "Available").0 != "True") {
                why.push("the Cluster is not Available".to_owned());
            }
            for machine in control_planes.iter().chain(&workers) {
                if machine["status"]["phase"] != "Running" {
                    why.push(format!("{} is {}", text(machine, "/metadata/name"), text(machine, "/status/phase")));
                }
            }
            // Control-plane conditions of Nodes and Pods are looked at again only when something changes.
            if !why.is_empty() {
                self.nudge(world, &objects)?;
            }
            Ok(when(why.is_empty(), || why.join(" | ")))
        })
    }

    /// The control-plane provider watches neither Nodes nor Pods: a change of its object makes it look.
    fn nudge(&self, world: &World, objects: &[Value]) -> Result<()> {
        pause(Duration::from_secs(1));
        for object in objects.iter().filter(|o| o["kind"] == "KubeadmControlPlane") {
            let touched = text(object, "/metadata/annotations/e2e-look").len() % 2 + 1;
            let annotation = format!("e2e-look={}", "x".repeat(touched));
            let name = text(object, "/metadata/name");
            // It may be gone by now.
            world.plane.kubectl.say(&[
                "annotate",
                "-n",
                &self.namespace,
                "kubeadmcontrolplane",
                name,
                &annotation,
                "--overwrite",
            ])?;
        }
        Ok(())
    }

    /// kubectl for the workload cluster, by the endpoint's name, as `clusterctl get kubeconfig` gives it.
    pub(super) fn kubectl(&self, world: &World) -> Result<Kubectl> {
        let kubeconfig = world.plane.clusterctl_out(&["get", "kubeconfig", &self.name, "-n", &self.namespace], &[])?;
        let file =
            world.plane.kubectl.manifest(&format!("{}-{}.kubeconfig", self.namespace, self.name), &kubeconfig)?;
        Ok(world.plane.kubectl.with_kubeconfig(file.as_ref()))
    }

    /// The endpoint's host.
    pub(super) fn host(&self, world: &World) -> Result<String> {
        let ours = self.only(world, "maasclusters")?;
        Ok(text(&ours, "/spec/controlPlaneEndpoint/host").to_owned())
    }

    /// Waits until the name has just the addresses of the control-plane machines that are not on their way out.
    pub(super) fn named(&self, world: &World) -> Result<()> {
        let host = self.host(world)?;
        until(&format!("{host} leads to the control plane"), PATIENCE, || {
            let machines = world.plane.kubectl.list(&self.namespace, "maasmachines", CONTROL_PLANE_LABEL)?;
            let wanted: BTreeSet<String> = machines.iter().map(internal_address).collect();
            let found: BTreeSet<String> = world.sim.resolve(&host)?.into_iter().collect();
            Ok(when(found == wanted, || format!("{found:?} instead of {wanted:?}")))
        })
    }

    /// Asks for the deletion of the Cluster.
    pub(super) fn start_to_delete(&self, world: &World) -> Result<()> {
        world.plane.kubectl.run(&["delete", "-n", &self.namespace, "cluster", &self.name, "--wait=false"])?;
        Ok(())
    }

    /// Waits until nothing of it is left in the management cluster.
    pub(super) fn gone(&self, world: &World) -> Result<()> {
        until("the cluster is gone", LONG, || {
            let mut left = self.list(world, CLUSTER_KINDS)?;
            // Templates of a class are not the cluster's.
            left.retain(|object| {
                let owners = object["metadata"]["ownerReferences"].as_array();
                !owners.is_some_and(|owners| owners.iter().any(|owner| owner["kind"] == "ClusterClass"))
            });
            let line = |o: &Value| format!("{} {}: {}", text(o, "/kind"), text(o, "/metadata/name"), conditions(o));
            Ok(when(left.is_empty(), || left.iter().map(line).collect::<Vec<_>>().join(" | ")))
        })
    }

    /// Deletes the Cluster and waits until nothing of it is left, here and in MAAS.
    pub(super) fn delete(&self, world: &World) -> Result<()> {
        let host = self.host(world)?;
        ensure!(world.sim.has_name(&host)?, "MAAS has no DNS resource {host}");
        let boxes = self.boxes(world)?;
        self.start_to_delete(world)?;
        self.gone(world)?;
        released(world, &boxes)?;
        ensure!(!world.sim.has_name(&host)?, "MAAS still has a DNS resource {host}");
        Ok(())
    }
}

/// These machines are back in the pool.
pub(super) fn released(world: &World, boxes: &BTreeSet<(String, String)>) -> Result<()> {
    for (name, id) in boxes {
        let machine = world.sim.get(&format!("machines/{id}"))?;
        let free = machine["status"] == "ready" && machine["owner"].is_null();
        ensure!(free, "{id} of {name} was not released: {machine}");
    }
    Ok(())
}

/// The address of a MaasMachine that the name is to have.
pub(super) fn internal_address(machine: &Value) -> String {
    let all = machine["status"]["addresses"].as_array();
    let found = all.into_iter().flatten().find(|a| a["type"] == "InternalIP" || a["type"] == "ExternalIP");
    found.map(|address| text(address, "/address").to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn alarms_know_which_conditions_are_bad_news() {
        let object = json!({"kind": "K", "metadata": {"name": "n"}, "status": {"conditions": [
            {"type": "Ready", "status": "True"}, {"type": "Paused", "status": "False"},
            {"type": "Available", "status": "Unknown", "reason": "R", "message": "m"},
            {"type": "RollingOut", "status": "True", "reason": "R", "message": "m"},
        ]}});
        assert_eq!(alarms(&object), ["K n: Available Unknown R m", "K n: RollingOut True R m"]);
        let request = |healthy: &str| {
            json!({"kind": "K", "metadata": {"name": "n"}, "status": {"conditions": [
                {"type": "HealthCheckSucceeded", "status": healthy}, {"type": "ExternallyRemediated", "status": "False"},
            ]}})
        };
        assert_eq!(alarms(&request("True")), Vec::<String>::new(), "what is left of a request that is over");
        assert_eq!(alarms(&request("False")).len(), 2);
    }
}
