//! What is done to a cluster while the provider is disturbed. A story has a part in which nothing disturbs, and the part that it is
//! named after.

use std::time::Duration;

use serde_json::{Value, json};

use crate::health_check::HealthCheck;
use crate::stage::Stage;
use crate::{Hand, condition, moving};

const CLUSTER: &str = "my-cluster";
const WORKERS: &str = "my-cluster-worker";

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// A cluster of two machines comes up.
    Create,
    /// It goes.
    Delete,
    /// Its worker is rolled to another image.
    Upgrade,
    /// Its objects move to another management cluster.
    Move,
    /// The same, begun while a machine is being claimed.
    MoveWhileClaiming,
    /// A worker's machine is dead; its owner replaces it.
    Remediate,
    /// A worker's machine hangs, and is healed by a power cycle.
    PowerCycle,
    /// All of it in one: it comes up on just as many machines as it needs, a worker is replaced (which has to wait for the machine that
    /// the old one gives back), workers are rolled, it goes.
    Life,
}

impl Story {
    /// Those of the crash matrix.
    pub const ALL: [Self; 7] = [
        Self::Create,
        Self::Delete,
        Self::Upgrade,
        Self::Move,
        Self::MoveWhileClaiming,
        Self::Remediate,
        Self::PowerCycle,
    ];

    /// How many machines there are to choose from.
    pub fn machines(self) -> usize {
        match self {
            // Machines of a lab differ; the seed's two need one of 4 CPUs and any other.
            Self::Life => 4,
            _ => 7,
        }
    }

    /// Whether it needs a second management cluster.
    pub fn moves(self) -> bool {
        matches!(self, Self::Move | Self::MoveWhileClaiming)
    }

    /// Whether there is nothing before it: the managers' start belongs to it.
    pub fn is_all(self) -> bool {
        matches!(self, Self::Create | Self::Life)
    }

    /// How long an allocate takes to arrive: nothing can be done in the middle of what takes no time.
    pub fn claims_last(self) -> Duration {
        if self == Self::MoveWhileClaiming { Duration::from_secs(5) } else { Duration::ZERO }
    }

    /// The quiet part.
    pub async fn before(self, hand: &Hand<'_>) {
        if self.is_all() {
            return;
        }
        hand.apply_seed().await;
        hand.until_ready(2).await;
        if self == Self::Remediate {
            let worker = worker(hand).await;
            let host = worker["status"]["hostname"].as_str().expect("it has a host").to_owned();
            let maas = &hand.play.sandbox.maas;
            maas.with(|region, now| region.set_power_cord(now, &host, false)).expect("the host exists");
            hand.until("the dead machine is noticed", || async {
                (condition(&self::worker(hand).await, "Ready").1 == "MachinePoweredOff").then_some(())
            })
            .await;
        }
        if self == Self::PowerCycle {
            hang(hand, &worker(hand).await).await;
        }
    }

    /// The part that is disturbed.
    ///
    /// # Panics
    /// When it does not come to its end.
    pub async fn act(self, stage: &Stage, hand: &Hand<'_>) {
        match self {
            Self::Create => {
                hand.apply_seed().await;
                hand.until_ready(2).await;
            }
            Self::Delete => go(hand).await,
            Self::Upgrade => roll(hand, "ubuntu/noble").await,
            Self::Move => {
                moving::move_all(stage, hand).await;
                moving::target(stage).until_ready(2).await;
            }
            Self::MoveWhileClaiming => {
                scale(hand, 2).await;
                hand.until_soon("a claim is recorded", || async {
                    let all = hand.list("MaasMachine").await;
                    // A successor's claims do not last: then its outcome.
                    let begun = |m: &&Value| moving::blocks(m) || !m["spec"]["systemID"].is_null();
                    (all.iter().filter(begun).count() == 3).then_some(())
                })
                .await;
                moving::move_all(stage, hand).await;
                moving::target(stage).until_ready(3).await;
            }
            Self::Remediate => replace(hand).await,
            Self::PowerCycle => heal(hand).await,
            Self::Life => {
                hand.apply_seed().await;
                hand.until_ready(2).await;
                scale(hand, 3).await;
                hand.until_ready(4).await;
                replace(hand).await;
                hand.until_ready(4).await;
                scale(hand, 1).await;
                hand.until_ready(2).await;
                roll(hand, "ubuntu/noble").await;
                go(hand).await;
            }
        }
    }
}

