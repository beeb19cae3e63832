use std::path::Path;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::*;

fn schema(kind: &str) -> Value {
    let crd = crds().into_iter().find(|crd| crd.spec.names.kind == kind).unwrap();
    serde_json::to_value(crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap()).unwrap()
}

/// Visits every schema with the path of property names that leads to it.
fn visit(at: &str, schema: &Value, see: &mut impl FnMut(&str, &Value)) {
    see(at, schema);
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        visit(&format!("{at}.{name}"), child, see);
    }
    for key in ["items", "additionalProperties"] {
        if schema[key].is_object() {
            visit(&format!("{at}[]"), &schema[key], see);
        }
    }
}

#[test]
fn tracked_crd_files_are_what_the_types_say() {
    for crd in crds() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds").join(crd_file_name(&crd.spec.names.kind));
        let tracked = std::fs::read_to_string(&path).unwrap();
        let text = crd_yaml(&crd).unwrap();
        assert_eq!(tracked, text, "{} is old: run `cargo xtask gen-crds`", path.display());
        let back: CustomResourceDefinition = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(back, crd, "the YAML says the same as the types");
    }
}

/// W-54
#[test]
fn one_schema_is_served_under_every_version_without_conversion() {
    for (crd, kind) in crds().iter().zip(CRD_KINDS) {
        assert_eq!(crd.spec.names.kind, kind);
        assert_eq!(crd.metadata.name.as_deref(), Some(&*format!("{}.{}", crd.spec.names.plural, names::GROUP)));
        let labels = crd.metadata.labels.as_ref().unwrap();
        assert_eq!(labels["cluster.x-k8s.io/v1beta2"], "v1beta1");
        assert_eq!(labels["cluster.x-k8s.io/v1beta1"], "v1beta1");
        assert_eq!(labels["cluster.x-k8s.io/provider"], "infrastructure-maas");
        let moves = labels.contains_key("clusterctl.cluster.x-k8s.io/move");
        assert_eq!(moves, kind == "MaasRemediationTemplate", "{kind}: the others are in the tree of their Cluster");
        assert_eq!(crd.spec.conversion.as_ref().unwrap().strategy, "None");
        let versions = &crd.spec.versions;
        assert_eq!(versions.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(), names::SERVED_VERSIONS);
        assert_eq!(versions.iter().filter(|v| v.storage).map(|v| v.name.as_str()).collect::<Vec<_>>(), ["v1beta1"]);
        for version in versions {
            assert!(version.served && version.subresources.as_ref().unwrap().status.is_some());
            assert_eq!(version.schema, versions[0].schema);
            assert_eq!(version.additional_printer_columns, versions[0].additional_printer_columns);
        }
    }
}

/// W-51
#[test]
fn every_field_of_the_go_provider_is_in_the_schema() {
    let machine_spec = "failureDomain systemID providerID parent resourcePool minCPU minMemory minDiskSize tags image deployInMemory \
        lxd.enabled lxd.vmConfig.diskSize lxd.vmConfig.storagePool lxd.vmConfig.network lxd.vmConfig.interfaceLinkModes lxd.vmConfig.autoStart";
    let cluster_spec = "dnsDomain controlPlaneEndpoint.host controlPlaneEndpoint.port failureDomains lxdConfig.enabled \
        lxdConfig.resourcePool lxdConfig.zone lxdConfig.storageBackend lxdConfig.storageSize lxdConfig.nicType lxdConfig.nicParent \
        lxdConfig.networkBridge lxdConfig.skipNetworkUpdate";
    let cases = [
        ("MaasCluster", "spec", cluster_spec),
        ("MaasCluster", "status", "ready initialization.provisioned network.dnsName failureDomains conditions"),
        ("MaasMachine", "spec", machine_spec),
        (
            "MaasMachine",
            "status",
            "ready initialization.provisioned machineState machinePowered hostname dnsAttached addresses conditions \
             failureReason failureMessage failureDomain",
        ),
        ("MaasMachineTemplate", "spec.template.spec", machine_spec),
        ("MaasMachineTemplate", "spec.template", "metadata.labels metadata.annotations"),
        ("MaasMachineTemplate", "status", "capacity nodeInfo.architecture nodeInfo.operatingSystem conditions"),
        ("MaasClusterTemplate", "spec.template.spec", cluster_spec),
        ("MaasRemediation", "spec", "strategy.type strategy.retryLimit strategy.timeoutSeconds"),
        ("MaasRemediation", "status", "phase retryCount lastRemediated history conditions"),
        ("MaasRemediationTemplate", "spec.template", "metadata.labels spec.strategy.retryLimit"),
    ];
    for (kind, at, fields) in cases {
        let schema = schema(kind);
        for field in fields.split_whitespace() {
            let path = format!("/properties/{}", format!("{at}.{field}").replace('.', "/properties/"));
            let found = schema.pointer(&path).unwrap_or_else(|| panic!("{kind} has no {at}.{field}"));
            assert!(found["description"].is_string(), "{kind} {at}.{field} is explained");
        }
    }
}

