//! HostPhase × holder × provisioned × deleted → step and reason of Ready. The whole table, one cell each.

use capi_types::MaasMachine;
use capmaas_reconcile::host::{Holder, HostPhase, HostView, Power};
use capmaas_reconcile::names::Token;

use super::{in_short, node, planned, provisioned, seen, table, token, with_host};

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

fn all(object: &MaasMachine, deleting: bool) -> String {
    let columns = holders().map(|(head, _)| head);
    let cell = |phase, holder: &Holder| {
        let mut world = seen(object.clone(), view(phase, holder));
        if deleting {
            world.delete("m0");
        }
        in_short(&planned(&world))
    };
    let rows =
        PHASES.map(|phase| (format!("{phase:?}"), holders().iter().map(|(_, holder)| cell(phase, holder)).collect()));
    table(&columns, &rows)
}

#[test]
fn what_is_done_with_a_host_before_the_machine_is_provisioned() {
    assert_eq!(all(&with_host(), false), r"
              | nobody       | us, our mark                      | us, no mark            | us, another mark | another user
Free          | NoSystemId - | NoSystemId -                      | NoSystemId -           | NoSystemId -     | NoSystemId -
Claimed       | NoSystemId - | Deploy MachineDeployStartedReason | Mark Claiming          | NoSystemId -     | NoSystemId -
Deploying     | NoSystemId - | - MachineDeploying                | - AdoptionRequired     | NoSystemId -     | NoSystemId -
Deployed      | NoSystemId - | ProviderId -                      | - AdoptionRequired     | NoSystemId -     | NoSystemId -
DeployFailed  | NoSystemId - | Release MachineDeployFailed       | - AdoptionRequired     | NoSystemId -     | NoSystemId -
Releasing     | NoSystemId - | - Releasing                       | - Releasing            | NoSystemId -     | NoSystemId -
ReleaseFailed | NoSystemId - | - OperatorHoldsMachine            | - AdoptionRequired     | NoSystemId -     | NoSystemId -
Broken        | NoSystemId - | - OperatorHoldsMachine            | - OperatorHoldsMachine | NoSystemId -     | NoSystemId -
Operator      | NoSystemId - | - OperatorHoldsMachine            | - OperatorHoldsMachine | NoSystemId -     | NoSystemId -
Unknown       | NoSystemId - | - OperatorHoldsMachine            | - OperatorHoldsMachine | NoSystemId -     | NoSystemId -
".trim_matches('\n'));
}

#[test]
fn what_is_done_with_the_host_of_a_provisioned_machine() {
    assert_eq!(all(&provisioned(), false), r"
              | nobody                    | us, our mark              | us, no mark               | us, another mark          | another user
Free          | - MachineTerminatedReason | - MachineTerminatedReason | - MachineTerminatedReason | - MachineTerminatedReason | - MachineTerminatedReason
Claimed       | - MachineTerminatedReason | - MachineTerminatedReason | - MachineTerminatedReason | - MachineTerminatedReason | - MachineTerminatedReason
Deploying     | - MachineTerminatedReason | - OperatorHoldsMachine    | TakeOver -                | - MachineTerminatedReason | - MachineTerminatedReason
Deployed      | - MachineTerminatedReason | - Ready                   | TakeOver -                | - MachineTerminatedReason | - MachineTerminatedReason
DeployFailed  | - MachineTerminatedReason | - MachineTerminatedReason | - MachineTerminatedReason | - MachineTerminatedReason | - MachineTerminatedReason
Releasing     | - MachineTerminatedReason | - MachineTerminatedReason | - MachineTerminatedReason | - MachineTerminatedReason | - MachineTerminatedReason
ReleaseFailed | - MachineTerminatedReason | - MachineTerminatedReason | - MachineTerminatedReason | - MachineTerminatedReason | - MachineTerminatedReason
Broken        | - MachineTerminatedReason | - OperatorHoldsMachine    | - OperatorHoldsMachine    | - MachineTerminatedReason | - MachineTerminatedReason
Operator      | - MachineTerminatedReason | - OperatorHoldsMachine    | - OperatorHoldsMachine    | - MachineTerminatedReason | - MachineTerminatedReason
Unknown       | - MachineTerminatedReason | - OperatorHoldsMachine    | - OperatorHoldsMachine    | - MachineTerminatedReason | - MachineTerminatedReason
".trim_matches('\n'));
}

#[test]
fn what_is_done_with_a_host_when_a_machine_is_deleted_before_it_was_provisioned() {
    assert_eq!(all(&with_host(), true), r"
              | nobody                 | us, our mark           | us, no mark            | us, another mark       | another user
Free          | DropFinalizer Deleting | DropFinalizer Deleting | DropFinalizer Deleting | DropFinalizer Deleting | DropFinalizer Deleting
Claimed       | DropFinalizer Deleting | Release Releasing      | Mark Deleting          | DropFinalizer Deleting | DropFinalizer Deleting
Deploying     | DropFinalizer Deleting | Release Releasing      | - AdoptionRequired     | DropFinalizer Deleting | DropFinalizer Deleting
Deployed      | DropFinalizer Deleting | Release Releasing      | - AdoptionRequired     | DropFinalizer Deleting | DropFinalizer Deleting
DeployFailed  | DropFinalizer Deleting | Release Releasing      | - AdoptionRequired     | DropFinalizer Deleting | DropFinalizer Deleting
Releasing     | DropFinalizer Deleting | - Releasing            | - Releasing            | DropFinalizer Deleting | DropFinalizer Deleting
ReleaseFailed | DropFinalizer Deleting | Release Releasing      | - AdoptionRequired     | DropFinalizer Deleting | DropFinalizer Deleting
Broken        | DropFinalizer Deleting | - ReleaseBlocked       | - AdoptionRequired     | DropFinalizer Deleting | DropFinalizer Deleting
Operator      | DropFinalizer Deleting | - ReleaseBlocked       | - AdoptionRequired     | DropFinalizer Deleting | DropFinalizer Deleting
Unknown       | DropFinalizer Deleting | - ReleaseBlocked       | - AdoptionRequired     | DropFinalizer Deleting | DropFinalizer Deleting
".trim_matches('\n'));
}

#[test]
fn what_is_done_with_the_host_of_a_provisioned_machine_that_is_deleted() {
    assert_eq!(all(&provisioned(), true), r"
              | nobody                 | us, our mark           | us, no mark            | us, another mark       | another user
Free          | DropFinalizer Deleting | DropFinalizer Deleting | DropFinalizer Deleting | DropFinalizer Deleting | DropFinalizer Deleting
Claimed       | DropFinalizer Deleting | Release Releasing      | Mark Deleting          | DropFinalizer Deleting | DropFinalizer Deleting
Deploying     | DropFinalizer Deleting | Release Releasing      | TakeOver Deleting      | DropFinalizer Deleting | DropFinalizer Deleting
Deployed      | DropFinalizer Deleting | Release Releasing      | TakeOver Deleting      | DropFinalizer Deleting | DropFinalizer Deleting
DeployFailed  | DropFinalizer Deleting | Release Releasing      | - AdoptionRequired     | DropFinalizer Deleting | DropFinalizer Deleting
Releasing     | DropFinalizer Deleting | - Releasing            | - Releasing            | DropFinalizer Deleting | DropFinalizer Deleting
ReleaseFailed | DropFinalizer Deleting | Release Releasing      | - AdoptionRequired     | DropFinalizer Deleting | DropFinalizer Deleting
Broken        | DropFinalizer Deleting | - ReleaseBlocked       | - AdoptionRequired     | DropFinalizer Deleting | DropFinalizer Deleting
Operator      | DropFinalizer Deleting | - ReleaseBlocked       | - AdoptionRequired     | DropFinalizer Deleting | DropFinalizer Deleting
Unknown       | DropFinalizer Deleting | - ReleaseBlocked       | - AdoptionRequired     | DropFinalizer Deleting | DropFinalizer Deleting
".trim_matches('\n'));
}
