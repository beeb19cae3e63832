//! The calls this crate knows, as data: name, verb, path, deadline class and whether sending twice
//! is safe. Retries, deadlines and error classification read it; nothing else decides them.

use http::Method;

/// Which deadline a call gets (fact sheet §9.5, [`crate::Deadlines`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallClass {
    /// Version, whoami, one object.
    Read,
    /// A list; the machine list is the most expensive call MAAS has.
    List,
    /// Allocation: the server itself may retry for 90 s.
    Allocate,
    /// Deployment.
    Deploy,
    /// Calls that wait for a BMC inside the request: release, power, abort.
    Power,
    /// The question for the present power state, which MAAS itself cuts at 60 s.
    PowerQuery,
    /// Annotations, DNS, tags, updates.
    Write,
}

/// What sending a call a second time would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Changes nothing: may be repeated after any transient failure.
    Read,
    /// Sets a state: a repetition ends in the same state (release, power, annotations, DNS update).
    Converging,
    /// A repetition may act twice or be refused because the first one worked (allocate, deploy,
    /// create): repeated only where MAAS proves that it rolled back.
    Once,
}

/// One operation of the REST API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Name for people and spans, e.g. `machines.allocate`.
    pub name: &'static str,
    /// HTTP verb.
    pub method: Method,
    /// Path under `/MAAS/api/2.0/`; `{}` stands for the id.
    pub path: &'static str,
    /// Value of `?op=`, if any.
    pub op: Option<&'static str>,
    /// Deadline class.
    pub class: CallClass,
    /// Whether sending it twice is safe.
    pub effect: Effect,
}

impl Operation {
    /// Whether the call changes something in MAAS.
    pub fn is_write(&self) -> bool {
        self.effect != Effect::Read
    }

    /// The path with these ids in place of its `{}`, in order.
    pub(crate) fn path_for(&self, ids: &[String]) -> String {
        ids.iter().fold(self.path.to_owned(), |path, id| {
            let id = percent_encoding::utf8_percent_encode(id, crate::form::UNRESERVED).to_string();
            path.replacen("{}", &id, 1)
        })
    }
}