/// W-56
#[test]
fn schemas_are_structural_bounded_and_without_surprises() {
    for kind in CRD_KINDS {
        visit("", &schema(kind), &mut |path, schema| {
            let at = format!("{kind}{path}");
            let open = schema["x-kubernetes-preserve-unknown-fields"] == true;
            assert_eq!(open, at == "MaasCluster.status.failureDomains", "{at}");
            assert!(
                open || schema["x-kubernetes-int-or-string"] == true || schema["type"].is_string(),
                "{at} has a type"
            );
            assert!(schema.get("nullable").is_none() && schema.get("$ref").is_none(), "{at}");
            let defaulted = at.ends_with(".deployInMemory") || at.ends_with(".controlPlaneEndpointMode");
            assert_eq!(schema.get("default").is_some(), defaulted, "{at}");
            if schema["x-kubernetes-validations"].is_array() && schema["type"] == "string" {
                assert!(schema["maxLength"].is_number(), "{at} has a rule, so the cost of the rule needs a bound");
            }
        });
    }
}

/// Core writes our specs by server-side apply, and users read conditions by type.
#[test]
fn lists_that_core_applies_to_are_typed() {
    for (crd, kind) in crds().iter().zip(CRD_KINDS) {
        let schema = schema(kind);
        visit("", &schema, &mut |path, schema| {
            let at = format!("{kind}{path}");
            if schema["type"] != "array" {
                return;
            }
            if path.ends_with(".conditions") {
                let list =
                    ["x-kubernetes-list-type", "x-kubernetes-list-map-keys", "maxItems"].map(|key| schema[key].clone());
                assert_eq!(list, [json!("map"), json!(["type"]), json!(32)], "{at}");
            } else {
                // Atomic: whoever applies it owns the whole list.
                assert!(
                    schema["x-kubernetes-list-type"].is_null() || schema["x-kubernetes-list-type"] == "atomic",
                    "{at}"
                );
            }
        });
        let columns = crd.spec.versions[0].additional_printer_columns.as_deref().unwrap_or_default();
        assert_eq!(columns.last().map(|column| column.name.as_str()), Some("Age"), "{kind}");
        for column in columns.iter().filter(|column| !column.json_path.starts_with(".metadata")) {
            let path = column.json_path.split('[').next().unwrap().replace('.', "/properties/");
            assert!(schema.pointer(&path).is_some(), "{kind}: column {} shows {}", column.name, column.json_path);
        }
    }
}

#[test]
fn templates_have_no_transition_rule_and_machines_have_theirs() {
    for kind in CRD_KINDS {
        let mut transitions = 0;
        visit("", &schema(kind), &mut |_, schema| {
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                assert!(rule["message"].as_str().unwrap().len() > 40, "a message names the field and the fix");
                transitions += usize::from(rule["rule"].as_str().unwrap().contains("oldSelf"));
            }
        });
        let expected = match kind {
            "MaasCluster" => 2,
            "MaasMachine" => 4,
            _ => 0,
        };
        assert_eq!(transitions, expected, "{kind}");
    }
}

#[test]
fn required_fields_are_those_of_the_go_provider() {
    assert_eq!(schema("MaasCluster")["properties"]["spec"]["required"], json!(["dnsDomain"]));
    let fields = json!(["image", "minCPU", "minMemory"]);
    assert_eq!(schema("MaasMachine")["properties"]["spec"]["required"], fields);
    let template = schema("MaasMachineTemplate");
    assert_eq!(template["properties"]["spec"]["properties"]["template"]["properties"]["spec"]["required"], fields);
}

