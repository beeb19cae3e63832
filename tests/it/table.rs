//! The machine table (`capmaas-reconcile/src/plan/machine_table.md`) against a simulated MAAS: each of the 23 statuses, held by each kind
//! of holder, under a MaasMachine in each of its lives. What the document says happens; what it does not say does not happen.

use std::collections::BTreeMap;

use capi_types::conditions::READY;
use capmaas_manager::Manager;
use capmaas_provider_maas::{Evidence, host_phase};
use capmaas_sandbox::sandbox::SandboxConfig;
use capmaas_tests::{Hand, Play, condition, paused};
use maas_client::{AllocateRequest, MachineStatus, Machines as _};
use maas_sim::{MachineState, Status};
use serde_json::{Value, json};

use crate::contract::{minutes, name};
use crate::fleet::{cluster, machine, put};

const TABLE: &str = include_str!("../../crates/capmaas-reconcile/src/plan/machine_table.md");
const HOLDERS: [&str; 5] = ["nobody", "us, our mark", "us, no mark", "us, another mark", "another user"];
/// Title of the table, whether the object has a providerID, whether it is deleted.
const LIVES: [(&str, bool, bool); 4] = [
    ("Before it is provisioned", false, false),
    ("Provisioned", true, false),
    ("Deleted before it was provisioned", false, true),
    ("Deleted when provisioned", true, true),
];

/// `(phase, holder)` → `(step, reason of Ready)`.
fn expected(title: &str) -> BTreeMap<(String, String), (String, String)> {
    let section = TABLE.split("\n## ").find(|s| s.starts_with(&format!("{title}\n"))).expect("the table is there");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let mut cells = BTreeMap::new();
    for row in rows.map(|row| row.split(" | ").collect::<Vec<_>>()).filter(|row| row[0] != "phase") {
        for holder in row[1].split("; ") {
            let outcome = (row[2].to_owned(), row[3].to_owned());
            cells.insert((row[0].to_owned(), holder.to_owned()), outcome);
        }
    }
    cells
}

fn phase(status: Status, owned: bool) -> String {
    let status = MachineStatus::ALL.iter().find(|s| s.number() == i64::from(status.code())).expect("all 23");
    format!("{:?}", host_phase(*status, Evidence { owned }))
}

/// One row: a machine in MAAS and the MaasMachine that names it.
struct Row {
    own: String,
    id: String,
    status: Status,
    holder: &'static str,
}

/// Puts a machine into a status and into somebody's hands.
async fn held(play: &Play, row: &Row) {
    let maas = Hand::new(play).maas();
    let system_id: maas_client::SystemId = row.id.parse().unwrap();
    let token = match row.holder {
        "us, another mark" => "capmaas:another".to_owned(),
        _ => format!("capmaas:{}", row.own),
    };
    let allocate =
        AllocateRequest { system_id: vec![system_id.clone()], agent_name: Some(token.clone()), ..Default::default() };
    maas.machines().allocate(&allocate).await.unwrap();
    let sandbox = &play.sandbox;
    if row.status == Status::Deployed {
        maas.machines().power_on(&system_id, None).await.unwrap();
        sandbox.clock.sleep(minutes(1)).await;
    }
    let takeover = row.holder == "us, no mark" && matches!(row.status, Status::Deployed | Status::Deploying);
    sandbox.maas.with(|region, now| {
        // What a status takes away (a release wipes owner and marks) is as MAAS does it, but for the holder that the row is about.
        let before = region.machine(&row.id).unwrap();
        region.set_status(now, &row.id, row.status).unwrap();
        match row.holder {
            "nobody" => region.set_owner(now, &row.id, None).unwrap(),
            "another user" => {
                region.clear_marks(now, &row.id).unwrap();
                region.set_owner(now, &row.id, Some("alice")).unwrap();
            }
            _ => region.set_owner(now, &row.id, before.owner.as_deref()).unwrap(),
        }
        if takeover {
            region.clear_marks(now, &row.id).unwrap();
        }
    });
    if row.holder == "us, our mark" || row.holder == "us, another mark" {
        let marks = BTreeMap::from([("capmaas-token".to_owned(), token)]);
        maas.machines().set_owner_data(&system_id, &marks).await.unwrap();
    }
}

fn object(row: &Row, hostname: &str, provisioned: bool) -> [Value; 2] {
    let [core, mut own] = machine(&row.own, "c", false, &row.id, "default");
    // More than any machine has: one that lets go of its machine gets no other.
    own["spec"]["minCPU"] = json!(500);
    own["status"]["hostname"] = json!(hostname);
    if !provisioned {
        own["spec"].as_object_mut().unwrap().remove("providerID");
        own["status"] = json!({});
    }
    [core, own]
}

/// What was done to a machine in MAAS, in order.
fn writes(play: &Play, id: &str) -> Vec<String> {
    let all = play.sandbox.maas.with(|r, _| r.requests());
    let to_it = all.into_iter().filter(|r| r.method != "GET" && r.path.contains(&format!("/{id}/")));
    to_it.map(|r| r.operation).collect()
}

