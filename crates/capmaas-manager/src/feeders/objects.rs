//! Watches of our kinds and of the core kinds we read.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use capi_types::{CoreCluster, CoreMachine, MaasCluster, MaasMachine, MaasMachineTemplate, MaasRemediation};
use capmaas_reconcile::names::ObjectName;
use capmaas_reconcile::stores::Fact;
use futures::{StreamExt, pin_mut};
use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use kube::core::{DeserializeGuard, GroupVersionKind};
use kube::runtime::watcher::{self, Event, watcher};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::env::Env;
use crate::shared::Shared;

/// Pause after a failed list or watch: real time, it is transport.
const RETRY: Duration = Duration::from_secs(2);

/// The kinds that have to be listed before anything is done.
pub(crate) const KINDS: [&str; 6] =
    ["MaasCluster", "MaasMachine", "MaasMachineTemplate", "Cluster", "Machine", "MaasRemediation"];

/// Starts all watches; [`crate::shared::Inner::unlisted`] empties as the first lists are in.
pub(crate) fn start(tasks: &mut JoinSet<()>, env: &Env, shared: &Shared) {
    let label = env.settings.watch_filter.as_ref().map(|v| format!("{}={v}", capi_types::names::WATCH_FILTER_LABEL));
    let [clusters, machines, templates, core_clusters, core_machines, remediations] = KINDS;

    let ours = |kind| Watch { kind, env: env.clone(), shared: shared.clone(), labels: label.clone() };
    tasks.spawn(ours(clusters).typed::<MaasCluster>(Fact::MaasCluster));
    tasks.spawn(ours(machines).typed::<MaasMachine>(Fact::MaasMachine));
    tasks.spawn(ours(templates).typed::<MaasMachineTemplate>(Fact::Template));
    // A MachineHealthCheck gives them the labels in spec.template.metadata of their template.
    tasks.spawn(ours(remediations).typed::<MaasRemediation>(Fact::Remediation));
    // Core objects are read whatever their labels: a filtered MaasMachine may belong to an unlabelled Cluster.
    let core = |kind| Watch { labels: None, ..ours(kind) };
    let read = |o: &DynamicObject| CoreCluster::try_from(o).map_err(|e| e.to_string());
    tasks.spawn(core(core_clusters).core("clusters", read, Fact::CoreCluster));
    let read = |o: &DynamicObject| CoreMachine::try_from(o).map_err(|e| e.to_string());
    tasks.spawn(core(core_machines).core("machines", read, Fact::CoreMachine));
}

struct Watch {
    kind: &'static str,
    env: Env,
    shared: Shared,
    labels: Option<String>,
}

impl Watch {
    fn config(&self) -> watcher::Config {
        let config = watcher::Config::default();
        match &self.labels {
            Some(labels) => config.labels(labels),
            None => config,
        }
    }

