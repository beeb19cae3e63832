//! Nothing the crate prints contains token or secret: neither ours nor the one a 401 tells.

use std::io::Write;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use maas_client::{
    Account as _, Client, CreateKey, CreateUser, DeployRequest, ErrorKind, Machines as _, Maintenance as _,
    RetryPolicy, Users as _, Zones as _,
};

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn everything(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(|error| format!("{error} {error:?} {error:#?}\n"))
        .collect()
}

/// W-41
#[tokio::test]
async fn neither_errors_nor_spans_at_trace_level_tell_token_or_secret() {
    let printed = Buffer::default();
    let writer = printed.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let mut all = String::new();
    for (status, kind, body) in [
        (401, ErrorKind::Auth, "Authorization Error: 'Invalid signature. Expected signature base string: &RealSecret'"),
        (401, ErrorKind::Auth, "Authorization Error: 'Invalid access token: OurToken'"),
        (500, ErrorKind::Server, "oops, Expected signature base string: &RealSecret"),
        (302, ErrorKind::Redirect, "gone to RealSecret"),
        (200, ErrorKind::Decode, "<html>Expected signature base string: &RealSecret</html>"),
    ] {
        let service = tower::service_fn(move |_: http::Request<Full<Bytes>>| async move {
            http::Response::builder().status(status).header("location", "/elsewhere").body(Full::new(Bytes::from(body)))
        });
        let builder = Client::builder("http://maas:5240", "Consumer:OurToken:OurSecret").unwrap();
        all += &format!("{builder:?}");
        let client = builder
            .retry(RetryPolicy { attempts: 2, base: std::time::Duration::ZERO, ..Default::default() })
            .build_with_service(service);
        let error = client.zones().list().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        all += &format!("{client:?} {:?} {}", client.machines(), everything(&error));
        let error = client.machines().read(&"wt67ch".parse().unwrap()).await.unwrap_err();
        all += &everything(&error);
    }
    // connections that fail, over a real socket, with a proxy whose password nobody should read either
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (url, proxied) in [(format!("http://{free}/MAAS"), false), ("http://maas.invalid:5240".to_owned(), true)] {
        let builder = Client::builder(&url, "Consumer:OurToken:OurSecret").unwrap().retry(RetryPolicy::none());
        let builder =
            if proxied { builder.proxy(format!("http://user:ProxySecret@{free}")) } else { builder.no_proxy() };
        all += &format!("{builder:?}");
        let client = builder.build().unwrap();
        let error = client.zones().list().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transport, "{error:?}");
        all += &format!("{client:?} {}", everything(&error));
    }
    // what goes into a form, and what comes back as a key, a password or a log
    let told = |body: &'static str| {
        let service = tower::service_fn(move |_: http::Request<Full<Bytes>>| async move {
            Ok::<_, maas_client::BoxError>(http::Response::new(Full::new(Bytes::from(body))))
        });
        Client::builder("http://maas:5240", "Consumer:OurToken:OurSecret").unwrap().build_with_service(service)
    };
    let id = "wt67ch".parse().unwrap();
    let client =
        told(r#"{"name": "n", "consumer_key": "c", "token_key": "RealSecretA", "token_secret": "RealSecretB"}"#);
    all += &format!("{:?}", client.account().create_key(&CreateKey::default()).await.unwrap());
    let client = told(r#"[{"name": "n", "token": "c:RealSecretA:RealSecretB"}]"#);
    all += &format!("{:?}", client.account().list_keys().await.unwrap());
    all += &format!("{:?}", told(r#"[{"token": "RealSecret"}]"#).account().list_keys().await.unwrap_err());
    let client = told(r#"{"power_pass": "RealSecret", "power_user": "maas"}"#);
    all += &format!("{:?}", client.maintenance().power_parameters(&id).await.unwrap());
    let deploy = DeployRequest { user_data: Some(b"RealSecret".to_vec()), ..Default::default() };
    let user = CreateUser { password: "RealSecret".into(), ..Default::default() };
    let call = client.call(&maas_client::operation::USERS_CREATE).parameter("password", "RealSecret");
    all += &format!("{deploy:?} {user:?} {call:?}");
    drop(client.machines().deploy(&id, &deploy).await);
    drop(client.users().create(&user).await);
    drop(guard);
    let spans = String::from_utf8(printed.0.lock().unwrap().clone()).unwrap();
    assert!(spans.contains("operation=\"zones.list\"") && spans.contains("status=401"), "{spans}");
    assert!(spans.contains("attempts=2") && spans.contains("failure=Auth"), "{spans}");
    for secret in ["RealSecret", "OurToken", "OurSecret", "ProxySecret", "UmVhbFNlY3JldA"] {
        assert!(!all.contains(secret), "{secret} in {all}");
        assert!(!spans.contains(secret), "{secret} in {spans}");
    }
}
