//! Whether the controller's service account may do what the controller does.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client as Kube};

use super::Finding;

/// Group, resource and verbs, of which without any the controller stands still.
const NEEDED: [(&str, &str, &[&str]); 8] = [
    ("infrastructure.cluster.x-k8s.io", "maasclusters", &["get", "list", "watch", "patch"]),
    ("infrastructure.cluster.x-k8s.io", "maasmachines", &["get", "list", "watch", "patch"]),
    ("infrastructure.cluster.x-k8s.io", "maasmachinetemplates", &["get", "list", "watch", "patch"]),
    ("cluster.x-k8s.io", "clusters", &["get", "list", "watch"]),
    ("cluster.x-k8s.io", "machines", &["get", "list", "watch"]),
    ("", "secrets", &["get"]),
    ("", "events", &["create", "patch"]),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations", &["list"]),
];

pub(super) async fn look(kube: &Kube, namespace: &str, account: &str) -> Vec<Finding> {
    let user = format!("system:serviceaccount:{namespace}:{account}");
    let api: Api<SubjectAccessReview> = Api::all(kube.clone());
    let mut refused = Vec::new();
    for (group, resource, verbs) in NEEDED {
        for verb in verbs {
            let attributes = ResourceAttributes {
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                verb: Some((*verb).to_owned()),
                ..Default::default()
            };
            let spec = SubjectAccessReviewSpec {
                user: Some(user.clone()),
                groups: Some(vec!["system:serviceaccounts".to_owned(), "system:authenticated".to_owned()]),
                resource_attributes: Some(attributes),
                ..Default::default()
            };
            let review = SubjectAccessReview { spec, ..Default::default() };
            match api.create(&PostParams::default(), &review).await {
                Ok(answer) if answer.status.as_ref().is_some_and(|status| status.allowed) => {}
                Ok(_) => refused.push(format!("{verb} {resource}")),
                Err(error) => {
                    let said = match error {
                        kube::Error::Api(status) => status.message,
                        other => other.to_string(),
                    };
                    return vec![Finding::warning(
                        format!("whether {user} has its rights can't be told: {said}"),
                        "look with an administrator's kubeconfig",
                    )];
                }
            }
        }
    }
    if refused.is_empty() {
        return vec![Finding::good(format!("{user} has the rights that the controller needs"))];
    }
    let fix = "install the release's ClusterRole and its binding anew: clusterctl upgrade apply, or kubectl apply of infrastructure-components.yaml";
    vec![Finding::wrong(format!("{user} may not: {}", refused.join(", ")), fix)]
}
