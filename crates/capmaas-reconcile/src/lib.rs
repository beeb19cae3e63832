//! What to do next for a MaasCluster, a MaasMachine or a MaasMachineTemplate: pure decisions.
//!
//! **What it is.** [`stores`] hold everything that was read; [`observe`] picks what one object's plan sees; [`plan`] answers with a
//! [`Decision`](decision::Decision): at most one [`Step`](decision::Step), the status that should stand, and when to look again.
//! Around that: the [`queue`] of keys, the [`Provider`](provider::Provider) trait (the narrow door to the metal, whose
//! [`Proof`](provider::Proof) and [`Recorded`](provider::Recorded) can only be made from evidence), [`outcome`] (what is remembered
//! of a step), and the [`model`] fleet, on which the plans are explored exhaustively.
//!
//! **What it is not.** No network, no Kubernetes client, no tasks, no clock and no chance: time is an argument, and the same
//! stores and time give the same decision in every process. It does nothing; an executor (`capmaas-manager`) does, and a provider
//! (`capmaas-provider-maas`).
//!
//! **How data flows.**
//!
//! ```text
//!  feeders ─ Fact ─► Stores::learn ─► topics ─► Queue ─ key ─► Stores::observe_… ─► plan::… ─► Decision
//!                        ▲              ▲                                                    │ next  │ wake
//!                        │              └──────────────────── Queue::done ◄──────────────────┼───────┘
//!                        │                                                                   ▼
//!                        └─ Stores::step_ended ◄─ answer ◄─ Provider / API server ◄─ executor (Stores::step_begins)
//! ```
//!
//! Who waits for a topic also says what is read: the feeders read the topics in [`Queue::awaited`](queue::Queue::awaited) and nothing
//! else. A report counts only if it was sent after the last write on that host was answered ([`fleet`]).
//!
//! # Example
//!
//! A machine from its manifest to its providerID, on the model fleet. The `match` is an executor in miniature: it compares and
//! writes, and decides nothing.
//!
//! ```
//! use capi_types::{CoreCluster, CoreMachine, MaasMachine};
//! use capmaas_reconcile::decision::{Intent, SpecWrite, Step, StepKind};
//! use capmaas_reconcile::model::{ModelFleet, host};
//! use capmaas_reconcile::names::{Key, Kind, ObjectName};
//! use capmaas_reconcile::outcome::Answer;
//! use capmaas_reconcile::provider::{Provider, Recorded, Verdict};
//! use capmaas_reconcile::stores::{Fact, Stores};
//! use capmaas_reconcile::{plan, record::Record};
//! use futures::executor::block_on;
//! use serde_json::json;
//!
//! let now: jiff::Timestamp = "2026-01-01T00:00:00Z".parse()?;
//! let fleet = ModelFleet::new([host("abc123", "node01")]);
//! let mut stores = Stores::default();
//! let name = ObjectName::new("default", "worker-0");
//! let key = Key { kind: Kind::Machine, name: name.clone() };
//!
//! // What the watches bring: the objects that Cluster API made.
//! let mut object: MaasMachine = serde_json::from_value(json!({
//!     "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "MaasMachine",
//!     "metadata": {"name": "worker-0", "namespace": "default", "uid": "1-2-3", "resourceVersion": "1",
//!         "labels": {"cluster.x-k8s.io/cluster-name": "c"},
//!         "ownerReferences": [{"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine", "name": "worker-0", "uid": "4-5-6"}]},
//!     "spec": {"image": "ubuntu/noble", "minCPU": 2, "minMemory": 4096},
//! }))?;
//! let cluster = CoreCluster::from_value(&json!({"kind": "Cluster", "apiVersion": "cluster.x-k8s.io/v1beta2",
//!     "metadata": {"name": "c", "namespace": "default"},
//!     "status": {"initialization": {"infrastructureProvisioned": true, "controlPlaneInitialized": true}}}))?;
//! let machine = CoreMachine::from_value(&json!({"kind": "Machine", "apiVersion": "cluster.x-k8s.io/v1beta2",
//!     "metadata": {"name": "worker-0", "namespace": "default"},
//!     "spec": {"clusterName": "c", "bootstrap": {"dataSecretName": "worker-0-bootstrap"}}}))?;
//! stores.learn(Fact::CoreCluster(ObjectName::new("default", "c"), Some(Box::new(cluster))), now);
//! stores.learn(Fact::CoreMachine(name.clone(), Some(Box::new(machine))), now);
//! stores.learn(Fact::MaasMachine(name.clone(), Some(Box::new(object.clone()))), now);
//!
//! let mut done = Vec::new();
//! loop {
//!     let decision = plan::machine::plan(&stores.observe_machine(&name).expect("it was learnt"), now);
//!     let Some(step) = decision.next else {
//!         // Nothing to do: read what it waits for. When there is no news, MAAS works on; when it is done, so are we.
//!         let mut news = false;
//!         for topic in &decision.wake.topics {
//!             let sent = stores.fleet.send();
//!             for fact in fleet.facts(topic, sent, now) {
//!                 news |= !stores.learn(fact, now).topics.is_empty();
//!             }
//!         }
//!         if news || fleet.advance(&"abc123".parse()?) { continue } else { break }
//!     };
//!     done.push(step.kind());
//!     stores.step_begins(&key, &step);
//!     let answer = match &step {
//!         Step::Record(Intent::Claim(token)) => {
//!             object.metadata.finalizers = Some(vec![capi_types::names::MACHINE_FINALIZER.to_owned()]);
//!             object.metadata.annotations = Some([
//!                 (capi_types::names::CLAIM_ANNOTATION.to_owned(), Record::text(token, &name)),
//!                 (capi_types::names::BLOCK_MOVE_ANNOTATION.to_owned(), String::new()),
//!             ].into());
//!             Ok(Answer::Done)
//!         }
//!         Step::WriteSpec(SpecWrite::SystemId(id)) => { object.spec.system_id = Some(id.to_string()); Ok(Answer::Done) }
//!         Step::WriteSpec(SpecWrite::ProviderId(id)) => { object.spec.provider_id = Some(id.to_string()); Ok(Answer::Done) }
//!         Step::Claim(order) => {
//!             let intent = Recorded::read_back(&object).expect("it was recorded");
//!             block_on(fleet.claim(&intent, order)).map(|(_, view)| Answer::Host(Box::new(view)))
//!         }
//!         Step::Mark { host, token, marks, .. } => match block_on(fleet.prove(host, token, None))? {
//!             Verdict::Ours(proof, _) => block_on(fleet.mark(proof, marks)).map(|(_, view)| Answer::Host(Box::new(view))),
//!             other => panic!("{other:?}"),
//!         },
//!         Step::Deploy { host, token, order, .. } => match block_on(fleet.prove(host, token, None))? {
//!             Verdict::Ours(proof, _) => block_on(fleet.deploy(proof, order, b"#cloud-config")).map(|view| Answer::Host(Box::new(view))),
//!             other => panic!("{other:?}"),
//!         },
//!         other => panic!("not in this story: {other:?}"),
//!     };
//!     stores.step_ended(&key, &step, answer, now);
//!     let revision = done.len() + 1; // the API server counts
//!     object.metadata.resource_version = Some(revision.to_string());
//!     stores.learn(Fact::MaasMachine(name.clone(), Some(Box::new(object.clone()))), now);
//! }
//! use StepKind::{Claim, Deploy, Mark, Record as Recording, WriteSpec};
//! assert_eq!(done, [Recording, Claim, WriteSpec, Mark, Deploy, WriteSpec]);
//! assert_eq!(object.spec.provider_id.as_deref(), Some("maas:///default/abc123"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod cycles;
pub mod decision;
pub mod failed_hosts;
pub mod fleet;
pub mod host;
pub mod model;
pub mod names;
pub mod observe;
pub mod outcome;
pub mod placement;
pub mod plan;
pub mod provider;
pub mod queue;
pub mod record;
pub mod stores;
pub mod topic;
