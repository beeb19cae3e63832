//! What cloud-init and kubeadm read out of a machine's user data.

use std::collections::BTreeMap;
use std::io::Read as _;

use base64::Engine as _;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Why user data does not make a Node. The text is what a person at the machine's console would have to find out.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UserDataError {
    /// The machine was given none.
    #[error("the machine was deployed without user data")]
    None,
    /// It cannot be unpacked.
    #[error("user data cannot be decoded: {0}")]
    Encoding(String),
    /// A kind of user data these machines do not run.
    #[error("user data is not cloud-config: it starts with {0:?}")]
    Format(String),
    /// A Jinja expression beyond plain variables.
    #[error("user data template: {0}")]
    Template(String),
    /// YAML that is damaged.
    #[error("{file}: {why}")]
    Yaml {
        /// Which file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// No kubeadm command, or its file is missing.
    #[error("kubeadm: {0}")]
    Kubeadm(String),
}

/// Kinds of [`UserDataError`], to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserDataErrorKind {
    /// Nothing usable was delivered.
    Delivery,
    /// It was delivered, but is wrong.
    Content,
}

impl UserDataError {
    /// The kind, to match on.
    pub fn kind(&self) -> UserDataErrorKind {
        match self {
            UserDataError::None | UserDataError::Encoding(_) | UserDataError::Format(_) => UserDataErrorKind::Delivery,
            _ => UserDataErrorKind::Content,
        }
    }
}

/// What the metadata service says about the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetaData {
    /// `instance-id`: MAAS's system_id.
    pub instance_id: String,
    /// `local-hostname`: the FQDN.
    pub local_hostname: String,
    /// The host name cloud-init sets: the first label.
    pub hostname: String,
}

/// What kubeadm does about the machine's Node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// `nodeRegistration.name`, else the host name; lower case.
    pub name: String,
    /// `provider-id` among the kubelet's arguments.
    pub provider_id: Option<String>,
    /// `node-labels` among the kubelet's arguments.
    pub labels: BTreeMap<String, String>,
    /// `nodeRegistration.taints` as `(key, value, effect)`, if given.
    pub taints: Option<Vec<(String, String, String)>>,
}

/// The kubeadm command of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kubeadm {
    /// `kubeadm init`: founds the cluster.
    Init {
        /// `clusterName`.
        cluster: String,
        /// `controlPlaneEndpoint`, `host:port`.
        endpoint: String,
        /// `kubernetesVersion`.
        version: String,
        /// The Node.
        registration: Registration,
    },
    /// `kubeadm join`: joins one.
    Join {
        /// `host:port` to join at.
        endpoint: String,
        /// Bootstrap token.
        token: String,
        /// `caCertHashes`.
        ca_hashes: Vec<String>,
        /// Joins the control plane.
        control_plane: bool,
        /// The Node.
        registration: Registration,
    },
}

/// What cloud-init leaves on the disk, and the commands that it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudInit {
    files: BTreeMap<String, String>,
    commands: Vec<String>,
}

impl CloudInit {
    /// Reads user data as a machine with this metadata would.
    pub fn read(user_data: &[u8], meta: &MetaData) -> Result<Self, UserDataError> {
        let text = unpack(user_data)?;
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let text = if first.trim_end() == "## template: jinja" { render(rest, meta)? } else { text.clone() };
        let header = text.lines().next().unwrap_or_default();
        if header.trim_end() != "#cloud-config" {
            return Err(UserDataError::Format(header.chars().take(40).collect()));
        }
        let config: CloudConfig = serde_saphyr::from_str(&text)
            .map_err(|e| UserDataError::Yaml { file: "#cloud-config".into(), why: first_line(&e) })?;
        let mut files = BTreeMap::new();
        for file in config.write_files {
            files.insert(file.path.clone(), file.decoded()?);
        }
        Ok(Self { files, commands: config.runcmd.iter().map(Command::line).collect() })
    }

