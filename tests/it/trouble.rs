//! What goes wrong with machines in a whole system, and what the user's policies let the provider do about it.

use std::time::Duration;

use capmaas_sandbox::sandbox::SandboxConfig;
use capmaas_tests::{Hand, Play, condition, in_lab, paused, seed_documents};
use maas_sim::{Bmc, DeployFault, InterfaceSpec, LinkMode, LinkSpec, MachineSpec, MachineState, Status, SubnetSpec};
use serde_json::{Value, json};

use crate::contract::{CLUSTER, maas_writes, minutes, name, sleep, text};

/// Applies the seed with something merged into the spec of its MaasCluster and of its machines.
async fn apply(hand: &Hand<'_>, cluster: Value, machines: Value) {
    let mut documents = seed_documents();
    for document in &mut documents {
        let (at, more) = match document["kind"].as_str() {
            Some("MaasCluster") => ("/spec", &cluster),
            Some("MaasMachineTemplate") => ("/spec/template/spec", &machines),
            _ => continue,
        };
        let spec = document.pointer_mut(at).and_then(Value::as_object_mut).unwrap();
        spec.extend(more.as_object().cloned().unwrap_or_default());
    }
    hand.play.sandbox.apply(&documents).await.unwrap();
}

fn host(hand: &Hand<'_>, name: &str) -> MachineState {
    hand.play.sandbox.maas.with(|r, _| r.machine(name)).unwrap()
}

async fn worker(hand: &Hand<'_>) -> Value {
    let all = hand.list("MaasMachine").await;
    all.into_iter().find(|m| name(m).contains("worker")).unwrap()
}

async fn events(hand: &Hand<'_>, reason: &str) -> Vec<String> {
    let all = hand.list("Event").await;
    all.iter().filter(|e| e["reason"] == reason).map(|e| text(&e["message"])).collect()
}

async fn scale_workers(hand: &Hand<'_>, replicas: i64) {
    let patch = json!({ "spec": { "replicas": replicas } });
    hand.merge("MachineDeployment", "my-cluster-worker", patch).await.unwrap();
}

/// The cheapest machine fails its deployments, for a reason that only the installation's log has.
fn first_fails(hand: &Hand<'_>) -> String {
    hand.play.sandbox.maas.with(|r, now| {
        let first = r.system_ids().into_iter().min().unwrap();
        let fault = DeployFault::Installer("curthooks: no space left on device".to_owned());
        r.fail_deployments(now, &first, fault, None).unwrap();
        first
    })
}

/// W-06
#[test]
fn a_machine_that_fails_is_marked_broken_by_policy_with_maass_own_reason_and_another_is_deployed() {
    in_lab(7, async |hand| {
        let bad = first_fails(hand);
        apply(hand, json!({ "failedHosts": { "after": 1, "action": "MarkBroken" } }), json!({})).await;
        hand.until_ready(2).await;
        let state = host(hand, &bad);
        assert_eq!(state.status, Status::Broken);
        let cluster = hand.get("MaasCluster", CLUSTER).await.unwrap();
        let noted = text(&cluster["metadata"]["annotations"]["maas.infrastructure.cluster.x-k8s.io/failed-hosts"]);
        assert!(noted.contains(&bad) && noted.contains("\"failures\":1"), "{noted}");
        let told = events(hand, "MachineDeployFailed").await;
        assert!(told.iter().any(|m| m.contains("no space left on device")), "{told:?}");
        let marked = events(hand, "MarkedBroken").await;
        assert!(
            matches!(&marked[..], [one] if one.contains("1 failed deployments for cluster default/my-cluster")),
            "{marked:?}"
        );
        let machine = hand.maas();
        let machine = maas_client::Machines::read(&machine.machines(), &bad.parse().unwrap()).await.unwrap();
        assert!(machine.error_description.starts_with("capmaas: 1 failed deployments"), "{machine:?}");
        assert_eq!(maas_writes(hand).get("POST machine mark_broken"), Some(&1));
    });
}

