//! The plans: what is seen and the time → what to do, say and wait for. Pure.

pub mod cluster;
mod draft;
pub mod machine;
pub mod remediation;
pub mod template;
