//! ServiceAccounts and RBAC objects, which a release consists of.

use serde_json::json;

use super::cases;
use crate::conformance::session::{Outcome, Session};

cases! {
    "a ServiceAccount is kept" => account,
    "a Role is kept, and a rule without verbs is refused" => role,
    "a RoleBinding is kept with its API groups filled in" => binding,
    "the role of a binding can't be changed" => role_reference,
    "names of roles may have colons" => colons,
}

fn path(s: &Session, plural: &str) -> String {
    format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/{plural}", s.token)
}

async fn account(s: &mut Session) -> Outcome {
    let path = s.core("serviceaccounts");
    s.post(&path, &json!({"metadata": {"name": "a", "labels": {"app": "a"}}})).await?;
    s.get(&format!("{path}/a")).await?;
    Ok(())
}

async fn role(s: &mut Session) -> Outcome {
    let path = path(s, "roles");
    let rule = json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"], "verbs": ["get", "watch"]});
    s.post(&path, &json!({"metadata": {"name": "a"}, "rules": [rule]})).await?;
    let wrong =
        json!({"metadata": {"name": "b"}, "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": []}]});
    s.post(&path, &wrong).pick(&["/code", "/reason", "/message"]).await?;
    Ok(())
}

async fn binding(s: &mut Session) -> Outcome {
    let path = path(s, "rolebindings");
    let binding = json!({"metadata": {"name": "a"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": s.token}, {"kind": "User", "name": "jane"}]});
    s.post(&path, &binding).await?;
    Ok(())
}

async fn role_reference(s: &mut Session) -> Outcome {
    let path = path(s, "rolebindings");
    let binding = json!({"metadata": {"name": "a"}, "subjects": [],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}});
    s.post(&path, &binding).quiet().await?;
    s.merge(&format!("{path}/a"), &json!({"roleRef": {"name": "edit"}}))
        .pick(&["/code", "/reason", "/message"])
        .await?;
    Ok(())
}

async fn colons(s: &mut Session) -> Outcome {
    let path = path(s, "roles");
    s.post(&path, &json!({"metadata": {"name": "system:a:B"}, "rules": []})).pick(&["/metadata/name"]).await?;
    Ok(())
}
