//! KubeadmConfig: turns a kubeadm configuration into cloud-init user data in a Secret.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::cluster::refusal;
use super::control_plane::encoded;
use super::object::{CLUSTER_LABEL, CONTROL_PLANE_LABEL, Condition, Object, conditions};
use super::world::{Action, Plan, World};
use crate::workload::{Access, ClusterKey, Workloads};

pub(super) fn sync(world: &World, plan: &mut Plan<'_>, workloads: &Workloads, config: &Object) {
    if world.paused(config) || config.deleting() || !config.text("/status/dataSecretName").is_empty() {
        return;
    }
    let Some(owner) = config.controller().filter(|o| o["kind"] == "Machine") else {
        return;
    };
    let Some(machine) = world.get("Machine", config.namespace(), owner["name"].as_str().unwrap_or_default()) else {
        return;
    };
    let Some(cluster) = world.cluster_of(machine) else {
        return;
    };
    let outcome = data(world, plan, workloads, config, machine, cluster);
    let status = match outcome {
        Ok(secret) => json!({
            "ready": true, "dataSecretName": secret, "initialization": { "dataSecretCreated": true },
            "observedGeneration": config.number("/metadata/generation"),
            "conditions": conditions(config, world.now, &[
                Condition::new("Ready", true, "Ready", ""), Condition::new("DataSecretAvailable", true, "Available", ""),
            ]),
        }),
        Err((reason, why)) => json!({
            "observedGeneration": config.number("/metadata/generation"),
            "conditions": conditions(config, world.now, &[
                Condition::new("Ready", false, reason, why.clone()), Condition::new("DataSecretAvailable", false, reason, why),
            ]),
        }),
    };
    plan.status(config, &status);
}

type Wait = (&'static str, String);

/// Makes the Secret with the user data; `Ok` with its name once it exists.
fn data(
    world: &World,
    plan: &mut Plan<'_>,
    workloads: &Workloads,
    config: &Object,
    machine: &Object,
    cluster: &Object,
) -> Result<String, Wait> {
    if world.get("Secret", config.namespace(), config.name()).is_some() {
        return Ok(config.name().to_owned());
    }
    if let Some(why) = refusal(config).or_else(|| unknown_parts(config)) {
        return Err(("NotSupported", why));
    }
    let (true, Some((host, port))) = (cluster.infrastructure_ready(), cluster.endpoint()) else {
        return Err((
            "WaitingForClusterInfrastructure",
            "Waiting for the Cluster's infrastructure to be provisioned".into(),
        ));
    };
    let key = ClusterKey::new(cluster.namespace(), cluster.name());
    let access = workloads.ensure(&key, &host, port);
    let control_plane = machine.label(CONTROL_PLANE_LABEL).is_some();
    let role = match (cluster.control_plane_initialized(), control_plane) {
        (false, false) => {
            return Err((
                "WaitingForControlPlaneInitialized",
                "Waiting for Cluster control plane to be initialized".into(),
            ));
        }
        // a control plane has one first machine
        (false, true) => Role::Init,
        (true, _) => {
            let view = world.workload(cluster);
            let view =
                view.ok_or(("NoConnection", "Waiting for an API server of the workload cluster to answer".to_owned()))?;
            let token = token_for(config.uid());
            let name = format!("bootstrap-token-{}", token.0);
            if !view.tokens.contains(&name) {
                plan.actions.push(Action::CreateToken { cluster: key, secret: token_secret(&name, &token) });
                return Err(("WaitingForToken", "Waiting for the join token to be made".into()));
            }
            Role::Join { token: format!("{}.{}", token.0, token.1), control_plane }
        }
    };
    let value = render(config, machine, cluster, &access, &role);
    plan.create(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "cluster.x-k8s.io/secret",
        "metadata": {
            "name": config.name(), "namespace": config.namespace(), "labels": { CLUSTER_LABEL: cluster.name() },
            "ownerReferences": [config.owner_ref(true)],
        },
        "data": encoded(&json!({ "value": value, "format": "cloud-config" })),
    }));
    Err(("WaitingForSecret", "Writing the bootstrap data".into()))
}