/// Whom a machine belonged to, in a word.
fn owner(state: &MachineState) -> String {
    let mark = state.owner_data.get("capmaas-token").map_or("", String::as_str);
    format!("{} {mark}", state.owner.as_deref().unwrap_or("nobody"))
}

/// What is wrong with a row, if anything: `before` is the machine as it was.
fn judge(
    play: &Play,
    row: &Row,
    before: &MachineState,
    now: Option<&Value>,
    (step, reason): &(String, String),
) -> Vec<String> {
    let after = play.sandbox.maas.with(|r, _| r.machine(&row.id)).unwrap();
    let writes = writes(play, &row.id);
    let mut wrong = Vec::new();
    let mut check = |holds: bool, what: String| {
        if !holds {
            wrong.push(what);
        }
    };
    let first = match step.as_str() {
        "Deploy" => Some("POST machine deploy"),
        "Mark" | "TakeOver" => Some("POST machine set_owner_data"),
        "Release" => Some("POST machine release"),
        _ => None,
    };
    check(writes.first().map(String::as_str) == first, format!("first write {writes:?}, expected {first:?}"));
    if first.is_none() {
        check(owner(before) == owner(&after), format!("owner was {}, is {}", owner(before), owner(&after)));
        check(before.status == after.status, format!("status was {:?}, is {:?}", before.status, after.status));
    } else {
        check(before.owner.as_deref() == Some("admin"), format!("written though held by {}", owner(before)));
    }
    let spec = |field: &str| now.and_then(|o| o["spec"][field].as_str()).unwrap_or_default().to_owned();
    match step.as_str() {
        "NoSystemId" => check(spec("systemID").is_empty(), format!("systemID is {}", spec("systemID"))),
        "ProviderId" => check(spec("providerID").ends_with(&row.id), format!("providerID is {}", spec("providerID"))),
        "DropFinalizer" => check(now.is_none(), "the object is still there".to_owned()),
        "-" => {
            let is = now.map(|o| condition(o, READY).1).unwrap_or_default();
            check(is == *reason, format!("Ready says {is}, expected {reason}"));
            check(spec("systemID") == row.id, "systemID changed".to_owned());
        }
        _ => {}
    }
    wrong
}

/// All statuses and holders in one life; the number of rows.
fn live(title: &'static str, provisioned: bool, deleted: bool) -> usize {
    let rows = Status::ALL.len() * HOLDERS.len();
    let table = expected(title);
    paused(async move {
        let play = Play::with(SandboxConfig::lab(1, rows).unwrap()).await;
        let hand = Hand::new(&play);
        put(&play, cluster("c"));
        let data = json!({ "value": "I2Nsb3VkLWNvbmZpZwo=" });
        let ids = play.sandbox.maas.with(|r, _| r.system_ids());
        let cells = Status::ALL.iter().flat_map(|status| HOLDERS.map(|holder| (*status, holder)));
        let mut all = Vec::new();
        for (n, ((status, holder), id)) in cells.zip(ids).enumerate() {
            let row = Row { own: format!("m{n:03}"), id, status, holder };
            held(&play, &row).await;
            let before = play.sandbox.maas.with(|r, _| r.machine(&row.id)).unwrap();
            put(&play, object(&row, &before.hostname, provisioned));
            let secret = json!({ "name": format!("{}-data", row.own), "namespace": "default" });
            let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": secret, "data": data });
            play.sandbox.kube.apply(secret).unwrap();
            if deleted {
                hand.delete("MaasMachine", &row.own).await;
            }
            all.push((row, before));
        }
        play.sandbox.maas.with(|r, _| r.reset_counters());
        let already = play.sandbox.maas.with(|r, _| r.requests()).len();
        assert_eq!(already, 0, "the log begins anew");
        let manager = Manager::run(play.sandbox.env(&play.gate, play.settings.clone()), std::future::pending());
        tokio::select! { biased;
            ended = manager => panic!("{ended:?}"),
            () = play.sandbox.clock.sleep(minutes(1)) => {}
        }
        let objects: BTreeMap<_, _> = hand.list("MaasMachine").await.into_iter().map(|o| (name(&o), o)).collect();
        let mut wrong = Vec::new();
        for (row, before) in &all {
            let phase = phase(row.status, before.owner.is_some());
            let outcome = &table[&(phase.clone(), row.holder.to_owned())];
            let found = judge(&play, row, before, objects.get(&row.own), outcome);
            wrong
                .extend(found.into_iter().map(|w| format!("{title}: {:?} ({phase}), {}: {w}", row.status, row.holder)));
        }
        assert!(wrong.is_empty(), "{} rows differ:\n{}", wrong.len(), wrong.join("\n"));
        all.len()
    })
}

/// W-01
#[test]
fn every_row_of_the_machine_table_happens_against_maas_and_nothing_else_does() {
    let rows: usize = std::thread::scope(|scope| {
        let lives = LIVES.map(|(title, provisioned, deleted)| scope.spawn(move || live(title, provisioned, deleted)));
        lives.into_iter().map(|life| life.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).sum()
    });
    println!("{rows} rows: 23 statuses, {} holders, {} lives", HOLDERS.len(), LIVES.len());
    assert_eq!(rows, 23 * 5 * 4);
}
