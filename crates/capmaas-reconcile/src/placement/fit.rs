//! What would be claimed, before anything is applied.

use std::collections::BTreeMap;

use capi_types::names::{CLUSTER_NAME_LABEL, CONTROL_PLANE_LABEL, DEPLOYMENT_NAME_LABEL};
use capi_types::{MaasMachine, MaasMachineSpec};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Constraints;
use crate::host::HostView;
use crate::names::ObjectName;
use crate::stores::{Fact, Stores};

/// Machines that somebody is about to ask for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ask {
    /// Who: `MachineDeployment default/workers`.
    pub owner: String,
    /// Namespace and name of the Cluster.
    pub cluster: Option<ObjectName>,
    /// Name of the MachineDeployment, if it is one.
    pub deployment: Option<String>,
    /// Failure domains that Cluster API spreads them over: a control plane's.
    pub spread_by_core: Vec<String>,
    /// They are a control plane.
    pub control_plane: bool,
    /// What each must have.
    pub spec: MaasMachineSpec,
    /// How many.
    pub replicas: usize,
}

impl Ask {
    /// The machine of this number, in that failure domain.
    fn machine(&self, nth: usize, zone: Option<&str>) -> MaasMachine {
        let mut labels = BTreeMap::new();
        if let Some(cluster) = &self.cluster {
            labels.insert(CLUSTER_NAME_LABEL.to_owned(), cluster.name.clone());
        }
        if let Some(deployment) = &self.deployment {
            labels.insert(DEPLOYMENT_NAME_LABEL.to_owned(), deployment.clone());
        }
        if self.control_plane {
            labels.insert(CONTROL_PLANE_LABEL.to_owned(), String::new());
        }
        let namespace = self.cluster.as_ref().map_or("default", |cluster| &cluster.namespace).to_owned();
        let mut spec = self.spec.clone();
        if let Some(zone) = zone {
            spec.failure_domain = Some(zone.to_owned());
        }
        // A name that no object of the API server can have.
        let name = format!("{} {nth}", self.owner);
        MaasMachine {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(namespace),
                labels: Some(labels),
                ..Default::default()
            },
            spec,
            ..Default::default()
        }
    }

    /// What each of its machines has to satisfy: one set, or one for each failure domain. Their pools must be read for [`fit`].
    pub fn constraints(&self) -> Vec<Constraints> {
        let zones: Vec<_> = match self.zones().is_empty() {
            true => vec![None],
            false => self.zones().iter().map(|zone| Some(zone.as_str())).collect(),
        };
        zones.into_iter().map(|zone| Constraints::of(&self.machine(0, zone).spec, None)).collect()
    }

    fn zones(&self) -> &[String] {
        match &self.spec.failure_domain {
            Some(zone) if !zone.is_empty() => &[],
            _ => &self.spread_by_core,
        }
    }
}

/// What would come of an [`Ask`].
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The hosts that its machines would get, in the order in which they ask.
    pub hosts: Vec<HostView>,
    /// What the first one that gets none asks for, if one does not.
    pub lacking: Option<Constraints>,
}

/// What all of these would get, one after the other, beside the machines that the stores have. (Who really asks first nobody knows before;
/// where two of them compete for the same machine, this is one of the possible outcomes.)
pub fn fit(stores: &Stores, asks: &[Ask], now: Timestamp) -> Vec<Fit> {
    let mut stores = stores.clone();
    asks.iter().map(|ask| fit_one(&mut stores, ask, now)).collect()
}

fn fit_one(stores: &mut Stores, ask: &Ask, now: Timestamp) -> Fit {
    let mut fit = Fit { hosts: Vec::new(), lacking: None };
    let mut crowd: BTreeMap<&str, usize> = ask.zones().iter().map(|zone| (zone.as_str(), 0)).collect();
    for nth in 0..ask.replicas {
        // Cluster API puts the next one where the fewest are.
        let zone = crowd.iter().min_by_key(|(zone, count)| (**count, **zone)).map(|(zone, _)| *zone);
        let mut object = ask.machine(nth, zone);
        let name = ObjectName::new(
            object.metadata.namespace.clone().unwrap_or_default(),
            object.metadata.name.clone().unwrap_or_default(),
        );
        stores.learn(Fact::MaasMachine(name.clone(), Some(Box::new(object.clone()))), now);
        let seen = stores.observe_machine(&name);
        let host = seen.as_ref().and_then(|seen| seen.candidate(now)).cloned();
        let Some(host) = host else {
            fit.lacking = seen.map(|seen| seen.constraints);
            stores.learn(Fact::MaasMachine(name, None), now);
            break;
        };
        object.spec.system_id = Some(host.id.to_string());
        stores.learn(Fact::MaasMachine(name, Some(Box::new(object))), now);
        // The object that names it now is not in MAAS: what is known of the host stands.
        let sent = stores.fleet.send();
        stores.learn(Fact::Host(Box::new(host.clone()), sent), now);
        if let Some(zone) = zone {
            *crowd.entry(zone).or_default() += 1;
        }
        fit.hosts.push(host);
    }
    fit
}