    async fn typed<K>(self, fact: fn(ObjectName, Option<Box<K>>) -> Fact)
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        // Guarded: one object that can't be read must not hide all others.
        let api: Api<DeserializeGuard<K>> = match &self.env.settings.namespace {
            Some(namespace) => Api::namespaced(self.env.kube.clone(), namespace),
            None => Api::all(self.env.kube.clone()),
        };
        let read = |o: DeserializeGuard<K>| o.0.map_err(|e| e.to_string());
        let mut follower = Follower::new(self.kind, self.shared.clone(), fact);
        loop {
            follower.follow(api.clone(), self.config(), read).await;
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn core<T: Send + 'static>(
        self,
        plural: &'static str,
        read: fn(&DynamicObject) -> Result<T, String>,
        fact: fn(ObjectName, Option<Box<T>>) -> Fact,
    ) {
        let mut follower = Follower::new(self.kind, self.shared.clone(), fact);
        loop {
            match served(&self.env.kube, self.kind, plural).await {
                Ok(Some(resource)) => {
                    let api: Api<DynamicObject> = match &self.env.settings.namespace {
                        Some(namespace) => Api::namespaced_with(self.env.kube.clone(), namespace, &resource),
                        None => Api::all_with(self.env.kube.clone(), &resource),
                    };
                    follower.follow(api, self.config(), |o| read(&o)).await;
                }
                Ok(None) => follower.complain("not served yet: is Cluster API core installed?".to_owned()),
                Err(error) => follower.complain(error.to_string()),
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// The core kind at v1beta2 where served, else v1beta1 (design §6).
pub(crate) async fn served(
    client: &kube::Client,
    kind: &str,
    plural: &str,
) -> Result<Option<ApiResource>, kube::Error> {
    for version in ["v1beta2", "v1beta1"] {
        match client.list_api_group_resources(&format!("{}/{version}", capi_types::names::CORE_GROUP)).await {
            Ok(list) if list.resources.iter().any(|r| r.name == plural) => {
                let gvk = GroupVersionKind::gvk(capi_types::names::CORE_GROUP, version, kind);
                return Ok(Some(ApiResource::from_gvk_with_plural(&gvk, plural)));
            }
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            // Not asked is not "not served": the older version would be taken for as long as we run.
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// What is known of one kind, over all watches of it.
struct Follower<T> {
    kind: &'static str,
    shared: Shared,
    fact: fn(ObjectName, Option<Box<T>>) -> Fact,
    known: BTreeSet<ObjectName>,
    /// The last trouble, which is told once.
    complaint: Option<String>,
}

impl<T> Follower<T> {
    fn new(kind: &'static str, shared: Shared, fact: fn(ObjectName, Option<Box<T>>) -> Fact) -> Self {
        Self { kind, shared, fact, known: BTreeSet::new(), complaint: None }
    }

    fn complain(&mut self, error: String) {
        if self.complaint.as_ref() == Some(&error) {
            tracing::debug!(kind = self.kind, error, "Watching still fails");
        } else {
            tracing::warn!(kind = self.kind, error, "Watching fails, trying again");
            self.complaint = Some(error);
        }
    }

    /// Follows a kind until the API server says that it does not serve it (any more): it may be installed later, or be served under
    /// another version.
    async fn follow<K>(&mut self, api: Api<K>, config: watcher::Config, read: impl Fn(K) -> Result<T, String>)
    where
        K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
        K::DynamicType: Clone,
    {
        let mut listed: BTreeSet<ObjectName> = BTreeSet::new();
        let stream = watcher(api, config);
        pin_mut!(stream);
        while let Some(event) = stream.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(object)) | Ok(Event::Apply(object)) => {
                    let Some(name) = name(&object) else { continue };
                    self.known.insert(name.clone());
                    listed.insert(name.clone());
                    match read(object) {
                        Ok(object) => self.shared.learn((self.fact)(name, Some(Box::new(object)))),
                        Err(error) => tracing::warn!(kind = self.kind, %name, error, "An object can't be read"),
                    }
                }
                Ok(Event::Delete(object)) => {
                    let Some(name) = name(&object) else { continue };
                    self.known.remove(&name);
                    self.shared.learn((self.fact)(name, None));
                }
                Ok(Event::InitDone) => {
                    self.complaint = None;
                    for gone in self.known.difference(&listed).cloned().collect::<Vec<_>>() {
                        self.known.remove(&gone);
                        self.shared.learn((self.fact)(gone, None));
                    }
                    let first = self.shared.lock().unlisted.remove(self.kind);
                    if first {
                        self.shared.ring();
                    }
                }
                Err(error) => {
                    let unserved = is_unserved(&error);
                    self.complain(error.to_string());
                    if unserved {
                        return;
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}

fn name(object: &impl kube::Resource) -> Option<ObjectName> {
    Some(ObjectName::new(object.meta().namespace.clone()?, object.meta().name.clone()?))
}

fn is_unserved(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchStartFailed};
    matches!(error, InitialListFailed(kube::Error::Api(status)) | WatchStartFailed(kube::Error::Api(status)) if status.code == 404)
}
