//! The cases, a file per area.

mod access;
mod apply;
mod create;
mod definitions;
mod delete;
mod discovery;
mod dry_run;
mod events;
mod garbage;
mod leases;
mod namespaces;
mod nodes;
mod ours;
mod patch;
mod present;
mod read;
mod rules;
mod schema;
mod secrets;
mod select;
mod status;
mod strategic;
mod update;
mod watch;

use super::Area;

/// All areas, in the order in which they are played.
pub static AREAS: [Area; 24] = [
    Area { name: "create", cases: create::CASES },
    Area { name: "read", cases: read::CASES },
    Area { name: "select", cases: select::CASES },
    Area { name: "present", cases: present::CASES },
    Area { name: "watch", cases: watch::CASES },
    Area { name: "update", cases: update::CASES },
    Area { name: "patch", cases: patch::CASES },
    Area { name: "apply", cases: apply::CASES },
    Area { name: "strategic", cases: strategic::CASES },
    Area { name: "status", cases: status::CASES },
    Area { name: "delete", cases: delete::CASES },
    Area { name: "garbage", cases: garbage::CASES },
    Area { name: "namespaces", cases: namespaces::CASES },
    Area { name: "definitions", cases: definitions::CASES },
    Area { name: "schema", cases: schema::CASES },
    Area { name: "rules", cases: rules::CASES },
    Area { name: "ours", cases: ours::CASES },
    Area { name: "secrets", cases: secrets::CASES },
    Area { name: "events", cases: events::CASES },
    Area { name: "leases", cases: leases::CASES },
    Area { name: "nodes", cases: nodes::CASES },
    Area { name: "access", cases: access::CASES },
    Area { name: "dry-run", cases: dry_run::CASES },
    Area { name: "discovery", cases: discovery::CASES },
];

/// `"it is so" => script, …` as a list of cases.
macro_rules! cases {
    ($($name:literal => $script:path),* $(,)?) => {
        pub(super) const CASES: &[$crate::conformance::Case] =
            &[$($crate::conformance::Case { name: $name, script: |session| Box::pin($script(session)) }),*];
    };
}
use cases;
