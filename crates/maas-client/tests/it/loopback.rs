//! The built-in transport over real sockets and real time.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use maas_client::{BuildError, Client, Deadlines, DeployRequest, ErrorKind, Machines as _, RetryPolicy, Zones as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const KEY: &str = "Consumer:Token:Secret";
const EMPTY_LIST: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]";

/// Reads one request and gives its head.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 1024];
        let count = stream.read(&mut chunk).await.ok()?;
        if count == 0 {
            return None;
        }
        bytes.extend_from_slice(&chunk[..count]);
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            return Some(String::from_utf8_lossy(&bytes[..end]).into_owned());
        }
    }
}

/// A server that runs `serve` on every connection, as long as the returned set lives.
async fn server<F, Fut>(serve: F) -> (SocketAddr, JoinSet<()>)
where
    F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream));
        }
    });
    (address, tasks)
}

/// A server that answers every request of every connection with this text.
async fn answering(answer: String) -> (SocketAddr, JoinSet<()>) {
    server(move |mut stream| {
        let answer = answer.clone();
        async move {
            while request(&mut stream).await.is_some() {
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

fn client(address: SocketAddr) -> Client {
    Client::builder(&format!("http://{address}/MAAS"), KEY)
        .unwrap()
        .no_proxy()
        .deadlines(Deadlines::all(Duration::from_millis(300)))
        .retry(RetryPolicy::none())
        .build()
        .unwrap()
}

/// W-31
#[tokio::test]
async fn a_body_that_stalls_hits_the_deadline() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n[";
    let (address, _server) = answering(head.to_owned()).await;
    let error = client(address).zones().list().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let id = "wt67ch".parse().unwrap();
    let error = client(address).machines().deploy(&id, &DeployRequest::default()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Timeout && error.is_ambiguous(), "{error:?}");
}

#[tokio::test]
async fn a_redirect_is_an_error_that_names_its_target_and_is_not_followed() {
    let (target, _target) = server(|_| async { panic!("followed") }).await;
    let location = format!("http://{target}/MAAS/api/2.0/zones/");
    let answer = format!("HTTP/1.1 301 Moved Permanently\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    let (address, _server) = answering(answer).await;
    let error = client(address).zones().list().await.unwrap_err();
    assert_eq!((error.kind(), error.redirect_target()), (ErrorKind::Redirect, Some(location.as_str())));
    assert!(error.to_string().contains(&location), "{error}");
}

#[tokio::test]
async fn a_refused_connection_sent_nothing_and_a_dropped_one_may_have() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let id = "wt67ch".parse().unwrap();
    let error = client(free).machines().deploy(&id, &DeployRequest::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert!(error.is_retryable() && !error.is_ambiguous(), "{error:?}");

    let (address, _server) = server(|mut stream| async move {
        request(&mut stream).await;
    })
    .await;
    let error = client(address).machines().deploy(&id, &DeployRequest::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert!(!error.is_retryable() && error.is_ambiguous(), "{error:?}");
}

/// W-33
#[tokio::test]
async fn calls_share_one_connection() {
    let (count, mut accepted) = tokio::sync::mpsc::unbounded_channel();
    let (address, _server) = server(move |mut stream| {
        count.send(()).unwrap();
        async move {
            while request(&mut stream).await.is_some() {
                stream.write_all(EMPTY_LIST.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let client = client(address);
    for _ in 0..5 {
        client.zones().list().await.unwrap();
    }
    accepted.recv().await.unwrap();
    assert!(accepted.try_recv().is_err(), "more than one connection");
}

#[tokio::test]
async fn a_proxy_gets_the_whole_url_for_http_and_the_users_password() {
    let (heads, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let (proxy, _server) = server(move |mut stream| {
        let heads = heads.clone();
        async move {
            while let Some(head) = request(&mut stream).await {
                heads.send(head).unwrap();
                stream.write_all(EMPTY_LIST.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let client = Client::builder("http://maas.invalid:5240/MAAS", KEY)
        .unwrap()
        .proxy(format!("http://user:pass@{proxy}"))
        .build()
        .unwrap();
    assert_eq!(client.zones().list().await.unwrap(), []);
    let head = seen.recv().await.unwrap();
    assert!(head.starts_with("GET http://maas.invalid:5240/MAAS/api/2.0/zones/ HTTP/1.1"), "{head}");
    assert!(head.to_lowercase().contains("proxy-authorization: basic dxnlcjpwyxnz"), "{head}");

    let error = Client::builder("http://maas:5240", KEY).unwrap().proxy("socks5://h:1080").build().unwrap_err();
    assert!(matches!(error, BuildError::Proxy(_)), "{error}");
}

/// One request over TLS: hands the stream to rustls, answers an empty list.
async fn serve_tls(config: Arc<tokio_rustls::rustls::ServerConfig>, stream: impl AsyncRead + AsyncWrite + Unpin) {
    if let Ok(mut tls) = tokio_rustls::TlsAcceptor::from(config).accept(stream).await {
        while request(&mut tls).await.is_some() {
            if tls.write_all(EMPTY_LIST.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// W-30
#[tokio::test]
async fn a_private_authority_is_trusted_only_when_given_also_through_a_tunnel() {
    let made = rcgen::generate_simple_self_signed(vec!["maas.invalid".to_owned(), "localhost".to_owned()]).unwrap();
    let pem = made.cert.pem();
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);

    let direct = config.clone();
    let (address, _server) = server(move |stream| serve_tls(direct.clone(), stream)).await;
    let url = format!("https://localhost:{}/MAAS", address.port());
    let trusting = Client::builder(&url, KEY).unwrap().no_proxy().ca_pem(pem.clone()).build().unwrap();
    assert_eq!(trusting.zones().list().await.unwrap(), []);

    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert.pem();
    let suspicious =
        Client::builder(&url, KEY).unwrap().no_proxy().ca_pem(other).retry(RetryPolicy::none()).build().unwrap();
    let error = suspicious.zones().list().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert!(!error.is_ambiguous());

    let (proxy, _proxy) = server(move |mut stream| {
        let config = config.clone();
        async move {
            let head = request(&mut stream).await.unwrap();
            assert!(head.starts_with("CONNECT maas.invalid:5443 "), "{head}");
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            serve_tls(config, stream).await;
        }
    })
    .await;
    let tunnelled = Client::builder("https://maas.invalid:5443/MAAS", KEY)
        .unwrap()
        .proxy(format!("http://{proxy}"))
        .ca_pem(pem)
        .build()
        .unwrap();
    assert_eq!(tunnelled.zones().list().await.unwrap(), []);

    let error = Client::builder(&url, KEY).unwrap().ca_pem("no certificate").build().unwrap_err();
    assert!(matches!(error, BuildError::Tls(_)), "{error}");
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_whoever_asks_for_one() {
    use tokio_rustls::rustls;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let ours = rcgen::generate_simple_self_signed(vec!["capmaas".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut known = rustls::RootCertStore::empty();
    known.add(ours.cert.der().clone()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(known), provider.clone());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let (address, _server) = server(move |stream| serve_tls(config.clone(), stream)).await;
    let url = format!("https://localhost:{}/MAAS", address.port());
    let builder = || Client::builder(&url, KEY).unwrap().no_proxy().ca_pem(made.cert.pem()).retry(RetryPolicy::none());

    let (certificate, key) = (ours.cert.pem(), ours.signing_key.serialize_pem());
    let shown = builder().identity_pem(certificate.clone(), key.clone()).build().unwrap();
    assert_eq!(shown.zones().list().await.unwrap(), []);
    let error = builder().build().unwrap().zones().list().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport, "{error:?}");

    for (certificate, secret) in [("no certificate", key.as_str()), (&certificate, "SecretButNoKey")] {
        let error = builder().identity_pem(certificate, secret).build().unwrap_err();
        assert!(matches!(error, BuildError::Tls(_)), "{error}");
        assert!(!format!("{error} {error:?}").contains("SecretButNoKey"));
    }
}
