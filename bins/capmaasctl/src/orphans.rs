//! `capmaasctl orphans`: what MAAS holds for us and no object of the management cluster names. It reads and tells; it changes nothing.

mod report;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::ValueEnum;
use kube::Client as Kube;
use maas_client::{
    Client, DnsFilter, DnsResources as _, EventFilter, EventLevel, Events as _, MachineFilter, Machines as _,
    Users as _,
};
use serde_json::Value;

use self::report::{Held, Report};

/// Exit code when something was found that is ours by its marks or its name.
const FOUND: u8 = 3;
/// Events per question; MAAS allows no more.
const EVENTS: u32 = 1000;

/// Flags of `orphans`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Exit code: 0 nothing was found (machines without marks of ours alone do not count), 1 it could not be told, 2 wrong flags,
3 machines with marks of ours, or DNS records, were found.

It compares all namespaces of one management cluster with one MAAS. Where several management clusters use the same MAAS user,
what one of them holds is an orphan to the others: ask each of them before you act.")]
pub(crate) struct Args {
    /// Kubeconfig of the management cluster; default: in-cluster, $KUBECONFIG, ~/.kube/config.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// MAAS URL.
    #[arg(long, env = "MAAS_ENDPOINT")]
    maas_endpoint: String,
    /// MAAS API key: the controller's, since only machines of its user are looked at.
    #[arg(long, env = "MAAS_API_KEY", hide_env_values = true)]
    maas_api_key: String,
    /// Form of the report.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let maas =
        Client::builder(&args.maas_endpoint, &args.maas_api_key).context("MAAS_ENDPOINT and MAAS_API_KEY")?.build()?;
    let kube = crate::tree::client(args.kubeconfig.as_deref()).await?;
    let report = look(&kube, &maas).await?;
    match args.output {
        Output::Text => crate::out(report.render().as_bytes())?,
        Output::Json => crate::out(format!("{}\n", serde_json::to_string_pretty(&report.json())?).as_bytes())?,
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
}

async fn look(kube: &Kube, maas: &Client) -> anyhow::Result<Report> {
    // Asked before and after MAAS: a machine that is claimed or let go meanwhile is named by one of the two answers.
    let mut objects = Objects::default();
    objects.read(kube).await?;
    let user = maas.users().whoami().await?.username;
    let held = MachineFilter { owner: vec![user.clone()], ..MachineFilter::default() };
    let mut machines = maas.machines().list(&held).await?;
    // The parameter could be ignored by a MAAS that does not know it.
    machines.retain(|machine| machine.owner.as_deref() == Some(&user));
    let records = maas.dns_resources().list(&DnsFilter::default()).await?;
    objects.read(kube).await?;

    // What is claimed right now may stand in MAAS before it stands in its object; MAAS shows the token to nobody, but finds by it.
    let open = objects.open_claims();
    let mut claimed = BTreeSet::new();
    if !open.is_empty() {
        let filter = MachineFilter { agent_name: open.into_iter().collect(), ..MachineFilter::default() };
        claimed.extend(maas.machines().list(&filter).await?.into_iter().map(|m| m.system_id.to_string()));
    }
    let mut report = Report::new(user, &objects, &claimed, machines, records);
    let ids: Vec<_> = report.machines.iter().map(|held: &Held| held.machine.system_id.clone()).collect();
    if !ids.is_empty() {
        let filter = EventFilter { ids, level: Some(EventLevel::Debug), limit: Some(EVENTS), ..EventFilter::default() };
        // They only say since when and by whom: a MAAS that has no events has orphans all the same.
        report.remember(&maas.events().query(&filter).await.unwrap_or_default());
    }
    Ok(report)
}

/// What the management cluster has.
#[derive(Debug, Default)]
struct Objects {
    maas_machines: Vec<Value>,
    /// MaasClusters and Clusters.
    clusters: Vec<Value>,
}

impl Objects {
    /// Adds what is there now.
    async fn read(&mut self, kube: &Kube) -> anyhow::Result<()> {
        let list = async |group, kind, plural| crate::tree::objects(kube, None, group, kind, plural).await;
        let ours = "infrastructure.cluster.x-k8s.io";
        // Without our kinds every machine would look forsaken.
        let absent = "the cluster does not serve MaasMachine: is it the management cluster?";
        self.maas_machines.extend(list(ours, "MaasMachine", "maasmachines").await?.context(absent)?);
        self.clusters.extend(list(ours, "MaasCluster", "maasclusters").await?.unwrap_or_default());
        self.clusters.extend(list("cluster.x-k8s.io", "Cluster", "clusters").await?.unwrap_or_default());
        Ok(())
    }
}
