//! No answer makes the client panic, or hang past its deadline, or say more than a person reads.

#![allow(clippy::disallowed_methods)] // the wall clock: how long computing takes is what this is about

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use maas_client::*;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::store::RECORDED;

/// An answer of anything that listens.
#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Length of the pieces it arrives in.
    piece: usize,
    /// Never ends.
    stalls: bool,
}

fn client(answer: Answer) -> Client {
    let answer = Arc::new(answer);
    let service = tower::service_fn(move |_: Request<Full<Bytes>>| {
        let answer = answer.clone();
        async move {
            let pieces: Vec<_> = answer.body.chunks(answer.piece.max(1)).map(Bytes::copy_from_slice).collect();
            let pieces = futures::stream::iter(pieces.into_iter().map(|piece| Ok::<_, BoxError>(Frame::data(piece))));
            let body = if answer.stalls { pieces.chain(futures::stream::pending()).boxed() } else { pieces.boxed() };
            let mut response = Response::builder().status(answer.status);
            for (name, value) in &answer.headers {
                response = response.header(*name, value);
            }
            response.body(StreamBody::new(body))
        }
    });
    let builder = Client::builder("http://maas:5240", "Consumer:OurToken:OurSecret").unwrap();
    let builder = builder.reply_limit(64 * 1024 * 1024);
    builder.deadlines(Deadlines::all(Duration::from_secs(20))).build_with_service(service)
}

/// Every kind of decoding the crate has; returns what failed.
async fn everything(client: &Client) -> Vec<Error> {
    let id: SystemId = "wt67ch".parse().unwrap();
    let mut errors = Vec::new();
    let mut keep = |result: Result<()>| errors.extend(result.err());
    keep(client.version().read().await.map(drop));
    keep(client.capabilities().await.map(drop));
    keep(client.machines().list(&MachineFilter::default()).await.map(drop));
    keep(client.machines().read(&id).await.map(drop));
    keep(client.machines().power_off(&id, PowerOffMode::Soft, None).await.map(drop));
    keep(client.machines().query_power_state(&id).await.map(drop));
    keep(client.machines().release(&id, &ReleaseRequest::default()).await.map(drop));
    keep(client.dns_resources().list(&DnsFilter::default()).await.map(drop));
    keep(client.events().query(&EventFilter::default()).await.map(drop));
    keep(client.results().list(&id, &ResultFilter::default()).await.map(drop));
    keep(client.block_devices().list(&id).await.map(drop));
    keep(client.ip_addresses().list(&IpAddressFilter::default()).await.map(drop));
    keep(client.subnets().list().await.map(drop));
    keep(client.boot_resources().read(BootResourceId(1)).await.map(drop));
    keep(client.account().list_keys().await.map(drop));
    keep(client.account().create_key(&CreateKey::default()).await.map(drop));
    keep(client.maintenance().curtin_config(&id).await.map(drop));
    keep(client.tags().delete("x").await);
    let mut entries = client.call(&operation::MACHINES_LIST).entries::<Machine>();
    while let Some(entry) = entries.next().await {
        keep(entry.map(drop));
    }
    errors
}

/// One call of each kind of decoding, for answers too long to read them nineteen times without optimisation.
async fn a_few(client: &Client) -> Vec<Error> {
    let id: SystemId = "wt67ch".parse().unwrap();
    let mut errors = Vec::new();
    errors.extend(client.machines().list(&MachineFilter::default()).await.err());
    errors.extend(client.machines().read(&id).await.err());
    errors.extend(client.maintenance().curtin_config(&id).await.err());
    errors.extend(client.call(&operation::ZONES_LIST).json::<Value>().await.err());
    errors
}

