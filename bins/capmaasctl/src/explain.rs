//! `capmaasctl explain`: which machine a MaasMachine gets, or why none; and what manifests would get before they are applied. It decides as
//! the controller does, with the controller's own code, and changes nothing.

mod asks;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use capmaas_manager::Clock;
use capmaas_provider_maas::{MaasRegion, Query};
use capmaas_reconcile::host::HostView;
use capmaas_reconcile::names::ObjectName;
use capmaas_reconcile::observe::MachineSeen;
use capmaas_reconcile::placement::{Ask, Constraints, Explanation, Fit, Survey, explain, fit};
use capmaas_reconcile::stores::{Fact, Region, Stores};
use jiff::Timestamp;
use kube::Client as Kube;
use maas_client::Client;
use serde_json::Value;

/// Exit code when some machine gets none.
const NONE: u8 = 3;

/// Flags of `explain`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Exit code: 0 every machine gets one (or has one), 1 it could not be told, 2 wrong flags, 3 some machine gets none.

With -f nothing has to be applied, and no management cluster is asked unless --kubeconfig is given; then machines that are claimed there
right now count as taken. Where two owners compete for the same machine, the order of the file decides here; in a cluster, chance does.")]
pub(crate) struct Args {
    /// Name of a MaasMachine.
    #[arg(required_unless_present = "filename", conflicts_with = "filename")]
    machine: Option<String>,
    /// Its namespace.
    #[arg(long, short, default_value = "default")]
    namespace: String,
    /// Manifests that are to be applied: MaasMachineTemplates and what refers to them; `-` is standard input.
    #[arg(long, short = 'f', value_name = "FILE")]
    filename: Vec<PathBuf>,
    /// Kubeconfig of the management cluster; default for a MaasMachine: in-cluster, $KUBECONFIG, ~/.kube/config.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// MAAS URL.
    #[arg(long, env = "MAAS_ENDPOINT")]
    maas_endpoint: String,
    /// MAAS API key: the controller's, since MAAS shows each user its own choice of machines.
    #[arg(long, env = "MAAS_API_KEY", hide_env_values = true)]
    maas_api_key: String,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client =
        Client::builder(&args.maas_endpoint, &args.maas_api_key).context("MAAS_ENDPOINT and MAAS_API_KEY")?.build()?;
    let (region, facts) = MaasRegion::connect(client).await?;
    let mut maas = Maas { region, stores: Stores::default(), now: Clock::system().now() };
    maas.stores.learn(Fact::Region(Region::Up(facts)), maas.now);
    let (text, served) = match &args.machine {
        Some(machine) => {
            let kube = crate::tree::client(args.kubeconfig.as_deref()).await?;
            maas.read_objects(&kube).await?;
            maas.one(&ObjectName::new(args.namespace, machine)).await?
        }
        None => {
            if let Some(kubeconfig) = &args.kubeconfig {
                let kube = crate::tree::client(Some(kubeconfig)).await?;
                maas.read_objects(&kube).await?;
            }
            let mut documents = Vec::new();
            for file in &args.filename {
                documents.extend(read(file)?);
            }
            maas.before(&asks::asks(&documents)?).await?
        }
    };
    crate::out(text.as_bytes())?;
    Ok(if served { ExitCode::SUCCESS } else { ExitCode::from(NONE) })
}

pub(crate) fn read(file: &Path) -> anyhow::Result<Vec<Value>> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let named = || format!("-f {}", file.display());
    capi_types::parse_manifests(&text.with_context(named)?).with_context(named)
}

/// What the controller would know.
struct Maas {
    region: MaasRegion,
    stores: Stores,
    now: Timestamp,
}

