//! The client meets the simulator of MAAS: every typed method once, and nothing answers 501 unnoticed.
//!
//! The region's own log tells which operations were called; the table of the client, which there are. A typed method
//! that is new and not called here fails the first test.

mod hardware;
mod machines;
mod region;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use maas_client::operation::{self, Operation};
use maas_client::{Client, ErrorKind, RetryPolicy, Stamp, SystemId};
use maas_sim::{ADMIN_KEY, Config, SharedRegion};

use crate::completeness::typed;
use crate::reality::route;
use crate::store::Shape;

/// A region whose time moves when it is told to, and its administrator.
struct Lab {
    client: Client,
    region: SharedRegion,
}

impl Lab {
    fn new(config: Config) -> Self {
        let region = SharedRegion::standing(config);
        let (clock, count) = (region.clone(), AtomicU64::new(0));
        let stamps = move || Stamp {
            nonce: format!("n{}", count.fetch_add(1, Ordering::Relaxed)),
            unix_seconds: clock.now().as_second().unsigned_abs(),
        };
        let builder = Client::builder("http://maas/MAAS", ADMIN_KEY).unwrap();
        let client = builder.stamps(stamps).retry(RetryPolicy::none()).build_with_service(region.clone());
        Self { client, region }
    }

    /// The machine of that host name.
    fn machine(&self, name: &str) -> SystemId {
        self.region.look(|region| region.machine(name).unwrap().system_id).parse().unwrap()
    }

    /// An hour: deployments, commissionings and releases are over then.
    fn later(&self) {
        self.region.advance(Duration::from_secs(3500));
    }

    /// Operations that arrived.
    fn called(&self) -> BTreeSet<&'static str> {
        let requests = self.region.look(|region| region.requests());
        let shapes = requests.iter().map(|r| Shape::of(&r.method, &r.path, None, "").unwrap());
        shapes.map(|shape| route(&shape).unwrap_or_else(|| panic!("not ours: {shape:?}")).0.name).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn every_typed_method_works_with_the_simulator() {
    let lab = Lab::new(Config::lab(8));
    machines::life(&lab).await.unwrap();
    machines::maintenance(&lab).await.unwrap();
    machines::results(&lab).await.unwrap();
    machines::scripts(&lab).await.unwrap();
    machines::devices(&lab).await.unwrap();
    hardware::interfaces(&lab).await.unwrap();
    hardware::block_devices(&lab).await.unwrap();
    hardware::partitions(&lab).await.unwrap();
    region::names(&lab).await.unwrap();
    region::places(&lab).await.unwrap();
    region::networks(&lab).await.unwrap();
    region::addresses(&lab).await.unwrap();
    region::images(&lab).await.unwrap();
    region::people(&lab).await.unwrap();
    region::the_rest(&lab).await.unwrap();

    let (called, typed) = (lab.called(), typed());
    println!("{} typed operations, {} called", typed.len(), called.len());
    let missing: Vec<_> = typed.difference(&called).collect();
    assert!(missing.is_empty(), "never called: {missing:?}");
    let other: Vec<_> = called.difference(&typed).collect();
    assert!(other.is_empty(), "called, but not found among the typed ones: {other:?}");
    assert_eq!(lab.region.look(|region| region.unsimulated()), [].into(), "no typed method is answered 501");
    let refused: Vec<_> =
        lab.region.look(|region| region.requests()).into_iter().filter(|request| request.status >= 400).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

/// What is called by its row of the table only; the ids in its path are made up.
async fn is_simulated(client: &Client, operation: &'static Operation) -> bool {
    let mut call = client.call(operation);
    for _ in 0..operation.ids() {
        call = call.id(1);
    }
    match call.done().await {
        Ok(()) => true,
        Err(error) => {
            assert!(!matches!(error.kind(), ErrorKind::InvalidRequest), "{}: {error}", operation.name);
            error.status().is_none_or(|status| status.as_u16() != 501)
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_simulator_answers_501_is_what_it_documents_with_reasons() {
    // the version that has every operation of the table
    let lab = Lab::new(Config { version: "3.8.0".to_owned(), ..Config::lab(1) });
    let (typed, mut refused) = (typed(), Vec::new());
    for operation in operation::all().filter(|operation| !typed.contains(operation.name)) {
        if !is_simulated(&lab.client, operation).await {
            refused.push(operation.name);
        }
    }
    let (answered, documented) = (lab.region.look(|region| region.unsimulated()), maas_sim::not_simulated());
    println!("{} of {} operations are not simulated: {}", refused.len(), operation::all().count(), refused.join(" "));
    let unexplained: Vec<_> = answered.keys().filter(|name| !documented.contains_key(name.as_str())).collect();
    assert!(unexplained.is_empty(), "answered 501 without a reason: {unexplained:?}");
    let left: Vec<_> = documented.keys().filter(|name| !answered.contains_key(**name)).copied().collect();
    assert_eq!(left, NO_OPERATION_OF_THE_CLIENT, "documented, but answered otherwise");
}

/// What the simulator lacks besides: other paths of the same, and parameters of operations it has.
const NO_OPERATION_OF_THE_CLIENT: &[&str] = &[
    "GET describe",
    "GET files get",
    "GET vm-cluster",
    "POST machine deploy install_kvm",
    "POST machine set_storage_layout bcache",
    "POST machine set_storage_layout custom",
    "POST machine set_storage_layout vmfs6",
    "POST machine set_storage_layout vmfs7",
];