/// Runs all of it in paused time and looks at the errors; the wall clock is looked at too.
fn survives(answer: Answer, long: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let wall = std::time::Instant::now();
    let (errors, elapsed) = runtime.block_on(async {
        let start = tokio::time::Instant::now();
        let client = client(answer.clone());
        let errors = if long { a_few(&client).await } else { everything(&client).await };
        (errors, start.elapsed())
    });
    // 19 calls of at most 3 attempts of 20 s with waits of at most 15 s and a quarter between them
    assert!(elapsed <= Duration::from_secs(19 * (3 * 20 + 2 * 19)), "{elapsed:?}");
    assert!(wall.elapsed() < Duration::from_secs(120), "{:?} of computing", wall.elapsed());
    for error in errors {
        let text = format!("{error} {error:?} {:?} {:?} {:?}", error.fields(), error.conflict(), error.disposition());
        assert!(text.len() < 100_000, "{} bytes", text.len());
        assert!(!text.contains("OurSecret") && !text.contains("OurToken"), "{text}");
        assert!(error.status().is_none_or(|status| status.as_u16() == answer.status));
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let words = prop_oneof![
        Just("system_id"),
        Just("status"),
        Just("interface_set"),
        Just("links"),
        Just("events"),
        Just("sets"),
        Just("power_state"),
        Just("ip_address"),
        Just("results"),
        Just("tag_names"),
        Just("version"),
        Just("id"),
        Just("__all__"),
        Just("token"),
        Just("owner_data"),
        Just("progress"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((words.clone(), inner), 0..6)
                .prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

/// A recorded answer, cut, with bytes changed.
fn spoilt() -> impl Strategy<Value = Vec<u8>> {
    let small: Vec<_> =
        RECORDED.values().map(|recording| recording.response.bytes()).filter(|body| body.len() < 50_000).collect();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    (prop::sample::select(small), any::<prop::sample::Index>(), any::<bool>(), changes).prop_map(
        |(body, cut, cuts, changes)| {
            let mut body = body.to_vec();
            if cuts && !body.is_empty() {
                body.truncate(cut.index(body.len()));
            }
            for (at, byte) in changes {
                if !body.is_empty() {
                    let at = at.index(body.len());
                    body[at] = byte;
                }
            }
            body
        },
    )
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => prop::collection::vec(any::<u8>(), 0..2000),
        3 => json_value().prop_map(|value| value.to_string().into_bytes()),
        3 => spoilt(),
        2 => "(<(html|p|/p|style|/style|script|title|h1 a=\"b\")>?|[a-z &;é]{0,9}){0,60}".prop_map(String::into_bytes),
        1 => "Authorization Error: '(Invalid signature. Expected signature base string: &OurSecret|Expired timestamp: given [0-9-]{0,25} and now [0-9a-z]{0,25} .{0,9}|Nonce already used: OurToken|.{0,40})'".prop_map(String::into_bytes),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let statuses = vec![
        200, 200, 200, 201, 204, 206, 300, 302, 400, 401, 403, 404, 405, 409, 410, 413, 418, 429, 500, 502, 503, 504,
        599, 999,
    ];
    let header = prop_oneof![
        ("[0-9]{1,20}|-1|soon|1e9".prop_map(|value| ("retry-after", value))),
        (prop::sample::select(vec!["text/html", "application/json", "text/plain; charset=utf-8", ";"])
            .prop_map(|value| ("content-type", value.to_owned()))),
        ("[ -~]{0,40}".prop_map(|value| ("location", value))),
        ("[ -~]{0,80}".prop_map(|value| ("maas-trace-id", value))),
    ];
    let headers = prop::collection::vec(header, 0..3);
    (prop::sample::select(statuses), headers, body(), 1_usize..5000, prop::bool::weighted(0.1)).prop_map(
        |(status, headers, body, piece, stalls)| {
            // a 401 may tell the secret; any other answer that does would be MAAS's choice of words
            let tells = [b"OurSecret".as_slice(), b"OurToken"]
                .iter()
                .any(|secret| body.windows(secret.len()).any(|part| part == *secret));
            Answer { status: if tells { 401 } else { status }, headers, body, piece, stalls }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_answer_makes_it_panic_or_hang(answer in answer()) {
        survives(answer, false);
    }
}

#[test]
fn ten_mebibytes_of_anything_are_survived() {
    const SIZE: usize = 10 * 1024 * 1024;
    let mut rng = fastrand::Rng::with_seed(10);
    let repeated = |part: &str| part.repeat(SIZE / part.len()).into_bytes();
    let bodies = [
        ("noise", (0..SIZE).map(|_| rng.u8(..)).collect()),
        ("open brackets", repeated("[")),
        ("open objects", repeated("{\"a\":")),
        ("a string without end", [b"[\"".to_vec(), repeated("x")].concat()),
        ("blanks", repeated(" \n")),
        ("digits", repeated("9")),
        ("tags", repeated("<a>")),
        ("open tags", repeated("<")),
        ("styles without end", repeated("<style>")),
        ("empty machines", [b"[{}".to_vec(), repeated(",{}"), b"]".to_vec()].concat()),
        ("numbers", [b"[0".to_vec(), repeated(",0"), b"]".to_vec()].concat()),
        ("one field of errors", json!({"name": vec!["wrong"; SIZE / 8]}).to_string().into_bytes()),
    ];
    for (what, body) in bodies {
        // a success is read to its end, a refusal only as far as its words go
        for status in [200, 400] {
            let start = std::time::Instant::now();
            survives(Answer { status, headers: Vec::new(), body: body.clone(), piece: 16 * 1024, stalls: false }, true);
            println!("{what}, {status}: {:?}", start.elapsed());
        }
    }
}
