//! Scripts that commissioning and tests run (fact sheet §2.10).

use bytes::Bytes;

use crate::call::Call;
use crate::define::{reply, request, service};
use crate::error::Result;
use crate::form::Form;
use crate::ids::ScriptId;
use crate::operation;

service! {
    /// Scripts: `scripts/`. With feature `mock` there is `MockScripts`.
    Scripts by ScriptsClient;

    /// `GET scripts/`.
    fn list(&filter: ScriptFilter) -> Vec<Script> = SCRIPTS_LIST, filter.form();

    /// `GET scripts/{name}`.
    fn read(&name: str) -> Script = SCRIPT_READ [name];

    /// `DELETE scripts/{name}` (admin). MAAS's own can't be deleted.
    fn delete(&name: str) -> () = SCRIPT_DELETE [name];

    /// `POST scripts/{name}?op=add_tag` (admin).
    fn add_tag(&name: str, &tag: str) -> Script = SCRIPT_ADD_TAG [name], tagged(tag);

    /// `POST scripts/{name}?op=remove_tag` (admin).
    fn remove_tag(&name: str, &tag: str) -> Script = SCRIPT_REMOVE_TAG [name], tagged(tag);
}

fn tagged(tag: &str) -> Form {
    let mut form = Form::default();
    form.push("tag", tag);
    form
}

impl ScriptsClient {
    /// `POST scripts/` (admin): the script as a file. Its header may set what the request leaves out.
    pub async fn create(&self, request: &CreateScript, script: impl Into<Bytes>) -> Result<Script> {
        let mut form = request.form();
        form.file("script", &request.name, script.into());
        self.0.typed(Call::new(&operation::SCRIPTS_CREATE).form(form)).await
    }

    /// `GET scripts/{name}?op=download`: the script itself.
    pub async fn download(&self, name: &str) -> Result<Bytes> {
        self.0.bytes(&Call::new(&operation::SCRIPT_DOWNLOAD).id(name)).await
    }
}

reply! {
    /// A script.
    Script {
        /// Number.
        id: ScriptId,
        /// Name: the key in calls.
        name: String,
        /// Title for people.
        title: String,
        /// Free text.
        description: String,
        /// Tags.
        tags: Vec<String>,
        /// `Commissioning script`, `Testing script`, …
        type_name: String,
        /// e.g. `Storage`.
        hardware_type_name: String,
        /// How it runs beside others.
        parallel_name: String,
        /// Longest time, `h:mm:ss`; `0:00:00` for none.
        timeout: String,
        /// Destroys data.
        destructive: bool,
        /// May reboot the machine.
        may_reboot: bool,
        /// Part of MAAS.
        default: bool,
    }
}

request! {
    /// Filters of `GET scripts/`.
    ScriptFilter {
        /// `commissioning`, `testing`, `release`.
        script_type: Option<String> as "type",
        /// `node`, `cpu`, `memory`, `storage`, `network` or `gpu`.
        hardware_type: Option<String>,
        /// Names and tags, separated by commas.
        filters: Option<String>,
    }

    /// Parameters of `POST scripts/`.
    CreateScript {
        /// Name.
        name: String,
        /// Title for people.
        title: Option<String>,
        /// Free text.
        description: Option<String>,
        /// Tags, separated by commas.
        tags: Option<String>,
        /// `commissioning`, `testing` or `release`.
        script_type: Option<String> as "type",
        /// `node`, `cpu`, `memory`, `storage`, `network` or `gpu`.
        hardware_type: Option<String>,
        /// Longest time in seconds.
        timeout: Option<u64>,
        /// Destroys data.
        destructive: bool,
        /// May reboot the machine.
        may_reboot: bool,
        /// Note on this version.
        comment: Option<String>,
    }
}
