//! What changes per kind from v1alpha3, v1alpha4 and v1beta1 to v1beta2.

use serde_json::{Map, Value, json};

use super::{ConvertError, Document, dotted, object_is_empty};
use crate::names::{API_VERSION, CLUSTER_NAME_LABEL, DEPLOYMENT_NAME_LABEL, GROUP, SET_NAME_LABEL};

/// The version that documents get.
const TARGET: &str = "v1beta2";

/// Fields of a machine template's metadata that v1alpha3 had and v1alpha4 dropped.
const DROPPED_TEMPLATE_METADATA: [&str; 4] = ["name", "generateName", "namespace", "ownerReferences"];

const GROUPED: &str = "v1beta2 groups fields that belong together";

impl Document<'_> {
    /// Rewrites a document of one of Cluster API's groups, written for v1alpha3, v1alpha4 or v1beta1.
    pub(super) fn rewrite(&mut self, group: &str, api: &str) -> Result<(), ConvertError> {
        let kind = self.value["kind"].as_str().unwrap_or_default().to_owned();
        if kind == "ClusterClass" && api == "v1beta1" {
            self.warning(
                "/apiVersion",
                "stays v1beta1, which is served but deprecated",
                "patches of a ClusterClass name fields of other documents, so a person must rewrite it",
            );
            return Ok(());
        }
        let why = match api {
            "v1beta1" => "v1beta1 is deprecated since Cluster API v1.11",
            _ => "no Cluster API since v1.5 takes the old one",
        };
        self.changed("/apiVersion", format!("{group}/{api} became {group}/{TARGET}"), why);
        self.value["apiVersion"] = Value::String(format!("{group}/{TARGET}"));
        self.remove("/status", "removed", "status is written by controllers, not by manifests");
        match kind.as_str() {
            "Cluster" => self.cluster()?,
            "Machine" => self.machine("/spec")?,
            "MachineDeployment" => self.machine_deployment()?,
            "MachineSet" => self.machine_set()?,
            "MachineHealthCheck" => self.health_check("/spec", "/spec")?,
            "KubeadmControlPlane" => self.control_plane("/spec")?,
            "KubeadmControlPlaneTemplate" => self.control_plane("/spec/template/spec")?,
            "KubeadmConfig" => self.kubeadm("/spec")?,
            "KubeadmConfigTemplate" => self.kubeadm("/spec/template/spec")?,
            "ClusterResourceSet" | "MachineDrainRule" => {}
            "MachinePool" => {
                return Err(self.error("kind", "the MAAS provider has no machine pools", "use a MachineDeployment"));
            }
            _ => {
                let problem = format!("{kind} of group {group}/{api} is not known");
                return Err(self.error("kind", &problem, "check the spelling, or write the document for v1beta2"));
            }
        }
        self.drop_empty();
        match kind.as_str() {
            "KubeadmConfig" => self.kubeadm_says_something("/spec"),
            "KubeadmConfigTemplate" => self.kubeadm_says_something("/spec/template/spec"),
            _ => Ok(()),
        }
    }

    fn cluster(&mut self) -> Result<(), ConvertError> {
        self.reference("/spec/controlPlaneRef")?;
        self.reference("/spec/infrastructureRef")?;
        if self.value.pointer("/spec/topology").is_some_and(Value::is_object) {
            self.topology("/spec/topology")?;
        }
        Ok(())
    }

    fn topology(&mut self, at: &str) -> Result<(), ConvertError> {
        self.rename(&[&format!("{at}/class")], &format!("{at}/classRef/name"), GROUPED)?;
        self.rename(&[&format!("{at}/classNamespace")], &format!("{at}/classRef/namespace"), GROUPED)?;
        self.remove(&format!("{at}/rolloutAfter"), "removed", "it never had an effect");
        self.variables(&format!("{at}/variables"));
        let control_plane = format!("{at}/controlPlane");
        self.deletion(&[&control_plane], &control_plane)?;
        self.variables(&format!("{control_plane}/variables/overrides"));
        self.health_check(&format!("{control_plane}/machineHealthCheck"), &format!("{control_plane}/healthCheck"))?;
        for workers in ["machineDeployments", "machinePools"] {
            for index in 0..self.entries(&format!("{at}/workers/{workers}")) {
                let worker = format!("{at}/workers/{workers}/{index}");
                self.deletion(&[&worker], &worker)?;
                self.variables(&format!("{worker}/variables/overrides"));
                self.health_check(&format!("{worker}/machineHealthCheck"), &format!("{worker}/healthCheck"))?;
                self.strategy(&worker, &format!("{worker}/healthCheck/remediation"))?;
            }
        }
        Ok(())
    }

    /// Variables no longer say which class defined them.
    fn variables(&mut self, list: &str) {
        for index in 0..self.entries(list) {
            self.remove(
                &format!("{list}/{index}/definitionFrom"),
                "removed",
                "all definitions of a variable must agree",
            );
        }
    }

    /// A reference by version becomes one by group, within the object's own namespace.
    fn reference(&mut self, path: &str) -> Result<(), ConvertError> {
        let Some(reference) = self.checked_reference(path)? else {
            return Ok(());
        };
        let Some(version) = reference["apiVersion"].as_str() else {
            return Ok(());
        };
        let Some((group, _)) = version.split_once('/') else {
            let problem = format!("{version:?} names no API group");
            return Err(self.error(
                &format!("{path}/apiVersion"),
                &problem,
                "write group/version, such as infrastructure.cluster.x-k8s.io/v1beta1",
            ));
        };
        let new = json!({"apiGroup": group, "kind": reference["kind"], "name": reference["name"]});
        *self.slot(path)? = new;
        self.changed(
            path,
            format!("apiVersion {version} became apiGroup {group}{}", dropped(&reference)),
            "v1beta2 references hold group, kind and name: the version follows from the CRD, the namespace is the object's own",
        );
        Ok(())
    }

    /// The reference of a health check keeps its version, but not its namespace.
    fn versioned_reference(&mut self, path: &str) -> Result<(), ConvertError> {
        let Some(reference) = self.checked_reference(path)? else {
            return Ok(());
        };
        let old = reference["apiVersion"].as_str().unwrap_or_default();
        let is_old_of_ours = old.starts_with(&format!("{GROUP}/v1alpha"));
        let version = if is_old_of_ours { API_VERSION } else { old };
        let new = json!({"apiVersion": version, "kind": reference["kind"], "name": reference["name"]});
        if new == reference {
            return Ok(());
        }
        let what = format!("now apiVersion {version}{}", dropped(&reference));
        *self.slot(path)? = new;
        self.changed(path, what, "v1beta2 wants apiVersion, kind and name here, in the object's own namespace");
        Ok(())
    }

    /// The reference at `path`, if there is one, with all that v1beta2 needs and in the object's own namespace.
    fn checked_reference(&mut self, path: &str) -> Result<Option<Value>, ConvertError> {
        let reference = match self.value.pointer(path) {
            None => return Ok(None),
            Some(reference) if object_is_empty(reference) => return Ok(None),
            Some(reference) => reference.clone(),
        };
        let is_given = |field: &str| reference[field].as_str().is_some_and(|text| !text.is_empty());
        for field in ["apiVersion", "kind", "name"] {
            let by_group = field == "apiVersion" && is_given("apiGroup");
            if !by_group && !is_given(field) {
                return Err(self.error(
                    &format!("{path}/{field}"),
                    "is missing or no text",
                    "a reference names apiVersion, kind and name",
                ));
            }
        }
        let Some(named) = reference["namespace"].as_str().filter(|n| !n.is_empty()) else {
            return Ok(Some(reference));
        };
        let own = self.value["metadata"]["namespace"].as_str();
        // An object without namespace gets the one that kubectl is set to: its references must at least agree.
        let home = own.map(str::to_owned).or_else(|| self.home.clone());
        match home {
            Some(home) if home != named => {
                let problem = format!("{named} is not the object's namespace {home}");
                Err(self.error(
                    &format!("{path}/namespace"),
                    &problem,
                    "v1beta2 references stay in one namespace: move one of the two objects",
                ))
            }
            _ => {
                self.home = Some(named.to_owned());
                Ok(Some(reference))
            }
        }
    }

    /// The spec of a machine, alone or in a template.
    fn machine(&mut self, at: &str) -> Result<(), ConvertError> {
        let data = format!("{at}/bootstrap/data");
        if self.value.pointer(&data).is_some_and(|data| !data.is_null()) {
            return Err(self.error(
                &data,
                "was removed after v1alpha3",
                "put the data into a Secret (key value) and name it in bootstrap.dataSecretName",
            ));
        }
        self.reference(&format!("{at}/bootstrap/configRef"))?;
        self.reference(&format!("{at}/infrastructureRef"))?;
        self.deletion(&[at], at)
    }

    /// Timeouts of a machine's deletion, whichever of the old places they stand in.
    fn deletion(&mut self, from: &[&str], to: &str) -> Result<(), ConvertError> {
        for name in ["nodeDrainTimeout", "nodeVolumeDetachTimeout", "nodeDeletionTimeout"] {
            let from: Vec<String> = from.iter().map(|at| format!("{at}/{name}")).collect();
            let from: Vec<&str> = from.iter().map(String::as_str).collect();
            self.seconds(&from, &format!("{to}/deletion/{name}Seconds"))?;
        }
        Ok(())
    }

    fn machine_deployment(&mut self) -> Result<(), ConvertError> {
        self.machine("/spec/template/spec")?;
        self.machine_template(DEPLOYMENT_NAME_LABEL)?;
        self.strategy("/spec", "/spec/remediation")?;
        self.rename(&["/spec/rolloutAfter"], "/spec/rollout/after", GROUPED)?;
        self.rename(&["/spec/minReadySeconds"], "/spec/template/spec/minReadySeconds", "each machine knows it now")?;
        for field in ["progressDeadlineSeconds", "revisionHistoryLimit"] {
            self.remove(&format!("/spec/{field}"), "removed", "v1beta2 has no such field");
        }
        self.rename(&["/spec/machineNamingStrategy"], "/spec/machineNaming", "v1beta2 renamed it")
    }

    fn machine_set(&mut self) -> Result<(), ConvertError> {
        self.machine("/spec/template/spec")?;
        self.machine_template(SET_NAME_LABEL)?;
        self.rename(&["/spec/deletePolicy"], "/spec/deletion/order", GROUPED)?;
        self.rename(&["/spec/minReadySeconds"], "/spec/template/spec/minReadySeconds", "each machine knows it now")?;
        self.rename(&["/spec/machineNamingStrategy"], "/spec/machineNaming", "v1beta2 renamed it")
    }

    /// How machines are replaced: one field of v1beta1, three of v1beta2.
    fn strategy(&mut self, at: &str, remediation: &str) -> Result<(), ConvertError> {
        let old = format!("{at}/strategy");
        self.rename(
            &[&format!("{old}/rollingUpdate/deletePolicy")],
            &format!("{at}/deletion/order"),
            "it says which machines go first, always, not only in a rollout",
        )?;
        self.rename(&[&format!("{old}/remediation/maxInFlight")], &format!("{remediation}/maxInFlight"), GROUPED)?;
        for part in ["rollingUpdate", "remediation"] {
            self.drop_if_moved_out(&format!("{old}/{part}"));
        }
        self.rollout_strategy(&old, at)
    }

    /// The strategy of a rollout, which must name its type now.
    fn rollout_strategy(&mut self, old: &str, at: &str) -> Result<(), ConvertError> {
        self.drop_if_moved_out(old);
        let new = format!("{at}/rollout/strategy");
        self.rename(&[old], &new, GROUPED)?;
        let strategy = self.value.pointer(&new).and_then(Value::as_object);
        if strategy.is_some_and(|strategy| strategy.get("type").is_none_or(Value::is_null)) {
            let path = format!("{new}/type");
            *self.slot(&path)? = json!("RollingUpdate");
            self.changed(&path, "set to RollingUpdate, the default", "v1beta2 demands it");
        }
        Ok(())
    }

    /// Labels and selector of a MachineDeployment or MachineSet; `name_label` is the one that holds its name.
    fn machine_template(&mut self, name_label: &str) -> Result<(), ConvertError> {
        for field in DROPPED_TEMPLATE_METADATA {
            let path = format!("/spec/template/metadata/{field}");
            self.remove(&path, "removed", "machine templates hand on labels and annotations only, since v1alpha4");
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = text(&self.value["metadata"]["name"]);
        let cluster = text(&self.value["spec"]["clusterName"]);
        let selector = self.slot("/spec/selector")?;
        if object_is_empty(&selector["matchLabels"]) && selector["matchExpressions"].is_null() {
            *selector = json!({"matchLabels": {CLUSTER_NAME_LABEL: cluster, name_label: name}});
            self.changed(
                "/spec/selector",
                "set to the cluster's and its own name",
                "without a selector it would not find its machines",
            );
        }
        let labels = self.value["spec"]["selector"]["matchLabels"].as_object();
        let whole_cluster = labels.is_some_and(|labels| labels.keys().eq([CLUSTER_NAME_LABEL]));
        if whole_cluster && self.value["spec"]["selector"]["matchExpressions"].is_null() && !name.is_empty() {
            *self.slot("/spec/selector/matchLabels")? = json!({CLUSTER_NAME_LABEL: cluster, name_label: name});
            self.changed(
                "/spec/selector/matchLabels",
                format!("added {name_label}"),
                "the cluster's name alone matches every machine of the cluster, the control plane's too, whose troubles this \
                 object would report as its own",
            );
        }
        let mut wanted: Map<String, Value> =
            self.value["spec"]["selector"]["matchLabels"].as_object().cloned().unwrap_or_default();
        if !cluster.is_empty() {
            wanted.entry(CLUSTER_NAME_LABEL).or_insert(Value::String(cluster));
        }
        let mut added = Vec::new();
        for (label, value) in wanted {
            let path = format!("/spec/template/metadata/labels/{}", label.replace('~', "~0").replace('/', "~1"));
            if self.value.pointer(&path).is_none() {
                let labels = self.slot("/spec/template/metadata/labels")?;
                if labels.is_null() {
                    *labels = json!({});
                }
                if let Some(labels) = labels.as_object_mut() {
                    labels.insert(label.clone(), value);
                    added.push(label);
                }
            }
        }
        if !added.is_empty() {
            self.changed(
                "/spec/template/metadata/labels",
                format!("added {}", added.join(", ")),
                "the selector must match the machines that the template makes",
            );
        }
        Ok(())
    }

    /// A health check; in a cluster's topology its fields stand one level deeper, under another name.
    fn health_check(&mut self, from: &str, to: &str) -> Result<(), ConvertError> {
        for (old, new) in [
            ("unhealthyConditions", "unhealthyNodeConditions"),
            ("unhealthyMachineConditions", "unhealthyMachineConditions"),
        ] {
            let old = format!("{from}/{old}");
            for index in 0..self.entries(&old) {
                let condition = format!("{old}/{index}");
                self.seconds(&[&format!("{condition}/timeout")], &format!("{condition}/timeoutSeconds"))?;
            }
            self.rename(&[&old], &format!("{to}/checks/{new}"), GROUPED)?;
        }
        self.seconds(&[&format!("{from}/nodeStartupTimeout")], &format!("{to}/checks/nodeStartupTimeoutSeconds"))?;
        for (old, new) in [
            ("maxUnhealthy", "remediation/triggerIf/unhealthyLessThanOrEqualTo"),
            ("unhealthyRange", "remediation/triggerIf/unhealthyInRange"),
            ("remediationTemplate", "remediation/templateRef"),
            ("enable", "enabled"),
        ] {
            self.rename(&[&format!("{from}/{old}")], &format!("{to}/{new}"), GROUPED)?;
        }
        self.versioned_reference(&format!("{to}/remediation/templateRef"))?;
        if from != to {
            self.drop_if_moved_out(from);
        }
        Ok(())
    }

    /// The spec of a control plane, alone or in a template.
    fn control_plane(&mut self, at: &str) -> Result<(), ConvertError> {
        let machine = format!("{at}/machineTemplate");
        let infrastructure = format!("{machine}/spec/infrastructureRef");
        self.rename(
            &[&format!("{at}/infrastructureTemplate"), &format!("{machine}/infrastructureRef")],
            &infrastructure,
            "v1beta2 describes the machines there",
        )?;
        self.reference(&infrastructure)?;
        self.deletion(&[at, &machine], &format!("{machine}/spec"))?;
        for field in ["readinessGates", "taints"] {
            self.rename(
                &[&format!("{machine}/{field}")],
                &format!("{machine}/spec/{field}"),
                "v1beta2 describes the machines there",
            )?;
        }
        self.rename(
            &[&format!("{at}/upgradeAfter"), &format!("{at}/rolloutAfter")],
            &format!("{at}/rollout/after"),
            GROUPED,
        )?;
        self.rename(&[&format!("{at}/rolloutBefore")], &format!("{at}/rollout/before"), GROUPED)?;
        self.rollout_strategy(&format!("{at}/rolloutStrategy"), at)?;
        let old = format!("{at}/remediationStrategy");
        self.rename(&[&format!("{old}/maxRetry")], &format!("{at}/remediation/maxRetry"), "v1beta2 renamed it")?;
        for field in ["minHealthyPeriod", "retryPeriod"] {
            self.seconds(&[&format!("{old}/{field}")], &format!("{at}/remediation/{field}Seconds"))?;
        }
        self.drop_if_moved_out(&old);
        self.rename(&[&format!("{at}/machineNamingStrategy")], &format!("{at}/machineNaming"), "v1beta2 renamed it")?;
        self.kubeadm(&format!("{at}/kubeadmConfigSpec"))
    }
}

/// What else a reference held, for its note.
fn dropped(reference: &Value) -> String {
    let fields = reference.as_object().into_iter().flatten();
    let dropped: Vec<String> = fields
        .filter(|(field, _)| !["apiGroup", "apiVersion", "kind", "name"].contains(&field.as_str()))
        .map(|(field, value)| format!(", dropped {} {}", dotted(field), value.as_str().unwrap_or("null")))
        .collect();
    dropped.concat()
}