    /// A file by its path.
    pub fn file(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// The command that calls kubeadm, and path and text of the file with its configuration.
    fn kubeadm_file(&self) -> Result<(&str, &str, &str), UserDataError> {
        let wrong = UserDataError::Kubeadm;
        let kubeadm = self.commands.iter().find(|c| c.contains("kubeadm init") || c.contains("kubeadm join"));
        let kubeadm = kubeadm.ok_or_else(|| wrong("runcmd has neither kubeadm init nor kubeadm join".into()))?;
        let mut words = kubeadm.split_whitespace().skip_while(|w| *w != "--config");
        let path = words.nth(1).ok_or_else(|| wrong(format!("no --config in {kubeadm:?}")))?;
        let yaml = self.file(path).ok_or_else(|| wrong(format!("{path} is not among write_files")))?;
        Ok((kubeadm, path, yaml))
    }

    /// The `ClusterConfiguration` that kubeadm is given, as it was delivered.
    pub fn cluster_configuration(&self) -> Option<&str> {
        let (_, _, yaml) = self.kubeadm_file().ok()?;
        let mut documents = yaml.split("---\n");
        documents.find(|document| document.lines().any(|line| line.trim_end() == "kind: ClusterConfiguration"))
    }

    /// What kubeadm is told to do.
    pub fn kubeadm(&self, meta: &MetaData) -> Result<Kubeadm, UserDataError> {
        let (kubeadm, path, yaml) = self.kubeadm_file()?;
        let documents: Vec<Document> = serde_saphyr::from_multiple(yaml)
            .map_err(|e| UserDataError::Yaml { file: path.to_owned(), why: first_line(&e) })?;
        let find = |kind: &str| {
            let found = documents.iter().find(|d| d.kind == kind);
            found.ok_or_else(|| UserDataError::Kubeadm(format!("{path} holds no {kind}")))
        };
        let needed = |value: &str, what: &str| match value {
            "" => Err(UserDataError::Kubeadm(format!("{path}: {what} is empty"))),
            value => Ok(value.to_owned()),
        };
        if kubeadm.contains("kubeadm init") {
            let cluster = find("ClusterConfiguration")?;
            return Ok(Kubeadm::Init {
                cluster: cluster.cluster_name.clone(),
                endpoint: needed(&cluster.control_plane_endpoint, "controlPlaneEndpoint")?,
                version: cluster.kubernetes_version.clone(),
                registration: find("InitConfiguration")?.node_registration.read(meta),
            });
        }
        let join = find("JoinConfiguration")?;
        let discovery = &join.discovery.bootstrap_token;
        Ok(Kubeadm::Join {
            endpoint: needed(&discovery.api_server_endpoint, "discovery.bootstrapToken.apiServerEndpoint")?,
            token: needed(&discovery.token, "discovery.bootstrapToken.token")?,
            ca_hashes: discovery.ca_cert_hashes.clone(),
            control_plane: join.control_plane.is_some(),
            registration: join.node_registration.read(meta),
        })
    }
}

impl Kubeadm {
    /// What kubeadm does with user data on a machine with this metadata.
    pub fn read(user_data: &[u8], meta: &MetaData) -> Result<Self, UserDataError> {
        CloudInit::read(user_data, meta)?.kubeadm(meta)
    }

    /// What becomes of the Node.
    pub fn registration(&self) -> &Registration {
        match self {
            Kubeadm::Init { registration, .. } | Kubeadm::Join { registration, .. } => registration,
        }
    }

    /// The control-plane endpoint, `host:port`.
    pub fn endpoint(&self) -> &str {
        match self {
            Kubeadm::Init { endpoint, .. } | Kubeadm::Join { endpoint, .. } => endpoint,
        }
    }

    /// Whether an API server will run on the machine.
    pub fn is_control_plane(&self) -> bool {
        matches!(self, Kubeadm::Init { .. } | Kubeadm::Join { control_plane: true, .. })
    }
}

fn first_line(error: &impl ToString) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, UserDataError> {
    let mut out = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out);
    read.map(|_| out).map_err(|e| UserDataError::Encoding(e.to_string()))
}

/// cloud-init unpacks base64 and gzip, one around the other if need be.
fn unpack(bytes: &[u8]) -> Result<String, UserDataError> {
    let mut bytes = bytes.to_vec();
    for _ in 0..3 {
        if bytes.starts_with(&[0x1f, 0x8b]) {
            bytes = gunzip(&bytes)?;
        } else if !bytes.starts_with(b"#") {
            let compact: Vec<u8> = bytes.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
            match base64::engine::general_purpose::STANDARD.decode(compact) {
                Ok(inner) if !inner.is_empty() => bytes = inner,
                _ => break,
            }
        } else {
            break;
        }
    }
    String::from_utf8(bytes).map_err(|_| UserDataError::Encoding("not UTF-8".into()))
}

