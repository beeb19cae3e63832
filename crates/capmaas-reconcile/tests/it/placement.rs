//! Which machine: what is counted, what is said, and what is taken.

use std::collections::{BTreeMap, BTreeSet};

use capi_types::conditions::READY;
use capi_types::names::DEPLOYMENT_NAME_LABEL;
use capi_types::{MaasMachine, MaasMachineSpec};
use capmaas_reconcile::decision::Step;
use capmaas_reconcile::host::HostView;
use capmaas_reconcile::model::{ModelFleet, host};
use capmaas_reconcile::placement::{Constraints, Rule, Survey, choose, explain};
use capmaas_reconcile::stores::{Fact, Region, RegionFacts};
use capmaas_reconcile::topic::Topic;
use serde_json::{Value, json};

use crate::machine::{condition, in_short, planned};
use crate::world::{Chance, World, key, maas_machine, name};

/// Numbers that look random, the same ones for a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }

    fn some(&mut self, of: &[&str]) -> Vec<String> {
        of.iter().filter(|_| self.roll(2) == 0).map(|s| (*s).to_owned()).collect()
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.roll(of.len() as u64)).unwrap()]
    }
}

const ZONES: [&str; 3] = ["az1", "az2", "az3"];
const POOLS: [&str; 2] = ["default", "gpu"];
const TAGS: [&str; 3] = ["ssd", "rack1", "old"];

fn fleet(dice: &mut Dice) -> Vec<HostView> {
    let machine = |nth: u64, dice: &mut Dice| HostView {
        zone: dice.one(&ZONES).to_owned(),
        pool: dice.one(&POOLS).to_owned(),
        tags: dice.some(&TAGS).into_iter().collect(),
        architecture: dice.one(&["amd64/generic", "arm64/generic", "ppc64el/generic"]).to_owned(),
        cpu: u32::try_from(1 << dice.roll(6)).unwrap(),
        memory_mib: 1024 << dice.roll(6),
        ..host(&format!("aaa{nth:03}"), &format!("node{nth:02}"))
    };
    let count = 1 + dice.roll(40);
    (0..count).map(|nth| machine(nth, dice)).collect()
}

/// A request of some of all that can be asked for.
fn request(dice: &mut Dice) -> Value {
    let mut spec = json!({ "image": "ubuntu/noble", "minCPU": 0, "minMemory": 0, "placement": {} });
    let set = |value: &mut Value, field: &str, names: Vec<String>| {
        if !names.is_empty() {
            value[field] = json!(names);
        }
    };
    match dice.roll(4) {
        0 => spec["failureDomain"] = json!(dice.one(&ZONES)),
        1 => set(&mut spec["placement"], "zones", dice.some(&ZONES)),
        2 => spec["placement"]["notZones"] = json!([dice.one(&ZONES)]),
        _ => {}
    }
    match dice.roll(4) {
        0 => spec["resourcePool"] = json!(dice.one(&POOLS)),
        1 => set(&mut spec["placement"], "pools", dice.some(&POOLS)),
        2 => spec["placement"]["notPools"] = json!([dice.one(&POOLS)]),
        _ => {}
    }
    if dice.roll(2) == 0 {
        set(&mut spec, "tags", dice.some(&TAGS[..2]));
    }
    if dice.roll(3) == 0 {
        spec["placement"]["notTags"] = json!(["old"]);
    }
    if dice.roll(3) == 0 {
        spec["placement"]["architecture"] = json!(dice.one(&["amd64", "arm64", "ppc64le"]));
    }
    spec["minCPU"] = json!([0, 2, 8, 32][usize::try_from(dice.roll(4)).unwrap()]);
    spec["minMemory"] = json!([0, 2048, 10_000, 32768][usize::try_from(dice.roll(4)).unwrap()]);
    spec
}

/// The same question, asked of the manifest's text and without anything of the crate: field by field.
fn satisfies(host: &HostView, spec: &Value, field: &str) -> bool {
    let names = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(|v| v.as_str().unwrap().to_owned()).collect()
    };
    let (place, text) = (&spec["placement"], |v: &Value| v.as_str().unwrap().to_owned());
    match field {
        "spec.failureDomain" => host.zone == text(&spec["failureDomain"]),
        "spec.placement.zones" => names(&place["zones"]).contains(&host.zone),
        "spec.placement.notZones" => !names(&place["notZones"]).contains(&host.zone),
        "spec.resourcePool" => host.pool == text(&spec["resourcePool"]),
        "spec.placement.pools" => names(&place["pools"]).contains(&host.pool),
        "spec.placement.notPools" => !names(&place["notPools"]).contains(&host.pool),
        "spec.placement.notTags" => !host.tags.iter().any(|tag| names(&place["notTags"]).contains(tag)),
        "spec.placement.architecture" => {
            let debian = text(&place["architecture"]).replace("ppc64le", "ppc64el");
            host.architecture.starts_with(&format!("{debian}/"))
        }
        "spec.minCPU" => u64::from(host.cpu) >= spec["minCPU"].as_u64().unwrap(),
        "spec.minMemory" => host.memory_mib >= spec["minMemory"].as_u64().unwrap(),
        other => panic!("{other}"),
    }
}

