//! The whole manager in process, under paused time: how it starts, what it survives, how it stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use capmaas_provider_maas::Clock;
use capmaas_reconcile::names::ObjectName;
use kube_sim::KubeSim;
use maas_sim::{ADMIN_KEY, Outage, Region, SharedRegion};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tower::Layer;

use super::*;
use crate::env::{Credentials, Regions, Settings, WorkloadError, Workloads};
use crate::gate::{Gate, Moment, Verdict};
use crate::leader::Election;

struct InProcess {
    maas: SharedRegion,
    nonces: Arc<AtomicU64>,
}

impl Regions for InProcess {
    fn client(&self, credentials: &Credentials) -> Result<maas_client::Client, String> {
        let (maas, nonces) = (self.maas.clone(), self.nonces.clone());
        // The simulated region judges the age of a signature by its own clock.
        let stamps = move || maas_client::Stamp {
            nonce: format!("nonce{}", nonces.fetch_add(1, Ordering::Relaxed)),
            unix_seconds: maas.now().as_second().unsigned_abs(),
        };
        maas_client::Client::builder(&credentials.endpoint, credentials.api_key.expose_secret())
            .map(|builder| builder.stamps(stamps).build_with_service(self.maas.clone()))
            .map_err(|e| e.to_string())
    }
}

struct NoWorkloads;

#[async_trait]
impl Workloads for NoWorkloads {
    async fn client(&self, _: &ObjectName, _: &[u8]) -> Result<kube::Client, WorkloadError> {
        Err(WorkloadError::Unreachable("there are none".to_owned()))
    }

    async fn answers(&self, _: &ObjectName, _: &[u8], _: std::net::IpAddr, _: u16) -> bool {
        false
    }
}

struct World {
    clock: Clock,
    kube: KubeSim,
    maas: SharedRegion,
    gate: Gate,
}

impl World {
    fn new(gate: Gate) -> Self {
        let clock = Clock::new("2026-11-23T12:00:00Z".parse().unwrap(), 1.0);
        let now = Arc::new(move || clock.now());
        let kube = KubeSim::new(kube_sim::Config::new(now.clone(), 7));
        let maas =
            SharedRegion::new(Region::new(maas_sim::Config { epoch: clock.now(), ..maas_sim::Config::lab(1) }), now);
        Self { clock, kube, maas, gate }
    }

    fn installed(gate: Gate) -> Self {
        let world = Self::new(gate);
        for crd in capi_types::crds() {
            world.kube.apply(serde_json::to_value(crd).unwrap()).unwrap();
        }
        world.core("v1beta2");
        world
    }

    /// Serves the core kinds under one version, and no longer under another.
    fn core(&self, version: &str) {
        for (kind, plural) in [("Cluster", "clusters"), ("Machine", "machines")] {
            let anything = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
            let schema = json!({ "openAPIV3Schema": { "type": "object", "properties": { "spec": anything, "status": anything } } });
            let of = |name: &str| json!({ "name": name, "served": name == version, "storage": name == version, "schema": schema });
            let versions: Vec<Value> = ["v1beta1", "v1beta2"].into_iter().map(of).collect();
            let names = json!({ "kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List") });
            self.kube
                .apply(json!({
                    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                    "metadata": { "name": format!("{plural}.cluster.x-k8s.io") },
                    "spec": { "group": "cluster.x-k8s.io", "scope": "Namespaced", "names": names, "versions": versions },
                }))
                .unwrap();
        }
    }

    fn cluster(&self, version: &str, name: &str) {
        let api = format!("cluster.x-k8s.io/{version}");
        let owner = self
            .kube
            .apply(json!({ "apiVersion": api, "kind": "Cluster", "metadata": { "name": name }, "spec": {} }))
            .unwrap();
        let owner = json!({ "apiVersion": api, "kind": "Cluster", "name": name, "uid": owner["metadata"]["uid"] });
        self.kube
            .apply(json!({
                "apiVersion": capi_types::names::API_VERSION, "kind": "MaasCluster",
                "metadata": { "name": name, "namespace": "default", "ownerReferences": [owner] },
                "spec": { "dnsDomain": "maas" },
            }))
            .unwrap();
    }

    fn reason(&self, name: &str) -> Option<String> {
        let object = self.kube.get(capi_types::names::GROUP, "MaasCluster", Some("default"), name)?;
        let conditions = object["status"]["conditions"].as_array()?;
        Some(conditions.iter().find(|c| c["type"] == "Ready")?["reason"].as_str()?.to_owned())
    }

    fn provisioned(&self, name: &str) -> bool {
        let object = self.kube.get(capi_types::names::GROUP, "MaasCluster", Some("default"), name).unwrap();
        object["status"]["initialization"]["provisioned"] == true
    }

    fn env(&self, election: bool) -> Env {
        let credentials = Credentials {
            endpoint: "http://maas/MAAS".to_owned(),
            api_key: ADMIN_KEY.into(),
            source: "test".to_owned(),
        };
        let election = election.then(|| Election::new("us"));
        Env {
            clock: self.clock,
            seed: 7,
            kube: kube::Client::new(self.gate.layer("kube").layer(self.kube.clone()), "default"),
            regions: Arc::new(InProcess { maas: self.maas.clone(), nonces: Arc::default() }),
            workloads: Arc::new(NoWorkloads),
            settings: Settings {
                own_namespace: "default".to_owned(),
                credentials: Some(credentials),
                election,
                ..Settings::default()
            },
        }
    }

    /// Runs the manager beside `work`; stops it after that and says how it ended.
    async fn run(&self, work: impl Future<Output = ()>) -> Result<(), ManagerError> {
        Manager::run(self.env(false), work).await
    }
}

