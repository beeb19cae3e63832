//! What the released RBAC allows the controller, as the API server judges it, and what it must not.

use anyhow::{Result, ensure};
use capi_types::names::{CREDENTIALS_SECRET, PROVIDER_NAMESPACE};

use super::world::World;

/// Secrets are read one by one, lists of them only by name in our own namespace; nobody's objects are created or deleted. That
/// the rights suffice, the other scenarios show: they run with them, and fail when anything was refused.
pub(super) fn rights(world: &mut World) -> Result<()> {
    let credentials = format!("secrets/{CREDENTIALS_SECRET}");
    let may = [("get", "secrets", "default"), ("watch", &credentials, PROVIDER_NAMESPACE)];
    let may_not = [
        ("list", "secrets", "default"),
        ("watch", "secrets", "default"),
        ("list", "secrets", PROVIDER_NAMESPACE),
        ("watch", "secrets", PROVIDER_NAMESPACE),
        ("update", "secrets", "default"),
        ("delete", "secrets", "default"),
        ("create", "secrets", "default"),
        ("delete", "maasmachines", "default"),
        ("create", "maasmachines", "default"),
        ("patch", "machines.cluster.x-k8s.io", "default"),
        ("delete", "maasremediations", "default"),
        ("create", "maasremediations", "default"),
        ("delete", "machines.cluster.x-k8s.io", "default"),
        ("create", "pods", "default"),
    ];
    let user = format!("--as=system:serviceaccount:{PROVIDER_NAMESPACE}:capmaas-manager");
    let allowed = |verb: &str, resource: &str, namespace: &str| -> Result<bool> {
        // The exit code says the same as the word.
        let said = world.plane.kubectl.say(&["auth", "can-i", verb, resource, "-n", namespace, &user])?;
        let word = said.out.trim();
        ensure!(matches!(word, "yes" | "no"), "kubectl auth can-i {verb} {resource}: {word} {}", said.err);
        Ok(word == "yes")
    };
    for (verb, resource, namespace) in may {
        ensure!(allowed(verb, resource, namespace)?, "may not {verb} {resource} in {namespace}");
    }
    for (verb, resource, namespace) in may_not {
        ensure!(!allowed(verb, resource, namespace)?, "may {verb} {resource} in {namespace}");
    }
    Ok(())
}
