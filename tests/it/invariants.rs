//! The inspector sees what must not be: each of it is done by hand once.

use std::collections::BTreeMap;

use capmaas_manager::Credentials;
use capmaas_manager::gate::Gate;
use capmaas_sandbox::sandbox::MAAS_URL;
use capmaas_tests::invariants::{FOREIGN, Inspector};
use capmaas_tests::{Hand, Play, paused};
use maas_client::{AllocateRequest, DeployRequest, Machines as _, ReleaseRequest};

#[derive(Clone, Copy, Debug)]
enum Evil {
    Nothing,
    ReleaseForeign,
    ReleaseRunning,
    DeployAnother,
    Leak,
    Overwrite,
    DeployForNobody,
}

/// What the inspector says after this was done to a cluster of two machines.
fn said(evil: Evil) -> Vec<String> {
    paused(async {
        let play = Play::quick(1, 7).await;
        let script = async {
            let hand = Hand::new(&play);
            hand.apply_seed().await;
            hand.until_ready(2).await;
            let (inspector, gate) = (Inspector::new(&[&play.sandbox]), Gate::open());
            inspector.watch(&gate, "somebody");
            let credentials = Credentials {
                endpoint: MAAS_URL.to_owned(),
                api_key: maas_sim::ADMIN_KEY.into(),
                source: "a test".to_owned(),
            };
            let env = play.sandbox.env(&gate, play.settings.clone());
            let machines = env.regions.client(&credentials).unwrap().machines();
            let named = |name: &str| play.sandbox.maas.look(|region| region.machine(name)).unwrap();
            let running = named(&hand.held()[0]);
            let id = running.system_id.parse().unwrap();
            let take = AllocateRequest { agent_name: Some(running.agent_name.clone()), ..Default::default() };
            match evil {
                Evil::Nothing => {}
                Evil::ReleaseForeign => {
                    let foreign = named(FOREIGN).system_id.parse().unwrap();
                    machines.release(&foreign, &ReleaseRequest::default()).await.unwrap();
                }
                Evil::ReleaseRunning => drop(machines.release(&id, &ReleaseRequest::default()).await.unwrap()),
                Evil::DeployAnother => {
                    let taken = machines.allocate(&take).await.unwrap().system_id;
                    machines.deploy(&taken, &DeployRequest::default()).await.unwrap();
                }
                Evil::Leak => drop(machines.allocate(&take).await.unwrap()),
                Evil::Overwrite => {
                    let mark = BTreeMap::from([("capmaas-token".to_owned(), "capmaas:another".to_owned())]);
                    machines.set_owner_data(&id, &mark).await.unwrap();
                }
                Evil::DeployForNobody => {
                    let taken = machines.allocate(&AllocateRequest::default()).await.unwrap().system_id;
                    machines.deploy(&taken, &DeployRequest::default()).await.unwrap();
                }
            }
            inspector.at_rest()
        };
        play.run(script).await
    })
}

#[test]
fn what_must_not_be_done_is_seen_and_nothing_else() {
    for (evil, expected) in [
        (Evil::Nothing, None),
        (Evil::ReleaseForeign, Some("sent to a machine that is somebody else's")),
        (Evil::ReleaseRunning, Some("needs its machine")),
        (Evil::DeployAnother, Some("two machines deployed for one claim")),
        (Evil::Leak, Some("leaked")),
        (Evil::Overwrite, Some("was overwritten")),
        (Evil::DeployForNobody, Some("for no MaasMachine")),
    ] {
        let said = said(evil);
        match expected {
            None => assert!(said.is_empty(), "{said:#?}"),
            Some(expected) => assert!(said.iter().any(|s| s.contains(expected)), "{evil:?}: {said:#?}"),
        }
    }
}
