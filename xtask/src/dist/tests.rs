use super::*;
use capi_types::names;
use checks::{filled, violations};
use serde_json::Value;

fn made() -> Vec<Asset> {
    assets(&workspace_version()).unwrap()
}

fn text<'a>(assets: &'a [Asset], name: &str) -> &'a str {
    &assets.iter().find(|asset| asset.name == name).unwrap_or_else(|| panic!("no {name}")).text
}

/// The documents of a file, variables filled in with their defaults, or with their names where there is none.
fn documents(name: &str) -> Vec<Value> {
    let assets = made();
    let text = text(&assets, name);
    let required: Vec<Variable> = variables(text).into_iter().filter(|variable| variable.default.is_none()).collect();
    let filled = filled(text, |name| required.iter().any(|one| one.name == name).then(|| name.to_lowercase()));
    capi_types::parse_manifests(&filled).unwrap()
}

fn of_kind(documents: &[Value], kind: &str) -> Vec<Value> {
    documents.iter().filter(|document| document["kind"] == kind).cloned().collect()
}

/// The made files with one text replaced in one of them, and what is then found.
fn found_after(name: &str, from: &str, to: &str) -> Vec<String> {
    let mut assets = made();
    let asset = assets.iter_mut().find(|asset| asset.name == name).unwrap();
    assert!(asset.text.contains(from), "{name} has no {from:?}");
    asset.text = asset.text.replace(from, to);
    violations(&assets)
}

#[test]
fn the_files_of_this_version_are_those_that_clusterctl_looks_for_and_faultless() {
    let assets = made();
    let names: Vec<&str> = assets.iter().map(|asset| asset.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "infrastructure-components.yaml",
            "metadata.yaml",
            "clusterclass-maas.yaml",
            "cluster-template.yaml",
            "cluster-template-vip.yaml",
            "cluster-template-mhc.yaml",
            "cluster-template-topology.yaml",
        ]
    );
    assert_eq!(violations(&assets), Vec::<String>::new());
}

#[test]
fn a_fault_in_a_file_is_named() {
    let components = "infrastructure-components.yaml";
    let cases = [
        (
            components,
            "capmaas-controller:v",
            "capmaas-controller:@VERSION@ v",
            "placeholder @VERSION@ was not replaced",
        ),
        (
            components,
            "kind: Deployment",
            "kind: DaemonSet",
            "apps/v1 DaemonSet capmaas-controller-manager is not expected",
        ),
        (components, "kind: Deployment", "kind: DaemonSet", "apps/v1 Deployment capmaas-controller-manager is missing"),
        (components, "verbs: [get, update]", "verbs: [get, \"*\"]", "capmaas-leader-election-role has a wildcard"),
        (
            components,
            "resources: [secrets]\n    verbs: [get]",
            "resources: [secrets]\n    verbs: [get, list]",
            "capmaas-manager-role may list secrets",
        ),
        (
            components,
            "    resourceNames: [capmaas-manager-bootstrap-credentials, manager-bootstrap-credentials]\n",
            "",
            "capmaas-credentials-role may watch secrets",
        ),
        (
            components,
            "resources: [secrets]\n    verbs: [get]",
            "resources: [secrets]\n    verbs: [get, patch]",
            "capmaas-manager-role may patch secrets",
        ),
        (
            components,
            "mutatingwebhookconfigurations]\n    verbs: [list]",
            "mutatingwebhookconfigurations]\n    verbs: [list, delete]",
            "capmaas-manager-role may delete webhook configurations",
        ),
        (
            components,
            "kind: Namespace\nmetadata:\n  name: capmaas-system\n  labels:\n    cluster.x-k8s.io/provider: infrastructure-maas",
            "kind: Namespace\nmetadata:\n  name: capmaas-system",
            "\"capmaas-system\" lacks label cluster.x-k8s.io/provider",
        ),
        (
            components,
            "kind: ServiceAccount\n    name: capmaas-manager\n",
            "kind: ServiceAccount\n    name: default\n",
            "refers to ServiceAccount. default",
        ),
        (components, "kind: Secret", "kind: Secret\n  :", "not valid YAML"),
        ("cluster-template.yaml", "${POD_CIDR:=", "${PODS:=", "variable PODS is not explained in the header"),
        ("cluster-template.yaml", "${POD_CIDR:=", "${PODS:=", "explains variable POD_CIDR, which is not used"),
        (
            "cluster-template.yaml",
            "${WORKER_MACHINE_TAG:= }",
            "${WORKER_MACHINE_TAG:=}",
            "takes the empty default of WORKER_MACHINE_TAG for none",
        ),
        (
            "cluster-template.yaml",
            "${WORKER_MACHINE_TAG:= }",
            "${ WORKER_MACHINE_TAG }",
            "not a variable in the form that is checked",
        ),
        (
            "cluster-template.yaml",
            "# clusterctl generate",
            "# ${CLUSTER_NAME} clusterctl generate",
            "a comment has a variable",
        ),
        (
            "cluster-template.yaml",
            "minCPU: ${WORKER_MACHINE_MINCPU:=2}",
            "minCPU: ${WORKER_MACHINE_MINCPU:=2}\n      x: ${WORKER_MACHINE_MINCPU:=3}",
            "WORKER_MACHINE_MINCPU has different defaults",
        ),
        (
            "cluster-template.yaml",
            "infrastructure.cluster.x-k8s.io/v1beta1",
            "infrastructure.cluster.x-k8s.io/v1beta9",
            "is not of an expected kind and version",
        ),
        (
            "cluster-template-mhc.yaml",
            "kind: KubeadmConfigTemplate\nmetadata",
            "kind: KubeadmConfig\nmetadata",
            "refers to KubeadmConfigTemplate.bootstrap.cluster.x-k8s.io sample-md-0",
        ),
        ("cluster-template-topology.yaml", "name: maas\n", "name: other\n", "there is no ClusterClass other"),
        (
            "clusterclass-maas.yaml",
            "metadata:\n  name: maas-cluster\n",
            "metadata:\n  name: other\n",
            "refers to MaasClusterTemplate.infrastructure.cluster.x-k8s.io maas-cluster",
        ),
    ];
    for (name, from, to, expected) in cases {
        let found = found_after(name, from, to);
        let named = found.iter().any(|text| text.starts_with(&format!("dist: {name}: ")) && text.contains(expected));
        assert!(named, "{name} with {to:?} should be told {expected:?}, but: {found:#?}");
    }
}

