//! For programs that have nothing else to wait for.

use std::future::Future;

/// Runs a future to its end on a tokio runtime of its own: for scripts and small tools, which then need no
/// crate but this one. Not from within another runtime.
///
/// ```no_run
/// use maas_client::{Client, MachineFilter, Machines as _};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let client = Client::builder("http://maas.example:5240/MAAS", "consumer:token:secret")?.build()?;
///     for machine in maas_client::block_on(client.machines().list(&MachineFilter::default()))?? {
///         println!("{} is {}", machine.hostname, machine.status);
///     }
///     Ok(())
/// }
/// ```
pub fn block_on<F: Future>(future: F) -> std::io::Result<F::Output> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}
