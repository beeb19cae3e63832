//! An HTTP proxy, a private authority, limits and metrics: `cargo run --example proxy -- http://proxy:3128 ca.pem`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use maas_client::{CallReport, Client, Deadlines, Lanes, RetryPolicy, Users as _, Versions as _};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut builder = Client::builder(&std::env::var("MAAS_ENDPOINT")?, &std::env::var("MAAS_API_KEY")?)?;
    let mut arguments = std::env::args().skip(1);
    if let Some(proxy) = arguments.next() {
        builder = builder.proxy(proxy);
    }
    if let Some(ca) = arguments.next() {
        builder = builder.ca_pem(std::fs::read(ca)?);
    }
    let (calls, failures) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counters = (calls.clone(), failures.clone());
    let client = builder
        .deadlines(Deadlines { list: Duration::from_secs(300), ..Default::default() })
        .total_deadline(Duration::from_secs(600))
        .retry(RetryPolicy { attempts: 5, ..Default::default() })
        .lanes(Lanes::gentle())
        .observer(move |report: &CallReport| {
            counters.0.fetch_add(1, Ordering::Relaxed);
            counters.1.fetch_add(u64::from(report.failure.is_some()), Ordering::Relaxed);
        })
        .build()?;
    let user = client.users().whoami().await?;
    println!("{} on MAAS {}", user.username, client.version().read().await?);
    println!("{} calls, {} failed", calls.load(Ordering::Relaxed), failures.load(Ordering::Relaxed));
    Ok(())
}
