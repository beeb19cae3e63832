//! The region as its machines see it: maas-sim's control endpoints.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What maas-sim tells of a machine.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Machine {
    pub(crate) system_id: String,
    pub(crate) hostname: String,
    pub(crate) fqdn: String,
    /// As a list filter of MAAS names it.
    pub(crate) status: String,
    pub(crate) powered: bool,
    /// Nothing on it runs on, though it has power.
    pub(crate) hung: bool,
    pub(crate) addresses: Vec<IpAddr>,
    /// Counts deployments: another number is another system on the disk.
    pub(crate) deployment: u64,
}

#[derive(Deserialize)]
struct UserData {
    base64: Option<String>,
}

/// The control endpoints.
pub(crate) struct Region {
    address: SocketAddr,
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl Region {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let uri: http::Uri = format!("http://{}/MAAS/sim/{path}", self.address).parse()?;
        let response = self.client.get(uri.clone()).await.with_context(|| uri.to_string())?;
        let status = response.status();
        let body = response.into_body().collect().await.with_context(|| uri.to_string())?.to_bytes();
        ensure!(status.is_success(), "{uri}: {status}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).with_context(|| uri.to_string())
    }

    /// All machines.
    pub(crate) async fn machines(&self) -> Result<Vec<Machine>> {
        self.get("machines").await
    }

    /// What the metadata service gives a machine.
    pub(crate) async fn user_data(&self, system_id: &str) -> Result<Option<Vec<u8>>> {
        let data: UserData = self.get(&format!("machines/{system_id}/user-data")).await?;
        let decode = |text: String| base64::engine::general_purpose::STANDARD.decode(text);
        data.base64.map(decode).transpose().context("user data")
    }
}
