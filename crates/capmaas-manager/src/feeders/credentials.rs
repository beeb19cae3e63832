//! The Secret with the MAAS endpoint and key: watched by name in our own namespace, so that it may come late or change.

use std::collections::BTreeMap;
use std::time::Duration;

use capi_types::names::{CREDENTIALS_SECRET, CREDENTIALS_SECRET_ARTICLE, MAAS_API_KEY_KEY, MAAS_ENDPOINT_KEY};
use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::env::{Credentials, Env};

/// Usable credentials, or what to do to have some.
pub(crate) type Found = Result<Credentials, String>;

/// Pause after a failed list or watch: real time, it is transport.
const RETRY: Duration = Duration::from_secs(2);

/// The names under which the Secret is known, the one that counts first.
const NAMES: [&str; 2] = [CREDENTIALS_SECRET, CREDENTIALS_SECRET_ARTICLE];

/// Watches both names under which the Secret is known; the receiver holds what is in force, and is told only of changes.
pub(crate) fn start(tasks: &mut JoinSet<()>, env: &Env) -> watch::Receiver<Option<Found>> {
    let (sender, receiver) = watch::channel(None);
    let env = env.clone();
    tasks.spawn(async move {
        let mut sources = Sources {
            namespace: env.settings.own_namespace.clone(),
            environment: env.settings.credentials.clone().map(from_environment),
            seen: BTreeMap::new(),
            listed: BTreeMap::new(),
            forbidden: false,
        };
        let api: Api<Secret> = Api::namespaced(env.kube.clone(), &env.settings.own_namespace);
        let streams = NAMES.map(|name| {
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
            let failed = event.is_err();
            sources.take(name, event);
            if let Some(found) = sources.in_force() {
                sender.send_if_modified(|standing| {
                    let changed = !standing.as_ref().is_some_and(|standing| same(standing, &found));
                    if changed {
                        *standing = Some(found);
                    }
                    changed
                });
            }
            if failed {
                tokio::time::sleep(RETRY).await;
            }
        }
    });
    receiver
}

/// What is known of the Secrets and of the environment.
struct Sources {
    namespace: String,
    environment: Option<Found>,
    /// By name, once it is known: what it says, or that it is not there.
    seen: BTreeMap<&'static str, Option<Found>>,
    listed: BTreeMap<&'static str, Found>,
    /// We may not read the Secret that counts.
    forbidden: bool,
}

impl Sources {
    fn take(&mut self, name: &'static str, event: watcher::Result<Event<Secret>>) {
        match event {
            Ok(Event::Apply(secret)) => {
                self.seen.insert(name, Some(read(&secret, &self.namespace, name)));
            }
            Ok(Event::Delete(_)) => {
                self.seen.insert(name, None);
            }
            // A list is taken over when it is complete: until then what was found stays in force.
            Ok(Event::Init) => {
                self.listed.remove(name);
            }
            Ok(Event::InitApply(secret)) => {
                self.listed.insert(name, read(&secret, &self.namespace, name));
            }
            Ok(Event::InitDone) => {
                self.forbidden &= name != CREDENTIALS_SECRET;
                self.seen.insert(name, self.listed.remove(name));
            }
            Err(error) => {
                tracing::warn!(secret = name, %error, "watch of the credentials Secret");
                // What we may not read is as if not there. Any other trouble says nothing: taking the next source then could mean
                // another MAAS, in which all our machines seem to be gone.
                if is_forbidden(&error) {
                    self.forbidden |= name == CREDENTIALS_SECRET;
                    self.seen.entry(name).or_insert(None);
                }
            }
        }
    }

    /// The first of: the Secret, the Secret under the article's name, the environment. `None` until both Secrets were looked for.
    fn in_force(&self) -> Option<Found> {
        if !NAMES.iter().all(|name| self.seen.contains_key(name)) {
            return None;
        }
        let secret = NAMES.iter().find_map(|name| self.seen.get(name).cloned().flatten());
        Some(secret.or_else(|| self.environment.clone()).unwrap_or_else(|| {
            let name = format!("{}/{CREDENTIALS_SECRET}", self.namespace);
            Err(if self.forbidden {
                format!("no MAAS credentials: we may not read Secret {name}; the Role needs get, list and watch on it by name")
            } else {
                format!("no MAAS credentials: make Secret {name} with {MAAS_ENDPOINT_KEY} and {MAAS_API_KEY_KEY}")
            })
        }))
    }
}

fn is_forbidden(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchStartFailed};
    matches!(error, InitialListFailed(kube::Error::Api(status)) | WatchStartFailed(kube::Error::Api(status)) if status.code == 403)
}

fn same(a: &Found, b: &Found) -> bool {
    match (a, b) {
        (Ok(a), Ok(b)) => {
            a.endpoint == b.endpoint && a.source == b.source && a.api_key.expose_secret() == b.api_key.expose_secret()
        }
        (Err(a), Err(b)) => a == b,
        _ => false,
    }
}

fn read(secret: &Secret, namespace: &str, name: &str) -> Found {
    let source = format!("Secret {namespace}/{name}");
    let field = |key: &str| -> Result<String, String> {
        let bytes = secret.data.as_ref().and_then(|d| d.get(key)).map(|b| b.0.clone());
        let text = bytes.and_then(|b| String::from_utf8(b).ok()).map(|t| t.trim().to_owned()).unwrap_or_default();
        if text.is_empty() {
            return Err(format!("{source} has no {key}: put it in (kubectl -n {namespace} edit secret {name})"));
        }
        filled_in(&source, key, &text)?;
        Ok(text)
    };
    Ok(Credentials {
        endpoint: field(MAAS_ENDPOINT_KEY)?,
        api_key: SecretString::from(field(MAAS_API_KEY_KEY)?),
        source,
    })
}

/// The environment may have come through a Secret, too.
fn from_environment(credentials: Credentials) -> Found {
    filled_in(&credentials.source, MAAS_ENDPOINT_KEY, &credentials.endpoint)?;
    filled_in(&credentials.source, MAAS_API_KEY_KEY, credentials.api_key.expose_secret())?;
    Ok(credentials)
}

fn filled_in(source: &str, key: &str, text: &str) -> Result<(), String> {
    if text.starts_with("${") {
        return Err(format!(
            "{source} has the placeholder {text} for {key}: clusterctl fills it from the environment, a plain kubectl apply does not; put the real value in"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
