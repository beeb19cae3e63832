use super::*;
use crate::SEED_MANIFEST;
use serde_json::json;

fn seed(options: Options) -> Converted {
    convert(SEED_MANIFEST, &options).unwrap()
}

/// What the article's manifest becomes. Held against the schemas of Cluster API v1.14.2 by hand, as is [`MOVED`]'s.
const SEED_TODAY: &str = include_str!("tests/seed.v1beta2.yaml");
/// One document per kind, with every field that moves, and what it becomes.
const MOVED: (&str, &str) = (include_str!("tests/moved.yaml"), include_str!("tests/moved.v1beta2.yaml"));

fn one(api_version: &str, kind: &str, spec: &str) -> Result<Value, ConvertError> {
    let text = format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {spec}\n");
    Ok(convert(&text, &Options::default())?.documents[0]["spec"].clone())
}

#[test]
fn the_article_manifest_becomes_current_and_every_change_is_explained() {
    let converted = seed(Options::default());
    assert_eq!(converted.yaml, SEED_TODAY);
    assert_eq!(converted.documents, crate::parse_manifests(SEED_TODAY).unwrap());
    let notes: Vec<String> = converted
        .notes
        .iter()
        .map(|note| {
            let mark = match note.kind {
                NoteKind::Changed => "changed",
                NoteKind::Warning => "warning",
            };
            assert!(!note.why.is_empty(), "{note}");
            format!("{mark} {} {}: {}", note.document, note.field, note.what)
        })
        .collect();
    assert_eq!(
        notes,
        [
            "changed 1 line 5 and others: no-break spaces (U+00A0) became spaces",
            "warning 1 metadata.namespace: not given here, but other documents name default",
            "changed 2 apiVersion: cluster.x-k8s.io/v1alpha3 became cluster.x-k8s.io/v1beta2",
            "changed 2 spec.controlPlaneRef: apiVersion controlplane.cluster.x-k8s.io/v1alpha3 became apiGroup controlplane.cluster.x-k8s.io, dropped namespace default",
            "changed 2 spec.infrastructureRef: apiVersion infrastructure.cluster.x-k8s.io/v1alpha3 became apiGroup infrastructure.cluster.x-k8s.io, dropped namespace default",
            "changed 4 apiVersion: controlplane.cluster.x-k8s.io/v1alpha3 became controlplane.cluster.x-k8s.io/v1beta2",
            "changed 4 spec.infrastructureTemplate: moved to spec.machineTemplate.spec.infrastructureRef",
            "changed 4 spec.machineTemplate.spec.infrastructureRef: apiVersion infrastructure.cluster.x-k8s.io/v1alpha3 became apiGroup infrastructure.cluster.x-k8s.io, dropped namespace default",
            "changed 4 spec.kubeadmConfigSpec.clusterConfiguration: removed, it is empty",
            "changed 4 spec.kubeadmConfigSpec.initConfiguration: removed, it is empty",
            "changed 4 spec.kubeadmConfigSpec.joinConfiguration: removed, it is empty",
            "changed 4 spec.kubeadmConfigSpec: removed, it is empty",
            "warning 4 spec.version: v1.19.12 is older than v1.22.0",
            "changed 5 status: removed an empty status:",
            "changed 6 apiVersion: cluster.x-k8s.io/v1alpha3 became cluster.x-k8s.io/v1beta2",
            "changed 6 spec.template.spec.bootstrap.configRef: apiVersion bootstrap.cluster.x-k8s.io/v1alpha3 became apiGroup bootstrap.cluster.x-k8s.io",
            "changed 6 spec.template.spec.infrastructureRef: apiVersion infrastructure.cluster.x-k8s.io/v1alpha3 became apiGroup infrastructure.cluster.x-k8s.io",
            "changed 6 spec.selector.matchLabels: added cluster.x-k8s.io/deployment-name",
            "changed 6 spec.template.metadata.labels: added cluster.x-k8s.io/cluster-name, cluster.x-k8s.io/deployment-name",
            "changed 6 spec.template.spec.version: 1.19.12 became v1.19.12",
            "warning 6 spec.template.spec.version: v1.19.12 is older than v1.22.0",
            "changed 7 apiVersion: bootstrap.cluster.x-k8s.io/v1alpha3 became bootstrap.cluster.x-k8s.io/v1beta2",
            "changed 7 spec.template.spec.joinConfiguration.nodeRegistration: removed, it is empty",
            "changed 7 spec.template.spec.joinConfiguration: removed, it is empty",
            "changed 7 spec.template.spec.format: set to cloud-config, the default",
        ]
    );
}

#[test]
fn every_field_that_moved_is_found_at_its_new_place() {
    let (before, after) = MOVED;
    let converted = convert(before, &Options::default()).unwrap();
    assert_eq!(converted.yaml, after);
    let again = convert(after, &Options::default()).unwrap();
    assert_eq!(again.documents, converted.documents);
}