#[test]
fn nothing_serialises_to_null() {
    fn nulls(at: String, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Null => found.push(at),
            Value::Object(fields) => fields.iter().for_each(|(k, v)| nulls(format!("{at}.{k}"), v, found)),
            Value::Array(items) => items.iter().for_each(|v| nulls(format!("{at}[]"), v, found)),
            _ => {}
        }
    }
    let specs_and_statuses = [
        serde_json::to_value(MaasClusterSpec::default()).unwrap(),
        serde_json::to_value(MaasClusterSpec {
            control_plane_endpoint: Some(Default::default()),
            lxd_config: Some(Default::default()),
            ..Default::default()
        })
        .unwrap(),
        serde_json::to_value(MaasClusterStatus {
            initialization: Some(Default::default()),
            network: Some(Default::default()),
            failure_domains: vec![Default::default()].into(),
            ..Default::default()
        })
        .unwrap(),
        serde_json::to_value(MaasMachineSpec {
            lxd: Some(LxdMachine { enabled: None, vm_config: Some(Default::default()) }),
            ..Default::default()
        })
        .unwrap(),
        serde_json::to_value(MaasMachineStatus::default()).unwrap(),
        serde_json::to_value(MaasMachineTemplateSpec::default()).unwrap(),
        serde_json::to_value(MaasMachineTemplateStatus { node_info: Some(Default::default()), ..Default::default() })
            .unwrap(),
        serde_json::to_value(MaasClusterTemplateSpec::default()).unwrap(),
        serde_json::to_value(MaasClusterTemplateStatus::default()).unwrap(),
        serde_json::to_value(MaasRemediationTemplateSpec::default()).unwrap(),
        serde_json::to_value(MaasRemediationTemplateStatus::default()).unwrap(),
        serde_json::to_value(MaasRemediationStatus {
            history: vec![RemediationTry { started: Time(Timestamp::UNIX_EPOCH), powered_on: None }],
            ..Default::default()
        })
        .unwrap(),
    ];
    for value in specs_and_statuses {
        let mut found = Vec::new();
        nulls(String::new(), &value, &mut found);
        assert_eq!(found, Vec::<String>::new(), "{value}");
    }
}

/// W-57
#[test]
fn stored_failure_domains_read_as_map_and_as_list() {
    let read = |domains: Value| {
        serde_json::from_value::<MaasCluster>(json!({"metadata": {"name": "c"}, "spec": {"dnsDomain": "d"},
            "status": {"ready": true, "failureDomains": domains}}))
        .unwrap()
        .status
        .unwrap()
        .failure_domains
    };
    let list = read(json!([{"name": "b", "controlPlane": true}, {"name": "a", "attributes": {"k": "v"}}]));
    let map = read(json!({"b": {"controlPlane": true}, "a": {"attributes": {"k": "v"}}}));
    assert_eq!(*list, *map);
    assert_eq!(list[1], FailureDomain { name: "b".into(), control_plane: Some(true), attributes: Default::default() });
    assert_eq!(*read(Value::Null), []);
    let odd = read(json!([{"noName": 1}, {"name": "z"}]));
    assert_eq!(odd.len(), 1);

    // What we would write otherwise differs from what stands; what we would write so does not.
    let as_we_write = json!([{"name": "a", "attributes": {"k": "v"}}, {"name": "b", "controlPlane": true}]);
    for (read, differs) in [(&list, true), (&map, true), (&odd, true), (&read(as_we_write.clone()), false)] {
        assert_eq!(serde_json::to_value(read).unwrap() != serde_json::to_value(read.as_list()).unwrap(), differs);
    }
    assert_eq!(serde_json::to_value(map.as_list()).unwrap(), as_we_write);
}

#[test]
fn one_odd_entry_does_not_lose_the_object() {
    let machine: MaasMachine = serde_json::from_value(json!({
        "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "MaasMachine", "metadata": {"name": "m"},
        "spec": {"minMemory": 4096, "unknown": 1},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Novel", "address": "x"}],
            "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z", "severity": "Info"},
                {"type": "Broken"}
            ]
        }
    }))
    .unwrap();
    let status = machine.status.clone().unwrap();
    assert_eq!((machine.spec.min_memory, machine.spec.image.as_str()), (4096, ""));
    assert_eq!((status.addresses.len(), status.conditions.len()), (1, 1));
    assert!(conditions::is_true(&status.conditions, conditions::READY));
    assert!(machine.provider_id().is_none() && !machine.provisioned() && !machine.is_control_plane());
}

