//! All operations of the REST API 2.0 of MAAS 3.4 to 3.8, as data: name, verb, path, parameters, what
//! comes back, deadline class, whether sending twice is safe, and which versions have it.
//!
//! Retries, deadlines and error classification read this table; nothing else decides them. Typed
//! methods are made of its rows, and what has no typed method is called by its row all the same:
//! [`crate::Client::call`].
//!
//! A parameter that ends in `!` is documented as required; `*` stands for the filters of
//! [`crate::MachineFilter`]; `{param}` and `key` for names the caller chooses. MAAS's documentation is
//! wrong at times in both directions, so this list is help for people and not enforced.

use http::Method;

macro_rules! operations {
    ($($konst:ident = $name:literal, $method:ident $path:literal $(? $op:literal)?,
        $class:ident, $effect:ident, $returns:ident
        $(, since ($since_major:literal, $since_minor:literal))?
        $(, until ($until_major:literal, $until_minor:literal))?
        $([$($parameter:literal),+ $(,)?])?;)+) => {
        $(
            #[doc = concat!("`", stringify!($method), " ", $path, $("?op=", $op,)? "`")]
            $(#[doc = concat!("\n\nSince MAAS ", $since_major, ".", $since_minor, ".")])?
            $(#[doc = concat!("\n\nUp to MAAS ", $until_major, ".", $until_minor, ".")])?
            $(#[doc = concat!("\n\nParameters: ", $("`", $parameter, "` ",)+)])?
            pub const $konst: $crate::operation::Operation = $crate::operation::Operation {
                name: $name,
                method: http::Method::$method,
                path: $path,
                op: operations!(@option $($op)?),
                parameters: &[$($($parameter),+)?],
                returns: $crate::operation::Returns::$returns,
                class: $crate::operation::CallClass::$class,
                effect: $crate::operation::Effect::$effect,
                since: operations!(@option $(($since_major, $since_minor))?),
                until: operations!(@option $(($until_major, $until_minor))?),
            };
        )+

        pub(super) const TABLE: &[&$crate::operation::Operation] = &[$(&$konst,)+];
    };
    (@option $value:expr) => { Some($value) };
    (@option) => { None };
}

mod network;
mod nodes;
mod region;

pub use network::*;
pub use nodes::*;
pub use region::*;

/// Which deadline a call gets (fact sheet §9.5, [`crate::Deadlines`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallClass {
    /// Version, whoami, one object, short lists.
    Read,
    /// A list; the machine list is the most expensive call MAAS has.
    List,
    /// Allocation: the server itself may retry for 90 s.
    Allocate,
    /// Deployment, composing a VM.
    Deploy,
    /// Calls that wait for a BMC or a host inside the request: release, power, abort, commission.
    Power,
    /// The question for the present power state, which MAAS itself cuts at 60 s.
    PowerQuery,
    /// Annotations, DNS, tags, updates.
    Write,
    /// A chunk of an image or another file.
    Upload,
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

/// What a successful answer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Returns {
    /// JSON.
    Json,
    /// JSON, or the word `null` where there was nothing to do.
    Maybe,
    /// Nothing.
    Nothing,
    /// Plain text.
    Text,
    /// Bytes: a file, BSON.
    Bytes,
}

/// One operation of the REST API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Name for people and spans, e.g. `machines.allocate`; unique.
    pub name: &'static str,
    /// HTTP verb.
    pub method: Method,
    /// Path under `/MAAS/api/2.0/`; each `{}` stands for an id.
    pub path: &'static str,
    /// Value of `?op=`, if any.
    pub op: Option<&'static str>,
    /// Parameters MAAS documents.
    pub parameters: &'static [&'static str],
    /// What comes back.
    pub returns: Returns,
    /// Deadline class.
    pub class: CallClass,
    /// Whether sending it twice is safe.
    pub effect: Effect,
    /// First version that has it, as major and minor; none for all since 3.4.
    pub since: Option<(u32, u32)>,
    /// Last version that has it; none while it is still there.
    pub until: Option<(u32, u32)>,
}

impl Operation {
    /// Finds an operation by its name.
    ///
    /// ```
    /// let operation = maas_client::operation::Operation::by_name("machines.allocate").unwrap();
    /// assert_eq!(operation, &maas_client::operation::MACHINES_ALLOCATE);
    /// ```
    pub fn by_name(name: &str) -> Option<&'static Self> {
        all().find(|operation| operation.name == name)
    }

    /// Whether the call changes something in MAAS.
    pub fn is_write(&self) -> bool {
        self.effect != Effect::Read
    }

    /// How many ids the path takes.
    pub fn ids(&self) -> usize {
        self.path.matches("{}").count()
    }

    /// Whether a MAAS of this version has it.
    pub fn exists_in(&self, version: (u32, u32)) -> bool {
        self.since.is_none_or(|since| since <= version) && self.until.is_none_or(|until| version <= until)
    }

    /// The path with these ids in place of its `{}`, in order.
    pub(crate) fn path_for(&self, ids: &[String]) -> String {
        let mut path = String::with_capacity(self.path.len() + 16);
        let mut ids = ids.iter();
        for (index, part) in self.path.split("{}").enumerate() {
            if index > 0 {
                let id = ids.next().map_or("", String::as_str);
                path.extend(percent_encoding::utf8_percent_encode(id, crate::form::UNRESERVED));
            }
            path.push_str(part);
        }
        path
    }
}

/// Every operation this crate can call.
pub fn all() -> impl Iterator<Item = &'static Operation> {
    [nodes::TABLE, network::TABLE, region::TABLE].into_iter().flatten().copied()
}
