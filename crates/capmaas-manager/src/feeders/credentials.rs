//! The Secret with the MAAS endpoint and key: watched by name in our own namespace, so that it may come late or change.

use std::collections::BTreeMap;
use std::time::Duration;

use capi_types::names::{CREDENTIALS_SECRET, CREDENTIALS_SECRET_ARTICLE, MAAS_API_KEY_KEY, MAAS_ENDPOINT_KEY};
use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};
use secrecy::SecretString;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::env::{Credentials, Env};

/// Usable credentials, or what to do to have some.
pub(crate) type Found = Result<Credentials, String>;

/// Watches both names under which the Secret is known; the receiver holds what is in force.
pub(crate) fn start(tasks: &mut JoinSet<()>, env: &Env) -> watch::Receiver<Option<Found>> {
    let (sender, receiver) = watch::channel(None);
    let env = env.clone();
    tasks.spawn(async move {
        let names = [CREDENTIALS_SECRET, CREDENTIALS_SECRET_ARTICLE];
        let mut seen: BTreeMap<&str, Option<Found>> = BTreeMap::new();
        let mut listed: BTreeMap<&str, Found> = BTreeMap::new();
        let api: Api<Secret> = Api::namespaced(env.kube.clone(), &env.settings.own_namespace);
        let streams = names.map(|name| {
            let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
            watcher(api.clone(), config).map(move |event| (name, event)).boxed()
        });
        let [first, second] = streams;
        pin_mut!(first, second);
        loop {
            let event = tokio::select! {
                biased;
                event = first.next() => event,
                event = second.next() => event,
            };
            let Some((name, event)) = event else { return };
            match event {
                Ok(Event::Apply(secret)) => {
                    seen.insert(name, Some(read(&secret, &env.settings.own_namespace, name)));
                }
                Ok(Event::Delete(_)) => {
                    seen.insert(name, None);
                }
                // A list is taken over when it is complete: until then what was found stays in force.
                Ok(Event::Init) => {
                    listed.remove(name);
                }
                Ok(Event::InitApply(secret)) => {
                    listed.insert(name, read(&secret, &env.settings.own_namespace, name));
                }
                Ok(Event::InitDone) => {
                    seen.insert(name, listed.remove(name));
                }
                Err(error) => {
                    tracing::warn!(secret = name, %error, "watch of the credentials Secret");
                    seen.entry(name).or_insert(None);
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
            }
            if names.iter().all(|name| seen.contains_key(name)) {
                let secret = names.iter().find_map(|name| seen.get(name).cloned().flatten());
                let found = secret.or_else(|| env.settings.credentials.clone().map(Ok)).unwrap_or_else(|| {
                    Err(format!(
                        "no MAAS credentials: make Secret {}/{CREDENTIALS_SECRET} with {MAAS_ENDPOINT_KEY} and {MAAS_API_KEY_KEY}",
                        env.settings.own_namespace
                    ))
                });
                sender.send_replace(Some(found));
            }
        }
    });
    receiver
}

fn read(secret: &Secret, namespace: &str, name: &str) -> Found {
    let source = format!("Secret {namespace}/{name}");
    let field = |key: &str| -> Result<String, String> {
        let bytes = secret.data.as_ref().and_then(|d| d.get(key)).map(|b| b.0.clone());
        let text = bytes.and_then(|b| String::from_utf8(b).ok()).map(|t| t.trim().to_owned()).unwrap_or_default();
        if text.is_empty() {
            Err(format!("{source} has no {key}: put it in (kubectl -n {namespace} edit secret {name})"))
        } else if text.starts_with("${") {
            Err(format!("{source} has the placeholder {text} for {key}: clusterctl fills it from the environment, a plain kubectl apply does not; put the real value in"))
        } else {
            Ok(text)
        }
    };
    Ok(Credentials { endpoint: field(MAAS_ENDPOINT_KEY)?, api_key: SecretString::from(field(MAAS_API_KEY_KEY)?), source })
}
