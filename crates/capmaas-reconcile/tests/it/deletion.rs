//! Deletion of a MaasMachine with every combination of missing or broken neighbours (design rule 5.11): it ends with the machine
//! released, or waits, says for what, and goes on by itself; nothing foreign is touched.
//!
//! The bootstrap Secret is no neighbour here: no plan sees it. `tests/it/deletion.rs` of the whole system takes it away.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use capi_types::ApiEndpoint;
use capi_types::conditions::{self, READY, reason};
use capi_types::names::{ABANDON_ANNOTATION, CLUSTER_FINALIZER, MACHINE_FINALIZER, PUBLISHED_ANNOTATION};
use capmaas_reconcile::decision::{Step, StepKind};
use capmaas_reconcile::host::{Holder, HostPhase, HostView, Power};
use capmaas_reconcile::model::{self, ModelFleet};
use capmaas_reconcile::names::{DnsName, Key, Kind, Token};
use capmaas_reconcile::stores::{Fact, NodesSight, Region};
use capmaas_reconcile::topic::Topic;
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::machine::{HOST, node, provisioned, token, with_host};
use crate::world::{CLUSTER, Chance, World, annotate, control_plane, key, maas_cluster, name, t0};

/// What the host is to MAAS when the MaasMachine is deleted.
struct Host {
    what: &'static str,
    put: fn(&ModelFleet),
    /// Part of the message while it waits for a person; empty when it does not wait.
    waits: &'static str,
    /// What the person does.
    repair: fn(&mut World),
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It was ours and is back in the pool.
    Released,
    /// It was not ours (any more): it is as it was.
    Untouched,
    /// It is as it was, and that is what the person said.
    Abandoned,
}

fn view(phase: HostPhase, holder: Holder) -> HostView {
    let system = !matches!(phase, HostPhase::Free | HostPhase::Claimed);
    HostView {
        phase,
        holder,
        power: if system { Power::On } else { Power::Off },
        status_name: format!("{phase:?}"),
        addresses: if system { vec!["10.0.0.10".parse().unwrap()] } else { Vec::new() },
        ..node()
    }
}

fn ours(phase: HostPhase) -> HostView {
    view(phase, Holder::Us(Some(token())))
}

fn again(world: &mut World) {
    world.fleet.put(ours(HostPhase::Deployed));
}

fn abandon(world: &mut World) {
    let mut object = world.machine("m0").clone();
    annotate(&mut object.metadata, ABANDON_ANNOTATION, HOST);
    world.put(object);
}

