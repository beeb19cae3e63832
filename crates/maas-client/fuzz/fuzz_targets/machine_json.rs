//! Machine JSON: no panic, a machine survives being written and read, and a list that arrives in pieces
//! reads like the whole.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use http_body::Frame;
use http_body_util::StreamBody;
use libfuzzer_sys::fuzz_target;
use maas_client::{BoxError, Client, Machine, MachineFilter, Machines as _, operation};

fuzz_target!(|data: &[u8]| {
    let Some((&piece, json)) = data.split_first() else { return };
    if let Ok(machine) = serde_json::from_slice::<Machine>(json) {
        let text = serde_json::to_string(&machine).expect("a machine can be written");
        let again: Machine = serde_json::from_str(&text).expect("and read");
        // the one float on the wire
        assert!(again == machine || machine.storage.is_nan() || again.storage != machine.storage);
        let _ = (machine.boot_addresses(), machine.addresses().map(|at| at.space().len()).sum::<usize>());
        let _ = (machine.zone_name(), machine.pool_name(), machine.status.to_string());
    }
    let whole = serde_json::from_slice::<Vec<Machine>>(json);
    let body: Arc<[u8]> = json.into();
    let maas = tower::service_fn(move |_: http::Request<maas_client::RequestBody>| {
        let size = usize::from(piece).max(1) * 7;
        let pieces: Vec<_> = body.chunks(size).map(|part| Ok::<_, BoxError>(Frame::data(Bytes::copy_from_slice(part)))).collect();
        async move { Ok::<_, BoxError>(http::Response::new(StreamBody::new(futures::stream::iter(pieces)))) }
    });
    let client = Client::builder("http://maas:5240", "a:b:c").expect("valid").build_with_service(maas);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let list = client.machines().list(&MachineFilter::default()).await;
        assert_eq!(list.is_ok(), whole.is_ok(), "{list:?} {whole:?}");
        let entries: Vec<_> = client.call(&operation::MACHINES_LIST).entries::<Machine>().collect().await;
        assert_eq!(entries.iter().all(Result::is_ok), whole.is_ok());
        if let Ok(whole) = whole {
            assert_eq!(list.expect("it is"), whole);
            assert_eq!(entries.len(), whole.len());
        }
    });
});
