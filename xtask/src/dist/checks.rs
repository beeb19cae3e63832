//! What must be true of release files, whatever their sources say.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Asset;

/// What the components file holds, in this order: apiVersion, kind, name. Nothing else; above all no webhook and no certificate.
const COMPONENTS: [[&str; 3]; 19] = [
    ["v1", "Namespace", "capmaas-system"],
    ["apiextensions.k8s.io/v1", "CustomResourceDefinition", "maasclusters.infrastructure.cluster.x-k8s.io"],
    ["apiextensions.k8s.io/v1", "CustomResourceDefinition", "maasmachines.infrastructure.cluster.x-k8s.io"],
    ["apiextensions.k8s.io/v1", "CustomResourceDefinition", "maasmachinetemplates.infrastructure.cluster.x-k8s.io"],
    ["apiextensions.k8s.io/v1", "CustomResourceDefinition", "maasclustertemplates.infrastructure.cluster.x-k8s.io"],
    ["apiextensions.k8s.io/v1", "CustomResourceDefinition", "maasremediations.infrastructure.cluster.x-k8s.io"],
    ["apiextensions.k8s.io/v1", "CustomResourceDefinition", "maasremediationtemplates.infrastructure.cluster.x-k8s.io"],
    ["v1", "ServiceAccount", "capmaas-manager"],
    ["rbac.authorization.k8s.io/v1", "ClusterRole", "capmaas-manager-role"],
    ["rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "capmaas-manager-rolebinding"],
    ["rbac.authorization.k8s.io/v1", "ClusterRole", "capmaas-autoscaler-role"],
    ["rbac.authorization.k8s.io/v1", "Role", "capmaas-leader-election-role"],
    ["rbac.authorization.k8s.io/v1", "RoleBinding", "capmaas-leader-election-rolebinding"],
    ["rbac.authorization.k8s.io/v1", "Role", "capmaas-credentials-role"],
    ["rbac.authorization.k8s.io/v1", "RoleBinding", "capmaas-credentials-rolebinding"],
    ["admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "capmaas-template-immutability"],
    ["admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", "capmaas-template-immutability"],
    ["v1", "Secret", "capmaas-manager-bootstrap-credentials"],
    ["apps/v1", "Deployment", "capmaas-controller-manager"],
];

/// What the other files may hold.
const KINDS: [(&str, &str); 12] = [
    ("clusterctl.cluster.x-k8s.io/v1alpha3", "Metadata"),
    ("cluster.x-k8s.io/v1beta2", "Cluster"),
    ("cluster.x-k8s.io/v1beta2", "ClusterClass"),
    ("cluster.x-k8s.io/v1beta2", "MachineDeployment"),
    ("cluster.x-k8s.io/v1beta2", "MachineHealthCheck"),
    ("bootstrap.cluster.x-k8s.io/v1beta2", "KubeadmConfigTemplate"),
    ("controlplane.cluster.x-k8s.io/v1beta2", "KubeadmControlPlane"),
    ("controlplane.cluster.x-k8s.io/v1beta2", "KubeadmControlPlaneTemplate"),
    ("infrastructure.cluster.x-k8s.io/v1beta1", "MaasCluster"),
    ("infrastructure.cluster.x-k8s.io/v1beta1", "MaasClusterTemplate"),
    ("infrastructure.cluster.x-k8s.io/v1beta1", "MaasMachineTemplate"),
    ("infrastructure.cluster.x-k8s.io/v1beta1", "MaasRemediationTemplate"),
];

/// A variable of a template, as clusterctl reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    /// `None`: it must be given.
    pub(super) default: Option<String>,
}

/// The variables of a text in order of appearance, each form once: `${NAME}` and `${NAME:=default}`.
///
/// Anything else between the braces becomes a variable of a strange name, which is a violation.
pub(super) fn variables(text: &str) -> Vec<Variable> {
    let mut found = Vec::new();
    for part in text.split("${").skip(1) {
        let inside = part.split('}').next().unwrap_or_default();
        let (name, default) = inside.split_once(":=").map_or((inside, None), |(name, value)| (name, Some(value)));
        let variable = Variable { name: name.to_owned(), default: default.map(str::to_owned) };
        if !found.contains(&variable) {
            found.push(variable);
        }
    }
    found
}

/// The text as clusterctl would make it: `value` gives a variable's value, `None` means its default.
pub(super) fn filled(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut parts = text.split("${");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (inside, rest) = part.split_once('}').unwrap_or((part, ""));
        let (name, default) = inside.split_once(":=").unwrap_or((inside, ""));
        out.push_str(&value(name).unwrap_or_else(|| default.to_owned()));
        out.push_str(rest);
    }
    out
}

