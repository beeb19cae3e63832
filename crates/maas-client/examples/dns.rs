//! Makes a name resolve to addresses: `cargo run --example dns -- www.lab.example 10.0.0.5 10.0.0.6`

use std::collections::BTreeSet;
use std::net::IpAddr;

use maas_client::{Client, CreateDnsResource, DnsFilter, DnsName, DnsResources as _, Domains as _};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder(&std::env::var("MAAS_ENDPOINT")?, &std::env::var("MAAS_API_KEY")?)?.build()?;
    let mut arguments = std::env::args().skip(1);
    let fqdn = arguments.next().ok_or("which name?")?;
    let addresses: BTreeSet<IpAddr> = arguments.map(|text| text.parse()).collect::<Result<_, _>>()?;

    // MAAS splits names at the first dot, wherever its domains end; so split them here
    let name = DnsName::find(&fqdn, &client.domains().list().await?)?;
    let names = client.dns_resources();
    let resource = match names.list(&DnsFilter::by_name(name.clone())).await?.first() {
        Some(known) if known.addresses() == addresses => {
            println!("{fqdn} is so already");
            return Ok(());
        }
        // replaces the whole set
        Some(known) => names.update_addresses(known.id, &addresses, None).await?,
        None => names.create(&CreateDnsResource { name, addresses, ttl: Some(30) }).await?,
    };
    println!("{} resolves to {:?}", resource.fqdn, resource.addresses());
    Ok(())
}
