//! What changes in a KubeadmConfigSpec, wherever it stands.

use serde_json::{Value, json};

use super::{ConvertError, Document, object_is_empty};

/// Fields that v1beta2 no longer has, and what counts instead.
const DROPPED: [(&str, &str); 12] = [
    ("useExperimentalRetryJoin", "kubeadm join tries again by itself"),
    ("clusterConfiguration/clusterName", "the name of the Cluster counts"),
    ("clusterConfiguration/kubernetesVersion", "the version of the Machine counts"),
    ("clusterConfiguration/networking", "spec.clusterNetwork of the Cluster counts"),
    ("clusterConfiguration/useHyperKubeImage", "kubeadm has no hyperkube image any more"),
    ("clusterConfiguration/dns/type", "CoreDNS is the only one left"),
    ("clusterConfiguration/apiVersion", "Cluster API chooses kubeadm's version by the Kubernetes version"),
    ("clusterConfiguration/kind", "the field's name says what it is"),
    ("initConfiguration/apiVersion", "Cluster API chooses kubeadm's version by the Kubernetes version"),
    ("initConfiguration/kind", "the field's name says what it is"),
    ("joinConfiguration/apiVersion", "Cluster API chooses kubeadm's version by the Kubernetes version"),
    ("joinConfiguration/kind", "the field's name says what it is"),
];

/// Maps of arguments, which v1beta2 writes as lists.
const ARGUMENTS: [&str; 6] = [
    "clusterConfiguration/apiServer/extraArgs",
    "clusterConfiguration/controllerManager/extraArgs",
    "clusterConfiguration/scheduler/extraArgs",
    "clusterConfiguration/etcd/local/extraArgs",
    "initConfiguration/nodeRegistration/kubeletExtraArgs",
    "joinConfiguration/nodeRegistration/kubeletExtraArgs",
];

impl Document<'_> {
    /// Rewrites the KubeadmConfigSpec at `at`.
    pub(super) fn kubeadm(&mut self, at: &str) -> Result<(), ConvertError> {
        for (field, why) in DROPPED {
            self.remove(&format!("{at}/{field}"), "removed", why);
        }
        for field in ARGUMENTS {
            self.arguments(&format!("{at}/{field}"))?;
        }
        self.kubeadm_timeouts(at)?;
        let tokens = format!("{at}/initConfiguration/bootstrapTokens");
        for index in 0..self.entries(&tokens) {
            let token = format!("{tokens}/{index}");
            self.seconds(&[&format!("{token}/ttl")], &format!("{token}/ttlSeconds"))?;
        }
        Ok(())
    }

    /// Timeouts that stood elsewhere. Init and join must agree on the first.
    fn kubeadm_timeouts(&mut self, at: &str) -> Result<(), ConvertError> {
        let init = format!("{at}/initConfiguration/timeouts/controlPlaneComponentHealthCheckSeconds");
        let old = format!("{at}/clusterConfiguration/apiServer/timeoutForControlPlane");
        let is_given = self.value.pointer(&old).is_some_and(|old| !old.is_null());
        self.seconds(&[&old], &init)?;
        if is_given {
            let seconds = self.value.pointer(&init).cloned().unwrap_or_default();
            let join = format!("{at}/joinConfiguration/timeouts/controlPlaneComponentHealthCheckSeconds");
            *self.slot(&join)? = seconds.clone();
            self.changed(
                &join,
                format!("set to {seconds}"),
                "v1beta2 asks for the same value in initConfiguration and joinConfiguration",
            );
        }
        self.seconds(
            &[&format!("{at}/joinConfiguration/discovery/timeout")],
            &format!("{at}/joinConfiguration/timeouts/tlsBootstrapSeconds"),
        )
    }

    /// A map of arguments becomes a list of names and values, in the order of the names.
    fn arguments(&mut self, path: &str) -> Result<(), ConvertError> {
        let Some(Value::Object(map)) = self.value.pointer(path).cloned() else {
            return Ok(());
        };
        if map.is_empty() {
            return Ok(());
        }
        let mut names: Vec<&String> = map.keys().collect();
        names.sort();
        let mut list = Vec::with_capacity(names.len());
        for name in names {
            let Some(value) = map[name].as_str() else {
                let field = format!("{path}/{}", name.replace('/', "~1"));
                let problem = format!("YAML reads its value as {}, not as text", map[name]);
                return Err(self.error(&field, &problem, "put it in quotes"));
            };
            list.push(json!({"name": name, "value": value}));
        }
        *self.slot(path)? = Value::Array(list);
        self.changed(
            path,
            "the map became a list of name and value",
            "kubeadm takes an argument several times since v1beta4, and so does v1beta2",
        );
        Ok(())
    }

    /// Says the default aloud where v1beta2 wants at least one field and none is left.
    pub(super) fn kubeadm_says_something(&mut self, at: &str) -> Result<(), ConvertError> {
        let spec = self.slot(at)?;
        if object_is_empty(spec) {
            *spec = json!({"format": "cloud-config"});
            self.changed(
                &format!("{at}/format"),
                "set to cloud-config, the default",
                "v1beta2 refuses a configuration without any field",
            );
        }
        Ok(())
    }
}