#[test]
fn the_components_hold_the_crds_as_the_types_make_them() {
    let documents = documents("infrastructure-components.yaml");
    let present = of_kind(&documents, "CustomResourceDefinition");
    let wanted: Vec<Value> = capi_types::crds().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect();
    assert_eq!(present, wanted);
    for crd in &present {
        assert_eq!(crd["metadata"]["labels"][names::CONTRACT_V1BETA2_LABEL], names::VERSION);
        assert_eq!(crd["metadata"]["labels"][names::PROVIDER_LABEL], names::PROVIDER_NAME);
    }
}

#[test]
fn the_version_is_in_the_image_and_must_have_a_series() {
    let assets = assets("v0.10.7-rc.1").unwrap();
    assert!(
        text(&assets, "infrastructure-components.yaml").contains("ghcr.io/capmaas/capmaas-controller:v0.10.7-rc.1\n")
    );
    let error = super::assets("v0.11.0").unwrap_err().to_string();
    assert!(error.contains("has no series 0.11"), "{error}");
    for wrong in ["0.10.0", "v0.10", "v0.10.x", "latest", ""] {
        assert!(super::assets(wrong).is_err(), "{wrong}");
    }
}

/// W-54
#[test]
fn every_series_of_the_go_provider_keeps_its_contract() {
    let documents = documents("metadata.yaml");
    let series = documents[0]["releaseSeries"].as_array().unwrap();
    let contracts: Vec<(u64, &str)> =
        series.iter().map(|one| (one["minor"].as_u64().unwrap(), one["contract"].as_str().unwrap())).collect();
    let wanted = |minor| match minor {
        1 => "v1alpha3",
        2..=3 => "v1alpha4",
        4..=8 => "v1beta1",
        _ => "v1beta2",
    };
    assert_eq!(contracts, (1..=10).map(|minor| (minor, wanted(minor))).collect::<Vec<_>>());
    assert!(series.iter().all(|one| one["major"] == 0));

    // clusterctl goes by this file, core by the label on the CRDs: the series of this version and the labels say the same.
    let (_, minor) = super::series(&workspace_version()).unwrap();
    let contract = contracts.iter().find(|(of, _)| *of == minor).unwrap().1;
    for crd in capi_types::crds() {
        let labels = crd.metadata.labels.unwrap();
        assert_eq!(labels[&format!("cluster.x-k8s.io/{contract}")], names::VERSION);
    }
}

