//! `capmaasctl adopt`: gives a machine that runs to the MaasMachine that names it, after a person has looked at the evidence.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use capi_types::{MaasMachine, ProviderId};
use capmaas_provider_maas::{CLUSTER_KEY, MACHINE_KEY, TOKEN_KEY};
use capmaas_reconcile::names::{ObjectName, Token};
use capmaas_reconcile::record::Record;
use maas_client::{Client, Machine, MachineStatus, Machines as _, Users as _};
use serde_json::Value;

use crate::tree::text;

/// Exit code when nothing was done because nobody said yes.
const UNDECIDED: u8 = 3;

/// Flags of `adopt`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
A MaasMachine whose condition says AdoptionRequired names a machine that runs without marks of ours: another provider deployed it, or the
marks were removed. This writes the marks, once the machine is held by the key's user, bears nobody else's marks and no other MaasMachine
names it. From then on the controller releases it when the MaasMachine is deleted. Without --yes it shows the evidence and does nothing.

Exit code: 0 adopted (or it was already), 1 it can't be, 2 wrong flags, 3 it could be: look at the evidence, then give --yes.")]
pub(crate) struct Args {
    /// Name of the MaasMachine.
    machine: String,
    /// Its namespace.
    #[arg(long, short, default_value = "default")]
    namespace: String,
    /// Write the marks.
    #[arg(long)]
    yes: bool,
    /// Kubeconfig of the management cluster; default: in-cluster, $KUBECONFIG, ~/.kube/config.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// MAAS URL.
    #[arg(long, env = "MAAS_ENDPOINT")]
    maas_endpoint: String,
    /// MAAS API key: the controller's, since only machines of its user can be adopted.
    #[arg(long, env = "MAAS_API_KEY", hide_env_values = true)]
    maas_api_key: String,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let maas =
        Client::builder(&args.maas_endpoint, &args.maas_api_key).context("MAAS_ENDPOINT and MAAS_API_KEY")?.build()?;
    let kube = crate::tree::client(args.kubeconfig.as_deref()).await?;
    let objects = crate::tree::objects(&kube, None, "infrastructure.cluster.x-k8s.io", "MaasMachine", "maasmachines");
    let objects = objects.await?.context("the cluster does not serve MaasMachine: is it the management cluster?")?;
    let name = ObjectName::new(args.namespace, args.machine);
    let claim = Claim::of(&name, &objects)?;
    let user = maas.users().whoami().await?.username;
    let machine = maas.machines().read(&claim.host.parse()?).await.with_context(|| {
        format!("machine {}, which MaasMachine {name} names: is it another MAAS that has it?", claim.host)
    })?;
    crate::out(claim.evidence(&machine).as_bytes())?;
    let held = machine.owner.as_deref().unwrap_or("nobody");
    let mark = machine.owner_data.get(TOKEN_KEY).map(String::as_str).unwrap_or_default();
    if held == user && mark == claim.token.as_str() {
        crate::out(b"It is adopted already.\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(held == user, "machine {} is held by {held}, not by {user}, the user of MAAS_API_KEY", machine.hostname);
    ensure!(mark.is_empty(), "machine {} bears the marks of another claim: {mark}", machine.hostname);
    ensure!(!machine.locked, "machine {} is locked by an operator: unlock it in MAAS first", machine.hostname);
    ensure!(
        matches!(machine.status, MachineStatus::Deployed | MachineStatus::Deploying),
        "machine {} is {}: only one that runs can be adopted",
        machine.hostname,
        machine.status_name
    );
    if !args.yes {
        crate::out(b"Nothing was done. If that is the machine of this MaasMachine, run it again with --yes.\n")?;
        return Ok(ExitCode::from(UNDECIDED));
    }
    let mut marks = std::collections::BTreeMap::from([
        (TOKEN_KEY.to_owned(), claim.token.to_string()),
        (MACHINE_KEY.to_owned(), name.to_string()),
    ]);
    if !claim.cluster.is_empty() {
        marks.insert(CLUSTER_KEY.to_owned(), claim.cluster.clone());
    }
    let marked = maas.machines().set_owner_data(&machine.system_id, &marks).await?;
    ensure!(
        marked.owner.as_deref() == Some(user.as_str()),
        "machine {} was released meanwhile: look again",
        machine.hostname
    );
    crate::out(b"Adopted: the marks are written. The controller sees it with its next look, within ten minutes.\n")?;
    Ok(ExitCode::SUCCESS)
}

/// The MaasMachine's side.
struct Claim {
    object: MaasMachine,
    host: String,
    token: Token,
    cluster: String,
}

impl Claim {
    fn of(name: &ObjectName, objects: &[Value]) -> anyhow::Result<Self> {
        let is =
            |o: &&Value| text(o, "/metadata/namespace") == name.namespace && text(o, "/metadata/name") == name.name;
        let found = objects.iter().find(is).with_context(|| format!("there is no MaasMachine {name}"))?;
        let object: MaasMachine =
            serde_json::from_value(found.clone()).with_context(|| format!("MaasMachine {name}"))?;
        ensure!(object.metadata.deletion_timestamp.is_none(), "MaasMachine {name} is being deleted");
        let Some(host) = host(found) else {
            bail!("MaasMachine {name} names no machine: neither spec.systemID nor spec.providerID is set");
        };
        let token = match Record::of(&object) {
            Record::Mine(token) => token,
            Record::Absent => bail!("MaasMachine {name} has no claim yet: is the controller running?"),
            Record::Foreign(_) => bail!(
                "the claim annotation of MaasMachine {name} belongs to another object, of which it is a copy: remove the annotation"
            ),
        };
        let rivals = objects.iter().filter(|other| !is(other) && self::host(other).as_deref() == Some(&*host));
        let rivals: Vec<_> =
            rivals.map(|o| format!("{}/{}", text(o, "/metadata/namespace"), text(o, "/metadata/name"))).collect();
        ensure!(rivals.is_empty(), "machine {host} is named by other MaasMachines, too: {}", rivals.join(", "));
        let cluster = text(found, "/metadata/labels/cluster.x-k8s.io~1cluster-name").to_owned();
        Ok(Self { object, host, token, cluster })
    }

    /// Both sides, next to each other.
    fn evidence(&self, machine: &Machine) -> String {
        let status = self.object.status.clone().unwrap_or_default();
        let known: Vec<_> = status.addresses.iter().map(|a| a.address.as_str()).collect();
        let addresses: Vec<_> = machine.ip_addresses.iter().map(ToString::to_string).collect();
        let data: Vec<_> = machine.owner_data.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let or = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let rows = [
            ("machine", self.host.clone(), machine.system_id.to_string()),
            ("host name", or(status.hostname.as_deref().unwrap_or_default()), machine.hostname.clone()),
            ("state", or(status.machine_state.as_deref().unwrap_or_default()), machine.status_name.clone()),
            ("zone", or(status.failure_domain.as_deref().unwrap_or_default()), machine.zone_name().to_owned()),
            ("image", self.object.spec.image.clone(), or(&format!("{}/{}", machine.osystem, machine.distro_series))),
            ("addresses", or(&known.join(" ")), or(&addresses.join(" "))),
            (
                "power",
                if status.machine_powered { "on" } else { "-" }.to_owned(),
                machine.power_state.as_str().to_owned(),
            ),
            ("owner", "-".to_owned(), or(machine.owner.as_deref().unwrap_or_default())),
            ("annotations", "-".to_owned(), or(&data.join(" "))),
        ];
        let width =
            rows.iter().map(|(_, ours, _)| ours.chars().count()).max().unwrap_or(0).max("the object says".len());
        let mut out = format!("{:<12} {:<width$} MAAS says\n", "", "the object says");
        for (what, ours, theirs) in rows {
            let _ = writeln!(out, "{what:<12} {ours:<width$} {theirs}");
        }
        out
    }
}

fn host(object: &Value) -> Option<String> {
    let id = text(object, "/spec/systemID");
    if !id.is_empty() {
        return Some(id.to_owned());
    }
    text(object, "/spec/providerID").parse::<ProviderId>().ok().map(|id| id.system_id().to_string())
}
