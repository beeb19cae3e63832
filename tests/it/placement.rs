//! Which machine: what was promised before is what is claimed then; bad placement is refused with field and fix.

use std::collections::{BTreeMap, BTreeSet};

use capmaas_provider_maas::{MaasRegion, Query};
use capmaas_reconcile::names::ObjectName;
use capmaas_reconcile::placement::{Ask, Constraints, fit};
use capmaas_reconcile::stores::{Fact, Region, Stores};
use capmaas_sandbox::sandbox::SandboxConfig;
use capmaas_tests::{Hand, Play, condition, in_lab, paused, seed_documents};
use serde_json::{Value, json};

/// A fleet and what a cluster asks of it, by seed.
fn world(seed: u64) -> (SandboxConfig, Vec<Value>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut config = SandboxConfig::lab(seed, rng.usize(4..12)).unwrap();
    config.maas.pools.push(maas_sim::PlaceSpec { name: "gpu".to_owned(), description: String::new() });
    for machine in &mut config.maas.machines {
        machine.zone = (*rng.choice(["default", "zone-a", "zone-b"].iter()).unwrap()).to_owned();
        machine.pool = (*rng.choice(["default", "default", "gpu"].iter()).unwrap()).to_owned();
        machine.cpu_count = rng.u32(2..32);
        machine.memory = 1024 * rng.u64(4..128);
        machine.disks[0].size_gb = rng.u64(20..400);
        machine.tags = ["ssd", "old"].iter().filter(|_| rng.bool()).map(|tag| (*tag).to_owned()).collect();
    }
    let mut documents = seed_documents();
    let mut worker = json!({});
    match rng.u8(0..5) {
        0 => worker["placement"] = json!({ "zones": ["zone-a", "zone-b"], "spread": "Zones" }),
        1 => worker["placement"] = json!({ "notZones": ["default"], "notPools": ["gpu"] }),
        2 => {
            worker["minDiskSize"] = json!(200);
            worker["placement"] = json!({ "notTags": ["old"] });
        }
        3 => {
            worker["tags"] = json!(["ssd"]);
            worker["placement"] = json!({ "architecture": "amd64", "spread": "Zones" });
        }
        _ => worker["placement"] = json!({ "spread": "Zones" }),
    }
    for document in &mut documents {
        let name = document["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        match document["kind"].as_str() {
            Some("MaasMachineTemplate") if name.contains("worker") => {
                let spec = document["spec"]["template"]["spec"].as_object_mut().unwrap();
                spec.extend(worker.as_object().unwrap().clone());
            }
            Some("MachineDeployment") => document["spec"]["replicas"] = json!(rng.u8(1..6)),
            _ => {}
        }
    }
    (config, documents)
}

