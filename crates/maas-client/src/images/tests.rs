//! The upload against a MAAS in process that keeps chunks, loses some, and checks the sum.

use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::json;

use super::*;
use crate::{BoxError, Client, RetryPolicy};

#[derive(Default)]
struct Store {
    content: Vec<u8>,
    size: usize,
    sha256: String,
    /// Requests that fail, by number of chunk counted from 1: the status, and whether the chunk is kept.
    faults: Vec<(usize, u16, bool)>,
    chunks: usize,
    creates: Vec<String>,
}

impl Store {
    fn image(&self) -> serde_json::Value {
        let complete = self.content.len() == self.size;
        let mut file = json!({"filename": "root-tgz", "filetype": "root-tgz", "sha256": self.sha256,
            "size": self.size, "complete": complete});
        if !complete {
            file["progress"] = json!(100.0 * self.content.len() as f64 / self.size as f64);
            // the prefix is what a proxy made of it, and not to be followed
            file["upload_uri"] = json!("/proxied/MAAS/api/2.0/boot-resources/7/upload/42/");
        }
        let old = json!({"version": "20260101", "files": {"root-tgz": {"sha256": "0", "complete": true}}});
        json!({"id": 7, "type": "Uploaded", "name": "k8s", "architecture": "amd64/generic",
            "sets": {"20260101": old, "20260102": {"version": "20260102", "files": {"root-tgz": file}}}})
    }