/// Everything that is wrong with these files.
pub(super) fn violations(assets: &[Asset]) -> Vec<String> {
    let mut found = Vec::new();
    let mut parsed: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for asset in assets {
        let mut say = |what: String| found.push(format!("dist: {}: {what}", asset.name));
        placeholders(&asset.text, &mut say);
        variable_use(&asset.text, &mut say);
        if asset.name.starts_with("cluster-template") {
            documented(&asset.text, &mut say);
        }
        let required = variables(&asset.text).into_iter().filter(|variable| variable.default.is_none());
        let required: BTreeSet<String> = required.map(|variable| variable.name).collect();
        let text = filled(&asset.text, |name| required.contains(name).then(|| "sample".to_owned()));
        match capi_types::parse_manifests(&text) {
            Ok(documents) => {
                kinds(&asset.name, &documents, &mut say);
                parsed.insert(&asset.name, documents);
            }
            Err(error) => say(error.to_string()),
        }
    }
    let class: &[Value] = parsed.get("clusterclass-maas.yaml").map_or(&[], Vec::as_slice);
    for (name, documents) in &parsed {
        let mut say = |what: String| found.push(format!("dist: {name}: {what}"));
        references(documents, class, &mut say);
        if *name == "infrastructure-components.yaml" {
            labels(documents, &mut say);
            rights(documents, &mut say);
        }
    }
    found
}

/// Nothing of ours is left that should have been replaced.
fn placeholders(text: &str, say: &mut impl FnMut(String)) {
    let is_ours = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    for word in text.split('@').skip(1).filter(is_ours) {
        say(format!("the placeholder @{word}@ was not replaced"));
    }
}

/// clusterctl reads what is written as a variable as the one that is meant.
fn variable_use(text: &str, say: &mut impl FnMut(String)) {
    let mut defaults: BTreeMap<String, Option<String>> = BTreeMap::new();
    for Variable { name, default } in variables(text) {
        let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            say(format!("${{{name}}} is not a variable in the form that is checked: ${{NAME}} or ${{NAME:=default}}"));
        } else if default.as_deref() == Some("") {
            say(format!("clusterctl takes the empty default of {name} for none: write \"\" or a blank"));
        } else if defaults.get(&name).is_some_and(|known| *known != default) {
            say(format!("variable {name} has different defaults in different places"));
        } else {
            defaults.insert(name, default);
        }
    }
    for line in text.lines().filter(|line| line.trim_start().starts_with('#') && line.contains("${")) {
        say(format!("a comment has a variable, which clusterctl would ask for: {line}"));
    }
}

/// The header names each variable that is used, and no other.
fn documented(text: &str, say: &mut impl FnMut(String)) {
    let mut named = BTreeSet::new();
    for line in text.lines().map_while(|line| line.strip_prefix('#')) {
        if let Some(line) = line.strip_prefix("   ") {
            let name = line.split([':', ' ']).next().unwrap_or_default();
            let sentence = line.split_once(": ").map(|(_, sentence)| sentence).unwrap_or_default();
            if !sentence.ends_with('.') {
                say(format!("the header has no sentence about {name}"));
            }
            named.insert(name.to_owned());
        }
    }
    let used: BTreeSet<String> = variables(text).into_iter().map(|variable| variable.name).collect();
    for name in used.difference(&named) {
        say(format!("variable {name} is not explained in the header: add it to xtask/release/variables.toml"));
    }
    for name in named.difference(&used) {
        say(format!("the header explains variable {name}, which is not used"));
    }
}