async fn scale(hand: &Hand<'_>, replicas: u64) {
    hand.merge("MachineDeployment", WORKERS, json!({ "spec": { "replicas": replicas } })).await.expect("scale");
}

async fn worker(hand: &Hand<'_>) -> Value {
    let all = hand.list("MaasMachine").await;
    let of = |m: &&Value| m["metadata"]["name"].as_str().is_some_and(|name| name.starts_with(WORKERS));
    all.iter().find(of).expect("there is a worker").clone()
}

/// Deletes a worker's Machine, and waits until its owner has replaced it.
async fn replace(hand: &Hand<'_>) {
    let machines = hand.list("Machine").await.len();
    let name = worker(hand).await["metadata"]["name"].as_str().expect("it has a name").to_owned();
    hand.delete("Machine", &name).await;
    hand.until("the old one is gone", || async { hand.get("MaasMachine", &name).await.is_none().then_some(()) }).await;
    hand.until_ready(machines).await;
}

/// The machine of a MaasMachine stands still, and its Node is missed.
async fn hang(hand: &Hand<'_>, object: &Value) {
    let name = object["metadata"]["name"].as_str().expect("it has a name");
    let id = object["spec"]["systemID"].as_str().expect("it has a host");
    hand.play.sandbox.maas.with(|region, now| region.hang(now, id)).expect("it runs");
    hand.until("its Node is missed", || async {
        let machine = hand.get("Machine", name).await?;
        (condition(&machine, "NodeHealthy").0 != "True").then_some(())
    })
    .await;
}

/// A health check finds the worker sick, and a power cycle heals it: the same Machine, the same system on its disk.
async fn heal(hand: &Hand<'_>) {
    let before = worker(hand).await;
    let name = before["metadata"]["name"].as_str().expect("it has a name").to_owned();
    let id = before["spec"]["systemID"].as_str().expect("it has a host").to_owned();
    let host = || hand.play.sandbox.maas.look(|region| region.machine(&id)).expect("it is there");
    let deployment = host().deployment;
    let healed = hand.until("it is healed, and nothing is left of the request", || async {
        let machine = hand.get("Machine", &name).await?;
        let well =
            condition(&machine, "NodeHealthy").0 == "True" && condition(&machine, "HealthCheckSucceeded").0 == "True";
        (well && hand.get("MaasRemediation", &name).await.is_none()).then_some(())
    });
    // Two tries: who takes over may have to begin anew.
    let check = HealthCheck { tries: 2, timeout: 300 };
    tokio::select! { biased;
        never = check.run(hand) => match never {},
        () = healed => {}
    }
    assert!(host().powered && host().deployment == deployment, "{:?}", host());
}

/// A new template with this image, to which the one worker is rolled.
async fn roll(hand: &Hand<'_>, image: &str) {
    let mut template = hand.get("MaasMachineTemplate", WORKERS).await.expect("the seed brings it");
    let name = format!("{WORKERS}-next");
    template["metadata"] = json!({ "name": name, "namespace": "default" });
    template["spec"]["template"]["spec"]["image"] = json!(image);
    template.as_object_mut().expect("an object").remove("status");
    hand.play.sandbox.apply(&[template]).await.expect("it is accepted");
    let patch = json!({ "spec": { "template": { "spec": { "infrastructureRef": { "name": name } } } } });
    hand.merge("MachineDeployment", WORKERS, patch).await.expect("roll");
    hand.until("the worker has the new image", || async {
        let all = hand.list("MaasMachine").await;
        (all.len() == 2 && worker(hand).await["spec"]["image"] == image).then_some(())
    })
    .await;
    hand.until_ready(2).await;
}

/// Deletes the cluster, and waits until nothing is left of it.
async fn go(hand: &Hand<'_>) {
    let cluster = hand.get("MaasCluster", CLUSTER).await.expect("it is there");
    let host = cluster["spec"]["controlPlaneEndpoint"]["host"].as_str().expect("the endpoint is set").to_owned();
    hand.delete("Cluster", CLUSTER).await;
    hand.until_gone().await;
    assert_eq!(hand.held(), Vec::<String>::new(), "every machine is back in the pool");
    hand.play.sandbox.clock.sleep(Duration::from_secs(60)).await;
    let left = hand.play.sandbox.maas.with(|region, now| region.resolve(now, &host));
    assert!(left.is_empty(), "{host} still resolves to {left:?}");
}
