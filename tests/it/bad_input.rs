//! Bad input: a condition that names what, where and what to do; and recovery without a restart once it is fixed.

use capmaas_sandbox::sandbox::MAAS_URL;
use capmaas_tests::{Hand, Play, condition, in_lab, paused, seed_documents};
use maas_sim::{ADMIN_KEY, Outage, USER_KEY};
use serde_json::{Value, json};

/// Waits until Ready of some object of the kind has the reason; returns the message, and checks that an event tells the same.
async fn told(hand: &Hand<'_>, kind: &str, reason: &str) -> String {
    let (name, message) = hand
        .until(&format!("{kind} says {reason}"), || async {
            let all = hand.list(kind).await;
            all.iter()
                .find(|o| condition(o, "Ready").1 == reason)
                .map(|o| (o["metadata"]["name"].clone(), condition(o, "Ready").2))
        })
        .await;
    hand.until(&format!("an event for {reason}"), || async {
        let events = hand.list("Event").await;
        events.iter().any(|e| e["involvedObject"]["name"] == name && e["reason"] == reason).then_some(())
    })
    .await;
    message
}

fn says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is missing in: {message}");
    }
}

/// W-40, W-41
#[test]
fn a_wrong_api_key_is_named_and_the_right_one_is_picked_up() {
    paused(async {
        let play = Play::lab(1, 7).await;
        play.sandbox.credentials(MAAS_URL, "wrong:wrong:wrong").await.unwrap();
        play.run(async {
            let hand = Hand::new(&play);
            hand.apply_seed().await;
            let message = told(&hand, "MaasCluster", "MAASUnauthorized").await;
            says(&message, &["MAAS_API_KEY", "capmaas-manager-bootstrap-credentials"]);
            assert!(!message.contains("wrong:wrong"), "the key is not shown: {message}");
            play.sandbox.credentials(MAAS_URL, ADMIN_KEY).await.unwrap();
            hand.until_ready(2).await;
        })
        .await;
    });
}

#[test]
fn missing_credentials_and_an_unfilled_placeholder_are_named() {
    paused(async {
        let play = Play::lab(1, 7).await;
        play.sandbox.credentials("${MAAS_ENDPOINT}", "${MAAS_API_KEY}").await.unwrap();
        play.run(async {
            let hand = Hand::new(&play);
            hand.apply_seed().await;
            let message = told(&hand, "MaasCluster", "CredentialsMissing").await;
            says(
                &message,
                &["${MAAS_ENDPOINT}", "Secret capmaas-system/capmaas-manager-bootstrap-credentials", "clusterctl"],
            );
            play.sandbox.credentials(MAAS_URL, ADMIN_KEY).await.unwrap();
            hand.until_ready(2).await;
        })
        .await;
    });
}

/// W-27
#[test]
fn a_key_without_administrator_rights_is_named_until_it_has_them() {
    paused(async {
        let play = Play::lab(1, 7).await;
        play.sandbox.credentials(MAAS_URL, USER_KEY).await.unwrap();
        play.run(async {
            let hand = Hand::new(&play);
            hand.apply_seed().await;
            let message = told(&hand, "MaasCluster", "MAASForbidden").await;
            says(&message, &["alice", "administrator", "controlPlaneEndpointMode"]);
            play.sandbox.credentials(MAAS_URL, ADMIN_KEY).await.unwrap();
            hand.until_ready(2).await;
        })
        .await;
    });
}

#[test]
fn a_maas_that_is_down_is_waited_for() {
    paused(async {
        let play = Play::lab(1, 7).await;
        play.sandbox.maas.with(|r, now| r.set_outage(now, Some(Outage::Refuse)));
        play.run(async {
            let hand = Hand::new(&play);
            hand.apply_seed().await;
            told(&hand, "MaasCluster", "MAASUnreachable").await;
            play.sandbox.maas.with(|r, now| r.set_outage(now, None));
            hand.until_ready(2).await;
        })
        .await;
    });
}

/// The seed's documents with one field changed wherever a document of that kind has it.
fn seed_with(kind: &str, path: &str, value: &Value) -> Vec<Value> {
    let mut documents = seed_documents();
    for document in documents.iter_mut().filter(|d| d["kind"] == kind) {
        if let Some(field) = document.pointer_mut(path) {
            *field = value.clone();
        }
    }
    documents
}

