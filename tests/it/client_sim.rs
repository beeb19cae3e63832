//! The client meets its simulator: every operation that the provider and its tools use, once, and nothing answers 501 unnoticed.
//!
//! [`USED`] is the list of them; the region's log tells what arrived.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use capmaas_manager::Clock;
use maas_client::{
    AllocateRequest, BootResources as _, Client, CreateDnsResource, CreateTag, DeployRequest, DnsFilter, DnsName,
    DnsResources as _, Domains as _, EventFilter, Events as _, MachineFilter, MachineStatus, Machines as _, Operation,
    Pools as _, PowerOffMode, PowerState, ReleaseRequest, ResultFilter, Results as _, ScriptSetId, SystemId,
    TagMembers, Tags as _, UpdateMachine, Users as _, Versions as _, Zones as _,
};
use maas_sim::{ADMIN_KEY, Config, Durations, Region, RequestRecord, SharedRegion};

/// What the provider and its tools call.
const USED: &[&str] = &[
    "machines.list",
    "machines.allocate",
    "machine.read",
    "machine.update",
    "machine.deploy",
    "machine.release",
    "machine.power_on",
    "machine.power_off",
    "machine.query_power_state",
    "machine.set_owner_data",
    "machine.mark_broken",
    "machine.mark_fixed",
    "machine.lock",
    "machine.unlock",
    "machine.abort",
    "dnsresources.list",
    "dnsresources.create",
    "dnsresource.read",
    "dnsresource.update",
    "dnsresource.delete",
    "domains.list",
    "zones.list",
    "resourcepools.list",
    "tags.list",
    "tags.create",
    "tag.update_nodes",
    "results.list",
    "results.read",
    "boot-resources.list",
    "events.query",
    "users.whoami",
    "version.read",
];

/// True if a request in the region's log is a call of that operation.
fn is_call_of(operation: &Operation, request: &RequestRecord) -> bool {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let Some(path) = path.strip_prefix("/MAAS/api/2.0/") else {
        return false;
    };
    let segments = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
    let (have, want) = (segments(path), segments(operation.path));
    let op = query.split('&').find_map(|pair| pair.strip_prefix("op="));
    request.method == operation.method.as_str()
        && op == operation.op
        && have.len() == want.len()
        && have.iter().zip(&want).all(|(h, w)| w == "{}" || h == w)
}

fn used(name: &str) -> &'static Operation {
    Operation::by_name(name).unwrap_or_else(|| panic!("the client has no operation {name}"))
}

async fn call_everything(client: &Client) -> maas_client::Result<()> {
    let machines = client.machines();
    assert_eq!(client.version().read().await?.major_minor(), Some((3, 7)));
    assert!(client.users().whoami().await?.is_superuser);
    assert_eq!(machines.list(&MachineFilter::default()).await?.len(), 4);
    let mine = machines.allocate(&AllocateRequest { agent_name: Some("me".into()), ..Default::default() }).await?;
    let id: SystemId = mine.system_id.clone();
    assert_eq!(machines.list(&MachineFilter::by_agent_name("me")).await?.len(), 1);
    let annotated = machines.set_owner_data(&id, &BTreeMap::from([("k".to_owned(), "v".to_owned())])).await?;
    assert_eq!(annotated.owner_data.get("k").map(String::as_str), Some("v"));
    let described = UpdateMachine { description: Some("mine".into()), ..Default::default() };
    machines.update(&id, &described).await?;
    assert_eq!(machines.deploy(&id, &DeployRequest::default()).await?.status, MachineStatus::Deploying);
    let deployed = machines.read(&id).await?;
    assert_eq!(deployed.status, MachineStatus::Deployed);
    assert_eq!(machines.query_power_state(&id).await?, PowerState::On);
    machines.lock(&id, None).await?;
    machines.unlock(&id, None).await?;
    machines.power_off(&id, PowerOffMode::Hard, None).await?;
    machines.power_on(&id, None).await?;
    machines.mark_broken(&id, Some("smells".into())).await?;
    assert_eq!(machines.mark_fixed(&id, None).await?.status, MachineStatus::Ready);

    let other = machines.allocate(&AllocateRequest::default()).await?.system_id;
    machines.release(&other, &ReleaseRequest::default()).await?;

    let name = DnsName::new("api", "maas.sc").expect("a name");
    let address: IpAddr = "10.10.0.77".parse().expect("an address");
    let addresses = BTreeSet::from([address]);
    let dns = client.dns_resources();
    let made = dns.create(&CreateDnsResource { name: name.clone(), addresses, ttl: Some(10) }).await?;
    assert_eq!(dns.list(&DnsFilter::by_name(name)).await?.len(), 1);
    dns.update_addresses(made.id, &BTreeSet::new(), None).await?;
    assert!(dns.read(made.id).await?.addresses().is_empty());
    dns.delete(made.id).await?;

    assert_eq!(client.domains().list().await?.len(), 2);
    assert_eq!(client.zones().list().await?.len(), 3);
    assert_eq!(client.pools().list().await?.len(), 1);
    assert_eq!(client.tags().list().await?.len(), 1);
    client.tags().create(&CreateTag { name: "sick".into(), ..Default::default() }).await?;
    let change = TagMembers { add: vec![id.clone()], ..Default::default() };
    assert_eq!(client.tags().update_machines("sick", &change).await?.added, 1);
    let results = client.results();
    assert!(!results.list(&id, &ResultFilter::default()).await?.is_empty());
    let log = ResultFilter { include_output: true, ..Default::default() };
    let set = results.read(&id, &ScriptSetId::CurrentInstallation, &log).await?;
    assert!(set.results.iter().any(|result| !result.output.is_empty()));
    assert!(!client.boot_resources().list().await?.is_empty());
    assert!(!client.events().query(&EventFilter::default()).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn every_operation_that_the_provider_uses_is_answered_by_the_simulator() {
    let clock = Clock::system();
    let mut config = Config { durations: Durations::instant(), ..Config::lab(4) };
    config.machines[3].tags = vec!["gpu".to_owned()];
    let region = SharedRegion::new(Region::new(config), Arc::new(move || clock.now()));
    let client = Client::builder("http://maas/MAAS", ADMIN_KEY).unwrap().build_with_service(region.clone());
    call_everything(&client).await.unwrap();

    // An abort needs a deployment that is under way.
    let slow = Clock::system();
    let busy = SharedRegion::new(Region::new(Config::lab(1)), Arc::new(move || slow.now()));
    let other = Client::builder("http://maas/MAAS", ADMIN_KEY).unwrap().build_with_service(busy.clone());
    let id: SystemId = busy.with(|r, _| r.system_ids()[0].clone()).parse().unwrap();
    other.machines().deploy(&id, &DeployRequest::default()).await.unwrap();
    other.machines().abort(&id, None).await.unwrap();

    let mut log = region.with(|r, _| r.requests());
    log.extend(busy.with(|r, _| r.requests()));
    let missing: Vec<&str> =
        USED.iter().copied().filter(|name| !log.iter().any(|r| is_call_of(used(name), r))).collect();
    assert!(missing.is_empty(), "never called: {missing:?}");
    let refused: Vec<&RequestRecord> = log.iter().filter(|r| r.status >= 400).collect();
    assert!(refused.is_empty(), "{refused:?}");
    assert!(region.with(|r, _| r.unsimulated()).is_empty());
}
