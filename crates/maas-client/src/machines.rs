//! Machines: list, read, allocate, deploy, release, power, annotations.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Deserialize;

use crate::Client;
use crate::call::Call;
use crate::error::{Error, Result};
use crate::form::Form;
use crate::ids::SystemId;
use crate::machine::Machine;
use crate::machine_requests::{
    AllocateRequest, DeployRequest, MachineFilter, NAME_LIMIT, PowerOffMode, ReleaseRequest, UpdateMachine,
};
use crate::operation::{self, Operation};
use crate::status::PowerState;

/// Ids in one request: keeps the URL below the 8 KB header buffer of MAAS's nginx.
const IDS_PER_REQUEST: usize = 500;

/// The machines of a MAAS: `machines/` and `machines/{system_id}/`.
///
/// Implemented by [`MachinesClient`] ([`Client::machines`]); with feature `mock` there is
/// `MockMachines`. Errors of all methods: see [`Error`].
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Machines: Send + Sync {
    /// `GET machines/` with filters: whole machines, ordered as MAAS has them. Unknown tags, zones and
    /// pools are `Validation`; unknown ids, hosts and owners give an empty list.
    async fn list(&self, filter: &MachineFilter) -> Result<Vec<Machine>>;

    /// `GET machines/{system_id}/`.
    async fn read(&self, system_id: &SystemId) -> Result<Machine>;

    /// `POST machines/?op=allocate`: claims one Ready machine, the cheapest that matches. `NoMatch`
    /// when there is none now.
    async fn allocate(&self, request: &AllocateRequest) -> Result<Machine>;

    /// `POST machines/{system_id}/?op=deploy`: installs an image; a Ready machine is allocated first.
    async fn deploy(&self, system_id: &SystemId, request: &DeployRequest) -> Result<Machine>;

    /// `POST machines/{system_id}/?op=release`. Ready and Releasing machines answer success.
    async fn release(&self, system_id: &SystemId, request: &ReleaseRequest) -> Result<Machine>;

    /// `POST …?op=power_on`; waits for the BMC. In Allocated this *starts a deployment*, and it clears
    /// stored user data. `None` when MAAS sent no power action (manual power).
    async fn power_on(&self, system_id: &SystemId, comment: Option<String>) -> Result<Option<Machine>>;

    /// `POST …?op=power_off`; waits for the BMC. `None` when MAAS sent no power action.
    async fn power_off(
        &self,
        system_id: &SystemId,
        mode: PowerOffMode,
        comment: Option<String>,
    ) -> Result<Option<Machine>>;

    /// `GET …?op=query_power_state`: asks the BMC, up to 60 s; keep it out of loops.
    async fn query_power_state(&self, system_id: &SystemId) -> Result<PowerState>;

    /// `POST …?op=set_owner_data`: sets workload annotations; keys not named stay, an empty value
    /// deletes its key. Only the owner may. Keys other than letters, digits, `_`, `.`, `-` are refused
    /// here (`InvalidRequest`), since MAAS answers them with 500.
    async fn set_owner_data(&self, system_id: &SystemId, data: &BTreeMap<String, String>) -> Result<Machine>;

    /// `PUT machines/{system_id}/` (admin): fields left out stay.
    async fn update(&self, system_id: &SystemId, request: &UpdateMachine) -> Result<Machine>;

    /// `POST …?op=mark_broken`: only the owner of a machine may.
    async fn mark_broken(&self, system_id: &SystemId, comment: Option<String>) -> Result<Machine>;

    /// `POST …?op=mark_fixed` (admin): Broken becomes Ready.
    async fn mark_fixed(&self, system_id: &SystemId, comment: Option<String>) -> Result<Machine>;

    /// `POST …?op=lock`: Deploying and Deployed only.
    async fn lock(&self, system_id: &SystemId, comment: Option<String>) -> Result<Machine>;

    /// `POST …?op=unlock`.
    async fn unlock(&self, system_id: &SystemId, comment: Option<String>) -> Result<Machine>;

    /// `POST …?op=abort`: stops deploying, commissioning, disk erasing or testing.
    async fn abort(&self, system_id: &SystemId, comment: Option<String>) -> Result<Machine>;
}

fn annotation_fits(key: &str) -> Result<()> {
    let fault = if key.is_empty() {
        "it is empty"
    } else if key == "op" {
        "`op` names the operation"
    } else if key.chars().count() > NAME_LIMIT {
        "it is too long"
    } else if !key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')) {
        "only letters, digits, `_`, `.` and `-` may occur"
    } else {
        return Ok(());
    };
    Err(Error::invalid_request(
        &operation::MACHINE_SET_OWNER_DATA,
        format!("annotation key {key:?} is not allowed: {fault}"),
    ))
}

