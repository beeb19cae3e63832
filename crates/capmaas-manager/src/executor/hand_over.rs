//! Leaving a core Machine to its owner: the one write into an object of Cluster API core.

use capi_types::CoreMachine;
use capmaas_reconcile::decision::HandOver;
use capmaas_reconcile::outcome::Answer;
use capmaas_reconcile::provider::Fault;
use capmaas_reconcile::stores::Fact;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use tokio::time::timeout;

use super::{DEADLINE, Ended, Executor};
use crate::feeders::objects::served;

impl Executor {
    pub(super) async fn hand_over(&self, order: &HandOver) -> Ended {
        let written = timeout(DEADLINE, self.owner_remediates(order)).await;
        let late = |_| Err("no answer from the API server in time".to_owned());
        let answer = written.unwrap_or_else(late);
        self.metrics.kube_write("machine", answer.is_ok());
        match answer {
            Ok(fact) => Ended::Answered(Ok(Answer::Done), vec![fact]),
            Err(why) => Fault::Unavailable { message: format!("Machine {}: {why}", order.machine.name) }.into(),
        }
    }

    /// Writes the condition into the Machine as it is now, unless it is another one, on its way out, or found healthy since.
    async fn owner_remediates(&self, order: &HandOver) -> Result<Fact, String> {
        let served = served(&self.env.kube, "Machine", "machines").await.map_err(|e| e.to_string())?;
        let resource = served.ok_or("Cluster API core is not installed")?;
        let api: Api<DynamicObject> = Api::namespaced_with(self.env.kube.clone(), &order.machine.namespace, &resource);
        let Some(object) = api.get_opt(&order.machine.name).await.map_err(|e| e.to_string())? else {
            return Ok(Fact::CoreMachine(order.machine.clone(), None));
        };
        let machine = CoreMachine::try_from(&object).map_err(|e| e.to_string())?;
        let meant = machine.metadata.uid.as_deref() == Some(&order.uid) && !machine.is_deleting() && !machine.healthy;
        let value = serde_json::to_value(&object).map_err(|e| e.to_string())?;
        let now = self.env.clock.now();
        let patch = capi_types::owner_remediated(&value, &order.message, now).filter(|_| meant);
        let Some(patch) = patch else {
            return Ok(Fact::CoreMachine(order.machine.clone(), Some(Box::new(machine))));
        };
        let params = PatchParams { field_manager: Some(super::MANAGER.to_owned()), ..PatchParams::default() };
        let answer = api.patch_status(&order.machine.name, &params, &Patch::Merge(&patch)).await;
        let machine = CoreMachine::try_from(&answer.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
        Ok(Fact::CoreMachine(order.machine.clone(), Some(Box::new(machine))))
    }
}