#[test]
fn the_seed_manifest_fits_our_types() {
    let infrastructure: Vec<Value> = parse_manifests(SEED_MANIFEST)
        .unwrap()
        .into_iter()
        .filter(|document| document["apiVersion"].as_str().unwrap().starts_with(names::GROUP))
        .collect();
    let cluster: MaasCluster = serde_json::from_value(infrastructure[0].clone()).unwrap();
    assert_eq!(cluster.spec.dns_domain, "maas.sc");
    assert_eq!(cluster.spec.control_plane_endpoint_mode, ControlPlaneEndpointMode::MaasDNS);
    assert!(cluster.endpoint().is_none() && !cluster.provisioned() && !cluster.wants_lxd());
    for template in &infrastructure[1..] {
        let template: MaasMachineTemplate = serde_json::from_value(template.clone()).unwrap();
        let spec = template.spec.template.spec;
        assert_eq!((spec.min_cpu, spec.min_memory, spec.image.as_str()), (2, 4096, "u-1804-0-k-11912-0"));
    }
}

/// What the CRD's own rules say to a change from `old` to `new`.
fn refusals(kind: &str, old: Option<&Value>, new: &Value) -> Vec<String> {
    match kube_cel::Validator::new().validate(&schema(kind), new, old) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.as_slice().iter().map(|error| error.message.clone()).collect(),
    }
}

/// Turns a valid spec into the one of a case.
type Change<'a> = &'a dyn Fn(&mut Value);

/// W-55
#[test]
fn rules_refuse_what_must_not_change_and_say_what_to_do() {
    let machine = |change: Change| {
        let mut value =
            json!({"metadata": {"name": "m"}, "spec": {"image": "ubuntu/noble", "minCPU": 2, "minMemory": 4096}});
        change(&mut value["spec"]);
        value
    };
    let cluster = |change: Change| {
        let mut value = json!({"metadata": {"name": "c"}, "spec": {"dnsDomain": "maas.sc"}});
        change(&mut value["spec"]);
        value
    };
    let id = "maas:///az1/4y3h7n";
    let keep: Change = &|_| {};
    let machine_cases: [(Change, Change, Option<&str>); 9] = [
        (keep, keep, None),
        (keep, &|s| s["providerID"] = json!(id), None),
        (&|s| s["providerID"] = json!(""), &|s| s["providerID"] = json!(id), None),
        (&|s| s["providerID"] = json!(id), keep, Some("spec.providerID cannot change")),
        (
            &|s| s["providerID"] = json!(id),
            &|s| s["providerID"] = json!("maas:///az1/zzzzzz"),
            Some("spec.providerID cannot change"),
        ),
        (keep, &|s| s["providerID"] = json!("maas://az1/4y3h7n"), Some("maas:///<zone>/<system_id>")),
        (keep, &|s| s["image"] = json!("ubuntu/jammy"), Some("spec.image cannot change")),
        (keep, &|s| s["minCPU"] = json!(4), Some("spec.minCPU cannot change")),
        (keep, &|s| s["minMemory"] = json!(1), Some("point infrastructureRef at it")),
    ];
    let cluster_cases: [(Change, Change, Option<&str>); 6] = [
        (keep, &|s| s["controlPlaneEndpoint"] = json!({"host": "a.maas.sc", "port": 6443}), None),
        (
            &|s| s["controlPlaneEndpoint"] = json!({"host": "", "port": 0}),
            &|s| s["controlPlaneEndpoint"] = json!({"host": "a.maas.sc", "port": 6443}),
            None,
        ),
        (
            &|s| s["controlPlaneEndpoint"] = json!({"host": "a"}),
            &|s| s["controlPlaneEndpoint"] = json!({"host": "a", "port": 1}),
            None,
        ),
        (
            &|s| s["controlPlaneEndpoint"] = json!({"host": "a"}),
            &|s| s["controlPlaneEndpoint"] = json!({"host": "b"}),
            Some("spec.controlPlaneEndpoint.host cannot change"),
        ),
        (
            &|s| s["controlPlaneEndpoint"] = json!({"host": "a"}),
            keep,
            Some("spec.controlPlaneEndpoint.host cannot change"),
        ),
        (keep, &|s| s["dnsDomain"] = json!("other.sc"), Some("spec.dnsDomain cannot change")),
    ];
    let cases = machine_cases
        .map(|(old, new, expected)| ("MaasMachine", machine(old), machine(new), expected))
        .into_iter()
        .chain(cluster_cases.map(|(old, new, expected)| ("MaasCluster", cluster(old), cluster(new), expected)));
    for (kind, old, new, expected) in cases {
        let refused = refusals(kind, Some(&old), &new);
        match expected {
            None => assert_eq!(refused, Vec::<String>::new(), "{old} -> {new}"),
            Some(text) => assert!(refused.len() == 1 && refused[0].contains(text), "{old} -> {new}: {refused:?}"),
        }
    }
}

