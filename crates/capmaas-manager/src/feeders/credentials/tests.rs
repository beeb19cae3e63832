use std::sync::Arc;

use capmaas_provider_maas::Clock;
use kube_sim::KubeSim;
use serde_json::json;
use tower::Layer;

use super::*;
use crate::gate::{Gate, Verdict};
use crate::{NetworkRegions, NetworkWorkloads, Settings};

const NAMESPACE: &str = capi_types::names::PROVIDER_NAMESPACE;

struct World {
    sim: KubeSim,
    _tasks: JoinSet<()>,
    found: watch::Receiver<Option<Found>>,
}

impl World {
    fn new(environment: Option<&str>, gate: &Gate) -> Self {
        let clock = Clock::new("2026-11-23T12:00:00Z".parse().unwrap(), 1.0);
        let sim = KubeSim::new(kube_sim::Config::new(Arc::new(move || clock.now()), 7));
        sim.apply(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } })).unwrap();
        let credentials = environment.map(|endpoint| Credentials {
            endpoint: endpoint.to_owned(),
            api_key: "a:b:c".into(),
            source: "environment".to_owned(),
        });
        let env = Env {
            clock,
            seed: 7,
            kube: kube::Client::new(gate.layer("kube").layer(sim.clone()), "default"),
            regions: Arc::new(NetworkRegions),
            workloads: Arc::new(NetworkWorkloads),
            settings: Settings { credentials, ..Settings::default() },
        };
        let mut tasks = JoinSet::new();
        let found = start(&mut tasks, &env);
        Self { sim, _tasks: tasks, found }
    }

    fn secret(&self, name: &str, endpoint: &str, labels: serde_json::Value) {
        self.sim
            .apply(json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "namespace": NAMESPACE, "labels": labels },
                "stringData": { MAAS_ENDPOINT_KEY: endpoint, MAAS_API_KEY_KEY: "a:b:c" },
            }))
            .unwrap();
    }

    fn remove(&self, name: &str) {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/{name}");
        assert_eq!(self.sim.request(http::Method::DELETE, &path, None).0, 200);
    }

    /// The source of what is in force after the next change, or the message.
    async fn next(&mut self) -> String {
        tokio::time::timeout(Duration::from_secs(60), self.found.changed()).await.expect("a change").unwrap();
        match self.found.borrow_and_update().clone().expect("it is known") {
            Ok(credentials) => format!("{} from {}", credentials.endpoint, credentials.source),
            Err(message) => message,
        }
    }

    async fn is_quiet_for(&mut self, seconds: u64) -> bool {
        tokio::time::timeout(Duration::from_secs(seconds), self.found.changed()).await.is_err()
    }
}

/// W-40
#[tokio::test(start_paused = true)]
async fn the_secret_counts_before_the_articles_name_and_that_before_the_environment() {
    let mut world = World::new(Some("http://environment"), &Gate::open());
    assert_eq!(world.next().await, "http://environment from environment");
    world.secret(CREDENTIALS_SECRET_ARTICLE, "http://article", json!({}));
    assert!(world.next().await.starts_with("http://article from Secret capmaas-system/manager-bootstrap-credentials"));
    world.secret(CREDENTIALS_SECRET, "${MAAS_ENDPOINT}", json!({}));
    let message = world.next().await;
    assert!(message.contains("placeholder ${MAAS_ENDPOINT} for MAAS_ENDPOINT"), "{message}");
    world.secret(CREDENTIALS_SECRET, " http://secret\n", json!({}));
    assert!(world.next().await.starts_with("http://secret from Secret capmaas-system/capmaas-manager-"));
    world.remove(CREDENTIALS_SECRET_ARTICLE);
    assert!(world.is_quiet_for(5).await, "it did not count");
    world.remove(CREDENTIALS_SECRET);
    assert_eq!(world.next().await, "http://environment from environment");
}

#[tokio::test(start_paused = true)]
async fn without_any_source_the_message_names_the_secret_and_its_keys() {
    let mut world = World::new(None, &Gate::open());
    let message = world.next().await;
    for word in ["capmaas-system/capmaas-manager-bootstrap-credentials", "MAAS_ENDPOINT", "MAAS_API_KEY"] {
        assert!(message.contains(word), "{message}");
    }
    let mut world = World::new(Some("${MAAS_ENDPOINT}"), &Gate::open());
    assert!(world.next().await.starts_with("environment has the placeholder"));
}

#[tokio::test(start_paused = true)]
async fn lists_that_are_repeated_and_labels_that_change_are_no_news() {
    let mut world = World::new(None, &Gate::open());
    world.next().await;
    world.secret(CREDENTIALS_SECRET, "http://secret", json!({}));
    world.next().await;
    world.secret(CREDENTIALS_SECRET, "http://secret", json!({ "touched": "yes" }));
    // Watches that are behind get 410 and list anew.
    for _ in 0..5 {
        world.secret("another", "http://another", json!({}));
        world.sim.compact(0);
        assert!(world.is_quiet_for(600).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_could_not_be_asked_for_is_not_taken_for_missing() {
    let gate = Gate::with_rule(|call| {
        let slow = call.target.contains(&format!("name%3D{CREDENTIALS_SECRET}&"))
            || call.target.ends_with(&format!("name%3D{CREDENTIALS_SECRET}"));
        if slow && call.number < 10 { Verdict::Delay(Duration::from_secs(45)) } else { Verdict::Pass }
    });
    let mut world = World::new(Some("http://environment"), &gate);
    assert!(world.is_quiet_for(30).await, "{:?}", gate.trace());
    world.secret(CREDENTIALS_SECRET, "http://secret", json!({}));
    assert!(world.next().await.starts_with("http://secret"));
}

#[test]
fn what_may_not_be_read_is_as_if_not_there_but_other_trouble_says_nothing() {
    let sources = |code: u16| {
        let mut sources = Sources {
            namespace: NAMESPACE.to_owned(),
            environment: None,
            seen: BTreeMap::new(),
            listed: BTreeMap::new(),
            forbidden: false,
        };
        for name in NAMES {
            let status = kube::core::Status { code, ..kube::core::Status::default() };
            sources.take(name, Err(watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))));
        }
        sources
    };
    let message = sources(403).in_force().unwrap().unwrap_err();
    assert!(message.contains("may not read Secret capmaas-system/capmaas-manager-bootstrap-credentials"), "{message}");
    assert!(sources(503).in_force().is_none());
}