#[test]
fn the_numbers_of_an_explanation_are_those_of_a_count_by_hand() {
    let (mut blocked, mut fitting) = (0, 0);
    for seed in 1..=200 {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let (hosts, spec) = (fleet(&mut dice), request(&mut dice));
        let typed: MaasMachineSpec = serde_json::from_value(spec.clone()).unwrap();
        let wanted = Constraints::of(&typed, None);
        let told = explain(&wanted, &Survey { hosts: hosts.clone(), by_maas: BTreeMap::new() });
        let holds = |host: &HostView, rule: &Rule| match rule {
            Rule::Tag(tag) => host.tags.contains(tag),
            rule => satisfies(host, &spec, rule.field()),
        };
        assert_eq!(told.ready, hosts.len());
        let mut before: Vec<&Rule> = Vec::new();
        for row in &told.rows {
            before.push(&row.rule);
            let left = hosts.iter().filter(|host| before.iter().all(|rule| holds(host, rule))).count();
            let alone = hosts.iter().filter(|host| holds(host, &row.rule)).count();
            assert_eq!((row.left, row.alone), (left, alone), "seed {seed}: {} in {spec}", row.rule);
        }
        let all: Vec<&Rule> = wanted.rules().collect();
        let matching = hosts.iter().filter(|host| all.iter().all(|rule| holds(host, rule))).count();
        assert_eq!(told.matching(), matching, "seed {seed}");
        assert_eq!(told.blocking().is_some(), matching == 0, "seed {seed}: {told}");
        match &told.nearest {
            None => {
                fitting += 1;
                assert_eq!(told.rows.len(), all.len(), "all rules are told");
            }
            Some(nearest) => {
                blocked += 1;
                let fails = |host: &HostView| all.iter().filter(|rule| !holds(host, rule)).count();
                let least = hosts.iter().map(fails).min().unwrap();
                let host = hosts.iter().find(|host| host.hostname == nearest.hostname).unwrap();
                assert_eq!((fails(host), nearest.lacks.len()), (least, least), "seed {seed}: {told}");
            }
        }
    }
    assert!(blocked > 20 && fitting > 20, "{blocked} blocked, {fitting} fitting: both kinds are looked at");
}

#[test]
fn an_explanation_reads_like_a_sentence() {
    let tagged = |nth: u32, zone: &str, tags: &[&str], memory: u64| HostView {
        zone: zone.to_owned(),
        tags: tags.iter().map(|t| (*t).to_owned()).collect(),
        memory_mib: memory,
        ..host(&format!("aaa{nth:03}"), &format!("node{nth:02}"))
    };
    let hosts = vec![
        tagged(1, "zone-a", &["ssd"], 16384),
        tagged(2, "zone-a", &["ssd"], 16384),
        tagged(3, "zone-b", &[], 16384),
        tagged(7, "zone-b", &["ssd"], 14336),
    ];
    let spec = |spec: Value| Constraints::of(&serde_json::from_value(spec).unwrap(), None);
    let survey = Survey { hosts, by_maas: BTreeMap::new() };
    let cases = [
        (
            json!({"image": "i", "minCPU": 0, "minMemory": 16384, "tags": ["ssd"], "failureDomain": "zone-b"}),
            "2 of 4 Ready machines are in zone zone-b (spec.failureDomain); 1 of these has tag ssd (spec.tags); 0 of these have at least \
             16 GiB memory (spec.minMemory); nearest: node07 lacks 2 GiB memory",
        ),
        (
            json!({"image": "i", "minCPU": 0, "minMemory": 0, "tags": ["ssd"], "placement": {"zones": ["zone-c", "zone-d"]}}),
            "0 of 4 Ready machines are in zone zone-c or zone-d (spec.placement.zones); nearest: node01 is in zone zone-a",
        ),
        (
            json!({"image": "i", "minCPU": 4, "minMemory": 0}),
            "4 of 4 Ready machines have at least 4 CPUs (spec.minCPU)",
        ),
        (json!({"image": "i", "minCPU": 0, "minMemory": 0}), "4 machines are Ready, and any will do"),
    ];
    for (asked, expected) in cases {
        assert_eq!(explain(&spec(asked), &survey).to_string(), expected);
    }
    let none = explain(&spec(json!({"image": "i", "minCPU": 1, "minMemory": 0})), &Survey::default());
    assert_eq!(none.to_string(), "no machine in MAAS is Ready");
    let gpu = spec(json!({"image": "i", "minCPU": 0, "minMemory": 0, "placement": {"devices": "vendor_id=10de"}}));
    let device = gpu.rules().next().unwrap().clone();
    let asked = Survey { by_maas: BTreeMap::from([(device, BTreeSet::new())]), ..survey };
    assert_eq!(
        explain(&gpu, &asked).to_string(),
        "0 of 4 Ready machines have a device with vendor_id=10de (spec.placement.devices); nearest: node01 has no device with vendor_id=10de"
    );
}

