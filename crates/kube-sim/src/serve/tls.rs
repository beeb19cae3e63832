//! The HTTPS shell: HTTP/1.1 over rustls, bearer tokens, certificates and kubeconfigs.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::Service;

use super::route::unauthorized;
use super::service::{ResponseBody, plain};
use crate::KubeSim;

/// The token every server takes: who reaches the loopback port of a sandbox may do everything.
pub const ADMIN_TOKEN: &str = "kube-sim-admin";

/// What can go wrong with certificates and keys.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate could not be made.
    #[error("making a certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// PEM text could not be read.
    #[error("reading PEM: {0}")]
    Pem(#[from] rustls_pki_types::pem::Error),
    /// rustls refused the certificate or the key.
    #[error("TLS set-up: {0}")]
    Rustls(#[from] rustls::Error),
}

impl TlsError {
    /// Which step failed: `generate`, `pem` or `rustls`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Generate(_) => "generate",
            Self::Pem(_) => "pem",
            Self::Rustls(_) => "rustls",
        }
    }
}

/// An authority of our own and a server certificate it signed, all as PEM.
#[derive(Clone)]
pub struct Certificates {
    /// The authority: what clients trust.
    pub ca_pem: String,
    /// Key of the authority, e.g. for a `<cluster>-ca` Secret.
    pub ca_key_pem: String,
    /// The server's certificate.
    pub cert_pem: String,
    /// The server's key.
    pub key_pem: String,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates").field("ca_pem", &self.ca_pem).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Makes both for a server known under these DNS names and IP addresses.
    pub fn generate<S: AsRef<str>>(names: &[S]) -> Result<Self, TlsError> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name.push(DnType::CommonName, "kube-sim-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let ca_key = KeyPair::generate()?;
        let ca = params.self_signed(&ca_key)?;
        let (ca_pem, ca_key_pem) = (ca.pem(), ca_key.serialize_pem());
        let issuer = Issuer::new(params, ca_key);

        let names: Vec<String> = names.iter().map(|n| n.as_ref().to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "kube-sim");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &issuer)?;
        Ok(Self { ca_pem, ca_key_pem, cert_pem: cert.pem(), key_pem: key.serialize_pem() })
    }

    /// What [`serve_tls`] needs, with the [`ADMIN_TOKEN`] allowed.
    pub fn identity(&self) -> Result<ServerIdentity, TlsError> {
        ServerIdentity::from_pem(&self.cert_pem, &self.key_pem)
    }
}

/// Certificate, key and accepted tokens of one server.
#[derive(Clone)]
pub struct ServerIdentity {
    config: Arc<rustls::ServerConfig>,
    tokens: BTreeSet<String>,
}

impl std::fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerIdentity").field("tokens", &self.tokens.len()).finish_non_exhaustive()
    }
}

impl ServerIdentity {
    /// From a certificate chain and its key.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), tokens: BTreeSet::from([ADMIN_TOKEN.to_owned()]) })
    }

    /// Accepts one more bearer token.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.tokens.insert(token.into());
        self
    }
}

/// Serves until the listener fails; dropping the future ends all its connections.
pub async fn serve_tls(listener: TcpListener, sim: KubeSim, tls: ServerIdentity) -> std::io::Result<()> {
    let acceptor = TlsAcceptor::from(tls.config);
    let tokens = Arc::new(tls.tokens);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                connections.spawn(connection(acceptor.clone(), stream, sim.clone(), tokens.clone()));
            }
        }
    }
}

async fn connection(acceptor: TlsAcceptor, stream: TcpStream, sim: KubeSim, tokens: Arc<BTreeSet<String>>) {
    let _ = stream.set_nodelay(true);
    let stream = match acceptor.accept(stream).await {
        Ok(s) => s,
        Err(e) => return tracing::debug!(error = %e, "TLS handshake"),
    };
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (mut sim, allowed) = (sim.clone(), allowed(&request, &tokens));
        async move {
            if allowed {
                sim.call(request).await
            } else {
                Ok::<Response<ResponseBody>, Infallible>(plain(
                    401,
                    "application/json",
                    Bytes::from(unauthorized().to_string()),
                ))
            }
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(e) = served {
        tracing::debug!(error = %e, "connection");
    }
}

fn allowed(request: &Request<Incoming>, tokens: &BTreeSet<String>) -> bool {
    // As in Kubernetes, health and version are open to everybody.
    if matches!(request.uri().path().split('/').nth(1), Some("healthz" | "readyz" | "livez" | "version")) {
        return true;
    }
    let token = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Bearer "));
    token.is_some_and(|t| tokens.contains(t.trim()))
}

/// A kubeconfig (YAML) for one server, with its authority inline and a bearer token.
///
/// ```
/// let text = kube_sim::kubeconfig("https://127.0.0.1:6443", "-----BEGIN CERTIFICATE-----", kube_sim::ADMIN_TOKEN);
/// assert!(text.contains("server: \"https://127.0.0.1:6443\""));
/// ```
pub fn kubeconfig(server_url: &str, ca_pem: &str, token: &str) -> String {
    use base64::Engine as _;
    let ca = base64::engine::general_purpose::STANDARD.encode(ca_pem);
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: kube-sim\nclusters:\n- name: kube-sim\n  cluster:\n    server: \"{server_url}\"\n    certificate-authority-data: {ca}\ncontexts:\n- name: kube-sim\n  context:\n    cluster: kube-sim\n    user: admin\nusers:\n- name: admin\n  user:\n    token: \"{token}\"\n"
    )
}
