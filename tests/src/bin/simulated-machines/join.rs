//! How kubeadm finds and trusts the cluster that a machine is to join.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use tokio::time::Instant;

use super::world::Shared;

/// kubeadm gives up after five minutes.
const PATIENCE: Duration = Duration::from_secs(300);

/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// Addresses of a host as the machine's resolver gives them.
async fn resolve(endpoint: &str) -> Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host(endpoint).await.with_context(|| format!("{endpoint} does not resolve"))?.collect())
}

/// Waits until the endpoint's name leads to the machine itself, through which `kubeadm init` looks for its own API server.
pub(crate) async fn until_named(endpoint: &str, own: std::net::IpAddr) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        let why = match resolve(endpoint).await {
            Ok(found) if found.iter().any(|address| address.ip() == own) => return Ok(()),
            Ok(found) => format!("{endpoint} resolves to {found:?}, not to this machine"),
            Err(error) => format!("{error:#}"),
        };
        ensure!(Instant::now() < until, "kubeadm init: {why}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Discovery with a token: reads whom to trust through the endpoint, compares it with the hashes, and signs in.
pub(crate) async fn discover(shared: &Shared, endpoint: &str, token: &str, hashes: &[String]) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        match attempt(shared, endpoint, token, hashes).await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > until => bail!("kubeadm join: {error:#}"),
            Err(error) => tracing::info!(endpoint, "kubeadm join waits: {error:#}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn config(endpoint: &str) -> Result<Config> {
    let mut config = Config::new(format!("https://{endpoint}").parse()?);
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(Duration::from_secs(10));
    Ok(config)
}

async fn attempt(shared: &Shared, endpoint: &str, token: &str, hashes: &[String]) -> Result<()> {
    resolve(endpoint).await?;
    // Nobody is trusted yet: that is what the hashes are for.
    let mut anonymous = config(endpoint)?;
    anonymous.accept_invalid_certs = true;
    let maps: Api<ConfigMap> = Api::namespaced(Client::try_from(anonymous)?, "kube-public");
    let info = maps.get("cluster-info").await.context("ConfigMap kube-public/cluster-info")?;
    let text = info.data.unwrap_or_default().remove("kubeconfig").context("cluster-info holds no kubeconfig")?;
    let known = shared.clusters().get(endpoint).map(|cluster| cluster.hash.clone());
    let known = known.with_context(|| format!("no cluster at {endpoint}"))?;
    ensure!(hashes.contains(&known), "the cluster's authority is {known}, the machine was told {hashes:?}");
    let mut trusted: serde_json::Value = serde_json::from_str(&text).context("cluster-info")?;
    trusted["users"] = json!([{"name": "join", "user": {"token": token}}]);
    trusted["contexts"] = json!([{"name": "join", "context": {"cluster": "", "user": "join"}}]);
    trusted["current-context"] = json!("join");
    let trusted = Kubeconfig::from_yaml(&trusted.to_string()).context("cluster-info")?;
    let options = KubeConfigOptions::default();
    let client = Client::try_from(Config::from_custom_kubeconfig(trusted, &options).await?)?;
    let question = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#;
    let request = http::Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header("content-type", "application/json")
        .body(question.as_bytes().to_vec())?;
    let answer: serde_json::Value = client.request(request).await.context("the join token is not accepted")?;
    let user = answer["status"]["userInfo"]["username"].as_str().unwrap_or_default();
    ensure!(user.starts_with("system:bootstrap:"), "the join token signs in as {user:?}");
    Ok(())
}
