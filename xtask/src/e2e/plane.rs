//! The management plane: etcd, the API server, garbage collection, Cluster API and our release in it.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use serde_json::{Value, json};

use super::binaries::Binaries;
use super::certificates::Certificates;
use super::child::{Daemon, bound, run};
use super::http;
use super::kubectl::{Kubectl, kubeconfig};
use super::patience::{until, when};
use crate::dist;

/// Who may do everything.
const ADMIN_TOKEN: &str = "e2e-admin";

/// How long a process may take until it is ready.
const START: Duration = Duration::from_secs(60);

/// A provider in the local clusterctl repository.
struct Source {
    /// Its name and type in clusterctl's configuration.
    provider: (&'static str, &'static str),
    /// Label of the provider, which is its folder in a local repository.
    label: &'static str,
    components: &'static str,
    /// Tree of kustomize in Cluster API's module.
    tree: &'static str,
}

const CLUSTER_API: [Source; 3] = [
    Source {
        provider: ("cluster-api", "CoreProvider"),
        label: "cluster-api",
        components: "core-components.yaml",
        tree: "core/config/default",
    },
    Source {
        provider: ("kubeadm", "BootstrapProvider"),
        label: "bootstrap-kubeadm",
        components: "bootstrap-components.yaml",
        tree: "bootstrap/kubeadm/config/default",
    },
    Source {
        provider: ("kubeadm", "ControlPlaneProvider"),
        label: "control-plane-kubeadm",
        components: "control-plane-components.yaml",
        tree: "controlplane/kubeadm/config/default",
    },
];

/// A manager of Cluster API as a process.
struct ManagerProcess {
    binary: &'static str,
    /// Namespace that its webhook configurations name.
    namespace: &'static str,
    gates: &'static str,
}

const MANAGERS: [ManagerProcess; 3] = [
    ManagerProcess { binary: "capi-core", namespace: "capi-system", gates: "ClusterTopology=true,MachinePool=true" },
    ManagerProcess { binary: "capi-bootstrap", namespace: "capi-kubeadm-bootstrap-system", gates: "MachinePool=true" },
    ManagerProcess {
        binary: "capi-control-plane",
        namespace: "capi-kubeadm-control-plane-system",
        gates: "ClusterTopology=true",
    },
];

/// Kinds that clusterctl looks for before it installs cert-manager. Nothing has to stand behind them: our webhooks' certificates
/// come from the run's own authority.
const CERT_MANAGER_KINDS: [(&str, &str); 2] = [("Certificate", "certificates"), ("Issuer", "issuers")];

/// A port of 127.0.0.1 that is free now.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("a free port")?;
    Ok(listener.local_addr().context("a free port")?.port())
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A running plane; dropping it kills every process of it.
pub(super) struct Plane {
    /// kubectl of the administrator.
    pub(super) kubectl: Kubectl,
    /// Its kubeconfig.
    pub(super) kubeconfig: PathBuf,
    /// `https://127.0.0.1:port`.
    pub(super) server: String,
    pub(super) certificates: Certificates,
    /// Client URL of etcd.
    pub(super) etcd: String,
    daemons: Vec<Daemon>,
    clusterctl: PathBuf,
    /// For files and logs.
    pub(super) folder: PathBuf,
}