macro_rules! operations {
    ($($(#[$doc:meta])* $konst:ident = $name:literal, $method:ident $path:literal $(? $op:literal)?,
        $class:ident, $effect:ident;)+) => {
        $($(#[$doc])* pub const $konst: Operation = Operation {
            name: $name,
            method: Method::$method,
            path: $path,
            op: operations!(@op $($op)?),
            class: CallClass::$class,
            effect: Effect::$effect,
        };)+

        /// Every operation with a typed method in this crate.
        pub const ALL: &[&Operation] = &[$(&$konst,)+];
    };
    (@op $op:literal) => { Some($op) };
    (@op) => { None };
}

operations! {
    /// `GET machines/`
    MACHINES_LIST = "machines.list", GET "machines/", List, Read;
    /// `POST machines/?op=allocate`
    MACHINES_ALLOCATE = "machines.allocate", POST "machines/" ? "allocate", Allocate, Once;
    /// `GET machines/{system_id}/`
    MACHINE_READ = "machine.read", GET "machines/{}/", Read, Read;
    /// `PUT machines/{system_id}/`
    MACHINE_UPDATE = "machine.update", PUT "machines/{}/", Write, Converging;
    /// `POST machines/{system_id}/?op=deploy`
    MACHINE_DEPLOY = "machine.deploy", POST "machines/{}/" ? "deploy", Deploy, Once;
    /// `POST machines/{system_id}/?op=release`: Ready and Releasing answer 200 as well.
    MACHINE_RELEASE = "machine.release", POST "machines/{}/" ? "release", Power, Converging;
    /// `POST machines/{system_id}/?op=power_on`: in Allocated it starts a deployment.
    MACHINE_POWER_ON = "machine.power_on", POST "machines/{}/" ? "power_on", Power, Once;
    /// `POST machines/{system_id}/?op=power_off`
    MACHINE_POWER_OFF = "machine.power_off", POST "machines/{}/" ? "power_off", Power, Converging;
    /// `GET machines/{system_id}/?op=query_power_state`
    MACHINE_QUERY_POWER = "machine.query_power_state", GET "machines/{}/" ? "query_power_state", PowerQuery, Read;
    /// `POST machines/{system_id}/?op=set_owner_data`, the name every MAAS since 2.x knows.
    MACHINE_SET_OWNER_DATA = "machine.set_owner_data", POST "machines/{}/" ? "set_owner_data", Write, Converging;
    /// `POST machines/{system_id}/?op=mark_broken`
    MACHINE_MARK_BROKEN = "machine.mark_broken", POST "machines/{}/" ? "mark_broken", Write, Once;
    /// `POST machines/{system_id}/?op=mark_fixed`
    MACHINE_MARK_FIXED = "machine.mark_fixed", POST "machines/{}/" ? "mark_fixed", Write, Once;
    /// `POST machines/{system_id}/?op=lock`
    MACHINE_LOCK = "machine.lock", POST "machines/{}/" ? "lock", Write, Once;
    /// `POST machines/{system_id}/?op=unlock`
    MACHINE_UNLOCK = "machine.unlock", POST "machines/{}/" ? "unlock", Write, Once;
    /// `POST machines/{system_id}/?op=abort`
    MACHINE_ABORT = "machine.abort", POST "machines/{}/" ? "abort", Power, Once;
    /// `GET dnsresources/`
    DNS_LIST = "dnsresources.list", GET "dnsresources/", Read, Read;
    /// `POST dnsresources/`
    DNS_CREATE = "dnsresources.create", POST "dnsresources/", Write, Once;
    /// `GET dnsresources/{id}/`
    DNS_READ = "dnsresource.read", GET "dnsresources/{}/", Read, Read;
    /// `PUT dnsresources/{id}/`
    DNS_UPDATE = "dnsresource.update", PUT "dnsresources/{}/", Write, Converging;
    /// `DELETE dnsresources/{id}/`
    DNS_DELETE = "dnsresource.delete", DELETE "dnsresources/{}/", Write, Once;
    /// `GET domains/`
    DOMAINS_LIST = "domains.list", GET "domains/", Read, Read;
    /// `GET zones/`
    ZONES_LIST = "zones.list", GET "zones/", Read, Read;
    /// `GET resourcepools/`
    POOLS_LIST = "resourcepools.list", GET "resourcepools/", Read, Read;
    /// `GET tags/`
    TAGS_LIST = "tags.list", GET "tags/", Read, Read;
    /// `POST tags/`
    TAGS_CREATE = "tags.create", POST "tags/", Write, Once;
    /// `POST tags/{name}/?op=update_nodes`
    TAG_UPDATE_NODES = "tag.update_nodes", POST "tags/{}/" ? "update_nodes", Write, Converging;
    /// `GET nodes/{system_id}/results/`
    RESULTS_LIST = "results.list", GET "nodes/{}/results/", List, Read;
    /// `GET nodes/{system_id}/results/{id}/`
    RESULTS_READ = "results.read", GET "nodes/{}/results/{}/", List, Read;
    /// `DELETE nodes/{system_id}/results/{id}/`
    RESULTS_DELETE = "results.delete", DELETE "nodes/{}/results/{}/", Write, Once;
    /// `GET boot-resources/`
    BOOT_RESOURCES_LIST = "boot-resources.list", GET "boot-resources/", List, Read;
    /// `GET version/`
    VERSION_READ = "version.read", GET "version/", Read, Read;
    /// `GET users/?op=whoami`
    USERS_WHOAMI = "users.whoami", GET "users/" ? "whoami", Read, Read;
    /// `GET events/?op=query`
    EVENTS_QUERY = "events.query", GET "events/" ? "query", List, Read;
}