fn hosts() -> Vec<Host> {
    let quiet = |what, put, end| Host { what, put, waits: "", repair: |_| {}, end };
    let waits = |what, put, waits, repair, end| Host { what, put, waits, repair, end };
    use HostPhase as P;
    vec![
        quiet("deployed", |f| f.put(ours(P::Deployed)), End::Released),
        quiet("deploying", |f| f.put(ours(P::Deploying)), End::Released),
        quiet("failed", |f| f.put(ours(P::DeployFailed)), End::Released),
        quiet("allocated", |f| f.put(ours(P::Claimed)), End::Released),
        quiet(
            "allocated, not marked yet",
            |f| f.put_claimed(view(P::Claimed, Holder::Us(None)), token()),
            End::Released,
        ),
        quiet("releasing", |f| f.put(ours(P::Releasing)), End::Released),
        quiet("release failed", |f| f.put(ours(P::ReleaseFailed)), End::Released),
        quiet("gone", |_| {}, End::Untouched),
        quiet("released by hand", |f| f.put(view(P::Free, Holder::Nobody)), End::Untouched),
        quiet("another user's", |f| f.put(view(P::Deployed, Holder::Other("bob".to_owned()))), End::Untouched),
        quiet("another claim's", |f| f.put(view(P::Deployed, Holder::Us(Some(Token::mint("x"))))), End::Untouched),
        quiet(
            "another claim's, not marked yet",
            |f| f.put_claimed(view(P::Claimed, Holder::Us(None)), Token::mint("x")),
            End::Untouched,
        ),
        waits(
            "our user's under another name",
            |f| f.put(HostView { hostname: "somebody".to_owned(), ..view(P::Deployed, Holder::Us(None)) }),
            "capmaasctl adopt",
            abandon,
            End::Abandoned,
        ),
        waits("locked", |f| f.put(HostView { locked: true, ..ours(P::Deployed) }), "unlock it", again, End::Released),
        waits("in rescue mode", |f| f.put(ours(P::Operator)), "when an operator ends that", again, End::Released),
        waits(
            "in a state of the future",
            |f| f.put(ours(P::Unknown)),
            "when an operator ends that",
            again,
            End::Released,
        ),
        waits("broken", |f| f.put(ours(P::Broken)), "mark it fixed", again, End::Released),
        waits("broken, and given up", |f| f.put(ours(P::Broken)), ABANDON_ANNOTATION, abandon, End::Abandoned),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum There {
    Yes,
    Leaving,
    No,
}

/// One combination.
#[derive(Clone, Copy, Debug)]
struct Neighbours {
    cluster: There,
    machine: There,
    maas_cluster: There,
    /// Nothing, or what is wrong with the way to MAAS.
    maas: Option<fn() -> Region>,
    /// The workload cluster's Nodes can be read, or there is no kubeconfig Secret.
    kubeconfig: bool,
    member: bool,
    provisioned: bool,
}

fn combinations() -> Vec<Neighbours> {
    let all = [There::Yes, There::Leaving, There::No];
    let maas: [Option<fn() -> Region>; 4] = [
        None,
        Some(|| Region::NoCredentials("Secret capmaas-system/x is missing".to_owned())),
        Some(|| Region::Refused("MAAS refuses MAAS_API_KEY".to_owned())),
        Some(|| Region::Down("MAAS does not answer".to_owned())),
    ];
    // A number, read digit by digit.
    (0..3 * 3 * 3 * 4 * 2 * 2 * 2)
        .map(|number: usize| {
            let mut rest = number;
            let mut digit = |base| {
                let digit = rest % base;
                rest /= base;
                digit
            };
            Neighbours {
                cluster: all[digit(3)],
                machine: all[digit(3)],
                maas_cluster: all[digit(3)],
                maas: maas[digit(4)],
                kubeconfig: digit(2) == 1,
                member: digit(2) == 1,
                provisioned: digit(2) == 1,
            }
        })
        .collect()
}

fn dns() -> DnsName {
    DnsName::within("c1-abcdef.maas", "maas").unwrap()
}

fn world(host: &Host, with: &Neighbours) -> World {
    let fleet = ModelFleet::default();
    // Whose nobody asked about; of the second, our user is the holder.
    fleet.put(HostView {
        holder: Holder::Other("bob".to_owned()),
        phase: HostPhase::Deployed,
        ..model::host("bbb222", "node-b")
    });
    fleet.put(HostView {
        holder: Holder::Us(Some(Token::mint("c"))),
        phase: HostPhase::Deployed,
        ..model::host("ccc333", "node-c")
    });
    (host.put)(&fleet);
    fleet.put_name(dns(), ["10.0.0.10", "10.0.0.11"].map(|a| a.parse().unwrap()).into());
    let mut world = World::new(fleet);
    let mut object = if with.provisioned { provisioned() } else { with_host() };
    if with.member {
        object = control_plane(object);
    }
    world.add(object);
    let left = |there| (there == There::Leaving).then(|| Time(t0()));
    let mut cluster = maas_cluster();
    cluster.spec.control_plane_endpoint = Some(ApiEndpoint { host: dns().to_string(), port: 6443 });
    cluster.metadata.finalizers = Some(vec![CLUSTER_FINALIZER.to_owned()]);
    cluster.metadata.deletion_timestamp = left(with.maas_cluster);
    annotate(&mut cluster.metadata, PUBLISHED_ANNOTATION, "10.0.0.10,10.0.0.11");
    if with.maas_cluster != There::No {
        world.put_cluster(cluster);
    }
    world.core_cluster.metadata.deletion_timestamp = left(with.cluster);
    world.put_core_cluster();
    if with.cluster == There::No {
        world.stores.learn(Fact::CoreCluster(name(CLUSTER), None), t0());
    }
    let mut machine = world.core_machines[&name("m0")].clone();
    machine.metadata.deletion_timestamp = left(with.machine);
    let machine = (with.machine != There::No).then(|| Box::new(machine));
    world.stores.learn(Fact::CoreMachine(name("m0"), machine), t0());
    let nodes = match with.kubeconfig {
        true => NodesSight::Nodes(BTreeMap::new()),
        false => NodesSight::Unreadable("Secret default/c1-kubeconfig: not there yet".to_owned()),
    };
    world.stores.learn(Fact::Nodes(name(CLUSTER), nodes), t0());
    world.delete("m0");
    world
}

/// Plans, reads and does until nothing happens any more, letting time pass; the steps on the machine.
fn run(world: &mut World, maas: Option<fn() -> Region>) -> Vec<StepKind> {
    let keys = [key("m0"), Key::new(Kind::Cluster, "default", CLUSTER)];
    let mut steps = Vec::new();
    world.fleet.set_down(maas.is_some());
    if let Some(region) = maas {
        world.stores.learn(Fact::Region(region()), world.now);
    }
    let mut idle = 0;
    for _ in 0..100 {
        let mut busy = maas.is_none() && world.fleet.advance(&HOST.parse().unwrap());
        let mut wake = world.now + SignedDuration::from_mins(10);
        for key in &keys {
            let there = match key.kind {
                Kind::Machine => world.machines.contains_key(&key.name),
                _ => world.clusters.contains_key(&key.name),
            };
            if !there {
                continue;
            }
            for topic in world.plan(key).wake.topics.iter().filter(|t| maas.is_none() || **t != Topic::Region) {
                world.feed(topic);
            }
            let decision = world.plan(key);
            wake = wake.min(decision.wake.at);
            let Some(step) = decision.next.as_ref().map(Step::kind) else {
                world.write_status(key, &decision);
                continue;
            };
            busy = true;
            if key.kind == Kind::Machine {
                steps.push(step);
            }
            world.execute(key, decision, Chance::Fine);
        }
        if !busy {
            idle += 1;
            world.now = wake;
        } else {
            idle = 0;
        }
        if idle > 1 {
            return steps;
        }
    }
    panic!("it never rests: {steps:?}");
}

/// Why it waits; the object is still there.
fn why(world: &World) -> (String, String) {
    let object = world.machine("m0");
    assert!(object.metadata.finalizers.iter().flatten().any(|f| f == MACHINE_FINALIZER));
    let ready = conditions::find(&object.status.as_ref().unwrap().conditions, READY).unwrap();
    assert_eq!(ready.status, "False");
    (ready.reason.clone(), ready.message.clone())
}

fn is_gone(world: &World) -> bool {
    !world.machines.contains_key(&name("m0"))
}

fn check(host: &Host, with: &Neighbours) {
    let mut world = world(host, with);
    let id = HOST.parse().unwrap();
    let others = |world: &World| world.fleet.hosts().into_iter().filter(|h| h.id != id).collect::<Vec<_>>();
    let (before, others_before) = (world.fleet.get(&id), others(&world));
    if with.maas.is_some() {
        let steps = run(&mut world, with.maas);
        assert!(steps.is_empty() && !is_gone(&world), "it can't know whose the machine is: {steps:?}");
        let (reason, message) = why(&world);
        let expected = ["CredentialsMissing", "MAASUnauthorized", "MAASUnreachable"];
        assert!(
            expected.contains(&reason.as_str()) && message.contains("MAAS") | message.contains("Secret"),
            "{message}"
        );
        assert_eq!(world.fleet.get(&id), before);
    }
    let mut steps = run(&mut world, None);
    if !host.waits.is_empty() {
        assert!(!is_gone(&world), "it was to wait: {steps:?}");
        let (reason, message) = why(&world);
        assert!(reason::blocks(&reason) && message.contains(host.waits), "{reason}: {message}");
        assert_eq!(world.fleet.get(&id), before, "nothing is done to it meanwhile");
        (host.repair)(&mut world);
        steps.extend(run(&mut world, None));
    }
    assert!(is_gone(&world), "{steps:?}, waits: {:?}", why(&world));
    assert_eq!(others(&world), others_before);
    assert_eq!(world.fleet.trespasses(), Vec::<String>::new());
    let after = world.fleet.get(&id);
    match host.end {
        End::Released => assert_eq!(after.map(|h| (h.phase, h.holder)), Some((HostPhase::Free, Holder::Nobody))),
        End::Untouched | End::Abandoned => assert_eq!(after, before),
    }
    let named = before.is_some_and(|host| !host.addresses.is_empty()) && with.maas_cluster != There::No;
    if named && with.member && steps.contains(&StepKind::Release) {
        let named = world.fleet.name(&dns()).unwrap_or_default();
        assert!(!named.contains(&"10.0.0.10".parse().unwrap()), "a released machine is still named: {named:?}");
    }
}

#[test]
fn deletion_ends_or_waits_and_says_why_whatever_neighbour_is_missing_or_broken() {
    let (hosts, combinations) = (hosts(), combinations());
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(BTreeMap::<String, (usize, String)>::new());
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(host) = hosts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for with in &combinations {
                        let Err(why) = std::panic::catch_unwind(|| check(host, with)) else { continue };
                        let text = why.downcast_ref::<String>().map_or("it panicked", String::as_str);
                        let mut failed = failed.lock().unwrap();
                        failed.entry(format!("{}: {text}", host.what)).or_insert((0, format!("{with:?}"))).0 += 1;
                    }
                }
            });
        }
    });
    std::panic::set_hook(loud);
    println!("{} combinations of neighbours, {} states of the host", combinations.len(), hosts.len());
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "what failed, how often, and where first:\n{failed:#?}");
}
