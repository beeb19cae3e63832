//! The only readers. Each updates the stores and reports topics; none decides anything.

pub(crate) mod credentials;
pub(crate) mod leftovers;
pub(crate) mod objects;
pub(crate) mod region;
pub(crate) mod workloads;
