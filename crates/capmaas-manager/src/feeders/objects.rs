//! Watches of our kinds and of the core kinds we read.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use capi_types::{CoreCluster, CoreMachine, MaasCluster, MaasMachine, MaasMachineTemplate};
use capmaas_reconcile::names::ObjectName;
use capmaas_reconcile::stores::Fact;
use futures::{StreamExt, pin_mut};
use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::watcher::{self, Event, watcher};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::env::Env;
use crate::shared::Shared;

/// Pause after a failed list or watch: real time, it is transport.
const RETRY: Duration = Duration::from_secs(2);

/// Starts all watches; [`crate::shared::Inner::unsynced`] counts down as the first lists are in.
pub(crate) fn start(tasks: &mut JoinSet<()>, env: &Env, shared: &Shared) {
    shared.lock().unsynced += 5;
    let own = |api: Watch| (api, env.clone(), shared.clone());
    let label = env.settings.watch_filter.as_ref().map(|v| format!("{}={v}", capi_types::names::WATCH_FILTER_LABEL));
    let watch = Watch { namespace: env.settings.namespace.clone(), labels: label };

    let (w, e, s) = own(watch.clone());
    tasks.spawn(async move { w.typed::<MaasCluster>(e, s, Fact::MaasCluster).await });
    let (w, e, s) = own(watch.clone());
    tasks.spawn(async move { w.typed::<MaasMachine>(e, s, Fact::MaasMachine).await });
    let (w, e, s) = own(watch.clone());
    tasks.spawn(async move { w.typed::<MaasMachineTemplate>(e, s, Fact::Template).await });
    // Core objects are read whatever their labels: a filtered MaasMachine may belong to an unlabelled Cluster.
    let unfiltered = Watch { labels: None, ..watch };
    let (w, e, s) = own(unfiltered.clone());
    tasks.spawn(async move { w.core(e, s, "Cluster", "clusters", |o| CoreCluster::try_from(o).ok(), Fact::CoreCluster).await });
    let (w, e, s) = own(unfiltered);
    tasks.spawn(async move { w.core(e, s, "Machine", "machines", |o| CoreMachine::try_from(o).ok(), Fact::CoreMachine).await });
}

#[derive(Clone)]
struct Watch {
    namespace: Option<String>,
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

    async fn typed<K>(self, env: Env, shared: Shared, fact: fn(ObjectName, Option<Box<K>>) -> Fact)
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let api: Api<K> = match &self.namespace {
            Some(namespace) => Api::namespaced(env.kube.clone(), namespace),
            None => Api::all(env.kube.clone()),
        };
        follow(api, self.config(), &shared, |o: K| Some(o), fact).await;
    }

    async fn core<T: Clone + Send + 'static>(
        self,
        env: Env,
        shared: Shared,
        kind: &'static str,
        plural: &'static str,
        read: fn(&DynamicObject) -> Option<T>,
        fact: fn(ObjectName, Option<Box<T>>) -> Fact,
    ) {
        let resource = loop {
            match served(&env.kube, kind, plural).await {
                Some(resource) => break resource,
                None => {
                    tracing::info!(kind, "Waiting for the core kind to be served");
                    tokio::time::sleep(RETRY).await;
                }
            }
        };
        let api: Api<DynamicObject> = match &self.namespace {
            Some(namespace) => Api::namespaced_with(env.kube.clone(), namespace, &resource),
            None => Api::all_with(env.kube.clone(), &resource),
        };
        follow(api, self.config(), &shared, move |o: DynamicObject| read(&o), fact).await;
    }
}

/// The core kind at v1beta2 where served, else v1beta1 (design §6).
async fn served(client: &kube::Client, kind: &str, plural: &str) -> Option<ApiResource> {
    for version in ["v1beta2", "v1beta1"] {
        let list = client.list_api_group_resources(&format!("{}/{version}", capi_types::names::CORE_GROUP)).await;
        if list.is_ok_and(|list| list.resources.iter().any(|r| r.name == plural)) {
            let gvk = GroupVersionKind::gvk(capi_types::names::CORE_GROUP, version, kind);
            return Some(ApiResource::from_gvk_with_plural(&gvk, plural));
        }
    }
    None
}

async fn follow<K, T>(api: Api<K>, config: watcher::Config, shared: &Shared, read: impl Fn(K) -> Option<T>, fact: fn(ObjectName, Option<Box<T>>) -> Fact)
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    K::DynamicType: Clone,
{
    let name = |o: &K| Some(ObjectName::new(o.meta().namespace.clone()?, o.meta().name.clone()?));
    let mut known: BTreeSet<ObjectName> = BTreeSet::new();
    let mut listed: BTreeSet<ObjectName> = BTreeSet::new();
    let mut synced = false;
    let stream = watcher(api, config);
    pin_mut!(stream);
    while let Some(event) = stream.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(object)) | Ok(Event::Apply(object)) => {
                let Some(name) = name(&object) else { continue };
                known.insert(name.clone());
                listed.insert(name.clone());
                if let Some(object) = read(object) {
                    shared.learn(fact(name, Some(Box::new(object))));
                }
            }
            Ok(Event::Delete(object)) => {
                let Some(name) = name(&object) else { continue };
                known.remove(&name);
                shared.learn(fact(name, None));
            }
            Ok(Event::InitDone) => {
                for gone in known.difference(&listed).cloned().collect::<Vec<_>>() {
                    known.remove(&gone);
                    shared.learn(fact(gone, None));
                }
                if !std::mem::replace(&mut synced, true) {
                    shared.lock().unsynced -= 1;
                    shared.ring();
                }
            }
            Err(error) => {
                tracing::warn!(%error, "watch");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