/// Plain variables only; one that is unknown becomes what cloud-init makes of it.
fn render(text: &str, meta: &MetaData) -> Result<String, UserDataError> {
    if text.contains("{%") {
        return Err(UserDataError::Template("statements ({% … %}) are not simulated".into()));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, tail) = after.split_once("}}").ok_or_else(|| UserDataError::Template("{{ without }}".into()))?;
        let name = name.trim();
        out.push_str(before);
        match name.replace('-', "_").as_str() {
            "ds.meta_data.instance_id" | "v1.instance_id" | "instance_id" => out.push_str(&meta.instance_id),
            "ds.meta_data.local_hostname" => out.push_str(&meta.local_hostname),
            "v1.local_hostname" | "local_hostname" => out.push_str(&meta.hostname),
            "v1.cloud_name" | "v1.platform" => out.push_str("maas"),
            _ if name.contains(['|', '(', '[', ' ']) => {
                return Err(UserDataError::Template(format!("{name:?} is not a plain variable")));
            }
            _ => out.push_str(&format!("CI_MISSING_JINJA_VAR/{}", name.rsplit('.').next().unwrap_or_default())),
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

#[derive(Deserialize)]
struct CloudConfig {
    #[serde(default)]
    write_files: Vec<File>,
    #[serde(default)]
    runcmd: Vec<Command>,
}

#[derive(Deserialize)]
struct File {
    path: String,
    #[serde(default)]
    content: String,
    #[serde(default)]
    encoding: String,
}

impl File {
    fn decoded(self) -> Result<String, UserDataError> {
        let mut bytes = self.content.into_bytes();
        let parts: Vec<&str> = self.encoding.split('+').collect();
        if parts.iter().any(|p| matches!(*p, "b64" | "base64")) {
            bytes.retain(|b| !b.is_ascii_whitespace());
            let decoded = base64::engine::general_purpose::STANDARD.decode(&bytes);
            bytes = decoded.map_err(|e| UserDataError::Yaml { file: self.path.clone(), why: e.to_string() })?;
        }
        if parts.iter().any(|p| matches!(*p, "gz" | "gzip")) {
            bytes = gunzip(&bytes)?;
        }
        // certificates and kubeadm files are text; anything else is nobody's business here
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Command {
    Line(String),
    Words(Vec<String>),
}

impl Command {
    fn line(&self) -> String {
        match self {
            Command::Line(line) => line.clone(),
            Command::Words(words) => words.join(" "),
        }
    }
}

/// Any kubeadm document: the fields of all kinds that matter here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    cluster_name: String,
    #[serde(default)]
    control_plane_endpoint: String,
    #[serde(default)]
    kubernetes_version: String,
    #[serde(default)]
    node_registration: NodeRegistration,
    #[serde(default)]
    discovery: Discovery,
    #[serde(default)]
    control_plane: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Discovery {
    #[serde(default)]
    bootstrap_token: BootstrapToken,
}

#[derive(Deserialize, Default)]
struct BootstrapToken {
    #[serde(default, rename = "apiServerEndpoint")]
    api_server_endpoint: String,
    #[serde(default)]
    token: String,
    #[serde(default, rename = "caCertHashes")]
    ca_cert_hashes: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct NodeRegistration {
    #[serde(default)]
    name: String,
    #[serde(default)]
    kubelet_extra_args: Option<Arguments>,
    #[serde(default)]
    taints: Option<Vec<Taint>>,
}

/// A map up to v1beta3, a list from v1beta4 on.
#[derive(Deserialize)]
#[serde(untagged)]
enum Arguments {
    Map(BTreeMap<String, String>),
    List(Vec<Argument>),
}

#[derive(Deserialize)]
struct Argument {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct Taint {
    key: String,
    #[serde(default)]
    value: String,
    effect: String,
}

impl NodeRegistration {
    fn read(&self, meta: &MetaData) -> Registration {
        let argument = |name: &str| match &self.kubelet_extra_args {
            None => None,
            Some(Arguments::Map(map)) => map.get(name).cloned(),
            Some(Arguments::List(list)) => list.iter().find(|a| a.name == name).map(|a| a.value.clone()),
        };
        let labels = argument("node-labels").unwrap_or_default();
        let labels = labels.split(',').filter_map(|pair| pair.split_once('='));
        let name = [self.name.as_str(), &meta.hostname].into_iter().find(|n| !n.is_empty()).unwrap_or_default();
        let taint = |t: &Taint| (t.key.clone(), t.value.clone(), t.effect.clone());
        Registration {
            name: name.to_lowercase(),
            provider_id: argument("provider-id").filter(|id| !id.is_empty()),
            labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            taints: self.taints.as_ref().map(|list| list.iter().map(taint).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INIT: &str = "## template: jinja\n#cloud-config\n\nwrite_files:\n-   path: /run/kubeadm/kubeadm.yaml\n    owner: root:root\n    permissions: '0640'\n    content: |\n      ---\n      apiVersion: kubeadm.k8s.io/v1beta3\n      kind: ClusterConfiguration\n      clusterName: c\n      controlPlaneEndpoint: c-abc.maas:6443\n      kubernetesVersion: v1.30.2\n      ---\n      apiVersion: kubeadm.k8s.io/v1beta3\n      kind: InitConfiguration\n      nodeRegistration:\n        name: '{{ v1.local_hostname }}'\n        kubeletExtraArgs:\n          provider-id: maas:///z/{{ ds.meta_data.instance_id }}\n          node-labels: a=b,c=d\nruncmd:\n  - 'echo hello'\n  - 'kubeadm init --config /run/kubeadm/kubeadm.yaml  && echo success > /run/cluster-api/bootstrap-success.complete'\n";

    fn meta() -> MetaData {
        MetaData { instance_id: "abc123".into(), local_hostname: "Host-1.maas".into(), hostname: "Host-1".into() }
    }

    fn gzip(data: &[u8]) -> Vec<u8> {
        use std::io::Write as _;
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        out.write_all(data).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn user_data_reads_alike_plain_packed_and_encoded() {
        let b64 = |d: &[u8]| base64::engine::general_purpose::STANDARD.encode(d).into_bytes();
        let plain = INIT.as_bytes().to_vec();
        for (how, data) in
            [("plain", plain.clone()), ("gzip", gzip(&plain)), ("base64", b64(&plain)), ("both", b64(&gzip(&plain)))]
        {
            let read = Kubeadm::read(&data, &meta()).unwrap();
            let Kubeadm::Init { cluster, endpoint, version, registration } = read else { panic!("{how}: not init") };
            assert_eq!(
                (cluster.as_str(), endpoint.as_str(), version.as_str()),
                ("c", "c-abc.maas:6443", "v1.30.2"),
                "{how}"
            );
            assert_eq!(registration.name, "host-1", "lower case, as kubeadm does");
            assert_eq!(registration.provider_id.as_deref(), Some("maas:///z/abc123"));
            assert_eq!(registration.labels.len(), 2);
        }
    }

    #[test]
    fn damaged_user_data_names_what_is_damaged() {
        let swap =
            |from: &str, to: &str| Kubeadm::read(INIT.replace(from, to).as_bytes(), &meta()).unwrap_err().to_string();
        let cases = [
            (swap("#cloud-config", "#!/bin/sh"), "not cloud-config"),
            (swap("kind: ClusterConfiguration", "kind: ["), "/run/kubeadm/kubeadm.yaml:"),
            (swap("write_files:", "write_files: ]"), "#cloud-config:"),
            (swap("path: /run/kubeadm", "path: /run/other"), "not among write_files"),
            (swap("kubeadm init", "true"), "neither kubeadm init nor"),
            (swap("c-abc.maas:6443", "''"), "controlPlaneEndpoint is empty"),
            (swap("{{ v1.local_hostname }}", "{% if x %}"), "statements"),
            (swap("kind: InitConfiguration", "kind: Other"), "holds no InitConfiguration"),
        ];
        for (error, expected) in cases {
            assert!(error.contains(expected), "{error:?} should contain {expected:?}");
        }
        assert_eq!(Kubeadm::read(&[0xff, 0xfe], &meta()).unwrap_err().kind(), UserDataErrorKind::Delivery);
    }

    #[test]
    fn a_variable_the_metadata_lacks_shows_as_cloud_init_shows_it() {
        let text = render("zone: {{ v1.availability_zone }}", &meta()).unwrap();
        assert_eq!(text, "zone: CI_MISSING_JINJA_VAR/availability_zone");
    }

    #[test]
    fn argument_lists_of_v1beta4_read_like_maps() {
        let list =
            "kubeletExtraArgs:\n          - {name: provider-id, value: 'maas:///z/{{ ds.meta_data.instance_id }}'}\n";
        let map = "kubeletExtraArgs:\n          provider-id: maas:///z/{{ ds.meta_data.instance_id }}\n          node-labels: a=b,c=d\n";
        let read = Kubeadm::read(INIT.replace(map, list).as_bytes(), &meta()).unwrap();
        assert_eq!(read.registration().provider_id.as_deref(), Some("maas:///z/abc123"));
    }
}
