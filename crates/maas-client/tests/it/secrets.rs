//! Nothing the crate prints contains token or secret: neither ours nor the one a 401 tells.

use std::io::Write;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use maas_client::{Client, ErrorKind, Machines as _, RetryPolicy, Zones as _};

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
#[tokio::test(start_paused = true)]
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
        let client = builder.retry(RetryPolicy { attempts: 2, ..Default::default() }).build_with_service(service);
        let error = client.zones().list().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        all += &format!("{client:?} {:?} {}", client.machines(), everything(&error));
        let error = client.machines().read(&"wt67ch".parse().unwrap()).await.unwrap_err();
        all += &everything(&error);
    }
    drop(guard);
    let spans = String::from_utf8(printed.0.lock().unwrap().clone()).unwrap();
    assert!(spans.contains("operation=\"zones.list\"") && spans.contains("status=401"), "{spans}");
    assert!(spans.contains("attempts=2") && spans.contains("failure=Auth"), "{spans}");
    for secret in ["RealSecret", "OurToken", "OurSecret"] {
        assert!(!all.contains(secret), "{secret} in {all}");
        assert!(!spans.contains(secret), "{secret} in {spans}");
    }
}