/// Parts of a KubeadmConfig that this rendering does not know.
fn unknown_parts(config: &Object) -> Option<String> {
    const KNOWN: [&str; 12] = [
        "clusterConfiguration",
        "initConfiguration",
        "joinConfiguration",
        "files",
        "preKubeadmCommands",
        "postKubeadmCommands",
        "users",
        "ntp",
        "mounts",
        "format",
        "verbosity",
        "useExperimentalRetryJoin",
    ];
    let spec = config.at("/spec")?.as_object()?;
    let lacking = |what: String| format!("the sandbox's scenery has no {what}; a real Cluster API does");
    if let Some(key) = spec.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Some(lacking(format!("spec.{key}")));
    }
    let files = config.at("/spec/files").and_then(Value::as_array);
    if let Some(at) = files.and_then(|f| f.iter().position(|f| !f["contentFrom"].is_null() || f["append"] == true)) {
        return Some(lacking(format!("spec.files[{at}].contentFrom or append")));
    }
    match config.text("/spec/format") {
        "" | "cloud-config" => None,
        other => Some(lacking(format!("spec.format {other}"))),
    }
}

/// A join token that belongs to one config: identifier and secret.
fn token_for(uid: &str) -> (String, String) {
    let digest = Sha256::digest(format!("join token of {uid}"));
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    (hex[..6].to_owned(), hex[6..22].to_owned())
}

// A real token ends after 15 minutes and is renewed until the Node is there; this one has no end.
fn token_secret(name: &str, (id, secret): &(String, String)) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": { "name": name, "namespace": "kube-system" },
        "data": encoded(&json!({
            "token-id": id, "token-secret": secret, "usage-bootstrap-signing": "true",
            "usage-bootstrap-authentication": "true", "description": "token generated by the scenery",
        })),
    })
}

/// What kubeadm is told to do.
enum Role {
    Init,
    Join { token: String, control_plane: bool },
}

fn render(config: &Object, machine: &Object, cluster: &Object, access: &Access, role: &Role) -> String {
    let control_plane = matches!(role, Role::Init | Role::Join { control_plane: true, .. });
    let mut files: Vec<(String, &str, String)> = Vec::new();
    if control_plane {
        files.push(("/etc/kubernetes/pki/ca.crt".into(), "0640", access.ca.certificate().to_owned()));
        files.push(("/etc/kubernetes/pki/ca.key".into(), "0600", access.ca.key().to_owned()));
    }
    for file in config.at("/spec/files").and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| file[key].as_str().unwrap_or_default();
        let mode = if text("permissions").is_empty() { "0640" } else { text("permissions") };
        files.push((text("path").to_owned(), mode, text("content").to_owned()));
    }
    let (path, documents, command) = match role {
        Role::Init => {
            ("/run/kubeadm/kubeadm.yaml", Vec::from(init_documents(config, machine, cluster, access)), "init")
        }
        Role::Join { token, control_plane } => (
            "/run/kubeadm/kubeadm-join-config.yaml",
            vec![join_document(config, access, token, *control_plane)],
            "join",
        ),
    };
    let text: String = documents.iter().map(|d| format!("---\n{}\n", yaml(d).trim_end())).collect();
    files.push((path.into(), "0640", text));
    let placeholder = "This placeholder file is used to create the /run/cluster-api sub directory in a way that is compatible with both Linux and Windows";
    files.push(("/run/cluster-api/placeholder".into(), "0640", placeholder.into()));

    let mut out = String::from("## template: jinja\n#cloud-config\n\nwrite_files:\n");
    for (path, mode, content) in files {
        let _ = writeln!(out, "-   path: {path}\n    owner: root:root\n    permissions: '{mode}'\n    content: |");
        for line in content.lines() {
            let _ = writeln!(out, "{}{line}", if line.is_empty() { "" } else { "      " });
        }
    }
    out.push_str("runcmd:\n");
    let listed = |pointer: &str| config.at(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    let kubeadm =
        format!("kubeadm {command} --config {path}  && echo success > /run/cluster-api/bootstrap-success.complete");
    let commands = listed("/spec/preKubeadmCommands")
        .into_iter()
        .chain([json!(kubeadm)])
        .chain(listed("/spec/postKubeadmCommands"));
    for line in commands {
        let _ = writeln!(out, "  - {line}");
    }
    let mut rest = Map::new();
    for key in ["ntp", "mounts", "users"] {
        if let Some(value) = config.at(&format!("/spec/{key}")) {
            rest.insert(key.into(), cloud_init_names(value));
        }
    }
    if !rest.is_empty() {
        out.push_str(&yaml(&Value::Object(rest)));
    }
    out
}