/// [`Machines`] over HTTP; made by [`Client::machines`], cheap to clone.
#[derive(Clone, Debug)]
pub struct MachinesClient(pub(crate) Client);

impl MachinesClient {
    async fn post<T: serde::de::DeserializeOwned>(
        &self,
        operation: &'static Operation,
        system_id: &SystemId,
        form: Form,
    ) -> Result<T> {
        self.0.json(Call::new(operation).id(system_id).form(form)).await
    }

    async fn commented(
        &self,
        operation: &'static Operation,
        system_id: &SystemId,
        comment: Option<String>,
    ) -> Result<Machine> {
        let mut form = Form::default();
        form.opt("comment", comment);
        self.post(operation, system_id, form).await
    }
}

#[derive(Deserialize)]
struct PowerReply {
    state: PowerState,
}

#[async_trait]
impl Machines for MachinesClient {
    async fn list(&self, filter: &MachineFilter) -> Result<Vec<Machine>> {
        if filter.ids.len() <= IDS_PER_REQUEST {
            let query = filter.query(&filter.ids)?;
            return self.0.list(Call::new(&operation::MACHINES_LIST).query(query)).await;
        }
        let mut machines = Vec::new();
        for ids in filter.ids.chunks(IDS_PER_REQUEST) {
            let call = Call::new(&operation::MACHINES_LIST).query(filter.query(ids)?);
            machines.extend(self.0.list::<Machine>(call).await?);
        }
        Ok(machines)
    }

    async fn read(&self, system_id: &SystemId) -> Result<Machine> {
        self.0.json(Call::new(&operation::MACHINE_READ).id(system_id)).await
    }

    async fn allocate(&self, request: &AllocateRequest) -> Result<Machine> {
        self.0.json(Call::new(&operation::MACHINES_ALLOCATE).form(request.form()?)).await
    }

    async fn deploy(&self, system_id: &SystemId, request: &DeployRequest) -> Result<Machine> {
        self.post(&operation::MACHINE_DEPLOY, system_id, request.form()?).await
    }

    async fn release(&self, system_id: &SystemId, request: &ReleaseRequest) -> Result<Machine> {
        self.post(&operation::MACHINE_RELEASE, system_id, request.form()).await
    }

    async fn power_on(&self, system_id: &SystemId, comment: Option<String>) -> Result<Option<Machine>> {
        let mut form = Form::default();
        form.opt("comment", comment);
        self.post(&operation::MACHINE_POWER_ON, system_id, form).await
    }

    async fn power_off(
        &self,
        system_id: &SystemId,
        mode: PowerOffMode,
        comment: Option<String>,
    ) -> Result<Option<Machine>> {
        let mut form = Form::default();
        if mode == PowerOffMode::Soft {
            form.push("stop_mode", "soft");
        }
        form.opt("comment", comment);
        self.post(&operation::MACHINE_POWER_OFF, system_id, form).await
    }

    async fn query_power_state(&self, system_id: &SystemId) -> Result<PowerState> {
        let reply: PowerReply = self.0.json(Call::new(&operation::MACHINE_QUERY_POWER).id(system_id)).await?;
        Ok(reply.state)
    }

    async fn set_owner_data(&self, system_id: &SystemId, data: &BTreeMap<String, String>) -> Result<Machine> {
        let mut form = Form::default();
        for (key, value) in data {
            annotation_fits(key)?;
            form.push(key, value);
        }
        self.post(&operation::MACHINE_SET_OWNER_DATA, system_id, form).await
    }

    async fn update(&self, system_id: &SystemId, request: &UpdateMachine) -> Result<Machine> {
        self.post(&operation::MACHINE_UPDATE, system_id, request.form()).await
    }

    async fn mark_broken(&self, system_id: &SystemId, comment: Option<String>) -> Result<Machine> {
        self.commented(&operation::MACHINE_MARK_BROKEN, system_id, comment).await
    }

    async fn mark_fixed(&self, system_id: &SystemId, comment: Option<String>) -> Result<Machine> {
        self.commented(&operation::MACHINE_MARK_FIXED, system_id, comment).await
    }

    async fn lock(&self, system_id: &SystemId, comment: Option<String>) -> Result<Machine> {
        self.commented(&operation::MACHINE_LOCK, system_id, comment).await
    }

    async fn unlock(&self, system_id: &SystemId, comment: Option<String>) -> Result<Machine> {
        self.commented(&operation::MACHINE_UNLOCK, system_id, comment).await
    }

    async fn abort(&self, system_id: &SystemId, comment: Option<String>) -> Result<Machine> {
        self.commented(&operation::MACHINE_ABORT, system_id, comment).await
    }
}

#[cfg(test)]
mod tests;