/// W-42
#[test]
fn names_that_the_controller_uses_are_those_of_the_components() {
    let documents = documents("infrastructure-components.yaml");
    let secret = &of_kind(&documents, "Secret")[0];
    assert_eq!(secret["metadata"]["name"], names::CREDENTIALS_SECRET);
    assert_eq!(secret["metadata"]["namespace"], names::PROVIDER_NAMESPACE);
    assert_eq!(secret["stringData"][names::MAAS_ENDPOINT_KEY], "maas_endpoint");
    assert_eq!(secret["stringData"][names::MAAS_API_KEY_KEY], "maas_api_key");
    // Cluster autoscaler reads templates by kind; whoever installs it binds this.
    let autoscaler = of_kind(&documents, "ClusterRole").pop().unwrap();
    assert_eq!(autoscaler["rules"][0]["resources"], serde_json::json!(["maasmachinetemplates"]));
    assert_eq!(autoscaler["rules"][0]["verbs"], serde_json::json!(["get", "list", "watch"]));
    assert_eq!(autoscaler["rules"].as_array().map(Vec::len), Some(1));
    let roles = of_kind(&documents, "Role");
    let named: Vec<&Value> = roles
        .iter()
        .flat_map(|role| role["rules"].as_array().unwrap())
        .filter_map(|rule| rule["resourceNames"].as_array())
        .flatten()
        .collect();
    assert_eq!(named, [names::LEADER_ELECTION_LEASE, names::CREDENTIALS_SECRET, names::CREDENTIALS_SECRET_ARTICLE]);
    let policy = &of_kind(&documents, "ValidatingAdmissionPolicy")[0]["spec"];
    let rule = &policy["matchConstraints"]["resourceRules"][0];
    assert_eq!(rule["apiGroups"], serde_json::json!([names::GROUP]));
    assert_eq!(rule["apiVersions"], serde_json::json!(names::SERVED_VERSIONS));
    assert!(policy["validations"][0]["expression"].as_str().unwrap().contains(names::TOPOLOGY_DRY_RUN_ANNOTATION));
    assert_eq!(
        of_kind(&documents, "ValidatingAdmissionPolicyBinding")[0]["spec"]["policyName"],
        of_kind(&documents, "ValidatingAdmissionPolicy")[0]["metadata"]["name"]
    );
    let pod = &of_kind(&documents, "Deployment")[0]["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], of_kind(&documents, "ServiceAccount")[0]["metadata"]["name"]);
}

#[test]
fn the_controller_runs_without_privileges() {
    let documents = documents("infrastructure-components.yaml");
    let pod = &of_kind(&documents, "Deployment")[0]["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["containers"].as_array().unwrap().len(), 1);
    let container = &pod["containers"][0];
    assert_eq!(container["name"], "manager", "clusterctl looks for it");
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(container["securityContext"]["capabilities"]["drop"], serde_json::json!(["ALL"]));
}

#[test]
fn templates_without_optional_variables_ask_for_nothing_particular() {
    for name in ["cluster-template.yaml", "cluster-template-vip.yaml", "cluster-template-mhc.yaml"] {
        let documents = documents(name);
        for template in of_kind(&documents, "MaasMachineTemplate") {
            let spec = &template["spec"]["template"]["spec"];
            assert_eq!(spec["tags"], serde_json::json!([]), "{name}");
            assert_eq!(spec["resourcePool"], "", "{name}");
            assert!(spec["minCPU"].is_u64() && spec["minMemory"].is_u64(), "{name}");
        }
        let pods = &of_kind(&documents, "Cluster")[0]["spec"]["clusterNetwork"]["pods"];
        assert_eq!(pods["cidrBlocks"], serde_json::json!(["192.168.0.0/16"]), "{name}");
    }
}

#[test]
fn several_tags_become_several_entries() {
    let assets = made();
    let text = filled(text(&assets, "cluster-template.yaml"), |name| match name {
        "WORKER_MACHINE_TAG" => Some("gpu, rack-1".to_owned()),
        "WORKER_MACHINE_COUNT" | "CONTROL_PLANE_MACHINE_COUNT" => Some("3".to_owned()),
        name if name.ends_with("MINCPU") || name.ends_with("MINMEMORY") => Some("8".to_owned()),
        name => Some(name.to_lowercase()),
    });
    let templates = of_kind(&capi_types::parse_manifests(&text).unwrap(), "MaasMachineTemplate");
    assert_eq!(templates[1]["spec"]["template"]["spec"]["tags"], serde_json::json!(["gpu", "rack-1"]));
}

#[test]
fn only_the_flavour_that_says_so_replaces_machines_and_it_is_slow() {
    for name in ["cluster-template.yaml", "cluster-template-vip.yaml", "cluster-template-topology.yaml"] {
        assert_eq!(of_kind(&documents(name), "MachineHealthCheck").len(), 0, "{name}");
    }
    let checks = of_kind(&documents("cluster-template-mhc.yaml"), "MachineHealthCheck");
    assert_eq!(checks.len(), 2, "control plane and workers");
    for check in checks {
        let spec = &check["spec"];
        assert_eq!(spec["checks"]["nodeStartupTimeoutSeconds"], 3600);
        assert_eq!(
            spec["checks"]["unhealthyNodeConditions"],
            serde_json::json!([
                { "type": "Ready", "status": "Unknown", "timeoutSeconds": 300 },
                { "type": "Ready", "status": "False", "timeoutSeconds": 3600 },
            ])
        );
        assert_eq!(spec["remediation"]["triggerIf"]["unhealthyLessThanOrEqualTo"], "40%");
        assert_eq!(spec["remediation"]["templateRef"]["kind"], "MaasRemediationTemplate", "a power cycle comes first");
    }
}

#[test]
fn machines_can_be_replaced_where_none_is_to_spare() {
    let spare = serde_json::json!({ "maxSurge": 1 });
    let workers_spare = serde_json::json!({ "maxSurge": 1, "maxUnavailable": 0 });
    for name in ["cluster-template.yaml", "cluster-template-vip.yaml", "cluster-template-mhc.yaml"] {
        let default = documents(name);
        let assets = made();
        let none = filled(text(&assets, name), |variable| match variable {
            "CONTROL_PLANE_MAX_SURGE" | "WORKER_MAX_SURGE" => Some("0".to_owned()),
            "WORKER_MAX_UNAVAILABLE" => Some("1".to_owned()),
            _ => None,
        });
        let none = capi_types::parse_manifests(&none).unwrap();
        let (zero, workers_zero) =
            (serde_json::json!({ "maxSurge": 0 }), serde_json::json!({ "maxSurge": 0, "maxUnavailable": 1 }));
        for (documents, expected, of_workers) in [(&default, &spare, &workers_spare), (&none, &zero, &workers_zero)] {
            for (kind, expected) in [("KubeadmControlPlane", expected), ("MachineDeployment", of_workers)] {
                let strategy = &of_kind(documents, kind)[0]["spec"]["rollout"]["strategy"];
                assert_eq!(
                    (&strategy["type"], &strategy["rollingUpdate"]),
                    (&"RollingUpdate".into(), expected),
                    "{name} {kind}"
                );
            }
        }
    }
}

#[test]
fn nodes_are_named_by_maas_and_get_their_provider_id_from_us() {
    let names =
        ["cluster-template.yaml", "cluster-template-vip.yaml", "cluster-template-mhc.yaml", "clusterclass-maas.yaml"];
    for name in names {
        let assets = made();
        let text = text(&assets, name);
        assert!(!text.contains("provider-id"), "{name}");
        assert_eq!(text.matches("nodeRegistration:").count(), 3, "{name}: init, join, workers");
        assert_eq!(text.matches("name: \"{{ v1.local_hostname }}\"").count(), 3, "{name}");
    }
}

/// W-25
#[test]
fn the_virtual_address_is_the_endpoint_and_what_kube_vip_serves() {
    let documents = documents("cluster-template-vip.yaml");
    let spec = &of_kind(&documents, "MaasCluster")[0]["spec"];
    assert_eq!(spec["controlPlaneEndpointMode"], "VIP");
    assert_eq!(spec["controlPlaneEndpoint"], serde_json::json!({ "host": "control_plane_endpoint_ip", "port": 6443 }));
    let plane = &of_kind(&documents, "KubeadmControlPlane")[0]["spec"]["kubeadmConfigSpec"];
    let pod = capi_types::parse_manifests(plane["files"][0]["content"].as_str().unwrap()).unwrap().remove(0);
    let settings = pod["spec"]["containers"][0]["env"].as_array().unwrap();
    let value = |name: &str| settings.iter().find(|one| one["name"] == name).map(|one| &one["value"]).unwrap();
    assert_eq!(value("address"), "control_plane_endpoint_ip");
    assert_eq!(value("port"), "6443");
}

#[test]
fn the_files_are_written_where_they_are_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let written = write(&folder.path().join("a/b"), "v0.10.0").unwrap();
    assert_eq!(written.len(), 7);
    for (path, asset) in written.iter().zip(assets("v0.10.0").unwrap()) {
        assert_eq!(fs::read_to_string(path).unwrap(), asset.text);
    }
}