#[test]
fn what_is_meant_to_be_empty_stays() {
    let group = "bootstrap.cluster.x-k8s.io/v1beta1";
    let kept = one(
        group,
        "KubeadmConfig",
        "{initConfiguration: {nodeRegistration: {taints: []}}, joinConfiguration: {controlPlane: {}}}",
    );
    assert_eq!(
        kept.unwrap(),
        json!({"initConfiguration": {"nodeRegistration": {"taints": []}}, "joinConfiguration": {"controlPlane": {}}})
    );
    for kind in ["KubeadmConfig", "KubeadmConfigTemplate"] {
        let spec = one(group, kind, "{}").unwrap();
        let at = if kind == "KubeadmConfig" { &spec } else { &spec["template"]["spec"] };
        assert_eq!(*at, json!({"format": "cloud-config"}), "{kind}");
    }
}

#[test]
fn references_without_a_namespace_of_their_object_must_agree_with_each_other() {
    let reference =
        |namespace: &str| format!("{{apiVersion: g.io/v1beta1, kind: K, name: one, namespace: {namespace}}}");
    let spec = |first: &str, second: &str| {
        format!("{{controlPlaneRef: {}, infrastructureRef: {}}}", reference(first), reference(second))
    };
    let group = "cluster.x-k8s.io/v1beta1";
    assert!(one(group, "Cluster", &spec("a", "a")).is_ok());
    let error = one(group, "Cluster", &spec("a", "b")).unwrap_err();
    assert!(
        error.to_string().contains("spec.infrastructureRef.namespace: b is not the object's namespace a"),
        "{error}"
    );
}

#[test]
fn a_cluster_class_stays_with_a_warning() {
    let text = "apiVersion: cluster.x-k8s.io/v1beta1\nkind: ClusterClass\nmetadata: {name: c}\nspec: {}\n";
    let converted = convert(text, &Options::default()).unwrap();
    assert_eq!(converted.documents, crate::parse_manifests(text).unwrap());
    assert_eq!(converted.notes[0].kind, NoteKind::Warning);
}

#[test]
fn a_converted_manifest_converts_to_itself() {
    let once = seed(Options { kubernetes_version: Some("1.33.2".into()) });
    let twice = convert(&once.yaml, &Options::default()).unwrap();
    assert_eq!(once.documents, twice.documents);
    assert!(twice.notes.iter().all(|note| note.kind == NoteKind::Warning), "{:#?}", twice.notes);
    assert_eq!(once.documents[3]["spec"]["version"], "v1.33.2");
    assert_eq!(once.documents[5]["spec"]["template"]["spec"]["version"], "v1.33.2");
    assert!(!once.notes.iter().any(|note| note.what.contains("older than")));
}

#[test]
fn a_version_below_what_kubeadm_providers_set_up_is_warned_of() {
    let old = seed(Options::default());
    let warnings: Vec<&Note> = old.notes.iter().filter(|note| note.what.contains("older than v1.22.0")).collect();
    assert_eq!(warnings.len(), 2);
    assert!(warnings[0].to_string().contains("--kubernetes-version"), "{}", warnings[0]);
}

#[test]
fn current_and_foreign_documents_pass_untouched() {
    let text = "apiVersion: cluster.x-k8s.io/v1beta2\nkind: Cluster\nmetadata: {name: c}\nspec: {infrastructureRef: {apiGroup: g, kind: K, name: n}}\n---\n\
                apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {on: \"yes\", mode: \"010\", size: '1e3'}\n";
    let converted = convert(text, &Options::default()).unwrap();
    assert_eq!(converted.notes, []);
    assert_eq!(converted.documents, crate::parse_manifests(text).unwrap());
    assert_eq!(converted.documents, crate::parse_manifests(&converted.yaml).unwrap(), "{}", converted.yaml);
}

