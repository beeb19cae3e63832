//! The built-in transport: pooled HTTP/1.1 over hyper, TLS by rustls with ring, proxies.
//!
//! A connection error is wrapped in [`NotSent`], the one thing that makes repeating a write safe.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Uri, header};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret as _, SecretSlice};
use tokio::net::TcpStream;
use tower::ServiceExt as _;
use tower::timeout::Timeout;
use tower::util::BoxCloneSyncService;

use crate::base_url::BaseUrl;
use crate::client::BuildError;
use crate::transport::{BoxError, NotSent, RequestBody, Transport, erase};

/// Below nginx's keep-alive of 65 s, so that we close idle connections before it does.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// Where to look for a proxy.
pub(crate) enum Proxy {
    /// HTTP_PROXY, HTTPS_PROXY, NO_PROXY, read once when the client is built.
    Environment,
    None,
    Url(String),
}

/// Whom to trust, and what to show.
#[derive(Default)]
pub(crate) struct Trust {
    /// Instead of the system's authorities.
    pub(crate) ca_pem: Option<Vec<u8>>,
    /// Certificate chain and its key.
    pub(crate) identity_pem: Option<(Vec<u8>, SecretSlice<u8>)>,
}

type Connector = BoxCloneSyncService<Uri, Link, BoxError>;

pub(crate) fn transport(
    base: &BaseUrl,
    trust: &Trust,
    proxy: &Proxy,
    connect_timeout: Duration,
) -> Result<Transport, BuildError> {
    let uri: Uri = base.as_str().parse().map_err(|fault| BuildError::Proxy(format!("{fault}")))?;
    let proxy = match proxy {
        Proxy::Environment => Matcher::from_env().intercept(&uri),
        Proxy::None => None,
        Proxy::Url(url) => {
            let found = Matcher::builder().all(url.as_str()).build().intercept(&uri);
            Some(found.ok_or_else(|| BuildError::Proxy("it is not a URL".to_owned()))?)
        }
    };
    if let Some(proxy) = &proxy
        && proxy.uri().scheme_str() != Some("http")
    {
        return Err(BuildError::Proxy("only http:// proxies are supported".to_owned()));
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let mut proxy_auth = None;
    let connector: Connector = if base.is_https() {
        let tls = HttpsConnectorBuilder::new().with_tls_config(tls_config(trust)?).https_only().enable_http1();
        match &proxy {
            None => boxed(Timeout::new(tls.wrap_connector(tcp), connect_timeout), Link::tls),
            Some(proxy) => {
                let tunnel = Tunnel::new(proxy.uri().clone(), tcp);
                let tunnel = match proxy.basic_auth() {
                    Some(auth) => tunnel.with_auth(auth.clone()),
                    None => tunnel,
                };
                boxed(Timeout::new(tls.wrap_connector(tunnel), connect_timeout), Link::tls)
            }
        }
    } else {
        match &proxy {
            None => boxed(Timeout::new(tcp, connect_timeout), Link::Plain),
            Some(proxy) => {
                // no CONNECT for plain http: many proxies allow it for port 443 only
                proxy_auth = sensitive(proxy);
                let at = proxy.uri().clone();
                let forward = tcp.map_request(move |_: Uri| at.clone());
                boxed(Timeout::new(forward, connect_timeout), Link::Forward)
            }
        }
    };
    let client = legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .build::<_, RequestBody>(connector);
    Ok(erase(
        client
            .map_request(move |mut request: http::Request<RequestBody>| {
                if let Some(auth) = &proxy_auth {
                    request.headers_mut().insert(header::PROXY_AUTHORIZATION, auth.clone());
                }
                request
            })
            .map_err(|error: legacy::Error| -> BoxError {
                if error.is_connect() { NotSent(error.into()).into() } else { error.into() }
            }),
    ))
}

fn sensitive(proxy: &Intercept) -> Option<HeaderValue> {
    let mut value = proxy.basic_auth()?.clone();
    value.set_sensitive(true);
    Some(value)
}

/// The crypto provider is named, never taken from the process: a program may have linked two.
fn tls_config(trust: &Trust) -> Result<rustls::ClientConfig, BuildError> {
    let fault = |fault: &dyn std::fmt::Display| BuildError::Tls(fault.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| fault(&error))?;
    let builder = match &trust.ca_pem {
        Some(pem) => builder.with_root_certificates(authorities(pem)?),
        None => {
            use hyper_rustls::ConfigBuilderExt as _;
            builder.with_native_roots().map_err(|error| fault(&error))?
        }
    };
    let Some((certificate, key)) = &trust.identity_pem else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(certificate, "the client certificate")?;
    // what the parser says about a key might quote it
    let key = PrivateKeyDer::from_pem_slice(key.expose_secret())
        .map_err(|_| BuildError::Tls("the key of the client certificate is no PEM key".to_owned()))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| fault(&format_args!("the client certificate: {error}")))
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| BuildError::Tls(format!("{what}: {error}")))?;
    if chain.is_empty() { Err(BuildError::Tls(format!("{what} contains no certificate"))) } else { Ok(chain) }
}

fn authorities(pem: &[u8]) -> Result<rustls::RootCertStore, BuildError> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(pem, "the CA file")? {
        roots.add(certificate).map_err(|error| BuildError::Tls(format!("the CA file: {error}")))?;
    }
    Ok(roots)
}

fn boxed<S>(connector: Timeout<S>, link: fn(S::Response) -> Link) -> Connector
where
    S: tower::Service<Uri> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    S::Response: 'static,
{
    BoxCloneSyncService::new(connector.map_response(link).map_err(|error: BoxError| -> BoxError {
        if error.is::<tower::timeout::error::Elapsed>() {
            "no connection within the connect timeout".into()
        } else {
            error
        }
    }))
}

/// A connection of one of our three kinds.
enum Link {
    Plain(TokioIo<TcpStream>),
    /// To a proxy that is told the whole URL in the request line.
    Forward(TokioIo<TcpStream>),
    Tls(Box<MaybeHttpsStream<TokioIo<TcpStream>>>),
}

impl Link {
    fn tls(stream: MaybeHttpsStream<TokioIo<TcpStream>>) -> Self {
        Self::Tls(Box::new(stream))
    }
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        match self {
            Self::Plain(tcp) => tcp.connected(),
            Self::Forward(tcp) => tcp.connected().proxy(true),
            Self::Tls(tls) => tls.connected(),
        }
    }
}

impl Read for Link {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) | Self::Forward(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl Write for Link {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) | Self::Forward(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) | Self::Forward(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) | Self::Forward(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