/// W-06
#[test]
fn a_machine_that_fails_gets_a_tag_by_policy_goes_back_to_the_pool_and_is_not_taken_again() {
    in_lab(7, async |hand| {
        let bad = first_fails(hand);
        apply(hand, json!({ "failedHosts": { "after": 1, "action": "Tag", "tag": "sick" } }), json!({})).await;
        hand.until_ready(2).await;
        scale_workers(hand, 3).await;
        hand.until_ready(4).await;
        let state = host(hand, &bad);
        assert_eq!((state.status, state.owner), (Status::Ready, None), "back in the pool, and avoided");
        let machines = hand.maas().machines();
        let machine = maas_client::Machines::read(&machines, &bad.parse().unwrap()).await.unwrap();
        assert!(machine.tag_names.contains("sick"), "{:?}", machine.tag_names);
        assert_eq!(state.deployment, 1, "tried once");
    });
}

#[test]
fn an_erasing_that_fails_is_tried_three_times_and_then_the_machine_is_kept_from_others_by_policy() {
    in_lab(7, async |hand| {
        apply(hand, json!({}), json!({ "release": { "erase": "Quick", "whenFailing": "MarkBroken" } })).await;
        hand.until_ready(2).await;
        let own = worker(hand).await;
        let id = text(&own["spec"]["systemID"]);
        hand.play.sandbox.maas.with(|r, now| r.fail_erases(now, &id, None)).unwrap();
        scale_workers(hand, 0).await;
        hand.until("it is let go", || async { hand.get("MaasMachine", &name(&own)).await.is_none().then_some(()) })
            .await;
        assert_eq!(host(hand, &id).status, Status::Broken);
        let sent = hand.play.sandbox.maas.with(|r, _| r.requests());
        let releases = sent.iter().filter(|r| r.operation == "POST machine release" && r.path.contains(&id));
        assert_eq!(releases.count(), 3);
        assert_eq!(events(hand, "MarkedBroken").await.len(), 2, "marked, and let go");
    });
}

/// W-11
#[test]
fn an_erasing_that_fails_without_policy_is_told_and_ends_when_the_disk_is_repaired() {
    in_lab(7, async |hand| {
        apply(hand, json!({}), json!({ "release": { "erase": "Quick" } })).await;
        hand.until_ready(2).await;
        let own = worker(hand).await;
        let id = text(&own["spec"]["systemID"]);
        hand.play.sandbox.maas.with(|r, now| r.fail_erases(now, &id, None)).unwrap();
        scale_workers(hand, 0).await;
        let message = hand
            .until("it says so", || async {
                let object = hand.get("MaasMachine", &name(&own)).await?;
                let (_, reason, message) = condition(&object, "Ready");
                (reason == "ReleaseFailed" && message.contains("three times")).then_some(message)
            })
            .await;
        assert!(message.contains("Failed disk erasing") && message.contains(&format!("abandon: {id}")), "{message}");
        hand.play.sandbox.maas.with(|r, now| r.fail_erases(now, &id, Some(0))).unwrap();
        hand.until("it ends", || async { hand.get("MaasMachine", &name(&own)).await.is_none().then_some(()) }).await;
        assert_eq!(host(hand, &id).status, Status::Ready);
    });
}

/// W-03
#[test]
fn a_machine_that_went_off_is_powered_on_by_policy_and_a_bmc_that_does_not_answer_is_not_off() {
    in_lab(7, async |hand| {
        apply(hand, json!({}), json!({ "power": { "whenOff": "TurnOn", "atMost": 2 } })).await;
        hand.until_ready(2).await;
        let own = worker(hand).await;
        let id = text(&own["spec"]["systemID"]);
        let maas = &hand.play.sandbox.maas;
        let power_ons = || maas_writes(hand).get("POST machine power_on").copied().unwrap_or(0);

        maas.with(|r, now| r.set_bmc(now, &id, Bmc::Fails)).unwrap();
        sleep(hand, minutes(20)).await;
        let object = hand.get("MaasMachine", &name(&own)).await.unwrap();
        assert_eq!((power_ons(), condition(&object, "Ready").0.as_str()), (0, "True"), "MAAS can't tell");

        maas.with(|r, now| r.set_bmc(now, &id, Bmc::Works)).unwrap();
        maas.with(|r, now| r.set_power_cord(now, &id, false)).unwrap();
        hand.until("it was tried, in vain", || async { (power_ons() > 0).then_some(()) }).await;
        maas.with(|r, now| r.set_power_cord(now, &id, true)).unwrap();
        hand.until("it is on and ready", || async {
            let object = hand.get("MaasMachine", &name(&own)).await?;
            (host(hand, &id).powered && condition(&object, "Ready").0 == "True").then_some(())
        })
        .await;
        assert!(power_ons() <= 2, "{} power-ons", power_ons());
        assert!(!events(hand, "PoweringOn").await.is_empty());
    });
}