impl Plane {
    /// Starts etcd, the API server and the controllers of Kubernetes that ownership needs.
    pub(super) fn start(binaries: &Binaries, folder: &Path) -> Result<Self> {
        let certificates = Certificates::make(&folder.join("certificates"))?;
        let state = folder.join("state");
        fs::create_dir_all(&state).with_context(|| format!("making {}", state.display()))?;
        let (client, peer, port) = (free_port()?, free_port()?, free_port()?);
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let server = format!("https://127.0.0.1:{port}");
        let kubeconfig_path = folder.join("kubeconfig");
        fs::write(&kubeconfig_path, kubeconfig(&server, &certificates.ca, ADMIN_TOKEN)).context("kubeconfig")?;
        let tokens = folder.join("tokens.csv");
        fs::write(&tokens, format!("{ADMIN_TOKEN},admin,admin,\"system:masters\"\n")).context("tokens")?;

        let mut etcd = bound(&binaries.component("etcd"));
        etcd.arg("--data-dir").arg(state.join("etcd")).args(["--unsafe-no-fsync", "--log-level=warn"]);
        etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        etcd.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        etcd.args(["--initial-cluster", &format!("default={peer}")]);

        let mut api = bound(&binaries.component("kube-apiserver"));
        api.args(["--etcd-servers", &client, "--secure-port", &port.to_string()]);
        api.args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"]);
        api.arg("--tls-cert-file").arg(certificates.server.join("tls.crt"));
        api.arg("--tls-private-key-file").arg(certificates.server.join("tls.key"));
        api.arg("--client-ca-file").arg(&certificates.ca).arg("--token-auth-file").arg(&tokens);
        api.arg("--cert-dir").arg(state.join("apiserver"));
        api.args(["--authorization-mode=RBAC", "--service-account-issuer=https://kubernetes.default.svc"]);
        api.arg("--service-account-signing-key-file").arg(&certificates.service_accounts);
        api.arg("--service-account-key-file").arg(&certificates.service_accounts_public);
        // Nothing runs in Pods here, so nobody needs tokens in Pods.
        api.args(["--service-cluster-ip-range=10.0.0.0/16", "--disable-admission-plugins=ServiceAccount"]);
        api.args(["--allow-privileged"]);

        let mut controllers = bound(&binaries.component("kube-controller-manager"));
        controllers.arg("--kubeconfig").arg(&kubeconfig_path);
        controllers.args(["--controllers=garbage-collector-controller,namespace-controller,serviceaccount-controller"]);
        controllers.args(["--leader-elect=false", "--secure-port=0"]);

        let mut plane = Self {
            kubectl: Kubectl::new(&binaries.kubectl, &kubeconfig_path, folder),
            kubeconfig: kubeconfig_path,
            server,
            certificates,
            etcd: client,
            daemons: Vec::new(),
            clusterctl: binaries.component("clusterctl"),
            folder: folder.to_owned(),
        };
        plane.daemon("etcd", &mut etcd)?;
        plane.daemon("kube-apiserver", &mut api)?;
        until("the API server", START, || {
            plane.check()?;
            let said = plane.kubectl.say(&["get", "--raw", "/readyz"])?;
            Ok(when(said.out.trim() == "ok", || said.err))
        })?;
        plane.daemon("kube-controller-manager", &mut controllers)?;
        Ok(plane)
    }

    fn daemon(&mut self, name: &str, command: &mut std::process::Command) -> Result<()> {
        self.daemons.push(Daemon::start(name, &self.folder, command)?);
        Ok(())
    }

