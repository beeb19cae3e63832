//! What the Go provider leaves behind where it is replaced by applying our components over it: webhook configurations that fail closed
//! and whose server is gone. Every write to our kinds is refused then, by whomever. They are looked for, named with the command that
//! deletes them, and never deleted: that is a right we do not have and do not want.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use capmaas_reconcile::stores::Fact;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, RuleWithOperations, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::env::Env;
use crate::shared::Shared;

/// How often they are looked for, policy time: they come back only if somebody installs the Go provider again.
const EVERY: Duration = Duration::from_secs(3600);
/// The same while there are some, or while it could not be asked: a person is at it.
const SOON: Duration = Duration::from_secs(60);
/// A list that is not answered in this time (tokio time) is given up.
const DEADLINE: Duration = Duration::from_secs(30);

/// What all names of the Go provider's objects begin with.
const PREFIX: &str = "capmaas-";

/// Runs for as long as it is polled.
pub(crate) async fn run(env: Env, shared: Shared) {
    let mut known = BTreeSet::new();
    let mut complained = false;
    loop {
        let wait = match look(&env).await {
            Ok(found) => {
                if found != known && !found.is_empty() {
                    let names: Vec<_> = found.iter().map(String::as_str).collect();
                    tracing::warn!(
                        fix = %format!("kubectl delete {}", names.join(" ")),
                        "Webhook configurations are left over from the Go provider; they may make the API server refuse every write"
                    );
                }
                shared.learn(Fact::Leftovers(found.clone()));
                known = found;
                if known.is_empty() { EVERY } else { SOON }
            }
            Err(error) => {
                // Not being allowed to look, or an API server without webhooks: nothing is known, and nothing waits for it.
                let refused = matches!(&error, Some(kube::Error::Api(status)) if matches!(status.code, 403 | 404));
                if !complained {
                    let error = error.map_or("no answer in time".to_owned(), |error| error.to_string());
                    tracing::info!(error, "Can't look for webhook configurations of the Go provider");
                }
                complained = true;
                if refused { EVERY } else { SOON }
            }
        };
        env.clock.sleep(wait).await;
    }
}

/// The left-over configurations; `None` for an answer that did not come in time.
async fn look(env: &Env) -> Result<BTreeSet<String>, Option<kube::Error>> {
    let ours = &env.settings.own_namespace;
    let validating = all::<ValidatingWebhookConfiguration>(env).await?.into_iter().filter_map(|found| {
        let hooks = found.webhooks.iter().flatten().map(|hook| (&hook.client_config, hook.rules.as_deref()));
        is_left_over(&found.name_any(), hooks, ours)
            .then(|| format!("validatingwebhookconfiguration/{}", found.name_any()))
    });
    let mutating = all::<MutatingWebhookConfiguration>(env).await?.into_iter().filter_map(|found| {
        let hooks = found.webhooks.iter().flatten().map(|hook| (&hook.client_config, hook.rules.as_deref()));
        is_left_over(&found.name_any(), hooks, ours)
            .then(|| format!("mutatingwebhookconfiguration/{}", found.name_any()))
    });
    Ok(validating.chain(mutating).collect())
}

async fn all<K>(env: &Env) -> Result<Vec<K>, Option<kube::Error>>
where
    K: Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::all(env.kube.clone());
    let listed = timeout(DEADLINE, api.list(&ListParams::default())).await;
    Ok(listed.map_err(|_| None)?.map_err(Some)?.items)
}

/// By its name, or because it sends our kinds to a service in our namespace. What else may live in that namespace (somebody may have
/// put all providers into one) is not ours to judge.
fn is_left_over<'a>(
    name: &str,
    hooks: impl Iterator<Item = (&'a WebhookClientConfig, Option<&'a [RuleWithOperations]>)>,
    own_namespace: &str,
) -> bool {
    let about_ours = |rules: Option<&[RuleWithOperations]>| {
        rules.into_iter().flatten().any(|rule| {
            let resources = rule.resources.iter().flatten();
            rule.api_groups.iter().flatten().any(|group| group == capi_types::names::GROUP)
                && resources.into_iter().any(|resource| resource.starts_with("maas"))
        })
    };
    let here = |config: &WebhookClientConfig| config.service.as_ref().is_some_and(|s| s.namespace == own_namespace);
    name.starts_with(PREFIX) || hooks.into_iter().any(|(config, rules)| here(config) && about_ours(rules))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_configuration_is_left_over_by_its_name_or_by_sending_our_kinds_to_our_namespace() {
        let hook = |namespace: &str, group: &str, resource: &str| {
            json!({
                "name": "validation.maasmachine.infrastructure.cluster.x-k8s.io",
                "clientConfig": { "service": { "name": "webhook-service", "namespace": namespace, "path": "/validate" } },
                "rules": [{ "apiGroups": [group], "apiVersions": ["v1beta1"], "operations": ["CREATE"], "resources": [resource] }],
                "sideEffects": "None", "admissionReviewVersions": ["v1"],
            })
        };
        let ours = capi_types::names::GROUP;
        for (name, hooks, expected) in [
            ("capmaas-validating-webhook-configuration", json!([]), true),
            ("renamed", json!([hook("capmaas-system", ours, "maasmachines")]), true),
            ("renamed", json!([hook("other", ours, "maasmachines")]), false),
            (
                "capi-validating-webhook-configuration",
                json!([hook("capmaas-system", "cluster.x-k8s.io", "clusters")]),
                false,
            ),
            ("of-another-provider", json!([hook("capmaas-system", ours, "metal3machines")]), false),
            (
                "by-url",
                json!([{ "name": "x", "clientConfig": { "url": "https://elsewhere" }, "sideEffects": "None", "admissionReviewVersions": ["v1"] }]),
                false,
            ),
            ("empty", Value::Null, false),
        ] {
            let object: ValidatingWebhookConfiguration =
                serde_json::from_value(json!({ "metadata": { "name": name }, "webhooks": hooks })).unwrap();
            let hooks = object.webhooks.iter().flatten().map(|hook| (&hook.client_config, hook.rules.as_deref()));
            assert_eq!(is_left_over(name, hooks, "capmaas-system"), expected, "{name}");
        }
    }
}