/// W-05
#[test]
fn a_machine_whose_system_never_joins_says_so_in_time() {
    in_lab(7, async |hand| {
        let ids = hand.play.sandbox.maas.with(|r, _| r.system_ids());
        apply(hand, json!({ "nodeStartupTimeoutSeconds": 300 }), json!({})).await;
        hand.until("the control plane is there", || async {
            let all = hand.list("MaasMachine").await;
            all.iter().any(|m| condition(m, "BootstrapSucceeded").0 == "True").then_some(())
        })
        .await;
        for id in ids.iter().filter(|id| host(hand, id).owner.is_none() || host(hand, id).status != Status::Deployed) {
            hand.play.sandbox.maas.with(|r, now| r.set_mute(now, id, true)).unwrap();
        }
        let message = hand
            .until("the worker says so", || async {
                let (status, _, message) = condition(&worker(hand).await, "BootstrapSucceeded");
                (status == "False").then_some(message)
            })
            .await;
        assert!(message.contains("did not join within 300 s"), "{message}");
        assert_eq!(condition(&worker(hand).await, "Ready").0, "True", "MAAS has done its part");
    });
}

/// W-03
#[test]
fn machines_whose_power_nobody_can_switch_are_deployed_and_released() {
    paused(async {
        let mut config = SandboxConfig::lab(1, 4).unwrap();
        for machine in &mut config.maas.machines {
            machine.power_type = "manual".to_owned();
        }
        let play = Play::with(config).await;
        let hand = Hand::new(&play);
        play.run(async {
            apply(&hand, json!({}), json!({ "power": { "whenOff": "TurnOn" } })).await;
            hand.until_ready(2).await;
            sleep(&hand, minutes(30)).await;
            hand.until_ready(2).await;
            assert_eq!(maas_writes(&hand).get("POST machine power_on"), None);
            hand.delete("Cluster", CLUSTER).await;
            hand.until_gone().await;
            assert_eq!(hand.held(), Vec::<String>::new());
        })
        .await;
    });
}

/// W-26
#[test]
fn the_addresses_of_the_chosen_subnet_go_into_the_name_one_of_each_version() {
    paused(async {
        let mut config = SandboxConfig::lab(1, 4).unwrap();
        let subnet = |name: &str, cidr: &str| SubnetSpec {
            name: name.to_owned(),
            cidr: cidr.parse().unwrap(),
            ..config.maas.subnets[0].clone()
        };
        let plain = |spec: SubnetSpec| SubnetSpec { gateway: None, dynamic: None, reserved: None, ..spec };
        let more = [plain(subnet("api", "10.77.0.0/24")), plain(subnet("api6", "fd77::/64"))];
        let link = |subnet: &str| LinkSpec { mode: LinkMode::Auto, subnet: Some(subnet.to_owned()), ip: None };
        let interface = |name: &str, links| InterfaceSpec {
            name: name.to_owned(),
            mac: None,
            observed_ip: None,
            tags: Vec::new(),
            links,
        };
        for machine in &mut config.maas.machines {
            let spec = MachineSpec::named(machine.hostname.clone());
            *machine = MachineSpec {
                interfaces: vec![
                    interface("eth0", vec![link("lab-net")]),
                    interface("bond0", vec![link("api"), link("api6")]),
                ],
                ..spec
            };
        }
        config.maas.subnets.extend(more);
        let play = Play::with(config).await;
        let hand = Hand::new(&play);
        play.run(async {
            let choice = json!({ "controlPlaneAddress": { "family": "Dual", "interface": "bond0" } });
            apply(&hand, choice, json!({})).await;
            let cluster = hand
                .until("the name is there", || async {
                    let cluster = hand.get("MaasCluster", CLUSTER).await?;
                    (condition(&cluster, "LoadBalancerReady").0 == "True").then_some(cluster)
                })
                .await;
            let host = text(&cluster["spec"]["controlPlaneEndpoint"]["host"]);
            let addresses = hand
                .until("both addresses are in it", || async {
                    let found = play.sandbox.maas.with(|r, now| r.resolve(now, &host));
                    (found.len() == 2).then_some(found)
                })
                .await;
            assert!(addresses.iter().any(|a| a.to_string().starts_with("10.77.0.")), "{addresses:?}");
            assert!(addresses.iter().any(|a| a.to_string().starts_with("fd77::")), "{addresses:?}");
        })
        .await;
    });
}

