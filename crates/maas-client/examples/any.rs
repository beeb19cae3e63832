//! Any operation by its name: `cargo run --example any -- discoveries.by_unknown_mac`, or with ids and parameters:
//! `cargo run --example any -- partition.format wt67ch 3 1 fstype=ext4`. Without arguments it lists all operations.

use maas_client::{Client, Operation, Returns, operation};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        for operation in operation::all() {
            let op = operation.op.map_or(String::new(), |op| format!("?op={op}"));
            println!("{:40} {:6} {}{op} {:?}", operation.name, operation.method, operation.path, operation.parameters);
        }
        return Ok(());
    };
    let operation = Operation::by_name(&name).ok_or("MAAS has no such operation")?;
    let client = Client::builder(&std::env::var("MAAS_ENDPOINT")?, &std::env::var("MAAS_API_KEY")?)?.build()?;
    let mut call = client.call(operation);
    for argument in arguments {
        call = match argument.split_once('=') {
            Some((key, value)) => call.parameter(key, value),
            None => call.id(argument),
        };
    }
    match operation.returns {
        Returns::Json | Returns::Maybe => println!("{:#}", call.json::<serde_json::Value>().await?),
        Returns::Text => println!("{}", call.text().await?),
        Returns::Bytes => println!("{} bytes", call.bytes().await?.len()),
        Returns::Nothing => call.done().await?,
    }
    Ok(())
}