async fn until(what: &str, seconds: u64, look: impl Fn() -> bool) {
    let waiting = async {
        while !look() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(seconds), waiting).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

#[tokio::test(start_paused = true)]
async fn core_kinds_that_move_to_another_version_are_followed() {
    let world = World::installed(Gate::open());
    world.core("v1beta1");
    let work = async {
        world.cluster("v1beta1", "before");
        until("before", 30, || world.provisioned("before")).await;
        world.core("v1beta2");
        // Running watches go on until they time out; after that the old version is 404.
        tokio::time::sleep(Duration::from_secs(600)).await;
        world.cluster("v1beta2", "after");
        until("after", 30, || world.provisioned("after")).await;
    };
    world.run(work).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_does_not_hide_the_others() {
    let world = World::installed(Gate::open());
    // As an older CRD may have let it in: no schema holds it to what we read.
    let mut crd = serde_json::to_value(&capi_types::crds()[0]).unwrap();
    for version in crd["spec"]["versions"].as_array_mut().unwrap() {
        let anything = json!({ "x-kubernetes-preserve-unknown-fields": true });
        version["schema"] =
            json!({ "openAPIV3Schema": { "type": "object", "properties": { "spec": anything, "status": anything } } });
    }
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/maasclusters.infrastructure.cluster.x-k8s.io";
    crd["metadata"]["resourceVersion"] =
        world.kube.request(http::Method::GET, path, None).1["metadata"]["resourceVersion"].clone();
    let (code, answer) = world.kube.request(http::Method::PUT, path, Some(&crd));
    assert_eq!(code, 200, "{answer}");
    let broken = |name: &str| {
        world
            .kube
            .apply(json!({
                "apiVersion": capi_types::names::API_VERSION, "kind": "MaasCluster", "metadata": { "name": name },
                "spec": ["not", "an", "object"],
            }))
            .unwrap();
    };
    broken("a-in-the-list");
    let work = async {
        world.cluster("v1beta2", "one");
        until("one", 30, || world.provisioned("one")).await;
        broken("b-in-the-watch");
        world.cluster("v1beta2", "two");
        until("two", 30, || world.provisioned("two")).await;
    };
    world.run(work).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_fails_for_minutes_is_asked_again_and_nothing_is_taken_for_gone() {
    let world = World::installed(Gate::open());
    // From the first watch on, everything fails for ten minutes.
    let from = world.clock.now();
    let clock = world.clock;
    let gate = Gate::with_rule(move |_| {
        let minute = clock.now().duration_since(from).as_mins();
        if (2..12).contains(&minute) { Verdict::Delay(Duration::from_secs(400)) } else { Verdict::Pass }
    });
    let world = World { gate, ..world };
    let work = async {
        world.cluster("v1beta2", "one");
        until("one", 30, || world.provisioned("one")).await;
        tokio::time::sleep(Duration::from_secs(900)).await;
        world.cluster("v1beta2", "two");
        until("two", 900, || world.provisioned("two")).await;
        assert!(world.provisioned("one"));
    };
    world.run(work).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn writes_that_do_not_get_through_are_told_in_the_status_and_made_good() {
    let world = World::installed(Gate::open());
    let (clock, from) = (world.clock, world.clock.now());
    let gate = Gate::with_rule(move |call| {
        let of_the_object = call.method == "PATCH" && call.target.contains("/one?");
        let early = clock.now().duration_since(from).as_mins() < 10;
        if of_the_object && early { Verdict::Drop } else { Verdict::Pass }
    });
    let world = World { gate, ..world };
    let work = async {
        world.cluster("v1beta2", "one");
        until("it is told", 300, || world.reason("one").as_deref() == Some("WriteFailed")).await;
        until("it is made good", 900, || world.provisioned("one")).await;
        until("and no longer told", 60, || world.reason("one").as_deref() == Some("Ready")).await;
    };
    world.run(work).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_writes_over_each_time_is_not_fought_over_and_a_status_keeps_no_step_from_being_done() {
    let time = "2026-11-23T12:00:00Z";
    let other =
        json!({ "type": "Ready", "status": "False", "reason": "Other", "message": "", "lastTransitionTime": time });
    let status = json!({ "status": { "conditions": [other] } });
    let published = json!({ "metadata": { "annotations": { capi_types::names::PUBLISHED_ANNOTATION: "10.9.9.9" } } });
    for (path, over) in [("/one/status?", status), ("/one?", published)] {
        let world = World::installed(Gate::open());
        let (kube, mut writes) = (world.kube.clone(), 0);
        world.gate.witness(move |moment, call| {
            if moment == Moment::Arrives || call.method != "PATCH" || !call.target.contains(path) {
                return;
            }
            writes += 1;
            // Time stands still while two write without a pause: a test would never end.
            assert!(writes < 60, "it was fought over");
            let answer = kube.request(http::Method::PATCH, call.target.split_once('?').unwrap().0, Some(&over));
            assert_eq!(answer.0, 200, "{}", answer.1);
        });
        let work = async {
            world.cluster("v1beta2", "one");
            if path == "/one/status?" {
                until(path, 30, || world.provisioned("one")).await;
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
        };
        world.run(work).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_that_goes_away_and_comes_back_is_found_again() {
    let world = World::installed(Gate::open());
    world.maas.with(|region, now| region.set_outage(now, Some(Outage::Refuse)));
    let work = async {
        world.cluster("v1beta2", "one");
        until("unreachable", 60, || world.reason("one").as_deref() == Some("MAASUnreachable")).await;
        world.maas.with(|region, now| region.set_outage(now, None));
        until("provisioned", 60, || world.provisioned("one")).await;
        let key = "NewConsumer0000000:NewTokenKey0000000:NewTokenSecret000000000000000000";
        world.maas.with(|region, _| {
            region.add_api_key("admin", key).unwrap();
            region.revoke_api_keys("admin", Some(ADMIN_KEY)).unwrap();
        });
        world.cluster("v1beta2", "two");
        until("refused", 900, || world.reason("two").as_deref() == Some("MAASUnauthorized")).await;
        world
            .kube
            .apply(json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": { "name": capi_types::names::CREDENTIALS_SECRET },
                "stringData": { "MAAS_ENDPOINT": "http://maas/MAAS", "MAAS_API_KEY": key },
            }))
            .unwrap();
        until("accepted", 60, || world.provisioned("two")).await;
    };
    world.run(work).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_what_was_sent_but_not_for_ever_and_gives_the_lease_back_only_if_nothing_is_in_flight() {
    for (verdict, least, most, given_back) in
        [(Verdict::Delay(Duration::from_secs(5)), 4, 6, true), (Verdict::Drop, 8, 9, false)]
    {
        let sent = Arc::new(Notify::new());
        let bell = sent.clone();
        let mut slowed = false;
        let world = World::installed(Gate::with_rule(move |call| {
            if call.method != "PATCH" || std::mem::replace(&mut slowed, true) {
                return Verdict::Pass;
            }
            bell.notify_one();
            verdict
        }));
        world.cluster("v1beta2", "one");
        let stopped = Arc::new(std::sync::Mutex::new(None));
        let stop = {
            let stopped = stopped.clone();
            async move {
                sent.notified().await;
                *stopped.lock().unwrap() = Some(Instant::now());
            }
        };
        Manager::run(world.env(true), stop).await.unwrap();
        let took = stopped.lock().unwrap().unwrap().elapsed();
        assert!((Duration::from_secs(least)..Duration::from_secs(most)).contains(&took), "{verdict:?}: {took:?}");
        let lease = world
            .kube
            .get("coordination.k8s.io", "Lease", Some("default"), capi_types::names::LEADER_ELECTION_LEASE)
            .unwrap();
        assert_eq!(lease["spec"]["holderIdentity"].is_null(), given_back, "{verdict:?}: {lease}");
    }
}