/// The asks of these documents: the control plane, then the workers.
fn asks(documents: &[Value]) -> Vec<Ask> {
    let of = |kind: &str, word: &str| {
        let name = |d: &Value| d["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        documents.iter().find(|d| d["kind"] == kind && name(d).contains(word)).unwrap()
    };
    let spec =
        |word| serde_json::from_value(of("MaasMachineTemplate", word)["spec"]["template"]["spec"].clone()).unwrap();
    let replicas = |kind| usize::try_from(of(kind, "")["spec"]["replicas"].as_u64().unwrap()).unwrap();
    let cluster = Some(ObjectName::new("default", "my-cluster"));
    vec![
        Ask {
            owner: "cp".to_owned(),
            cluster: cluster.clone(),
            control_plane: true,
            spec: spec("-cp"),
            replicas: replicas("KubeadmControlPlane"),
            ..Ask::default()
        },
        Ask {
            owner: "workers".to_owned(),
            cluster,
            deployment: Some("my-cluster-worker".to_owned()),
            spec: spec("worker"),
            replicas: replicas("MachineDeployment"),
            ..Ask::default()
        },
    ]
}

/// Host names promised to the control plane and to the workers.
async fn promise(hand: &Hand<'_>, asks: &[Ask]) -> Vec<BTreeSet<String>> {
    let now = hand.play.sandbox.clock.now();
    let (region, facts) = MaasRegion::connect(hand.maas()).await.unwrap();
    let mut stores = Stores::default();
    stores.learn(Fact::Region(Region::Up(facts)), now);
    for wanted in asks.iter().flat_map(Ask::constraints).collect::<BTreeSet<Constraints>>() {
        let sent = stores.fleet.send();
        for fact in region.read(&Query::Pool(wanted), sent, now).await.unwrap() {
            stores.learn(fact, now);
        }
    }
    let fits = fit(&stores, asks, now);
    fits.into_iter().map(|fit| fit.hosts.into_iter().map(|host| host.hostname).collect()).collect()
}

/// W-13
#[test]
fn what_is_promised_before_anything_is_applied_is_what_is_claimed_then() {
    let (mut short, mut full) = (0, 0);
    // CAPMAAS_FIT_SEEDS=100 for more.
    let seeds = std::env::var("CAPMAAS_FIT_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(8);
    for seed in 1..=seeds {
        let (config, documents) = world(seed);
        let asks = asks(&documents);
        let wanted: usize = asks.iter().map(|ask| ask.replicas).sum();
        let promised = paused(async {
            let play = Play::with(config).await;
            play.run(async {
                let hand = Hand::new(&play);
                let promised = promise(&hand, &asks).await;
                hand.play.sandbox.apply(&documents).await.unwrap();
                let count = promised.iter().map(BTreeSet::len).sum::<usize>();
                // Without a control plane no worker is asked for.
                let waiting = if promised[0].is_empty() { 1 } else { wanted - count };
                hand.until("everybody has a machine or is told that there is none", || async {
                    let all = hand.list("MaasMachine").await;
                    let none = all.iter().filter(|m| condition(m, "Ready").1 == "NoMachineAvailable").count();
                    let held = all.iter().filter(|m| condition(m, "Ready").0 == "True").count();
                    let done = none == waiting && (promised[0].is_empty() || held == count);
                    done.then_some(())
                })
                .await;
                let mut claimed: BTreeMap<bool, BTreeSet<String>> = BTreeMap::new();
                for machine in hand.list("MaasMachine").await {
                    let control_plane = machine["metadata"]["labels"].get("cluster.x-k8s.io/control-plane").is_some();
                    if let Some(host) = machine["status"]["hostname"].as_str() {
                        claimed.entry(control_plane).or_default().insert(host.to_owned());
                    }
                }
                let claimed = [true, false].map(|kind| claimed.remove(&kind).unwrap_or_default());
                if promised[0].is_empty() {
                    assert_eq!(claimed, [BTreeSet::new(), BTreeSet::new()], "seed {seed}");
                } else {
                    assert_eq!(claimed.to_vec(), promised, "seed {seed}: promised and claimed");
                }
                promised
            })
            .await
        });
        if promised.iter().map(BTreeSet::len).sum::<usize>() < wanted { short += 1 } else { full += 1 }
    }
    assert!(short >= 2 && full >= 2, "{short} fleets were too small, {full} were not: both are looked at");
}

#[test]
fn placement_that_can_not_be_is_refused_with_the_field_and_the_fix() {
    let long = "x".repeat(300);
    let many: Vec<String> = (0..65).map(|n| format!("zone-{n}")).collect();
    let cases: &[(Value, &[&str])] = &[
        (
            json!({"placement": {"hostname": "a", "systemID": "abc123"}}),
            &["placement.hostname", "placement.systemID", "leave one of them out"],
        ),
        (
            json!({"placement": {"zones": ["a"], "notZones": ["a"]}}),
            &["placement.zones", "placement.notZones", "take it out"],
        ),
        (
            json!({"placement": {"pools": ["a"], "notPools": ["a"]}}),
            &["placement.pools", "placement.notPools", "take it out"],
        ),
        (
            json!({"resourcePool": "a", "placement": {"pools": ["b"]}}),
            &["spec.resourcePool", "spec.placement.pools", "leave spec.resourcePool out"],
        ),
        (
            json!({"minDiskSize": 10, "placement": {"storage": "root:20"}}),
            &["spec.minDiskSize", "placement.storage", "root:100"],
        ),
        (json!({"failureDomain": "a", "placement": {"zones": ["b"]}}), &["spec.failureDomain", "spec.placement.zones"]),
        (
            json!({"failureDomain": "a", "placement": {"notZones": ["a"]}}),
            &["spec.failureDomain", "spec.placement.notZones"],
        ),
        (json!({"swap": "Off", "deployInMemory": true}), &["spec.swap", "leave spec.swap out"]),
        (json!({"swap": "on"}), &["spec.swap", "MaasDefault", "Off"]),
        (json!({"placement": {"architecture": "x86"}}), &["spec.placement.architecture", "amd64"]),
        (json!({"placement": {"spread": "Racks"}}), &["spec.placement.spread", "Zones"]),
        (json!({"placement": {"hostname": "Node 7"}}), &["spec.placement.hostname"]),
        (json!({"placement": {"hostname": ""}}), &["spec.placement.hostname"]),
        (json!({"placement": {"systemID": "ABC"}}), &["spec.placement.systemID"]),
        (json!({"placement": {"zones": [""]}}), &["spec.placement.zones[0]"]),
        (json!({"placement": {"zones": many}}), &["spec.placement.zones", "64"]),
        (json!({"placement": {"notTags": [long]}}), &["spec.placement.notTags[0]"]),
        (json!({"placement": {"storage": ""}}), &["spec.placement.storage"]),
        (json!({"placement": {"devices": 7}}), &["spec.placement.devices", "string"]),
        (json!({"minDiskSize": -1}), &["spec.minDiskSize"]),
    ];
    in_lab(2, async |hand| {
        for (fields, words) in cases {
            let mut spec = json!({ "image": "ubuntu/noble", "minCPU": 1, "minMemory": 1024 });
            spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            for (kind, at) in
                [("MaasMachine", spec.clone()), ("MaasMachineTemplate", json!({ "template": { "spec": spec } }))]
            {
                let object = json!({
                    "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": kind,
                    "metadata": { "name": "wrong", "namespace": "default" }, "spec": at,
                });
                let Err(error) = hand.play.sandbox.apply(&[object]).await else { panic!("{kind} takes {fields}") };
                let said = error.to_string().replace("spec.template.spec.", "spec.");
                for word in *words {
                    assert!(said.contains(word), "{kind} {fields}: {word:?} is missing in {said}");
                }
            }
        }
    });
}

#[test]
fn what_maas_does_not_know_is_told_under_the_field_that_asked_for_it() {
    let cases = [
        (json!({"placement": {"zones": ["nowhere"]}}), "spec.placement.zones: No such zone(s): nowhere."),
        (json!({"placement": {"notPools": ["nobody"]}}), "spec.placement.notPools: No such pool(s): nobody."),
        (json!({"tags": ["unheard"]}), "spec.tags: No such tag(s): 'unheard'."),
        (json!({"placement": {"storage": "a lot"}}), "spec.placement.storage: "),
        (json!({"placement": {"interfaces": "nonsense"}}), "spec.placement.interfaces: "),
        (json!({"placement": {"devices": "colour=red"}}), "spec.placement.devices: "),
        (json!({"placement": {"subnets": ["10.99.0.0/16"]}}), "spec.placement.subnets: No matching subnets found."),
    ];
    for (fields, words) in cases {
        in_lab(3, async |hand| {
            let mut documents = seed_documents();
            for document in documents.iter_mut().filter(|d| d["kind"] == "MaasMachineTemplate") {
                document["spec"]["template"]["spec"]
                    .as_object_mut()
                    .unwrap()
                    .extend(fields.as_object().unwrap().clone());
            }
            hand.play.sandbox.apply(&documents).await.unwrap();
            let message = hand
                .until("the condition tells it", || async {
                    let all = hand.list("MaasMachine").await;
                    all.iter().map(|m| condition(m, "Ready")).find(|c| c.1 == "InvalidSpec").map(|c| c.2)
                })
                .await;
            assert!(message.contains(words), "{fields}: {message}");
        });
    }
}

/// W-13
#[test]
fn a_pinned_machine_is_claimed_by_its_name_and_no_other_is() {
    in_lab(4, async |hand| {
        let mut documents = seed_documents();
        for document in documents.iter_mut().filter(|d| d["kind"] == "MaasMachineTemplate") {
            let worker = document["metadata"]["name"].as_str().unwrap().contains("worker");
            let pin = if worker { "node04" } else { "node02" };
            document["spec"]["template"]["spec"]["placement"] = json!({ "hostname": pin });
        }
        hand.play.sandbox.apply(&documents).await.unwrap();
        hand.until_ready(2).await;
        assert_eq!(hand.held(), ["node02", "node04"]);
        hand.merge("MachineDeployment", "my-cluster-worker", json!({ "spec": { "replicas": 2 } })).await.unwrap();
        let told = hand
            .until("the second worker finds its only machine taken", || async {
                let all = hand.list("MaasMachine").await;
                all.iter().map(|m| condition(m, "Ready")).find(|c| c.1 == "NoMachineAvailable").map(|c| c.2)
            })
            .await;
        assert!(told.contains("called node04 (spec.placement.hostname) rules the last one out"), "{told}");
    });
}

#[test]
fn a_machine_with_a_gpu_is_found_by_its_device() {
    paused(async {
        let mut config = SandboxConfig::lab(1, 4).unwrap();
        let gpu = maas_sim::DeviceSpec { vendor_id: "10de".to_owned(), ..maas_sim::DeviceSpec::default() };
        config.maas.machines[2].devices = vec![gpu];
        let play = Play::with(config).await;
        play.run(async {
            let hand = Hand::new(&play);
            let mut documents = seed_documents();
            for document in documents.iter_mut().filter(|d| d["kind"] == "MaasMachineTemplate") {
                if document["metadata"]["name"].as_str().unwrap().contains("worker") {
                    document["spec"]["template"]["spec"]["placement"] = json!({ "devices": "vendor_id=10de" });
                } else {
                    document["spec"]["template"]["spec"]["placement"] = json!({ "hostname": "node01" });
                }
            }
            hand.play.sandbox.apply(&documents).await.unwrap();
            hand.until_ready(2).await;
            assert_eq!(hand.held(), ["node01", "node03"]);
        })
        .await;
    });
}

#[test]
fn swap_is_set_off_in_maas_before_the_machine_is_deployed() {
    in_lab(3, async |hand| {
        let mut documents = seed_documents();
        for document in documents.iter_mut().filter(|d| d["kind"] == "MaasMachineTemplate") {
            document["spec"]["template"]["spec"]["swap"] = json!("Off");
        }
        hand.play.sandbox.apply(&documents).await.unwrap();
        hand.until_ready(2).await;
        use maas_client::Machines as _;
        let machines = hand.maas().machines().list(&maas_client::MachineFilter::default()).await.unwrap();
        let off: Vec<_> = machines.iter().filter(|m| m.swap_size == Some(0)).map(|m| m.owner.is_some()).collect();
        assert_eq!(off, [true, true], "those that were deployed, and no other");
        let events = hand.list("Event").await;
        assert!(events.iter().any(|e| e["reason"] == "SwapOff"), "{events:#?}");
    });
}

#[test]
fn templates_tell_how_many_machines_are_free_and_what_they_have() {
    in_lab(5, async |hand| {
        hand.apply_seed().await;
        let template = async || {
            let all = hand.list("MaasMachineTemplate").await;
            all.into_iter().find(|t| t["metadata"]["name"].as_str().unwrap().contains("worker")).unwrap()
        };
        hand.until("it counts", || async { template().await["status"]["freeMachines"].as_i64() }).await;
        hand.until_ready(2).await;
        hand.until("it follows", || async {
            let template = template().await;
            (template["status"]["freeMachines"] == 3 && template["status"]["capacity"]["cpu"].is_string()).then_some(())
        })
        .await;
    });
}

/// What the cluster autoscaler's Cluster API provider makes of an empty node group (contract §17): annotations of the MachineDeployment win
/// over `status.capacity` of its template, without cpu and memory nothing is scaled from zero.
fn seen_by_the_autoscaler(deployment: &Value, template: &Value) -> Option<(u64, u64, String)> {
    let annotation = |name: &str| {
        let name = format!("capacity.cluster-autoscaler.kubernetes.io/{name}");
        deployment["metadata"]["annotations"][name].as_str().map(str::to_owned)
    };
    let of = |name: &str| annotation(name).or_else(|| template["status"]["capacity"][name].as_str().map(str::to_owned));
    let mib = |quantity: &str| quantity.strip_suffix("Mi").and_then(|n| n.parse().ok());
    let architecture = template["status"]["nodeInfo"]["architecture"].as_str().unwrap_or("amd64");
    Some((of("cpu")?.parse().ok()?, mib(&of("memory")?)?, architecture.to_owned()))
}

#[test]
fn the_autoscaler_knows_an_empty_node_group_and_gets_no_less_when_it_scales_it_up() {
    in_lab(4, async |hand| {
        let big = maas_sim::MachineSpec {
            cpu_count: 32,
            memory: 262_144,
            architecture: "arm64".to_owned(),
            tags: vec!["big".to_owned()],
            ..maas_sim::MachineSpec::named("big1")
        };
        let bigger = maas_sim::MachineSpec { cpu_count: 64, hostname: "big2".to_owned(), ..big.clone() };
        hand.play.sandbox.maas.with(|r, now| {
            r.add_machine(now, bigger).unwrap();
            r.add_machine(now, big).unwrap();
            let image = json!({ "name": "custom/arm", "architecture": "arm64", "uploaded": true });
            r.add_image(now, serde_json::from_value(image).unwrap());
        });
        let mut documents = seed_documents();
        for document in &mut documents {
            let worker = document["metadata"]["name"].as_str().is_some_and(|name| name.contains("worker"));
            match document["kind"].as_str() {
                Some("MachineDeployment") => {
                    document["spec"]["replicas"] = json!(0);
                    document["metadata"]["annotations"] = json!({
                        "cluster.x-k8s.io/cluster-api-autoscaler-node-group-min-size": "0",
                        "cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size": "2",
                    });
                }
                Some("MaasMachineTemplate") if worker => {
                    document["spec"]["template"]["spec"]["tags"] = json!(["big"]);
                    document["spec"]["template"]["spec"]["image"] = json!("custom/arm");
                }
                _ => {}
            }
        }
        hand.play.sandbox.apply(&documents).await.unwrap();
        let group = async || {
            let deployment = hand.get("MachineDeployment", "my-cluster-worker").await?;
            let template = deployment["spec"]["template"]["spec"]["infrastructureRef"]["name"].as_str()?.to_owned();
            seen_by_the_autoscaler(&deployment, &hand.get("MaasMachineTemplate", &template).await?)
        };
        let seen = hand.until("the node group is known though it is empty", &group).await;
        assert_eq!(seen, (32, 262_144, "arm64".to_owned()), "of each the least that any machine that matches has");
        let override_it =
            json!({ "metadata": { "annotations": { "capacity.cluster-autoscaler.kubernetes.io/cpu": "48" } } });
        hand.merge("MachineDeployment", "my-cluster-worker", override_it).await.unwrap();
        assert_eq!(group().await.map(|seen| seen.0), Some(48), "annotations win");
        hand.merge("MachineDeployment", "my-cluster-worker", json!({ "spec": { "replicas": 2 } })).await.unwrap();
        hand.until_ready(3).await;
        assert!(["big1", "big2"].iter().all(|name| hand.held().contains(&(*name).to_owned())), "{:?}", hand.held());
    });
}

#[test]
fn an_image_goes_by_every_name_that_this_version_of_maas_takes_and_else_the_nearest_are_named() {
    let always = ["ubuntu/noble", "noble", "u-1804-0-k-11912-0", "custom/u-1804-0-k-11912-0"];
    let from_3_6 = ["24.04", "ubuntu/24.04"];
    let never = ["ubuntu/nobel", "custom/noble", "u-1804-0-k-11913-0"];
    for (version, aliases) in [("3.4.9", false), ("3.5.10", false), ("3.6.3", true), ("3.7.3", true), ("3.8.0", true)] {
        let cases = always.iter().map(|image| (*image, true));
        let cases = cases.chain(from_3_6.iter().map(|image| (*image, aliases)));
        for (image, known) in cases.chain(never.iter().map(|image| (*image, false))) {
            paused(async {
                let mut config = SandboxConfig::lab(1, 1).unwrap();
                config.maas.version = version.to_owned();
                let play = Play::with(config).await;
                play.run(async {
                    let hand = Hand::new(&play);
                    let mut documents = seed_documents();
                    for document in documents.iter_mut().filter(|d| d["kind"] == "MaasMachineTemplate") {
                        document["spec"]["template"]["spec"]["image"] = json!(image);
                    }
                    hand.play.sandbox.apply(&documents).await.unwrap();
                    let (state, message) = hand
                        .until("it is deployed or refused", || async {
                            let machine = hand.list("MaasMachine").await.into_iter().next()?;
                            let ready = condition(&machine, "Ready");
                            let over = ready.1 == "InvalidSpec" || machine["status"]["machineState"] == "Deploying";
                            over.then_some((ready.1, ready.2))
                        })
                        .await;
                    assert_eq!(state != "InvalidSpec", known, "MAAS {version}, {image}: {message}");
                    if !known {
                        let words =
                            [format!("spec.image {image}: MAAS has no such image"), "u-1804-0-k-11912-0".to_owned()];
                        assert!(words.iter().all(|word| message.contains(word)), "{message}");
                    }
                })
                .await;
            });
        }
    }
}