#[test]
fn a_domain_that_is_no_dns_name_is_refused_at_once() {
    for (domain, good) in [
        ("maas.sc", true),
        ("a", true),
        ("x-1.b2.example.com", true),
        ("Maas.sc", false),
        ("-a.b", false),
        ("a..b", false),
        ("a.b.", false),
        ("a_b", false),
    ] {
        let refused = refusals("MaasCluster", None, &json!({"spec": {"dnsDomain": domain}}));
        assert_eq!(refused.is_empty(), good, "{domain}: {refused:?}");
        let template = json!({"spec": {"template": {"spec": {"dnsDomain": domain}}}});
        assert_eq!(refusals("MaasClusterTemplate", None, &template).is_empty(), good, "{domain} in a template");
    }
}

#[test]
fn a_template_may_be_edited_as_far_as_the_schema_goes() {
    let template = |image: &str| json!({"spec": {"template": {"spec": {"image": image, "minCPU": 2, "minMemory": 1}}}});
    assert_eq!(refusals("MaasMachineTemplate", Some(&template("a")), &template("b")), Vec::<String>::new());
}

/// What the strategy of a remediation may say: each field alone, and both against each other.
#[test]
fn a_remediation_that_makes_no_sense_is_refused_with_field_and_fix() {
    let cases: [(Value, Option<&str>); 14] = [
        (json!({}), None),
        (json!({"type": "PowerCycle", "retryLimit": 3, "timeoutSeconds": 900}), None),
        (json!({"retryLimit": 10}), None),
        (json!({"retryLimit": 10, "timeoutSeconds": 8640}), None),
        (json!({"retryLimit": 4, "timeoutSeconds": 21600}), None),
        (json!({"retryLimit": 0}), Some("leave remediation.templateRef out of the MachineHealthCheck")),
        (json!({"retryLimit": -1}), Some("retryLimit must be a number from 1 to 10")),
        (json!({"retryLimit": 11}), Some("retryLimit must be a number from 1 to 10")),
        (json!({"retryLimit": 2_000_000_000}), Some("retryLimit must be a number from 1 to 10")),
        (json!({"timeoutSeconds": 0}), Some("timeoutSeconds must be a number of seconds from 60 to 21600")),
        (json!({"timeoutSeconds": 59}), Some("600 suits most")),
        (json!({"timeoutSeconds": 21601}), Some("timeoutSeconds must be a number of seconds")),
        (json!({"retryLimit": 5, "timeoutSeconds": 21600}), Some("lower one of them")),
        (json!({"retryLimit": 10, "timeoutSeconds": 8641}), Some("retryLimit times timeoutSeconds")),
    ];
    for (strategy, expected) in cases {
        let spec = json!({"strategy": strategy});
        let kinds = [
            ("MaasRemediation", json!({"spec": spec})),
            ("MaasRemediationTemplate", json!({"spec": {"template": {"spec": spec}}})),
        ];
        for (kind, object) in kinds {
            let refused = refusals(kind, None, &object);
            match expected {
                None => assert_eq!(refused, Vec::<String>::new(), "{kind} {strategy}"),
                Some(text) => assert!(refused.iter().any(|r| r.contains(text)), "{kind} {strategy}: {refused:?}"),
            }
        }
    }
    let strategy = &schema("MaasRemediation")["properties"]["spec"]["properties"]["strategy"]["properties"];
    assert_eq!(strategy["type"]["enum"], json!(["PowerCycle"]), "another strategy is refused by name");
    let bounds = |field: &str| [strategy[field]["minimum"].as_f64(), strategy[field]["maximum"].as_f64()];
    assert_eq!(bounds("retryLimit"), [Some(1.0), Some(10.0)]);
    assert_eq!(bounds("timeoutSeconds"), [Some(60.0), Some(21600.0)]);
    let given: MaasRemediation = serde_json::from_value(json!({"metadata": {"name": "m"}, "spec": {}})).unwrap();
    assert_eq!((given.spec.strategy.retry_limit, given.spec.strategy.timeout_seconds), (1, 600), "as the texts say");
}
