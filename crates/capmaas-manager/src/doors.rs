//! The doors of a real installation: MAAS over HTTP(S), workload clusters over HTTPS.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use capmaas_reconcile::names::ObjectName;
use kube::config::{KubeConfigOptions, Kubeconfig};
use secrecy::ExposeSecret;

use crate::env::{Credentials, Regions, WorkloadError, Workloads};

/// MAAS regions over the network, with the proxy settings of the environment.
#[derive(Clone, Debug, Default)]
pub struct NetworkRegions;

impl Regions for NetworkRegions {
    fn client(&self, credentials: &Credentials) -> Result<maas_client::Client, String> {
        let builder = maas_client::Client::builder(&credentials.endpoint, credentials.api_key.expose_secret())
            .map_err(|e| e.to_string())?;
        // A BMC may take minutes; what it did shows in the next list.
        let deadlines = maas_client::Deadlines { power: POWER, ..Default::default() };
        builder.deadlines(deadlines).build().map_err(|e| e.to_string())
    }
}

/// Workload clusters over the network.
#[derive(Clone, Debug, Default)]
pub struct NetworkWorkloads;

/// Longest wait for the answer to a release or a power call.
const POWER: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);

/// A kubeconfig that names programs to run or files to read is refused: it would do so in our pod.
fn checked(bytes: &[u8]) -> Result<Kubeconfig, WorkloadError> {
    let refuse = |what: String| WorkloadError::Kubeconfig(what);
    let text = std::str::from_utf8(bytes).map_err(|e| refuse(e.to_string()))?;
    let config = Kubeconfig::from_yaml(text).map_err(|e| refuse(e.to_string()))?;
    for user in config.auth_infos.iter().filter_map(|u| u.auth_info.as_ref()) {
        if user.exec.is_some() || user.auth_provider.is_some() {
            return Err(refuse("it names a program to run (exec or auth-provider)".to_owned()));
        }
        if user.token_file.is_some() || user.client_certificate.is_some() || user.client_key.is_some() {
            return Err(refuse("it names files; put the data inline".to_owned()));
        }
    }
    if config.clusters.iter().filter_map(|c| c.cluster.as_ref()).any(|c| c.certificate_authority.is_some()) {
        return Err(refuse("it names a file for the authority; put certificate-authority-data inline".to_owned()));
    }
    if config.clusters.iter().filter_map(|c| c.cluster.as_ref()).any(|c| c.insecure_skip_tls_verify == Some(true)) {
        return Err(refuse("insecure-skip-tls-verify is not accepted".to_owned()));
    }
    Ok(config)
}

async fn config(bytes: &[u8]) -> Result<kube::Config, WorkloadError> {
    let mut config = kube::Config::from_custom_kubeconfig(checked(bytes)?, &KubeConfigOptions::default())
        .await
        .map_err(|e| WorkloadError::Kubeconfig(e.to_string()))?;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(ANSWER);
    Ok(config)
}

#[async_trait]
impl Workloads for NetworkWorkloads {
    async fn client(&self, _cluster: &ObjectName, kubeconfig: &[u8]) -> Result<kube::Client, WorkloadError> {
        kube::Client::try_from(config(kubeconfig).await?).map_err(|e| WorkloadError::Kubeconfig(e.to_string()))
    }

    async fn answers(&self, _cluster: &ObjectName, kubeconfig: &[u8], address: IpAddr, port: u16) -> bool {
        let probe = async {
            let mut config = config(kubeconfig).await.ok()?;
            // The certificate is for the endpoint's name: that is what it is checked against, whichever address is asked.
            let name = config.tls_server_name.clone().or_else(|| config.cluster_url.host().map(str::to_owned))?;
            config.tls_server_name = Some(name);
            config.cluster_url = format!("https://{}/", SocketAddr::new(address, port)).parse().ok()?;
            let client = kube::Client::try_from(config).ok()?;
            let request = http::Request::get("/readyz").body(Vec::new()).ok()?;
            match client.request_text(request).await {
                Ok(_) => Some(true),
                Err(kube::Error::Api(status)) => Some(matches!(status.code, 401 | 403)),
                Err(_) => Some(false),
            }
        };
        tokio::time::timeout(CONNECT, probe).await.ok().flatten().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubeconfigs_that_run_programs_read_files_or_skip_verification_are_refused() {
        let config = |user: &str, cluster: &str| {
            format!(
                "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: 'https://c:6443'{cluster}}}}}]\n\
                 users: [{{name: u, user: {{{user}}}}}]\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\ncurrent-context: x\n"
            )
        };
        assert!(checked(config("token: abc", "").as_bytes()).is_ok());
        for (user, cluster, word) in [
            ("exec: {command: sh, apiVersion: client.authentication.k8s.io/v1}", "", "program"),
            ("tokenFile: /etc/token", "", "files"),
            ("client-key: /etc/key", "", "files"),
            ("token: abc", ", certificate-authority: /etc/ca", "file"),
            ("token: abc", ", insecure-skip-tls-verify: true", "insecure"),
        ] {
            let error = checked(config(user, cluster).as_bytes()).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
