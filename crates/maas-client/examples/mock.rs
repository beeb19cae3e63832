//! How to test a program without a MAAS: `cargo run --example mock --features mock`.
//!
//! Take the trait and give the mock, where only the outcome of a call matters; or build the client over a service of
//! one's own, where the requests matter too.

use bytes::Bytes;
use http_body_util::Full;
use maas_client::{Client, Machine, MachineFilter, MachineStatus, Machines, MockMachines, Result};

/// What is to be tested.
async fn free_cores(machines: &impl Machines) -> Result<u32> {
    let filter = MachineFilter { status: vec![MachineStatus::Ready], ..Default::default() };
    Ok(machines.list(&filter).await?.iter().map(|machine| machine.cpu_count).sum())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut machines = MockMachines::new();
    machines.expect_list().withf(|filter| filter.status == [MachineStatus::Ready]).returning(|_| {
        Ok(vec![Machine { cpu_count: 8, ..Default::default() }, Machine { cpu_count: 4, ..Default::default() }])
    });
    assert_eq!(free_cores(&machines).await?, 12);

    let maas = tower::service_fn(|request: http::Request<Full<Bytes>>| async move {
        assert_eq!(
            request.uri().path_and_query().map(|path| path.as_str()),
            Some("/MAAS/api/2.0/machines/?status=ready")
        );
        Ok::<_, maas_client::BoxError>(http::Response::new(Full::new(Bytes::from(r#"[{"cpu_count": 3}]"#))))
    });
    let client = Client::builder("http://maas.example:5240", "consumer:token:secret")?.build_with_service(maas);
    assert_eq!(free_cores(&client.machines()).await?, 3);
    println!("both ways work");
    Ok(())
}
