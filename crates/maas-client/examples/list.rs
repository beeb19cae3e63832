//! Machines that match filters: `cargo run --example list -- gpu`.
//!
//! Address and key come from MAAS_ENDPOINT and MAAS_API_KEY, as in all examples.

use futures::TryStreamExt as _;
use maas_client::{Client, Machine, MachineFilter, MachineStatus, Machines as _, operation};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder(&std::env::var("MAAS_ENDPOINT")?, &std::env::var("MAAS_API_KEY")?)?.build()?;
    let filter = MachineFilter {
        status: vec![MachineStatus::Ready, MachineStatus::Deployed],
        tags: std::env::args().skip(1).collect(),
        ..Default::default()
    };
    for machine in client.machines().list(&filter).await? {
        println!("{:20} {:10} {} cores, {} MiB", machine.fqdn, machine.status, machine.cpu_count, machine.memory);
        for at in machine.addresses() {
            let subnet = at.subnet.map_or("?", |subnet| &subnet.name);
            println!("    {} on {} in {subnet}, space {:?}", at.address, at.interface.name, at.space());
        }
    }

    // a fleet too large to hold: entries come as they arrive, and are dropped here
    let mut machines = client.call(&operation::MACHINES_LIST).entries::<Machine>();
    let mut cores = 0;
    while let Some(machine) = machines.try_next().await? {
        cores += machine.cpu_count;
    }
    println!("{cores} cores in all");
    Ok(())
}
