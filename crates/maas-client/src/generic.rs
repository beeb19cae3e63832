//! Any operation of the table, with or without a typed method.

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::client::Client;
use crate::define::Parameter;
use crate::error::Result;
use crate::form::Form;
use crate::list::Entries;
use crate::operation::Operation;

/// A call of any [`Operation`]: ids, parameters, then one of the methods that send it.
///
/// Signing, deadlines, retries, lanes, version checks and errors are those of typed methods; only the
/// words are the caller's. What is documented per operation stands at its constant in
/// [`crate::operation`].
///
/// ```no_run
/// # use maas_client::{Client, Result, operation};
/// # async fn example(client: &Client) -> Result<()> {
/// let scopes: serde_json::Value = client
///     .call(&operation::PARTITION_FORMAT)
///     .id("wt67ch")
///     .id(3)
///     .id(1)
///     .parameter("fstype", "ext4")
///     .json()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a call does nothing until it is sent"]
pub struct AnyCall {
    client: Client,
    call: Call,
}

impl AnyCall {
    pub(crate) fn new(client: Client, operation: &'static Operation) -> Self {
        Self { client, call: Call::new(operation) }
    }

    /// The next id of the path. Sending fails (`InvalidRequest`) when there are more or fewer than
    /// [`Operation::ids`].
    pub fn id(mut self, id: impl ToString) -> Self {
        self.call = self.call.id(id);
        self
    }

    /// A parameter where MAAS reads it: in the URL for GET and DELETE, in the form for POST and PUT.
    /// Repeat it for lists; write `true` and `false` for switches.
    pub fn parameter(mut self, key: &str, value: impl ToString) -> Self {
        let mut form = Form::default();
        form.push(key, value.to_string());
        self.call = self.call.parameters(form);
        self
    }

    /// The same parameter for each value.
    pub fn parameters<T: std::fmt::Display>(mut self, key: &str, values: impl IntoIterator<Item = T>) -> Self {
        let mut form = Form::default();
        values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().add(key, &mut form);
        self.call = self.call.parameters(form);
        self
    }

    /// A parameter in the URL, whatever the verb; a few POSTs read options there.
    pub fn query(mut self, key: &str, value: impl ToString) -> Self {
        let mut form = Form::default();
        form.push(key, value.to_string());
        self.call = self.call.query(form);
        self
    }

    /// A file in the form, which goes as multipart then.
    pub fn file(mut self, key: &str, file_name: &str, content: impl Into<Bytes>) -> Self {
        let mut form = Form::default();
        form.file(key, file_name, content.into());
        self.call = self.call.form(form);
        self
    }

    /// These bytes as the whole body (`application/octet-stream`) instead of a form.
    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        self.call = self.call.raw(bytes.into());
        self
    }

    /// Sends and decodes the JSON of the answer. `Option<T>` takes the `null` of
    /// [`crate::operation::Returns::Maybe`], `()` takes [`crate::operation::Returns::Nothing`].
    pub async fn json<T: DeserializeOwned>(self) -> Result<T> {
        self.client.typed(self.call).await
    }

    /// Sends; the answer as text, undecodable parts replaced.
    pub async fn text(self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes().await?).into_owned())
    }

    /// Sends; the answer as it came.
    pub async fn bytes(self) -> Result<Bytes> {
        self.client.bytes(&self.call).await
    }

    /// Sends; whatever the answer says beyond success is dropped.
    pub async fn done(self) -> Result<()> {
        self.client.done(self.call).await
    }

    /// Sends when first polled; entries of a JSON list as they arrive, in bounded memory. Waits for
    /// more bytes have the deadline of the class each; after the first byte nothing is repeated.
    pub fn entries<T: DeserializeOwned + Send + 'static>(self) -> Entries<T> {
        self.client.entries(self.call)
    }
}

impl Client {
    /// Any operation of the table: see [`AnyCall`].
    pub fn call(&self, operation: &'static Operation) -> AnyCall {
        AnyCall::new(self.clone(), operation)
    }
}
