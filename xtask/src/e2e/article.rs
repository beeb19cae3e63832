//! A cluster as the article of 2021 has it, through `capmaasctl convert`, and what real controllers make of it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use capi_types::names::{CLAIM_ANNOTATION, CONTROL_PLANE_LABEL};
use serde_json::Value;

use super::child::{bound, run};
use super::kubectl::{condition, conditions};
use super::patience::{until, when};
use super::world::{CLUSTER_KINDS, World};

/// What the manifest's Kubernetes version is replaced with: v1.19.12 is below what today's kubeadm providers take.
const KUBERNETES_VERSION: &str = "v1.33.5";

/// Name of the Cluster in the manifest.
pub(super) const NAME: &str = "my-cluster";

/// How long real controllers may take for one thing. A deployment takes 7 s.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// Reads a text, empty where there is none.
pub(super) fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The article's cluster in a namespace.
pub(super) struct Article {
    pub(super) namespace: &'static str,
}

impl Article {
    /// Converts the manifest with our CLI and applies it with kubectl.
    pub(super) fn apply(world: &World, namespace: &'static str) -> Result<Self> {
        let manifest = manifest(world)?.replace("namespace: default", &format!("namespace: {namespace}"));
        let kubectl = &world.plane.kubectl;
        if namespace != "default" {
            kubectl.run(&["create", "namespace", namespace])?;
        }
        let file = kubectl.manifest(&format!("{namespace}.yaml"), &manifest)?;
        kubectl.run(&["apply", "-n", namespace, "-f", &file])?;
        Ok(Self { namespace })
    }

    /// The object of a kind with that name, which must be there.
    pub(super) fn get(&self, world: &World, kind: &str, name: &str) -> Result<Value> {
        world.plane.kubectl.get(self.namespace, kind, name)?.with_context(|| format!("no {kind} {name}"))
    }

    /// Waits until an object is as `look` wants it.
    pub(super) fn until(
        &self,
        world: &World,
        what: &str,
        (kind, name): (&str, &str),
        look: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        until(&format!("{kind} {name}: {what}"), PATIENCE, || {
            let object = self.get(world, kind, name)?;
            Ok(if look(&object) { Ok(object) } else { Err(conditions(&object)) })
        })
    }

    /// Waits for the MaasMachine of the control plane; there is to be one.
    pub(super) fn control_plane(&self, world: &World) -> Result<Value> {
        let machines = until("the MaasMachine of the control plane", PATIENCE, || {
            let machines = world.plane.kubectl.list(self.namespace, "maasmachines", CONTROL_PLANE_LABEL)?;
            let control_plane = world.plane.kubectl.list(self.namespace, "kubeadmcontrolplanes", "")?;
            let why = || control_plane.iter().map(conditions).collect::<Vec<_>>().join(" | ");
            Ok(if machines.is_empty() { Err(why()) } else { Ok(machines) })
        })?;
        let [machine] = machines.as_slice() else { anyhow::bail!("{} control planes", machines.len()) };
        Ok(machine.clone())
    }

    /// Waits until the control plane's MaasMachine is provisioned, and returns it.
    pub(super) fn provisioned(&self, world: &World) -> Result<Value> {
        let machine = self.control_plane(world)?;
        self.until(world, "provisioned", ("maasmachine", text(&machine, "/metadata/name")), |machine| {
            machine["status"]["initialization"]["provisioned"] == true
        })
    }

    /// Waits until the control plane's machine is Deploying in MAAS; returns it as MAAS has it.
    pub(super) fn deploying(&self, world: &World) -> Result<Value> {
        let machine = self.control_plane(world)?;
        let name = text(&machine, "/metadata/name").to_owned();
        until("a machine that deploys", PATIENCE, || {
            let machine = self.get(world, "maasmachine", &name)?;
            let id = text(&machine, "/spec/systemID");
            let found = world.sim.machines()?.into_iter().find(|m| m["system_id"] == id && m["status"] == "deploying");
            Ok(found.ok_or_else(|| conditions(&machine)))
        })
    }

    /// Deletes the Cluster and waits until nothing of it is left, here and in MAAS.
    pub(super) fn delete(&self, world: &World) -> Result<()> {
        let host = text(&self.get(world, "maascluster", NAME)?, "/spec/controlPlaneEndpoint/host").to_owned();
        ensure!(world.sim.has_name(&host)?, "MAAS has no DNS resource {host}");
        let kubectl = &world.plane.kubectl;
        let taken = |machines: &[Value]| {
            let ours = machines.iter().filter_map(|machine| machine["spec"]["systemID"].as_str().map(str::to_owned));
            ours.collect::<Vec<_>>()
        };
        let boxes = taken(&kubectl.list(self.namespace, "maasmachines", "")?);
        kubectl.run(&["delete", "-n", self.namespace, "cluster", NAME, "--wait=false"])?;
        until("the cluster is gone", PATIENCE, || {
            let left = kubectl.list(self.namespace, CLUSTER_KINDS, "")?;
            let line = |o: &Value| format!("{} {}: {}", text(o, "/kind"), text(o, "/metadata/name"), conditions(o));
            Ok(when(left.is_empty(), || left.iter().map(line).collect::<Vec<_>>().join(" | ")))
        })?;
        for id in boxes {
            let machine = world.sim.get(&format!("machines/{id}"))?;
            ensure!(machine["status"] == "ready" && machine["owner"].is_null(), "{id} was not released: {machine}");
        }
        ensure!(!world.sim.has_name(&host)?, "MAAS still has a DNS resource {host}");
        Ok(())
    }
}