#[test]
fn errors_name_document_object_field_and_fix() {
    let machine = |spec: &str| {
        format!(
            "kind: Secret\napiVersion: v1\n---\napiVersion: cluster.x-k8s.io/v1alpha3\nkind: Machine\nmetadata: {{name: m}}\nspec: {spec}\n"
        )
    };
    let cases = [
        (machine("{version: 1.20}"), "document 2 (Machine m): spec.version: YAML reads it as the number", "quotes"),
        (
            machine("{version: latest}"),
            "document 2 (Machine m): spec.version: \"latest\" is no Kubernetes version",
            "v1.33.2",
        ),
        (
            machine("{bootstrap: {data: Zm9v}}"),
            "document 2 (Machine m): spec.bootstrap.data: was removed",
            "dataSecretName",
        ),
        ("kind: X\n".into(), "document 1 (X without name): apiVersion: is missing", "every document"),
        (
            "apiVersion: exp.cluster.x-k8s.io/v1alpha3\nkind: MachinePool\nmetadata: {name: p}\n".into(),
            "document 1 (MachinePool p): kind: the MAAS provider has no machine pools",
            "MachineDeployment",
        ),
        (
            "apiVersion: cluster.x-k8s.io/v1alpha2\nkind: Cluster\nmetadata: {name: p}\n".into(),
            "document 1 (Cluster p): apiVersion: cluster.x-k8s.io/v1alpha2 is not known",
            "v1beta1",
        ),
        (
            "apiVersion: controlplane.cluster.x-k8s.io/v1alpha4\nkind: KubeadmControlPlane\nmetadata: {name: k}\n\
             spec: {infrastructureTemplate: {name: a}, machineTemplate: {infrastructureRef: {name: b}}}\n"
                .into(),
            "document 1 (KubeadmControlPlane k): spec.infrastructureTemplate: is given, and so is spec.machineTemplate.infrastructureRef",
            "keep one",
        ),
        (machine("{nodeDrainTimeout: 300}"), "spec.nodeDrainTimeout: 300 is no duration", "5m"),
        (
            machine("{infrastructureRef: {apiVersion: v1, kind: K, name: one}}"),
            "spec.infrastructureRef.apiVersion: \"v1\" names no API group",
            "group/version",
        ),
        (
            machine("{infrastructureRef: {apiVersion: g/v1, kind: K}}"),
            "spec.infrastructureRef.name: is missing",
            "apiVersion, kind and name",
        ),
        (
            "apiVersion: cluster.x-k8s.io/v1beta1\nkind: Machine\nmetadata: {name: m, namespace: a}\n\
             spec: {bootstrap: {configRef: {apiVersion: g/v1, kind: K, name: one, namespace: b}}}\n"
                .into(),
            "document 1 (Machine m): spec.bootstrap.configRef.namespace: b is not the object's namespace a",
            "move one",
        ),
        (
            "apiVersion: bootstrap.cluster.x-k8s.io/v1beta1\nkind: KubeadmConfig\nmetadata: {name: k}\n\
             spec: {initConfiguration: {nodeRegistration: {kubeletExtraArgs: {v: 4}}}}\n"
                .into(),
            "spec.initConfiguration.nodeRegistration.kubeletExtraArgs.v: YAML reads its value as 4",
            "quotes",
        ),
        (
            "apiVersion: controlplane.cluster.x-k8s.io/v1beta1\nkind: KubeadmControlPlane\nmetadata: {name: k}\n\
             spec: {rollout: text, rolloutAfter: x}\n"
                .into(),
            "spec.rollout: is no mapping",
            "indentation",
        ),
        ("- a\n".into(), "document 1 of the manifest is not a mapping", "a list"),
        ("a: 1\na: 2\n".into(), "not valid YAML", "duplicate"),
    ];
    for (text, problem, fix) in cases {
        let error = convert(&text, &Options::default()).unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains(fix), "{text}\n{error}");
    }
    let option = convert("", &Options { kubernetes_version: Some("newest".into()) }).unwrap_err();
    assert_eq!(option.kind(), ConvertErrorKind::Version);
}

#[test]
fn a_selector_that_matches_the_whole_cluster_is_narrowed_to_the_deployments_own_machines() {
    let text = "apiVersion: cluster.x-k8s.io/v1alpha4\nkind: MachineDeployment\nmetadata: {name: d}\n\
                spec: {clusterName: c, selector: {matchLabels: {cluster.x-k8s.io/cluster-name: c}}, \
                template: {spec: {clusterName: c}}}\n";
    let converted = convert(text, &Options::default()).unwrap();
    let spec = converted.documents[0]["spec"].clone();
    let wanted = serde_json::json!({"cluster.x-k8s.io/cluster-name": "c", "cluster.x-k8s.io/deployment-name": "d"});
    assert_eq!(spec["selector"]["matchLabels"], wanted);
    assert_eq!(spec["template"]["metadata"]["labels"], wanted);
}

#[test]
fn a_deployment_without_selector_gets_one_that_matches_its_machines() {
    let text = "apiVersion: cluster.x-k8s.io/v1alpha4\nkind: MachineDeployment\nmetadata: {name: d}\n\
                spec: {clusterName: c, template: {metadata: {name: x}, spec: {clusterName: c}}}\n";
    let spec = convert(text, &Options::default()).unwrap().documents[0]["spec"].clone();
    assert_eq!(spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]);
    assert_eq!(spec["selector"]["matchLabels"]["cluster.x-k8s.io/deployment-name"], "d");
    assert!(spec["template"]["metadata"].get("name").is_none());
}