#[test]
fn an_unknown_image_is_named_and_found_once_it_was_imported() {
    in_lab(7, async |hand| {
        let documents = seed_with("MaasMachineTemplate", "/spec/template/spec/image", &json!("custom/no-such-image"));
        hand.play.sandbox.apply(&documents).await.unwrap();
        let message = told(hand, "MaasMachine", "InvalidSpec").await;
        says(&message, &["spec.image", "no-such-image"]);
        let image = json!({ "name": "custom/no-such-image", "uploaded": true });
        let image = serde_json::from_value(image).unwrap();
        hand.play.sandbox.maas.with(|r, now| r.add_image(now, image));
        hand.until_ready(2).await;
    });
}

#[test]
fn an_unknown_dns_domain_is_named_with_those_that_exist_and_found_once_it_is_made() {
    in_lab(7, async |hand| {
        hand.play.sandbox.apply(&seed_with("MaasCluster", "/spec/dnsDomain", &json!("nowhere.org"))).await.unwrap();
        let message = told(hand, "MaasCluster", "DNSDomainNotFound").await;
        says(&message, &["spec.dnsDomain", "nowhere.org", "maas.sc"]);
        hand.play.sandbox.maas.with(|r, now| r.add_domain(now, "nowhere.org"));
        hand.until_ready(2).await;
    });
}

/// W-55
#[test]
fn a_request_that_no_machine_matches_names_what_was_asked() {
    in_lab(7, async |hand| {
        hand.play
            .sandbox
            .apply(&seed_with("MaasMachineTemplate", "/spec/template/spec/minCPU", &json!(512)))
            .await
            .unwrap();
        let message = told(hand, "MaasMachine", "NoMachineAvailable").await;
        says(&message, &["512 CPUs (spec.minCPU)"]);
        let big = maas_sim::MachineSpec { cpu_count: 512, memory: 1_048_576, ..maas_sim::MachineSpec::named("big") };
        hand.play.sandbox.maas.with(|r, now| r.add_machine(now, big)).unwrap();
        hand.until("the control plane takes it", || async {
            let all = hand.list("MaasMachine").await;
            all.iter().any(|m| m["status"]["hostname"] == "big").then_some(())
        })
        .await;
    });
}

/// W-55
#[test]
fn a_malformed_provider_id_is_refused_with_field_and_fix() {
    in_lab(7, async |hand| {
        hand.apply_seed().await;
        hand.until_ready(2).await;
        let machine = hand.list("MaasMachine").await.remove(0);
        let copy = json!({
            "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "MaasMachine",
            "metadata": { "name": "copy", "namespace": "default" },
            "spec": { "image": "ubuntu/noble", "minCPU": 1, "minMemory": 1024, "providerID": "aws:///x/y" },
        });
        let error = format!("{:?}", hand.play.sandbox.apply(&[copy]).await.unwrap_err());
        says(&error, &["spec.providerID", "maas:///<zone>/<system_id>"]);
        let name = machine["metadata"]["name"].as_str().unwrap();
        let error = hand
            .merge("MaasMachine", name, json!({ "spec": { "providerID": "maas:///default/abc123" } }))
            .await
            .unwrap_err();
        says(&format!("{error:?}"), &["spec.providerID", "cannot change once set"]);
    });
}

/// W-55
#[test]
fn an_image_edited_in_place_is_pointed_out_and_forgotten_when_it_is_put_back() {
    in_lab(7, async |hand| {
        hand.apply_seed().await;
        hand.until_ready(2).await;
        let image = |name: &str| json!({ "spec": { "template": { "spec": { "image": name } } } });
        let old =
            hand.get("MaasMachineTemplate", "my-cluster-worker").await.unwrap()["spec"]["template"]["spec"]["image"]
                .clone();
        hand.merge("MaasMachineTemplate", "my-cluster-worker", image("ubuntu/noble")).await.unwrap();
        let message = told(hand, "MaasMachineTemplate", "EditedInPlace").await;
        says(&message, &["spec.template.spec.image", "copy the template under a new name", "infrastructureRef"]);
        hand.merge("MaasMachineTemplate", "my-cluster-worker", image(old.as_str().unwrap())).await.unwrap();
        hand.until("the condition is true again", || async {
            let template = hand.get("MaasMachineTemplate", "my-cluster-worker").await?;
            (condition(&template, "Ready").0 == "True").then_some(())
        })
        .await;
    });
}
