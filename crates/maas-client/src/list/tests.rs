use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::{Value, json};

use super::*;
use crate::{BoxError, ErrorKind, RetryPolicy, operation};

fn decode(text: &str, piece: usize) -> Result<Vec<Value>, serde_json::Error> {
    let (mut elements, mut out) = (Elements::new(), Vec::new());
    elements.next_try = 0;
    for chunk in text.as_bytes().chunks(piece) {
        elements.push(chunk, &mut out)?;
        elements.next_try = 0;
    }
    elements.finish(&mut out).map(|()| out)
}

#[test]
fn a_list_reads_the_same_in_pieces_of_any_size() {
    for text in [
        "[]",
        " [ ] \n",
        "[1]",
        "[12, 345 ,6]",
        r#"[{"a": "]}, \" [", "b": [1, [2, {"c": null}]]}, {"a": "ü€"}, "x\\", true]"#,
        "[\n    {\n        \"n\": -1.5e3\n    },\n    []\n]\n",
    ] {
        let whole: Vec<Value> = serde_json::from_str(text).unwrap();
        for piece in 1..=text.len() {
            assert_eq!(decode(text, piece).unwrap_or_else(|e| panic!("{text} by {piece}: {e}")), whole);
        }
    }
}

#[test]
fn what_is_no_list_is_refused_in_pieces_of_any_size() {
    for text in
        ["", " ", "null", "{}", "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1]]", "[] x", "[{]", "<html>", "[tru]"]
    {
        assert!(serde_json::from_str::<Vec<Value>>(text).is_err(), "{text}");
        for piece in 1..=text.len().max(1) {
            assert!(decode(text, piece).is_err(), "{text} by {piece}");
        }
    }
}

type Piece = Result<Frame<Bytes>, BoxError>;

fn client(pieces: impl Fn() -> Vec<Piece> + Send + Sync + 'static, stalls: bool) -> Client {
    let pieces = Arc::new(pieces);
    let service = tower::service_fn(move |_: http::Request<crate::RequestBody>| {
        let pieces = futures::stream::iter(pieces());
        async move {
            let body = if stalls { pieces.chain(futures::stream::pending()).boxed() } else { pieces.boxed() };
            Ok::<_, BoxError>(http::Response::new(StreamBody::new(body)))
        }
    });
    Client::builder("http://maas:5240/MAAS", "a:b:c").unwrap().retry(RetryPolicy::none()).build_with_service(service)
}

fn piece(text: impl Into<Bytes>) -> Piece {
    Ok(Frame::data(text.into()))
}

async fn all(client: &Client) -> Vec<Result<Value, ErrorKind>> {
    let entries = client.entries::<Value>(Call::new(&operation::ZONES_LIST));
    entries.map(|entry| entry.map_err(|error| error.kind())).collect().await
}

#[tokio::test(start_paused = true)]
async fn a_stream_hands_out_what_arrived_and_then_says_what_broke() {
    let entry = || piece(format!("{{\"n\": \"{}\"}},", "x".repeat(BATCH)));
    let good = move || vec![piece("["), entry(), entry(), piece("3]")];
    let entries = all(&client(good, false)).await;
    assert_eq!((entries.len(), entries[2].clone()), (3, Ok(json!(3))));

    let cut = move || vec![piece("["), entry(), entry()];
    let entries = all(&client(cut, false)).await;
    assert_eq!((entries.len(), entries[2].clone()), (3, Err(ErrorKind::Decode)));

    let broken = move || vec![piece("["), entry(), Err("reset".into())];
    let entries = all(&client(broken, false)).await;
    assert_eq!((entries.len(), entries[1].clone()), (2, Err(ErrorKind::Transport)));

    let stalled = move || vec![piece("["), entry()];
    let start = tokio::time::Instant::now();
    let entries = all(&client(stalled, true)).await;
    assert_eq!((entries.len(), entries[1].clone()), (2, Err(ErrorKind::Timeout)));
    assert_eq!(start.elapsed(), Duration::from_secs(30));

    let page = || vec![piece("<html>portal</html>")];
    assert_eq!(all(&client(page, false)).await, [Err(ErrorKind::Decode)]);
}

#[tokio::test]
async fn a_stream_keeps_no_more_than_one_entry_and_the_cap_is_on_that() {
    let many = || {
        let mut pieces = vec![piece("[0")];
        pieces.extend((0..4000).map(|_| piece(format!(",\"{}\"", "y".repeat(1000)))));
        pieces.push(piece("]"));
        pieces
    };
    let service = client(many, false);
    let list = service.list::<Value>(Call::new(&operation::ZONES_LIST)).await.unwrap();
    assert_eq!((list.len(), all(&service).await.len()), (4001, 4001));

    let huge = || vec![piece("[\""), piece("z".repeat(3_000_000))];
    let capped = Client::builder("http://maas:5240/MAAS", "a:b:c").unwrap().reply_limit(1_000_000);
    let service = tower::service_fn(move |_: http::Request<crate::RequestBody>| async move {
        Ok::<_, BoxError>(http::Response::new(StreamBody::new(futures::stream::iter(huge()))))
    });
    assert_eq!(all(&capped.build_with_service(service)).await, [Err(ErrorKind::TooLarge)]);
}

#[tokio::test]
async fn many_empty_entries_hit_the_cap_by_their_size_in_memory() {
    let empty = || vec![piece("["), piece("{},".repeat(200_000)), piece("{}]")];
    let capped = Client::builder("http://maas:5240/MAAS", "a:b:c").unwrap().reply_limit(1_000_000);
    let service = tower::service_fn(move |_: http::Request<crate::RequestBody>| async move {
        Ok::<_, BoxError>(http::Response::new(StreamBody::new(futures::stream::iter(empty()))))
    });
    let client = capped.build_with_service(service);
    let list = client.list::<crate::Machine>(Call::new(&operation::MACHINES_LIST)).await;
    assert_eq!(list.unwrap_err().kind(), ErrorKind::TooLarge);
    // a stream keeps none of them
    let entries = client.entries::<crate::Machine>(Call::new(&operation::MACHINES_LIST));
    assert_eq!(entries.filter(|entry| std::future::ready(entry.is_ok())).count().await, 200_001);
}