/// Kubernetes spells `sshAuthorizedKeys`, cloud-init `ssh_authorized_keys`.
fn cloud_init_names(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(cloud_init_names).collect(),
        Value::Object(map) => {
            let snake = |key: &str| {
                key.chars().fold(String::new(), |mut out, c| {
                    if c.is_ascii_uppercase() && key != "homeDir" {
                        out.push('_');
                    }
                    out.push(c.to_ascii_lowercase());
                    out
                })
            };
            map.iter().map(|(k, v)| (snake(k), cloud_init_names(v))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

fn yaml(value: &Value) -> String {
    // JSON is YAML; a value from the API server always has a YAML form
    serde_saphyr::to_string(value).unwrap_or_else(|_| value.to_string())
}

fn document(kind: &str, config: &Object, from: &str, ours: Value) -> Value {
    let mut all = config.at(&format!("/spec/{from}")).and_then(Value::as_object).cloned().unwrap_or_default();
    all.retain(|_, v| v.as_object().is_none_or(|m| !m.is_empty()));
    for (key, value) in ours.as_object().into_iter().flatten() {
        match all.get_mut(key).and_then(Value::as_object_mut) {
            Some(users) => value.as_object().into_iter().flatten().for_each(|(k, v)| {
                users.entry(k.clone()).or_insert_with(|| v.clone());
            }),
            None => {
                all.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
    }
    // lists of arguments came with kubeadm's v1beta4
    let lists = all.get("nodeRegistration").is_some_and(|n| n["kubeletExtraArgs"].is_array());
    all.insert("apiVersion".into(), json!(if lists { "kubeadm.k8s.io/v1beta4" } else { "kubeadm.k8s.io/v1beta3" }));
    all.insert("kind".into(), json!(kind));
    Value::Object(all)
}

fn init_documents(config: &Object, machine: &Object, cluster: &Object, access: &Access) -> [Value; 2] {
    let blocks = |key: &str| {
        let list = cluster.at(&format!("/spec/clusterNetwork/{key}/cidrBlocks")).and_then(Value::as_array);
        list.map(|l| l.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","))
    };
    let mut networking = json!({});
    for (key, value) in [("podSubnet", blocks("pods")), ("serviceSubnet", blocks("services"))] {
        if let Some(value) = value {
            networking[key] = json!(value);
        }
    }
    if let Some(domain) = cluster.at("/spec/clusterNetwork/serviceDomain") {
        networking["dnsDomain"] = domain.clone();
    }
    let ours = json!({
        "clusterName": cluster.name(), "controlPlaneEndpoint": access.endpoint(),
        "kubernetesVersion": machine.text("/spec/version"), "networking": networking,
    });
    [
        document("ClusterConfiguration", config, "clusterConfiguration", ours),
        document("InitConfiguration", config, "initConfiguration", json!({})),
    ]
}

fn join_document(config: &Object, access: &Access, token: &str, control_plane: bool) -> Value {
    let mut ours = json!({ "discovery": { "bootstrapToken": {
        "apiServerEndpoint": access.endpoint(), "caCertHashes": [access.ca.public_key_hash()], "token": token,
    } } });
    if control_plane {
        ours["controlPlane"] = json!({ "localAPIEndpoint": { "bindPort": 6443 } });
    }
    document("JoinConfiguration", config, "joinConfiguration", ours)
}
