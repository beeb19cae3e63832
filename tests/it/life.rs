//! The seed's life, and what else a user does to it.

use std::time::Duration;

use capmaas_tests::{Play, condition, in_lab, paused, seed_scenario};
use serde_json::json;

/// W-23
#[test]
fn the_seed_comes_up_scales_and_goes_and_leaves_nothing() {
    paused(async {
        let play = Play::lab(1, 7).await;
        play.run(seed_scenario(&play)).await;
    });
}

/// W-15
#[test]
fn a_settled_cluster_writes_nothing_for_ten_minutes() {
    in_lab(7, async |hand| {
        hand.apply_seed().await;
        hand.until_ready(2).await;
        // The last conditions settle once the Nodes are known to core.
        hand.play.sandbox.clock.sleep(Duration::from_secs(120)).await;
        let before = (hand.play.sandbox.kube.writes(), hand.play.sandbox.maas.with(|r, _| r.writes()));
        hand.play.sandbox.clock.sleep(Duration::from_secs(600)).await;
        let after = (hand.play.sandbox.kube.writes(), hand.play.sandbox.maas.with(|r, _| r.writes()));
        assert_eq!(before, after, "writes to Kubernetes and MAAS");
    });
}

/// W-32
#[test]
fn when_the_pool_is_empty_the_condition_says_so_and_a_freed_machine_is_taken_at_once() {
    in_lab(3, async |hand| {
        hand.apply_seed().await;
        hand.until_ready(2).await;
        hand.merge("MachineDeployment", "my-cluster-worker", json!({ "spec": { "replicas": 3 } })).await.unwrap();
        let message = hand
            .until("one machine finds none", || async {
                let all = hand.list("MaasMachine").await;
                all.iter().map(|m| condition(m, "Ready")).find(|c| c.1 == "NoMachineAvailable").map(|c| c.2)
            })
            .await;
        assert!(
            message
                .contains("no Ready machine in MAAS satisfies all of: at least 2 CPUs (spec.minCPU), at least 4 GiB memory (spec.minMemory)"),
            "{message}"
        );
        let new = maas_sim::MachineSpec { cpu_count: 4, memory: 8192, ..maas_sim::MachineSpec::named("late") };
        hand.play.sandbox.maas.with(|r, now| r.add_machine(now, new)).unwrap();
        hand.until_ready(4).await;
    });
}

#[test]
fn a_new_template_rolls_the_workers_to_its_image() {
    in_lab(7, async |hand| {
        hand.apply_seed().await;
        hand.until_ready(2).await;
        let mut template = hand.get("MaasMachineTemplate", "my-cluster-worker").await.unwrap();
        let meta = json!({ "name": "my-cluster-worker-noble", "namespace": "default" });
        template["metadata"] = meta;
        template["spec"]["template"]["spec"]["image"] = json!("ubuntu/noble");
        template.as_object_mut().unwrap().remove("status");
        hand.play.sandbox.apply(&[template]).await.unwrap();
        let patch = json!({ "spec": { "template": { "spec": { "infrastructureRef": { "name": "my-cluster-worker-noble" } } } } });
        hand.merge("MachineDeployment", "my-cluster-worker", patch).await.unwrap();
        hand.until("the worker has the new image", || async {
            let all = hand.list("MaasMachine").await;
            let images: Vec<_> =
                all.iter().map(|m| m["spec"]["image"].as_str().unwrap_or_default().to_owned()).collect();
            (all.len() == 2
                && images.contains(&"ubuntu/noble".to_owned())
                && all.iter().all(|m| condition(m, "NodeTied").0 == "True"))
            .then_some(())
        })
        .await;
        hand.until_ready(2).await;
        assert_eq!(hand.held().len(), 2, "the old box is back in the pool");
    });
}

#[test]
fn a_pulled_power_cord_is_shown_and_nothing_is_done_about_it() {
    in_lab(7, async |hand| {
        hand.apply_seed().await;
        hand.until_ready(2).await;
        let worker = hand
            .list("MaasMachine")
            .await
            .into_iter()
            .find(|m| m["metadata"]["name"].as_str().unwrap().contains("worker"))
            .unwrap();
        let (name, host) = (
            worker["metadata"]["name"].as_str().unwrap().to_owned(),
            worker["status"]["hostname"].as_str().unwrap().to_owned(),
        );
        let writes = hand.play.sandbox.maas.with(|r, now| {
            r.set_power_cord(now, &host, false).unwrap();
            r.writes()
        });
        hand.until("the loss is shown", || async {
            let machine = hand.get("MaasMachine", &name).await?;
            (condition(&machine, "Ready").1 == "MachinePoweredOff" && machine["status"]["machinePowered"] == false)
                .then_some(())
        })
        .await;
        assert_eq!(hand.play.sandbox.maas.with(|r, _| r.writes()), writes, "no power action by reflex");
        hand.play.sandbox.maas.with(|r, now| r.set_power_cord(now, &host, true)).unwrap();
    });
}

/// W-06
#[test]
fn a_failed_deployment_is_released_and_another_machine_is_chosen() {
    in_lab(7, async |hand| {
        // The cheapest machines are chosen in order of their ids; which ones those are does not matter here.
        let ids = hand.play.sandbox.maas.with(|r, _| r.system_ids());
        for id in ids.iter().take(2) {
            hand.play.sandbox.maas.with(|r, now| r.fail_next_deployment(now, id, "disk is dying")).unwrap();
        }
        hand.apply_seed().await;
        hand.until_ready(2).await;
        assert_eq!(hand.held().len(), 2, "failed boxes went back: {:?}", hand.held());
    });
}
