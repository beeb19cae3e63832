//! The life of a machine: allocate, deploy, watch, release. `cargo run --example deploy -- ubuntu/noble`

use futures::TryStreamExt as _;
use maas_client::{
    AllocateRequest, Client, Conflict, DeployRequest, MachineStatus, Machines as _, ReleaseRequest, ResultFilter,
    Results as _, ScriptSetId, Wait, WaitError, status_is, wait_until,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder(&std::env::var("MAAS_ENDPOINT")?, &std::env::var("MAAS_API_KEY")?)?.build()?;
    let machines = client.machines();

    // the token finds the machine again should this program lose the answer
    let wanted = AllocateRequest { mem: Some(4096), agent_name: Some("example-1".into()), ..Default::default() };
    let machine = match machines.allocate(&wanted).await {
        Ok(machine) => machine,
        Err(error) if error.conflict() == Some(Conflict::NoMatch) => {
            println!("nothing is free: {}", error.message());
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let id = machine.system_id;
    println!("{} is ours", machine.hostname);

    let deploy = DeployRequest {
        distro_series: Some(std::env::args().nth(1).unwrap_or("ubuntu/noble".into())),
        user_data: Some(b"#cloud-config\npackages: [htop]\n".to_vec()),
        ..Default::default()
    };
    machines.deploy(&id, &deploy).await?;
    {
        let mut states =
            std::pin::pin!(wait_until(&machines, &id, Wait::default(), status_is(MachineStatus::Deployed)));
        loop {
            match states.try_next().await {
                Ok(Some(machine)) => println!("{}: {}", machine.status, machine.status_message),
                Ok(None) => break,
                Err(WaitError::Hopeless(machine)) => {
                    println!("{}: {}", machine.status, machine.error_description);
                    let asked = ResultFilter { include_output: true, ..Default::default() };
                    let log = client.results().read(&id, &ScriptSetId::CurrentInstallation, &asked).await?;
                    for result in log.results.iter().filter(|result| result.status.failed()) {
                        println!("--- {}\n{}", result.name, result.output.tail(20));
                    }
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    machines.release(&id, &ReleaseRequest { comment: Some("done".into()), ..Default::default() }).await?;
    Ok(())
}
