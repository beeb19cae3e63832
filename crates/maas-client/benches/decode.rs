//! A list of machines through the client, against `benches/go`: `cargo xtask bench client` runs both.
//!
//! `write FILE COUNT` makes the input from the recorded list of a real MAAS, laid out as MAAS does;
//! `read FILE` decodes it and prints what it cost.

#![allow(clippy::unwrap_used)] // a program of its own that may stop where it stands
#![allow(clippy::disallowed_methods)] // the wall clock is what it measures

use std::io::{BufWriter, Read as _, Write as _};
use std::time::Instant;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;
use maas_client::{BoxError, Client, MachineFilter, Machines as _};
use serde_json::Value;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", file, count] => write(file, count.parse().unwrap()),
        ["read", file] => read(file),
        _ => eprintln!("write FILE COUNT | read FILE"),
    }
}

fn write(file: &str, count: usize) {
    let packed = include_bytes!("../tests/recordings.jsonl.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    let recorded = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let list = recorded.into_iter().find(|recording| recording["case"] == "machines-list/all").unwrap();
    let machines: Vec<Value> = serde_json::from_str(list["response"]["body"].as_str().unwrap()).unwrap();
    let mut out = BufWriter::new(std::fs::File::create(file).unwrap());
    out.write_all(b"[\n").unwrap();
    for index in 0..count {
        let mut machine = machines[index % machines.len()].clone();
        machine["system_id"] = format!("m{index:05}").into();
        machine["hostname"] = format!("node{index:05}").into();
        if index > 0 {
            out.write_all(b",\n").unwrap();
        }
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
        serde::Serialize::serialize(&machine, &mut serializer).unwrap();
    }
    out.write_all(b"\n]").unwrap();
    out.flush().unwrap();
}

/// Highest resident memory of this process in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn read(file: &str) {
    let file = file.to_owned();
    let maas = tower::service_fn(move |_: http::Request<maas_client::RequestBody>| {
        let mut input = std::fs::File::open(&file).unwrap();
        let pieces = std::iter::from_fn(move || {
            let mut piece = vec![0; 64 * 1024];
            let length = input.read(&mut piece).unwrap();
            piece.truncate(length);
            (length > 0).then(|| Ok::<_, BoxError>(Frame::data(Bytes::from(piece))))
        });
        async move { Ok::<_, BoxError>(http::Response::new(StreamBody::new(futures::stream::iter(pieces)))) }
    });
    let client = Client::builder("http://maas:5240", "a:b:c").unwrap().build_with_service(maas);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let start = Instant::now();
    let machines = runtime.block_on(client.machines().list(&MachineFilter::default())).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    println!("{} {seconds} {}", machines.len(), peak());
}