    fn handle(&mut self, method: &Method, path: &str, body: &[u8]) -> (u16, serde_json::Value) {
        match (method, path) {
            (&Method::POST, "/MAAS/api/2.0/boot-resources/") => {
                let form = String::from_utf8_lossy(body).into_owned();
                for (key, value) in form.split('&').filter_map(|pair| pair.split_once('=')) {
                    match key {
                        "sha256" => self.sha256 = value.to_owned(),
                        "size" => self.size = value.parse().unwrap(),
                        _ => {}
                    }
                }
                self.creates.push(form);
                (201, self.image())
            }
            (&Method::GET, "/MAAS/api/2.0/boot-resources/7/") => (200, self.image()),
            (&Method::PUT, "/MAAS/api/2.0/boot-resources/7/upload/42/") => {
                self.chunks += 1;
                let fault = self.faults.iter().find(|fault| fault.0 == self.chunks).copied();
                if fault.is_none_or(|(_, _, kept)| kept) {
                    self.content.extend_from_slice(body);
                }
                let sum: String = Sha256::digest(&self.content).iter().map(|byte| format!("{byte:02x}")).collect();
                match fault {
                    Some((_, status, _)) => (status, json!("broken")),
                    None if self.content.len() == self.size && sum != self.sha256 => {
                        (400, json!("Saved content does not match given SHA256 value."))
                    }
                    None => (200, json!(null)),
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

fn maas(store: Store) -> (Client, Arc<Mutex<Store>>) {
    let store = Arc::new(Mutex::new(store));
    let inside = store.clone();
    let service = tower::service_fn(move |request: Request<crate::RequestBody>| {
        let inside = inside.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap_or_else(|never| match never {}).to_bytes();
            let (status, reply) = inside.lock().unwrap().handle(&head.method, head.uri.path(), &body);
            let mut response = Response::new(Full::new(Bytes::from(reply.to_string())));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            Ok::<_, BoxError>(response)
        }
    });
    let client = Client::builder("http://maas:5240", "a:b:c").unwrap().retry(RetryPolicy::none());
    (client.build_with_service(service), store)
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 31 % 251) as u8).collect()
}

fn image() -> UploadImage {
    UploadImage {
        name: "custom/k8s".into(),
        architecture: "amd64/generic".into(),
        base_image: Some("ubuntu/noble".into()),
        ..Default::default()
    }
}

async fn upload(client: &Client, bytes: &[u8]) -> (Result<BootResource, UploadError>, Vec<u64>) {
    let mut told = Vec::new();
    let mut source = std::io::Cursor::new(bytes);
    let made = client.boot_resources().upload(&image(), &mut source, |done, _| told.push(done)).await;
    (made, told)
}

#[tokio::test]
async fn an_image_goes_up_in_chunks_with_its_sum_and_progress_is_told() {
    let bytes = content(2 * CHUNK + 5);
    let (client, store) = maas(Store::default());
    let (made, told) = upload(&client, &bytes).await;
    assert_eq!(made.unwrap().distro_series(), "custom/k8s");
    assert_eq!(told, [0, CHUNK as u64, 2 * CHUNK as u64, bytes.len() as u64]);
    let store = store.lock().unwrap();
    assert!(store.content == bytes && store.chunks == 3);
    let form = &store.creates[0];
    assert!(
        form.starts_with("name=custom%2Fk8s&architecture=amd64%2Fgeneric&base_image=ubuntu%2Fnoble&sha256="),
        "{form}"
    );
    assert!(form.ends_with(&format!("&size={}", bytes.len())), "{form}");
}

#[tokio::test]
async fn a_failed_chunk_is_followed_by_the_question_how_far_maas_got() {
    let bytes = content(4 * CHUNK);
    // one chunk lost, one kept although its answer was lost
    let (client, store) = maas(Store { faults: vec![(2, 502, false), (4, 504, true)], ..Default::default() });
    let (made, told) = upload(&client, &bytes).await;
    assert!(made.unwrap().sets["20260102"].files["root-tgz"].complete);
    assert!(store.lock().unwrap().content == bytes);
    assert_eq!(store.lock().unwrap().chunks, 5);
    assert_eq!(told.iter().map(|done| done / CHUNK as u64).collect::<Vec<_>>(), [0, 1, 1, 2, 3, 4]);
}

#[tokio::test]
async fn an_upload_that_keeps_failing_is_given_up_and_a_second_one_goes_on() {
    let bytes = content(3 * CHUNK);
    let faults = (2..=7).map(|chunk| (chunk, 503, false)).collect();
    let (client, store) = maas(Store { faults, ..Default::default() });
    let (made, _) = upload(&client, &bytes).await;
    assert_eq!(made.unwrap_err().kind(), Some(ErrorKind::Unavailable));
    assert_eq!(store.lock().unwrap().chunks, 7);
    let (made, told) = upload(&client, &bytes).await;
    made.unwrap();
    assert_eq!(told[0], CHUNK as u64);
    {
        let store = store.lock().unwrap();
        assert_eq!((store.chunks, store.content == bytes), (9, true));
    }
    // all of it is there now: nothing is sent again
    let (made, told) = upload(&client, &bytes).await;
    made.unwrap();
    assert_eq!((told, store.lock().unwrap().chunks), (vec![bytes.len() as u64], 9));
}

#[tokio::test]
async fn refusals_and_a_file_that_changes_end_the_upload_with_their_words() {
    let (client, _) = maas(Store { faults: vec![(1, 403, false)], ..Default::default() });
    assert_eq!(upload(&client, &content(10)).await.0.unwrap_err().kind(), Some(ErrorKind::Permission));

    // MAAS kept half of a chunk twice: the sum at the end tells
    let (client, store) = maas(Store::default());
    store.lock().unwrap().content = b"x".to_vec();
    let error = upload(&client, &content(10)).await.0.unwrap_err();
    assert_eq!(error.kind(), Some(ErrorKind::Validation));
    assert!(error.to_string().contains("does not match given SHA256"), "{error}");

    let (client, _) = maas(Store::default());
    let mut source = Shrinking { inner: std::io::Cursor::new(content(CHUNK)), reads: 0 };
    let error = client.boot_resources().upload(&image(), &mut source, |_, _| {}).await.unwrap_err();
    assert!(matches!(error, UploadError::Changed), "{error}");
    assert_eq!(error.kind(), None);
}

/// Ends early when it is read the second time.
struct Shrinking {
    inner: std::io::Cursor<Vec<u8>>,
    reads: usize,
}

impl AsyncRead for Shrinking {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        if self.reads > 1 && self.inner.position() > 100 {
            return std::task::Poll::Ready(Ok(()));
        }
        std::pin::Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncSeek for Shrinking {
    fn start_seek(mut self: std::pin::Pin<&mut Self>, position: std::io::SeekFrom) -> std::io::Result<()> {
        self.reads += 1;
        if self.reads > 1 {
            self.inner.get_mut().truncate(200);
        }
        std::pin::Pin::new(&mut self.inner).start_seek(position)
    }

    fn poll_complete(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<u64>> {
        std::pin::Pin::new(&mut self.inner).poll_complete(cx)
    }
}
