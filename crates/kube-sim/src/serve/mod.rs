//! Requests in, answers out: routing over [`State`], then the in-process and HTTPS shells.

mod json;
mod path;
mod route;
mod service;
mod tls;

pub(crate) use route::{Answer, Label, Raw, handle};
pub use service::ResponseBody;
pub use tls::{ADMIN_TOKEN, Certificates, ServerIdentity, TlsError, kubeconfig, serve_tls};

/// The Kubernetes version served (kube 5 asks for 1.33 or later).
pub(crate) const VERSION: &str = "v1.33.0";
