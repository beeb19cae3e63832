//! The machine table: HostPhase × power × record → step, reason of Ready, and what wakes. It is documentation
//! (`src/plan/machine_table.md`, part of the crate's) and is held to the plan here; `CAPMAAS_WRITE_TABLE=1` writes it anew.

use std::fmt::Write as _;

use capi_types::{MaasMachine, PowerPolicy, WhenOff};
use capmaas_reconcile::decision::Decision;
use capmaas_reconcile::host::{Holder, HostPhase, HostView, Power};
use capmaas_reconcile::names::Token;
use capmaas_reconcile::stores::Fact;
use jiff::SignedDuration;

use super::{HOST, in_short, node, planned, provisioned, seen, token, with_host};
use crate::world::World;

const PHASES: [HostPhase; 10] = [
    HostPhase::Free,
    HostPhase::Claimed,
    HostPhase::Deploying,
    HostPhase::Deployed,
    HostPhase::DeployFailed,
    HostPhase::Releasing,
    HostPhase::ReleaseFailed,
    HostPhase::Broken,
    HostPhase::Operator,
    HostPhase::Unknown,
];

fn holders() -> [(&'static str, Holder); 5] {
    [
        ("nobody", Holder::Nobody),
        ("us, our mark", Holder::Us(Some(token()))),
        ("us, no mark", Holder::Us(None)),
        ("us, another mark", Holder::Us(Some(Token::mint("uid-other")))),
        ("another user", Holder::Other("bob".to_owned())),
    ]
}

fn view(phase: HostPhase, holder: &Holder) -> HostView {
    let mut view = node();
    view.phase = phase;
    view.holder = holder.clone();
    view.power = Power::On;
    view.status_name = format!("{phase:?}");
    view
}

/// Planned with everything read that says why a host is in trouble.
fn decide(object: &MaasMachine, view: HostView, deleting: bool) -> Decision {
    let mut world = seen(object.clone(), view);
    if deleting {
        world.delete("m0");
    }
    told(&mut world);
    planned(&world)
}

fn told(world: &mut World) {
    world.stores.learn(Fact::Story(HOST.parse().unwrap(), Box::default()), world.now);
}

/// Step, reason, and for those that wait what they wait for.
fn cells(decision: &Decision, world_now: jiff::Timestamp) -> [String; 3] {
    let short = in_short(decision);
    let (step, reason) = short.split_once(' ').expect("two words");
    let wakes = if decision.next.is_some() {
        "after the step".to_owned()
    } else {
        // Object, Cluster, Machine and region wake every machine; what comes on top is told.
        let mut wakes: Vec<String> = Vec::new();
        for topic in &decision.wake.topics {
            let text = format!("{topic:?}");
            let kind = text.split(['(', ' ']).next().unwrap_or_default().to_owned();
            let always = ["Region", "CoreMachine", "Cluster", "Strays"].contains(&kind.as_str());
            if !always && !wakes.contains(&kind) {
                wakes.push(kind);
            }
        }
        let wait = decision.wake.at.duration_since(world_now);
        if wait < SignedDuration::from_mins(10) {
            wakes.push(format!("{} s", wait.as_secs()));
        }
        if wakes.is_empty() { "-".to_owned() } else { wakes.join(", ") }
    };
    [step.to_owned(), reason.to_owned(), wakes]
}

/// One table; neighbours with the same outcome share a row.
fn rows(head: &str, rows: &[(String, String, Decision)]) -> String {
    let now = crate::world::t0();
    let mut merged: Vec<(String, Vec<String>, [String; 3])> = Vec::new();
    for (phase, holder, decision) in rows {
        let cells = cells(decision, now);
        match merged.iter_mut().find(|(p, _, c)| p == phase && *c == cells) {
            Some((_, holders, _)) => holders.push(holder.clone()),
            None => merged.push((phase.clone(), vec![holder.clone()], cells)),
        }
    }
    let mut text = format!("{head}\n|---|---|---|---|---|\n");
    for (phase, holders, [step, reason, wakes]) in merged {
        writeln!(text, "| {phase} | {} | {step} | {reason} | {wakes} |", holders.join("; ")).unwrap();
    }
    text
}

fn lives() -> [(&'static str, MaasMachine, bool); 4] {
    [
        ("Before it is provisioned", with_host(), false),
        ("Provisioned", provisioned(), false),
        ("Deleted before it was provisioned", with_host(), true),
        ("Deleted when provisioned", provisioned(), true),
    ]
}

fn document() -> String {
    let mut text = String::from(
        "# The machine table\n\nWhat is done with the host that a MaasMachine names, by the host's phase and by who holds it in MAAS. `-` is nothing: it is \
         waited. Wakes that every\nmachine has (its objects, the region) are not repeated; at the latest it is looked at again after ten minutes. The text is \
         written by a test, which fails when plan and table differ.\n",
    );
    for (title, object, deleting) in lives() {
        let mut all = Vec::new();
        for phase in PHASES {
            for (name, holder) in holders() {
                all.push((format!("{phase:?}"), name.to_owned(), decide(&object, view(phase, &holder), deleting)));
            }
        }
        write!(text, "\n## {title}\n\n{}", rows("| phase | held by | step | Ready | wakes |", &all)).unwrap();
    }

    let mut all = Vec::new();
    for (title, object, deleting) in lives() {
        for phase in PHASES {
            let locked = HostView { locked: true, ..view(phase, &Holder::Us(Some(token()))) };
            all.push((title.to_owned(), format!("{phase:?}"), decide(&object, locked, deleting)));
        }
    }
    let locked = rows("| machine | phase, held by us with our mark | step | Ready | wakes |", &all);
    write!(text, "\n## Locked by an operator\n\n{locked}").unwrap();

    let mut all = Vec::new();
    for (when, policy, in_memory) in [
        ("spec.power.whenOff Report", WhenOff::Report, false),
        ("spec.power.whenOff TurnOn", WhenOff::TurnOn, false),
        ("deployed into memory", WhenOff::TurnOn, true),
    ] {
        for power in [Power::On, Power::Off, Power::Unknown, Power::Error] {
            let mut object = provisioned();
            object.spec.power = Some(PowerPolicy { when_off: policy, ..PowerPolicy::default() });
            let view = HostView { power, in_memory, ..view(HostPhase::Deployed, &Holder::Us(Some(token()))) };
            all.push((when.to_owned(), format!("{power:?}"), decide(&object, view, false)));
        }
    }
    let power = rows("| provisioned | power | step | Ready | wakes |", &all);
    write!(text, "\n## Power of a Deployed machine that is ours\n\n{power}").unwrap();
    text
}

/// W-14
#[test]
fn the_machine_table_in_the_documentation_is_what_the_plan_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/plan/machine_table.md");
    let text = document();
    if std::env::var_os("CAPMAAS_WRITE_TABLE").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    let first = text.lines().zip(written.lines()).find(|(new, old)| new != old);
    assert!(
        text == written,
        "src/plan/machine_table.md differs; look at it, then CAPMAAS_WRITE_TABLE=1 writes it: {first:?}"
    );
}

/// Nothing is done to a host that is not proven to be ours, whatever the machine's state: the table, read the other way.
/// W-01, W-04
#[test]
fn no_cell_of_the_table_touches_a_host_that_somebody_else_holds() {
    for (title, object, deleting) in lives() {
        for phase in PHASES {
            for holder in [Holder::Nobody, Holder::Us(Some(Token::mint("uid-other"))), Holder::Other("bob".to_owned())]
            {
                let decision = decide(&object, view(phase, &holder), deleting);
                let step = decision.next.map(|step| step.kind());
                use capmaas_reconcile::decision::StepKind::{DropFinalizer, WriteSpec};
                assert!(
                    matches!(step, None | Some(WriteSpec | DropFinalizer)),
                    "{title} {phase:?} {holder:?}: {step:?}"
                );
            }
        }
    }
}