fn world(object: MaasMachine, hosts: impl IntoIterator<Item = HostView>) -> World {
    let mut world = World::new(ModelFleet::new(hosts));
    world.add(object);
    let decision = world.plan(&key("m0"));
    if matches!(decision.next, Some(Step::Record(_))) {
        world.execute(&key("m0"), decision, Chance::Fine);
        let constraints = world.stores.observe_machine(&name("m0")).unwrap().constraints;
        world.feed(&Topic::Pool(constraints));
    }
    world
}

fn with(change: impl FnOnce(&mut MaasMachineSpec)) -> MaasMachine {
    let mut object = maas_machine("m0");
    change(&mut object.spec);
    object
}

#[test]
fn the_condition_names_the_rule_that_blocks_and_changes_only_when_that_changes_and_the_event_has_the_numbers() {
    let small = |id: &str, name: &str, memory| HostView { memory_mib: memory, ..host(id, name) };
    let wanted = with(|spec| {
        spec.min_memory = 65536;
        spec.tags = vec!["ssd".to_owned()];
    });
    let mut world = world(wanted, [small("aaa111", "node-a", 1024), small("bbb222", "node-b", 2048)]);
    let first = planned(&world);
    assert_eq!(in_short(&first), "- NoMachineAvailable");
    let topic = Topic::Explanation(world.stores.observe_machine(&name("m0")).unwrap().constraints);
    assert!(first.wake.topics.contains(&topic), "{first:?}");
    world.feed(&topic);
    let told = planned(&world);
    let message = condition(&told, READY).2.to_owned();
    assert!(message.contains("tag ssd (spec.tags) rules the last one out; add or free a machine"), "{message}");
    let event = told.event.clone().unwrap();
    assert_eq!(
        event.message,
        "no machine to claim: 0 of 2 Ready machines have tag ssd (spec.tags); nearest: node-b lacks tag ssd and lacks 62 GiB memory"
    );
    world.write_status(&key("m0"), &told);
    // Another machine as useless as the others: other numbers, the same reason.
    world.fleet.put(small("ccc333", "node-c", 512));
    world.feed(&topic);
    let again = planned(&world);
    assert_eq!((condition(&again, READY).2, &again.event), (message.as_str(), &None));
    // Now it is the memory.
    let mut tagged = small("ddd444", "node-d", 512);
    tagged.tags.insert("ssd".to_owned());
    world.fleet.put(tagged);
    world.feed(&topic);
    let other = planned(&world);
    assert!(condition(&other, READY).2.contains("at least 64 GiB memory (spec.minMemory) rules the last one out"));
    assert!(other.event.is_some());
}

#[test]
fn what_can_never_be_is_told_at_once_with_the_fields() {
    type Change = fn(&mut MaasMachineSpec);
    let cases: [(Change, &str, &[&str]); 3] = [
        (
            |spec| {
                spec.failure_domain = Some("az1".to_owned());
                spec.placement.get_or_insert_default().zones = vec!["az2".to_owned()];
            },
            "- InvalidSpec",
            &["in zone az1 (spec.failureDomain)", "in zone az2 (spec.placement.zones)", "leave one of them out"],
        ),
        (
            |spec| {
                spec.resource_pool = Some("gpu".to_owned());
                spec.placement.get_or_insert_default().not_pools = vec!["gpu".to_owned()];
            },
            "- InvalidSpec",
            &["in pool gpu (spec.resourcePool)", "outside of pool gpu (spec.placement.notPools)"],
        ),
        (
            |spec| spec.deploy_in_memory = true,
            "- NoMachineAvailable",
            &["at least 15 GiB memory for a system in memory (spec.deployInMemory)"],
        ),
    ];
    for (change, expected, words) in cases {
        let small = HostView { memory_mib: 8192, ..host("aaa111", "node-a") };
        let world = world(with(change), [small]);
        let decision = planned(&world);
        assert_eq!(in_short(&decision), expected);
        for words in words {
            assert!(condition(&decision, READY).2.contains(words), "{words}: {}", condition(&decision, READY).2);
        }
    }
}