impl Maas {
    async fn read_objects(&mut self, kube: &Kube) -> anyhow::Result<()> {
        const CORE: &str = "cluster.x-k8s.io";
        const OURS: &str = "infrastructure.cluster.x-k8s.io";
        let list = async |group, kind, plural| {
            anyhow::Ok(crate::tree::objects(kube, None, group, kind, plural).await?.unwrap_or_default())
        };
        let mut facts = Vec::new();
        // What can't be read as what it should be is left out, as the controller does.
        for value in list(CORE, "Cluster", "clusters").await? {
            facts.extend(
                named(&value)
                    .zip(capi_types::CoreCluster::from_value(&value).ok())
                    .map(|(name, object)| Fact::CoreCluster(name, Some(Box::new(object)))),
            );
        }
        for value in list(CORE, "Machine", "machines").await? {
            facts.extend(
                named(&value)
                    .zip(capi_types::CoreMachine::from_value(&value).ok())
                    .map(|(name, object)| Fact::CoreMachine(name, Some(Box::new(object)))),
            );
        }
        for value in list(OURS, "MaasCluster", "maasclusters").await? {
            let name = named(&value);
            facts.extend(name.zip(serde_json::from_value(value).ok()).map(|(n, o)| Fact::MaasCluster(n, Some(o))));
        }
        for value in list(OURS, "MaasMachine", "maasmachines").await? {
            let name = named(&value);
            facts.extend(name.zip(serde_json::from_value(value).ok()).map(|(n, o)| Fact::MaasMachine(n, Some(o))));
        }
        for fact in facts {
            self.stores.learn(fact, self.now);
        }
        Ok(())
    }

    async fn learn(&mut self, query: Query) -> anyhow::Result<()> {
        let sent = self.stores.fleet.send();
        for fact in self.region.read(&query, sent, self.now).await? {
            self.stores.learn(fact, self.now);
        }
        Ok(())
    }

    /// A MaasMachine that exists.
    async fn one(&mut self, name: &ObjectName) -> anyhow::Result<(String, bool)> {
        let seen = self.stores.observe_machine(name).with_context(|| format!("there is no MaasMachine {name}"))?;
        let wanted = seen.constraints.clone();
        let mut text = format!("MaasMachine {name} asks for {}\n", asked(&wanted));
        if let Some((host, _)) = &seen.host {
            let host = host.clone();
            self.learn(Query::Hosts(BTreeSet::from([host.clone()]))).await?;
            // Writing to a String does not fail.
            let _ = match self.stores.fleet.get(&host) {
                capmaas_reconcile::fleet::HostSight::Seen(view) => {
                    writeln!(text, "It has machine {} ({host}), which is {}.", view.hostname, view.status_name)
                }
                _ => writeln!(text, "It names machine {host}, which is not in MAAS."),
            };
            return Ok((text, true));
        }
        if let Some(contradiction) = wanted.contradiction() {
            let _ = writeln!(text, "No machine can satisfy that: {contradiction}");
            return Ok((text, false));
        }
        self.learn(Query::Pool(wanted.clone())).await?;
        let survey = self.region.survey(&wanted).await?;
        text.push_str(&table(&explain(&wanted, &survey)));
        let seen = self.stores.observe_machine(name).context("it was there a moment ago")?;
        let chosen = seen.candidate(self.now);
        text.push_str(&verdict(&seen, chosen, self.now));
        Ok((text, chosen.is_some()))
    }

    /// Manifests that are not applied yet.
    async fn before(&mut self, asks: &[Ask]) -> anyhow::Result<(String, bool)> {
        let wanted: BTreeSet<Constraints> = asks.iter().flat_map(Ask::constraints).collect();
        for constraints in &wanted {
            if constraints.contradiction().is_none() {
                self.learn(Query::Pool(constraints.clone())).await?;
            }
        }
        let named: BTreeSet<String> =
            self.stores.maas_machines.values().filter_map(|object| object.spec.system_id.clone()).collect();
        let mut taken = named;
        let mut text = String::new();
        let mut served = true;
        for (ask, got) in asks.iter().zip(fit(&self.stores, asks, self.now)) {
            taken.extend(got.hosts.iter().map(|host| host.id.to_string()));
            let lacking = match &got.lacking {
                None => None,
                Some(constraints) => Some(self.lacking(constraints, &taken).await?),
            };
            served &= got.lacking.is_none();
            text.push_str(&fitting(ask, &got, lacking.as_deref()));
        }
        Ok((text, served))
    }

