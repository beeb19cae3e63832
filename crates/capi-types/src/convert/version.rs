//! Kubernetes versions in manifests.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::{ConvertError, Document, NoteKind};

/// Oldest Kubernetes that the kubeadm bootstrap and control-plane providers of today set up.
const OLDEST: KubernetesVersion = KubernetesVersion { major: 1, minor: 22, patch: 0, suffix: String::new() };

/// A Kubernetes version, written `v1.33.2`, perhaps with a suffix as `v1.33.0-rc.1` or `v1.28.3+vmware.1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesVersion {
    major: u32,
    minor: u32,
    patch: u32,
    suffix: String,
}

impl KubernetesVersion {
    fn is_older_than(&self, other: &KubernetesVersion) -> bool {
        (self.major, self.minor, self.patch) < (other.major, other.minor, other.patch)
    }
}

impl FromStr for KubernetesVersion {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let bare = text.strip_prefix('v').unwrap_or(text);
        let (numbers, suffix) = bare.split_at(bare.find(['-', '+']).unwrap_or(bare.len()));
        let numbers: Vec<u32> = numbers.split('.').map(str::parse).collect::<Result<_, _>>().map_err(|_| ())?;
        let [major, minor, patch] = numbers[..] else {
            return Err(());
        };
        Ok(KubernetesVersion { major, minor, patch, suffix: suffix.to_owned() })
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}{}", self.major, self.minor, self.patch, self.suffix)
    }
}

impl Document<'_> {
    /// Puts the version in order, wherever this kind has one. Current documents too: an unusable version helps nobody.
    pub(super) fn kubernetes_version(&mut self, wanted: Option<&KubernetesVersion>) -> Result<(), ConvertError> {
        let path = match self.value["kind"].as_str().unwrap_or_default() {
            "KubeadmControlPlane" | "Machine" => "/spec/version",
            "MachineDeployment" | "MachineSet" => "/spec/template/spec/version",
            "Cluster" => "/spec/topology/version",
            _ => return Ok(()),
        };
        let written = match self.value.pointer(path) {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::String(text)) => text.clone(),
            Some(other) => {
                let problem = format!("YAML reads it as the number or boolean {other}, not as text");
                return Err(self.error(path, &problem, "put it in quotes with all three numbers, such as \"v1.33.2\""));
            }
        };
        let Ok(parsed) = written.parse::<KubernetesVersion>() else {
            let problem = format!("{written:?} is no Kubernetes version");
            return Err(self.error(
                path,
                &problem,
                "write three numbers, such as v1.33.2, or set --kubernetes-version",
            ));
        };
        let version = wanted.unwrap_or(&parsed);
        let text = version.to_string();
        if text != written {
            let why = if wanted.is_some() {
                "asked for with --kubernetes-version; the image of the machines must hold that version"
            } else {
                "Cluster API asks for a leading v"
            };
            self.changed(path, format!("{written} became {text}"), why);
            if let Some(slot) = self.value.pointer_mut(path) {
                *slot = Value::String(text);
            }
        }
        if version.is_older_than(&OLDEST) {
            self.note(
                NoteKind::Warning,
                path,
                format!("{version} is older than {OLDEST}"),
                format!(
                    "the kubeadm providers of today start at {OLDEST}: choose another with --kubernetes-version, and an image that holds it"
                ),
            );
        }
        Ok(())
    }
}