#[test]
fn a_deployment_into_memory_waits_for_a_maas_that_can() {
    let versions = [
        ("3.4.9", false),
        ("3.5.9", false),
        ("3.5.10", true),
        ("3.6.2", false),
        ("3.6.3-17654-g.1", true),
        ("3.7.0", false),
        ("3.7.1", true),
        ("3.8.0~beta6", true),
        ("4.0", true),
        ("edge", true),
    ];
    for (version, able) in versions {
        let mut world = world(with(|spec| spec.deploy_in_memory = true), [host("aaa111", "node-a")]);
        let facts = RegionFacts { user: "capmaas".to_owned(), is_admin: true, version: version.to_owned() };
        world.stores.learn(Fact::Region(Region::Up(facts)), world.now);
        let decision = planned(&world);
        let expected = if able { "Claim Claiming" } else { "- NotSupported" };
        assert_eq!(in_short(&decision), expected, "{version}");
        if !able {
            let told = condition(&decision, READY).2;
            assert!(told.contains("spec.deployInMemory needs MAAS 3.5.10") && told.contains(version), "{told}");
        }
    }
}

#[test]
fn the_smallest_is_taken_or_the_smallest_in_the_zone_with_the_fewest_of_the_group() {
    let place = |id: &str, zone: &str, cpu| HostView { zone: zone.to_owned(), cpu, ..host(id, id) };
    let hosts = [place("aaa111", "az1", 2), place("bbb222", "az2", 4), place("ccc333", "az3", 8)];
    let beside = |zones: &[(&str, usize)]| zones.iter().map(|(zone, n)| ((*zone).to_owned(), *n)).collect();
    let cases: [(Option<BTreeMap<String, usize>>, &str); 4] = [
        (None, "aaa111"),
        (Some(BTreeMap::new()), "aaa111"),
        (Some(beside(&[("az1", 1)])), "bbb222"),
        (Some(beside(&[("az1", 2), ("az2", 1), ("az3", 1)])), "bbb222"),
    ];
    for (beside, expected) in cases {
        assert_eq!(choose(&hosts, beside.as_ref()).map(|h| h.id.as_str()), Some(expected), "{beside:?}");
    }
    assert_eq!(choose(&[], None), None);
}

#[test]
fn workers_spread_over_zones_when_asked_to_and_count_their_own_deployment_only() {
    let spread: fn(&mut MaasMachineSpec) =
        |spec| spec.placement = serde_json::from_value(json!({"spread": "Zones"})).unwrap();
    let place = |id: &str, zone: &str, cpu| HostView { zone: zone.to_owned(), cpu, ..host(id, id) };
    let labelled = |n: &str, deployment: &str, host: Option<&str>| {
        let mut object = maas_machine(n);
        spread(&mut object.spec);
        object.metadata.labels.get_or_insert_default().insert(DEPLOYMENT_NAME_LABEL.to_owned(), deployment.to_owned());
        object.spec.system_id = host.map(str::to_owned);
        object
    };
    let hosts =
        [place("aaa111", "az1", 2), place("bbb222", "az2", 8), place("ddd444", "az1", 2), place("eee555", "az2", 8)];
    let mut world = world(labelled("m0", "blue", None), hosts);
    let chosen = |world: &World| match planned(world).next {
        Some(Step::Claim(order)) => order.host.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(chosen(&world), "aaa111", "nothing to spread from: the smallest");
    for id in ["ddd444", "eee555"] {
        world.feed(&Topic::Host(id.parse().unwrap()));
    }
    world.add(labelled("m1", "green", Some("ddd444")));
    world.feed(&Topic::Host("ddd444".parse().unwrap()));
    assert_eq!(chosen(&world), "aaa111", "another deployment's does not count");
    world.add(labelled("m2", "blue", Some("ddd444")));
    world.feed(&Topic::Host("ddd444".parse().unwrap()));
    assert_eq!(chosen(&world), "bbb222", "az1 has one of it");
}

#[test]
fn swap_is_set_off_between_the_marks_and_the_deployment_and_only_once() {
    let mut world =
        world(with(|spec| spec.swap = serde_json::from_value(json!("Off")).unwrap()), [host("aaa111", "node-a")]);
    let mut steps = Vec::new();
    for _ in 0..8 {
        let decision = world.plan(&key("m0"));
        let Some(step) = &decision.next else { break };
        steps.push(format!("{}", step.kind()));
        world.execute(&key("m0"), decision, Chance::Fine);
    }
    assert_eq!(steps, ["Claim", "WriteSpec", "Mark", "SwapOff", "Deploy"]);
}