    /// Why the next machine gets none, when these are taken.
    async fn lacking(&self, wanted: &Constraints, taken: &BTreeSet<String>) -> anyhow::Result<String> {
        if let Some(contradiction) = wanted.contradiction() {
            return Ok(contradiction);
        }
        if let Some(Err(refusal)) = self.stores.free_hosts(wanted) {
            return Ok(format!("MAAS does not accept it: {refusal}"));
        }
        let survey = self.region.survey(wanted).await?;
        let hosts = survey.hosts.into_iter().filter(|host| !taken.contains(host.id.as_str())).collect();
        let told = explain(wanted, &Survey { hosts, ..survey });
        Ok(if told.matching() > 0 {
            "those that match failed for the cluster lately".to_owned()
        } else {
            told.to_string()
        })
    }
}

fn named(value: &Value) -> Option<ObjectName> {
    let text = |path| value.pointer(path).and_then(Value::as_str);
    Some(ObjectName::new(text("/metadata/namespace")?, text("/metadata/name")?))
}

fn asked(wanted: &Constraints) -> String {
    if wanted.rules().next().is_none() { "any machine".to_owned() } else { wanted.to_string() }
}

/// How many machines each rule leaves.
fn table(told: &Explanation) -> String {
    let mut text = format!("{} machines are Ready in MAAS\n", told.ready);
    if !told.rows.is_empty() {
        text.push_str("  left  alone  (of these, how many satisfy a rule and all before it; and it alone)\n");
    }
    for row in &told.rows {
        let _ = writeln!(text, "{:>6} {:>6}  {}", row.left, row.alone, row.rule);
    }
    if let Some(nearest) = &told.nearest {
        let _ = writeln!(text, "Nearest: {} {}", nearest.hostname, nearest.lacks.join(" and "));
    }
    text
}

fn verdict(seen: &MachineSeen<'_>, chosen: Option<&HostView>, now: Timestamp) -> String {
    let mut text = String::new();
    if let Some(Err(refusal)) = &seen.free {
        let _ = writeln!(text, "MAAS does not accept it: {refusal}");
    }
    for host in &seen.spoken_for {
        let _ = writeln!(
            text,
            "Set aside: {}: another MaasMachine is about to take it, or has not let go of it yet",
            host.hostname
        );
    }
    for host in seen.free.iter().flatten().flatten() {
        if let Some(until) = seen.failed.get(&host.id).map(|failed| failed.avoided_until()).filter(|until| *until > now)
        {
            let _ = writeln!(
                text,
                "Set aside: {}: it failed for this cluster lately and is avoided until {until}",
                host.hostname
            );
        }
    }
    match chosen {
        Some(host) => {
            let _ = writeln!(text, "It gets {}.", described(host));
        }
        None => text.push_str("It gets none.\n"),
    }
    text
}

fn described(host: &HostView) -> String {
    format!(
        "{} ({}): zone {}, pool {}, {} CPUs, {} MiB",
        host.hostname, host.id, host.zone, host.pool, host.cpu, host.memory_mib
    )
}

fn fitting(ask: &Ask, got: &Fit, lacking: Option<&str>) -> String {
    let verb = if got.hosts.len() == 1 { "fits" } else { "fit" };
    let mut text = format!("{}: {} of {} {verb}\n", ask.owner, got.hosts.len(), ask.replicas);
    for host in &got.hosts {
        let _ = writeln!(text, "  {}", described(host));
    }
    if let (Some(why), Some(wanted)) = (lacking, &got.lacking) {
        let _ = writeln!(text, "  the next one asks for {} and gets none: {why}", asked(wanted));
    }
    text
}
