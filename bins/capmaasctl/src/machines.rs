//! `capmaasctl machines`.

use anyhow::Context;
use comfy_table::{Table, presets};
use maas_client::{Client, Machine, MachineFilter, Machines as _};

/// Flags of `machines`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// MAAS URL.
    #[arg(long, env = "MAAS_ENDPOINT")]
    maas_endpoint: String,
    /// MAAS API key.
    #[arg(long, env = "MAAS_API_KEY", hide_env_values = true)]
    maas_api_key: String,
    /// Only machines in this resource pool.
    #[arg(long)]
    pool: Option<String>,
    /// Only machines in this zone.
    #[arg(long)]
    zone: Option<String>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let client =
        Client::builder(&args.maas_endpoint, &args.maas_api_key).context("MAAS_ENDPOINT and MAAS_API_KEY")?.build()?;
    let filter = MachineFilter {
        pool: args.pool.into_iter().collect(),
        zone: args.zone.into_iter().collect(),
        ..MachineFilter::default()
    };
    let machines = client.machines().list(&filter).await?;
    crate::out(format!("{}\n", table(&machines)).as_bytes())
}

fn table(machines: &[Machine]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "HOST",
        "ID",
        "STATUS",
        "POWER",
        "ZONE",
        "POOL",
        "CPU",
        "MIB",
        "OWNER",
        "MAASMACHINE",
        "ADDRESSES",
    ]);
    for machine in machines {
        let addresses: Vec<_> = machine.ip_addresses.iter().map(ToString::to_string).collect();
        table.add_row([
            machine.hostname.clone(),
            machine.system_id.to_string(),
            machine.status_name.clone(),
            machine.power_state.as_str().to_owned(),
            machine.zone_name().to_owned(),
            machine.pool_name().to_owned(),
            machine.cpu_count.to_string(),
            machine.memory.to_string(),
            machine.owner.clone().unwrap_or_default(),
            machine.owner_data.get("capmaas-machine").cloned().unwrap_or_default(),
            addresses.join(" "),
        ]);
    }
    table
}