/// W-26
#[test]
fn a_choice_that_no_address_satisfies_names_the_machine_and_what_it_has() {
    in_lab(4, async |hand| {
        apply(hand, json!({ "controlPlaneAddress": { "subnet": "storage" } }), json!({})).await;
        let message = hand
            .until("it says so", || async {
                let (_, reason, message) = condition(&hand.get("MaasCluster", CLUSTER).await?, "Ready");
                (reason == "LoadBalancerFailed").then_some(message)
            })
            .await;
        assert!(
            message.starts_with("spec.controlPlaneAddress: these machines have no address in subnet storage, so the name does not lead to them: \
                                 my-cluster-cp-")
                && message.contains(" has 10.10.0."),
            "{message}"
        );
        let wrong = json!({ "spec": { "controlPlaneAddress": { "subnet": null, "cidr": "10.0.0.0/64" } } });
        hand.merge("MaasCluster", CLUSTER, wrong).await.unwrap();
        hand.until("it says that, too", || async {
            let (_, reason, message) = condition(&hand.get("MaasCluster", CLUSTER).await?, "Ready");
            (reason == "InvalidSpec"
                && message.contains("spec.controlPlaneAddress.cidr: \"10.0.0.0/64\" is not a network"))
            .then_some(())
        })
        .await;
    });
}

/// W-25, W-27
#[test]
fn without_administrator_rights_maas_dns_says_what_it_needs_and_an_own_address_works() {
    in_lab(7, async |hand| {
        hand.play.sandbox.maas.with(|r, _| r.set_admin("admin", false));
        apply(hand, json!({}), json!({})).await;
        let message = hand
            .until("it says so", || async {
                let (_, reason, message) = condition(&hand.get("MaasCluster", CLUSTER).await?, "Ready");
                (reason == "MAASForbidden").then_some(message)
            })
            .await;
        assert!(
            message.contains("may not write DNS") && message.contains("controlPlaneEndpointMode External or VIP"),
            "{message}"
        );
        hand.delete("Cluster", CLUSTER).await;
        hand.until_gone().await;

        let own =
            json!({ "controlPlaneEndpointMode": "VIP", "controlPlaneEndpoint": { "host": "10.10.0.5", "port": 6443 } });
        apply(hand, own, json!({ "release": { "erase": "Quick" } })).await;
        hand.until("machines are deployed", || async {
            let all = hand.list("MaasMachine").await;
            all.iter().any(|m| condition(m, "Ready").0 == "True").then_some(())
        })
        .await;
        let dns: Vec<_> = maas_writes(hand).into_keys().filter(|op| op.contains("dns")).collect();
        assert_eq!(dns, Vec::<String>::new());
        sleep(hand, Duration::from_secs(60)).await;
    });
}

#[test]
fn a_machine_that_a_crashed_process_left_allocated_is_found_and_given_back_and_one_of_somebody_else_is_not_touched() {
    in_lab(7, async |hand| {
        hand.apply_seed().await;
        hand.until_ready(2).await;
        let claim = text(&worker(hand).await["metadata"]["annotations"]["maas.infrastructure.cluster.x-k8s.io/claim"]);
        let token = claim.split(' ').next().unwrap().to_owned();
        let allocate = async |agent: &str| {
            let request = maas_client::AllocateRequest { agent_name: Some(agent.to_owned()), ..Default::default() };
            let machines = hand.maas().machines();
            maas_client::Machines::allocate(&machines, &request).await.unwrap().system_id.to_string()
        };
        let (lost, somebodys) = (allocate(&token).await, allocate("a colleague with the same key").await);
        hand.until("it is given back", || async { (host(hand, &lost).status == Status::Ready).then_some(()) }).await;
        sleep(hand, minutes(30)).await;
        let left = host(hand, &somebodys);
        assert_eq!((left.status, left.agent_name.as_str()), (Status::Allocated, "a colleague with the same key"));
        hand.until_ready(2).await;
    });
}