/// Each document is of an expected kind and version; the components are exactly those.
fn kinds(file: &str, documents: &[Value], say: &mut impl FnMut(String)) {
    let identity = |document: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        [text(&document["apiVersion"]), text(&document["kind"]), text(&document["metadata"]["name"])]
    };
    if documents.is_empty() {
        say("it has no documents".to_owned());
    }
    if file == "infrastructure-components.yaml" {
        let wanted: Vec<[String; 3]> = COMPONENTS.iter().map(|one| one.map(str::to_owned)).collect();
        let present: Vec<[String; 3]> = documents.iter().map(identity).collect();
        for missing in wanted.iter().filter(|one| !present.contains(one)) {
            say(format!("{} is missing", missing.join(" ")));
        }
        for extra in present.iter().filter(|one| !wanted.contains(one)) {
            say(format!("{} is not expected", extra.join(" ")));
        }
        if present.len() == wanted.len() && present != wanted {
            say("its documents are not in the expected order".to_owned());
        }
        return;
    }
    for [version, kind, name] in documents.iter().map(identity) {
        if !KINDS.contains(&(version.as_str(), kind.as_str())) {
            say(format!("{version} {kind} {name} is not of an expected kind and version"));
        }
    }
}

/// Each object names the provider it belongs to, as clusterctl demands.
fn labels(documents: &[Value], say: &mut impl FnMut(String)) {
    use capi_types::names::{PROVIDER_LABEL, PROVIDER_NAME};
    for document in documents {
        if document["metadata"]["labels"][PROVIDER_LABEL] != PROVIDER_NAME {
            say(format!(
                "{} {} lacks label {PROVIDER_LABEL}: {PROVIDER_NAME}",
                document["kind"], document["metadata"]["name"]
            ));
        }
    }
}

/// No wildcard; Secrets are listed and watched by name only, and never in all namespaces (design rule 5.10).
fn rights(documents: &[Value], say: &mut impl FnMut(String)) {
    for role in documents.iter().filter(|document| document["rules"].is_array()) {
        let name = role["metadata"]["name"].as_str().unwrap_or_default();
        for rule in role["rules"].as_array().into_iter().flatten() {
            let words = |key: &str| -> Vec<&str> {
                rule[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
            };
            let (groups, resources, verbs) = (words("apiGroups"), words("resources"), words("verbs"));
            if groups.is_empty() || resources.is_empty() || verbs.is_empty() {
                say(format!("a rule of {name} lacks apiGroups, resources or verbs"));
            }
            if groups.iter().chain(&resources).chain(&verbs).any(|word| word.contains('*')) {
                say(format!("{name} has a wildcard"));
            }
            let webhooks = resources.iter().any(|resource| resource.contains("webhookconfigurations"));
            for verb in verbs.iter().filter(|verb| webhooks && !matches!(**verb, "get" | "list")) {
                say(format!("{name} may {verb} webhook configurations, which are only looked for"));
            }
            let secrets = resources.iter().any(|resource| resource.split('/').next() == Some("secrets"));
            for verb in verbs.iter().filter(|verb| secrets && **verb != "get") {
                if !matches!(*verb, "list" | "watch") {
                    say(format!("{name} may {verb} secrets: they are read only"));
                } else if role["kind"] != "Role" || words("resourceNames").is_empty() {
                    say(format!("{name} may {verb} secrets that it does not name in one namespace"));
                }
            }
        }
    }
}

/// What an object refers to by kind and name is in the same file, or in the ClusterClass's.
fn references(documents: &[Value], class: &[Value], say: &mut impl FnMut(String)) {
    let group = |version: &str| version.rsplit_once('/').map(|(group, _)| group.to_owned()).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let present: BTreeSet<(String, String, String)> = documents
        .iter()
        .map(|d| (group(&text(&d["apiVersion"])), text(&d["kind"]), text(&d["metadata"]["name"])))
        .collect();
    let mut open: Vec<&Value> = documents.iter().collect();
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => {
                open.extend(fields.values());
                if let (Some(Value::String(kind)), Some(Value::String(name))) = (fields.get("kind"), fields.get("name"))
                {
                    let of = fields.get("apiGroup").map(&text);
                    let of = of.unwrap_or_else(|| {
                        fields.get("apiVersion").map(&text).as_deref().map(group).unwrap_or_default()
                    });
                    if !present.contains(&(of.clone(), kind.clone(), name.clone())) {
                        say(format!("it refers to {kind}.{of} {name}, which it does not hold"));
                    }
                }
            }
            _ => {}
        }
    }
    for cluster in documents {
        if let Some(name) = cluster["spec"]["topology"]["classRef"]["name"].as_str()
            && !class.iter().any(|one| one["kind"] == "ClusterClass" && one["metadata"]["name"] == name)
        {
            say(format!("there is no ClusterClass {name}"));
        }
    }
}
