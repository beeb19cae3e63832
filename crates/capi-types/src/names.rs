//! Strings that Cluster API, the Go provider's stored objects and we must spell alike.

/// API group of our kinds; Cluster API core holds rights on it already.
pub const GROUP: &str = "infrastructure.cluster.x-k8s.io";
/// The stored version of our kinds, which we read and write.
pub const VERSION: &str = "v1beta1";
/// `apiVersion` of our kinds at the stored version.
pub const API_VERSION: &str = "infrastructure.cluster.x-k8s.io/v1beta1";
/// Versions under which each kind is served, in Kubernetes order (the stored one first).
pub const SERVED_VERSIONS: [&str; 3] = ["v1beta1", "v1alpha4", "v1alpha3"];

/// API group of Cluster, Machine, MachineSet, MachineDeployment, MachineHealthCheck.
pub const CORE_GROUP: &str = "cluster.x-k8s.io";
/// API group of KubeadmControlPlane.
pub const CONTROL_PLANE_GROUP: &str = "controlplane.cluster.x-k8s.io";
/// API group of KubeadmConfig and KubeadmConfigTemplate.
pub const BOOTSTRAP_GROUP: &str = "bootstrap.cluster.x-k8s.io";

/// Finalizer of MaasCluster; the Go provider's string.
pub const CLUSTER_FINALIZER: &str = "maascluster.infrastructure.cluster.x-k8s.io";
/// Finalizer of MaasMachine; the Go provider's string.
pub const MACHINE_FINALIZER: &str = "maasmachine.infrastructure.cluster.x-k8s.io";
/// Finalizer of MaasRemediation: held from the first power cycle on, so that nothing is left switched off.
pub const REMEDIATION_FINALIZER: &str = "maasremediation.infrastructure.cluster.x-k8s.io";

/// Label on every object of a cluster: the Cluster's name.
pub const CLUSTER_NAME_LABEL: &str = "cluster.x-k8s.io/cluster-name";
/// Label on control-plane Machines and their infrastructure objects. Presence counts, the value is empty.
pub const CONTROL_PLANE_LABEL: &str = "cluster.x-k8s.io/control-plane";
/// Label: name of the MachineDeployment behind a Machine.
pub const DEPLOYMENT_NAME_LABEL: &str = "cluster.x-k8s.io/deployment-name";
/// Label: name of the MachineSet behind a Machine.
pub const SET_NAME_LABEL: &str = "cluster.x-k8s.io/set-name";
/// Label that a manager started with `--watch-filter` compares with its own value.
pub const WATCH_FILTER_LABEL: &str = "cluster.x-k8s.io/watch-filter";
/// Label on CRDs that names the provider.
pub const PROVIDER_LABEL: &str = "cluster.x-k8s.io/provider";
/// Value of [`PROVIDER_LABEL`] on our CRDs.
pub const PROVIDER_NAME: &str = "infrastructure-maas";
/// CRD label: which of our API versions satisfy contract v1beta2.
pub const CONTRACT_V1BETA2_LABEL: &str = "cluster.x-k8s.io/v1beta2";
/// CRD label: which of our API versions satisfy contract v1beta1.
pub const CONTRACT_V1BETA1_LABEL: &str = "cluster.x-k8s.io/v1beta1";
/// CRD label: `clusterctl move` takes all objects of the kind along, whoever owns them.
pub const MOVE_LABEL: &str = "clusterctl.cluster.x-k8s.io/move";

/// Annotation: reconciling of this object stands still. Presence counts, any value.
pub const PAUSED_ANNOTATION: &str = "cluster.x-k8s.io/paused";
/// Annotation on a MaasCluster that somebody else manages: we leave it alone. Presence counts, any value.
pub const MANAGED_BY_ANNOTATION: &str = "cluster.x-k8s.io/managed-by";
/// Annotation: name of the template an object was cloned from.
pub const CLONED_FROM_NAME_ANNOTATION: &str = "cluster.x-k8s.io/cloned-from-name";
/// Annotation: `clusterctl move` waits while it is present.
pub const BLOCK_MOVE_ANNOTATION: &str = "clusterctl.cluster.x-k8s.io/block-move";
/// Annotation set by `clusterctl move` on the objects it is about to delete: nothing behind them may be released.
pub const DELETE_FOR_MOVE_ANNOTATION: &str = "clusterctl.cluster.x-k8s.io/delete-for-move";
/// Annotation of a server-side apply dry run by the topology controller; presence counts.
pub const TOPOLOGY_DRY_RUN_ANNOTATION: &str = "topology.cluster.x-k8s.io/dry-run";

/// Our annotation on a MaasMachine: the recorded claim (token, namespace/name), written before the first allocate.
pub const CLAIM_ANNOTATION: &str = "maas.infrastructure.cluster.x-k8s.io/claim";
/// Our annotation on a MaasMachine, set by a person: let go of the machine with this system id without releasing it.
pub const ABANDON_ANNOTATION: &str = "maas.infrastructure.cluster.x-k8s.io/abandon";
/// Our annotation on a MaasCluster: the machines that failed deployments for it, as JSON.
pub const FAILED_HOSTS_ANNOTATION: &str = "maas.infrastructure.cluster.x-k8s.io/failed-hosts";
/// Our annotation on a MaasCluster: the address set last written under its name.
pub const PUBLISHED_ANNOTATION: &str = "maas.infrastructure.cluster.x-k8s.io/published";
/// Our annotation on a MaasRemediation: its power cycles, as JSON. Written before and after each order, so that it outlives the process
/// and a move.
pub const POWER_CYCLES_ANNOTATION: &str = "maas.infrastructure.cluster.x-k8s.io/power-cycles";

/// Secret with the MAAS credentials, in the provider's namespace (made by `clusterctl init`).
pub const CREDENTIALS_SECRET: &str = "capmaas-manager-bootstrap-credentials";
/// The same Secret under the name that the article uses.
pub const CREDENTIALS_SECRET_ARTICLE: &str = "manager-bootstrap-credentials";
/// Key of the MAAS URL in the credentials Secret, and name of the environment variable.
pub const MAAS_ENDPOINT_KEY: &str = "MAAS_ENDPOINT";
/// Key of the MAAS API key in the credentials Secret, and name of the environment variable.
pub const MAAS_API_KEY_KEY: &str = "MAAS_API_KEY";
/// Default namespace of the provider.
pub const PROVIDER_NAMESPACE: &str = "capmaas-system";
/// Lease of the leader election; the Go provider's, so that old and new never both act.
pub const LEADER_ELECTION_LEASE: &str = "controller-leader-election-capmaas";
