//! Follows events from now on, until Ctrl-C: `cargo run --example events`

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use maas_client::{Client, EventFilter, EventLevel, follow_events};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder(&std::env::var("MAAS_ENDPOINT")?, &std::env::var("MAAS_API_KEY")?)?.build()?;
    let filter = EventFilter { level: Some(EventLevel::Info), ..Default::default() };
    let events = client.events();
    let stop = Box::pin(async { drop(tokio::signal::ctrl_c().await) });
    let mut events = std::pin::pin!(follow_events(&events, filter, Duration::from_secs(2)).take_until(stop));
    while let Some(event) = events.try_next().await? {
        println!("{} {:7} {:15} {}: {}", event.created, event.level, event.hostname, event.kind, event.description);
    }
    Ok(())
}