/// The article's manifest, converted.
fn manifest(world: &World) -> Result<String> {
    let seed = world.root.join("crates/capi-types/seed/cluster1.yaml");
    let mut convert = bound(&world.binaries.ours("capmaasctl"));
    convert.args(["convert", "--quiet", "--kubernetes-version", KUBERNETES_VERSION]).arg(&seed);
    let folder = world.plane.kubeconfig.parent().unwrap_or(Path::new("."));
    run(&mut convert, folder, Duration::from_secs(30))?.success("capmaasctl convert")
}

/// The whole article as far as machines can come without a workload cluster: what we claim is copied, and bootstrap data
/// arrives unaltered.
pub(super) fn article(world: &mut World) -> Result<()> {
    let world = &*world;
    let article = Article::apply(world, "default")?;
    let cluster = article.until(world, "infrastructure provisioned", ("cluster", NAME), |cluster| {
        cluster["status"]["initialization"]["infrastructureProvisioned"] == true
            && condition(cluster, "InfrastructureReady").0 == "True"
    })?;
    let ours = article.get(world, "maascluster", NAME)?;
    ensure!(ours["status"]["initialization"]["provisioned"] == true, "{ours}");
    ensure!(ours["status"]["ready"] == true, "{ours}");
    let endpoint = &ours["spec"]["controlPlaneEndpoint"];
    ensure!(text(endpoint, "/host").ends_with(".maas.sc") && endpoint["port"] == 6443, "endpoint {endpoint}");
    ensure!(cluster["spec"]["controlPlaneEndpoint"] == *endpoint, "Cluster API did not copy {endpoint}: {cluster}");

    let machine = article.provisioned(world)?;
    provisioned_machine(world, &article, &machine)?;
    let address = internal_address(&machine);
    until("the control plane's name", PATIENCE, || {
        let found = world.sim.resolve(text(endpoint, "/host"))?;
        Ok(when(found == [address.clone()], || format!("{found:?} instead of {address}")))
    })?;

    let described = world.plane.clusterctl(&["describe", "cluster", NAME, "--show-conditions", "all"], &[])?;
    ensure!(
        described.contains(&format!("MaasCluster default/{NAME}")),
        "clusterctl describe does not show us: {described}"
    );
    let all = world.plane.kubectl.list("default", "maasmachines", "")?;
    let waiting: Vec<&Value> = all.iter().filter(|m| m["metadata"]["name"] != machine["metadata"]["name"]).collect();
    let [worker] = waiting.as_slice() else { anyhow::bail!("{} workers", waiting.len()) };
    ensure!(worker["spec"]["systemID"].is_null(), "a worker without bootstrap data holds a machine: {worker}");
    ensure!(world.sim.count("POST machines allocate")? == 1, "one machine needs one allocate");
    article.delete(world)
}

/// What Cluster API copied of a provisioned MaasMachine, and what MAAS was given.
fn provisioned_machine(world: &World, article: &Article, machine: &Value) -> Result<()> {
    let provider_id = text(machine, "/spec/providerID");
    let id = text(machine, "/spec/systemID");
    ensure!(
        provider_id.starts_with("maas:///") && provider_id.ends_with(&format!("/{id}")),
        "providerID {provider_id}"
    );
    let owners = machine["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    let owner = owners.iter().find(|owner| owner["kind"] == "Machine").context("no Machine owns it")?;
    let core = article.until(world, "provisioned", ("machine", text(owner, "/name")), |core| {
        core["status"]["initialization"]["infrastructureProvisioned"] == true && core["spec"]["providerID"].is_string()
    })?;
    ensure!(core["spec"]["providerID"] == provider_id, "{} was not copied: {core}", provider_id);
    let (status, ..) = condition(&core, "InfrastructureReady");
    ensure!(status == "True", "InfrastructureReady of the Machine: {}", conditions(&core));
    let addresses = &core["status"]["addresses"];
    ensure!(*addresses == machine["status"]["addresses"], "addresses {addresses} differ from ours: {machine}");

    let in_maas = world.sim.get(&format!("machines/{id}"))?;
    ensure!(in_maas["status"] == "deployed", "{in_maas}");
    let claim = text(machine, &format!("/metadata/annotations/{}", CLAIM_ANNOTATION.replace('/', "~1")));
    let marks = in_maas["owner_data"].as_object().cloned().unwrap_or_default();
    let token = claim.split(' ').next().unwrap_or_default();
    ensure!(!token.is_empty() && marks.values().any(|mark| mark == token), "no mark of {claim} in {in_maas}");

    let secret = article.get(world, "secret", text(&core, "/spec/bootstrap/dataSecretName"))?;
    let delivered = world.sim.get(&format!("machines/{id}/user-data"))?;
    let wanted = &secret["data"]["value"];
    ensure!(wanted.is_string() && *wanted == delivered["base64"], "bootstrap data did not arrive as it was made");
    Ok(())
}

/// The address of a MaasMachine that the name is to have.
fn internal_address(machine: &Value) -> String {
    let all = machine["status"]["addresses"].as_array();
    let found = all.into_iter().flatten().find(|a| a["type"] == "InternalIP" || a["type"] == "ExternalIP");
    found.map(|address| text(address, "/address").to_owned()).unwrap_or_default()
}