    /// An error when a process of the plane has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        self.daemons.iter_mut().try_for_each(Daemon::check)
    }

    /// `clusterctl init --infrastructure maas:<version>` from a repository in the run's folder, which holds that version and the
    /// current one; returns what clusterctl said.
    pub(super) fn init(&self, binaries: &Binaries, version: &str, endpoint: &str, api_key: &str) -> Result<String> {
        self.install_cert_manager_kinds()?;
        let configuration = self.repository(binaries, version)?;
        fs::write(self.folder.join("clusterctl.yaml"), configuration.to_string()).context("clusterctl.yaml")?;
        let variables = [("MAAS_ENDPOINT", endpoint), ("MAAS_API_KEY", api_key), ("CLUSTER_TOPOLOGY", "true")];
        self.clusterctl(&["init", "--infrastructure", &format!("maas:{version}")], &variables)
    }

    /// Runs clusterctl against this plane; returns both of its outputs.
    pub(super) fn clusterctl(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Result<String> {
        let (out, complaints) = self.say_clusterctl(arguments, variables)?;
        Ok(out + &complaints)
    }

    /// Runs clusterctl against this plane; returns its standard output alone.
    pub(super) fn clusterctl_out(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Result<String> {
        Ok(self.say_clusterctl(arguments, variables)?.0)
    }

    fn say_clusterctl(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Result<(String, String)> {
        let mut command = bound(&self.clusterctl);
        command.args(arguments).arg("--config").arg(self.folder.join("clusterctl.yaml"));
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        command.env("CLUSTERCTL_DISABLE_VERSIONCHECK", "true").env("XDG_CONFIG_HOME", self.folder.join("xdg"));
        command.envs(variables.iter().copied());
        let said = run(&mut command, &self.folder, Duration::from_secs(120))?;
        let complaints = said.err.clone();
        let out = said.success(&format!("clusterctl {}", arguments.join(" ")))?;
        Ok((out, complaints))
    }

    fn install_cert_manager_kinds(&self) -> Result<()> {
        let kinds: Vec<Value> = CERT_MANAGER_KINDS.iter().map(|(kind, plural)| permissive(kind, plural)).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": kinds});
        let file = self.kubectl.manifest("cert-manager-kinds.json", &list.to_string())?;
        self.kubectl.run(&["apply", "-f", &file])?;
        self.kubectl.run(&["wait", "--for=condition=Established", "--timeout=30s", "-f", &file])?;
        Ok(())
    }

    /// Our components file of that version in the local repository.
    pub(super) fn components(&self, version: &str) -> PathBuf {
        self.folder.join("repository/infrastructure-maas").join(version).join("infrastructure-components.yaml")
    }

    /// Lays out the local repository; returns clusterctl's configuration for it.
    fn repository(&self, binaries: &Binaries, version: &str) -> Result<Value> {
        let repository = self.folder.join("repository");
        let mut providers = Vec::new();
        let mut provider = |(name, kind): (&str, &str), path: &Path| {
            providers.push(json!({"name": name, "type": kind, "url": path}));
        };
        let write =
            |path: &Path, text: &str| fs::write(path, text).with_context(|| format!("writing {}", path.display()));
        for source in &CLUSTER_API {
            let folder = repository.join(source.label).join(&binaries.cluster_api);
            fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
            let tree = binaries.cluster_api_sources.join(source.tree).display().to_string();
            write(&folder.join(source.components), &self.kubectl.run(&["kustomize", &tree])?)?;
            let metadata = binaries.cluster_api_sources.join("metadata.yaml");
            // Not a copy of the file: those of the module cache are read-only.
            let text = fs::read_to_string(&metadata).with_context(|| format!("reading {}", metadata.display()))?;
            write(&folder.join("metadata.yaml"), &text)?;
            provider(source.provider, &folder.join(source.components));
        }
        let current = dist::workspace_version();
        for version in [version, &current] {
            dist::write(&repository.join("infrastructure-maas").join(version), version)?;
        }
        provider(("maas", "InfrastructureProvider"), &self.components(&current));
        Ok(json!({"providers": providers}))
    }

    /// Points webhooks and conversions at processes of this machine, and starts those.
    pub(super) fn start_managers(&mut self, binaries: &Binaries) -> Result<()> {
        let ports = MANAGERS.iter().map(|_| free_port()).collect::<Result<Vec<_>>>()?;
        self.redirect_webhooks(&ports)?;
        let mut health = Vec::new();
        for (manager, port) in MANAGERS.iter().zip(ports) {
            let probe = free_port()?;
            let mut command = bound(&binaries.component(manager.binary));
            command.arg("--kubeconfig").arg(&self.kubeconfig).arg("--leader-elect=false");
            command.arg("--webhook-cert-dir").arg(&self.certificates.server);
            command.arg(format!("--webhook-port={port}")).arg(format!("--health-addr=127.0.0.1:{probe}"));
            command.args(["--diagnostics-address=127.0.0.1:0", "--insecure-diagnostics"]);
            command.arg(format!("--feature-gates={}", manager.gates));
            command.env("POD_NAMESPACE", manager.namespace).env("POD_NAME", manager.binary);
            self.daemon(manager.binary, &mut command)?;
            health.push((manager.binary, loopback(probe)));
        }
        for (name, address) in health {
            until(name, START, || {
                self.check()?;
                Ok(match http::call(address, "GET", "/readyz", "") {
                    Ok((200, _)) => Ok(()),
                    Ok((status, body)) => Err(format!("{status}: {body}")),
                    Err(error) => Err(format!("{error:#}")),
                })
            })?;
        }
        Ok(())
    }

    fn redirect_webhooks(&self, ports: &[u16]) -> Result<()> {
        let kinds = "customresourcedefinitions,validatingwebhookconfigurations,mutatingwebhookconfigurations";
        let mut objects = self.kubectl.list("default", kinds, "")?;
        let bundle = base64::engine::general_purpose::STANDARD.encode(&self.certificates.ca_pem);
        objects.retain_mut(|object| {
            let found = redirect(object, &|namespace, path| {
                let at = MANAGERS.iter().position(|manager| manager.namespace == namespace)?;
                Some(json!({"url": format!("https://127.0.0.1:{}{path}", ports.get(at)?), "caBundle": bundle}))
            });
            if let Some(metadata) = object["metadata"].as_object_mut() {
                // What else changes meanwhile is status.
                metadata.remove("resourceVersion");
            }
            found > 0
        });
        ensure!(!objects.is_empty(), "no webhook configuration of Cluster API was found");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let file = self.kubectl.manifest("webhooks.json", &list.to_string())?;
        self.kubectl.run(&["replace", "-f", &file])?;
        Ok(())
    }

    /// A kubeconfig for the ServiceAccount of our release: the rights of the release are in force.
    pub(super) fn controller_kubeconfig(&self) -> Result<PathBuf> {
        let namespace = capi_types::names::PROVIDER_NAMESPACE;
        let token = self.kubectl.run(&["create", "token", "-n", namespace, "capmaas-manager", "--duration=24h"])?;
        let path = self.folder.join("controller.kubeconfig");
        fs::write(&path, kubeconfig(&self.server, &self.certificates.ca, token.trim()))
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

/// A CRD that takes anything.
fn permissive(kind: &str, plural: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.cert-manager.io")},
        "spec": {
            "group": "cert-manager.io", "scope": "Namespaced",
            "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    })
}

/// Replaces every `clientConfig` that names a service; `to` gets its namespace and path. Returns how many there were.
fn redirect(value: &mut Value, to: &dyn Fn(&str, &str) -> Option<Value>) -> usize {
    match value {
        Value::Array(items) => items.iter_mut().map(|item| redirect(item, to)).sum(),
        Value::Object(fields) => {
            let service = fields.get("clientConfig").map(|config| &config["service"]);
            let target = service.and_then(|s| to(s["namespace"].as_str()?, s["path"].as_str().unwrap_or("/")));
            match target {
                Some(target) => {
                    fields.insert("clientConfig".to_owned(), target);
                    1
                }
                None => fields.values_mut().map(|field| redirect(field, to)).sum(),
            }
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_configurations_of_known_services_are_redirected_wherever_they_stand() {
        let service = |namespace: &str| json!({"service": {"namespace": namespace, "path": "/x"}});
        let mut object = json!({
            "spec": {"conversion": {"webhook": {"clientConfig": service("a")}}},
            "webhooks": [{"clientConfig": service("a")}, {"clientConfig": service("other")}],
        });
        let found = redirect(&mut object, &|namespace, path| (namespace == "a").then(|| json!(path)));
        assert_eq!(found, 2);
        assert_eq!(object["spec"]["conversion"]["webhook"]["clientConfig"], "/x");
        assert_eq!(object["webhooks"][0]["clientConfig"], "/x");
        assert_eq!(object["webhooks"][1]["clientConfig"], service("other"));
    }
}
