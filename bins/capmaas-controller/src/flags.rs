//! The flags: those of every Cluster API manager, and those that the Go provider's manifests pass.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use capmaas_manager::{Credentials, Election, ElectionError, Settings};
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Parser, ValueEnum};

/// Cluster API infrastructure provider for Canonical MAAS.
#[derive(Parser, Debug)]
// A flag given twice counts the second time, as in Go: manifests append theirs to the defaults.
#[command(version, about, max_term_width = 120, args_override_self = true)]
pub(crate) struct Flags {
    /// Kubeconfig of the management cluster; default: in-cluster, $KUBECONFIG, ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<std::path::PathBuf>,
    /// Watch only this namespace; default: all.
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Reconcile only objects with label cluster.x-k8s.io/watch-filter of this value; default: all.
    #[arg(long, value_name = "VALUE")]
    watch_filter: Option<String>,
    /// Namespace of the Secret capmaas-manager-bootstrap-credentials and of the leader election Lease.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAME", default_value = capmaas_manager::DEFAULT_NAMESPACE)]
    own_namespace: String,
    /// Elect a leader before reconciling, on Lease controller-leader-election-capmaas.
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = false,
        default_missing_value = "true", action = ArgAction::Set, value_parser = BoolishValueParser::new()
    )]
    leader_elect: bool,
    /// A lease not renewed for so long is free.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    leader_elect_lease_duration: Duration,
    /// The leader stops when it could not renew for so long.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    leader_elect_renew_deadline: Duration,
    /// How often the leader renews and the others try.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    leader_elect_retry_period: Duration,
    /// Identity in the Lease, unique per process; default: $POD_NAME or host name, and something random.
    #[arg(long, value_name = "NAME")]
    leader_elect_identity: Option<String>,
    /// Objects that are reconciled at once, all kinds together. Calls to MAAS have limits of their own.
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    concurrency: usize,
    /// Address of /healthz and /readyz: host:port, :port, or 0 for none.
    #[arg(long, value_name = "ADDRESS", default_value = ":9440", value_parser = address)]
    health_addr: Address,
    /// Address of /metrics, plain HTTP without authentication: host:port, :port, or 0 for none.
    #[arg(
        long, value_name = "ADDRESS", visible_alias = "metrics-bind-addr", default_value = "127.0.0.1:8080",
        value_parser = address
    )]
    diagnostics_address: Address,
    /// Format of the log.
    #[arg(long, value_enum, ignore_case = true, default_value_t = Logging::Text)]
    pub(crate) logging_format: Logging,
    /// Log level: 0 warnings, 2 what happens, 4 how, 6 everything. RUST_LOG overrides it.
    #[arg(short, long = "v", value_name = "LEVEL", default_value_t = 2)]
    pub(crate) v: u8,
    /// MAAS URL, used when there is no credentials Secret.
    #[arg(long, env = "MAAS_ENDPOINT", value_name = "URL", hide_env_values = true)]
    maas_endpoint: Option<String>,
    /// MAAS API key, used when there is no credentials Secret; the environment is the place for it.
    #[arg(long, env = "MAAS_API_KEY", hide = true, hide_env_values = true)]
    maas_api_key: Option<String>,
    #[command(flatten)]
    pub(crate) idle: Idle,
}

/// Flags of other managers that have nothing to do here. They are taken so that manifests written for those keep working.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Taken for compatibility, without effect")]
pub(crate) struct Idle {
    /// Nothing is re-synced: plans carry their own wake-up times.
    #[arg(long, value_name = "TIME")]
    sync_period: Option<String>,
    /// See --concurrency; MAAS calls are limited by lanes, not by workers.
    #[arg(long, value_name = "COUNT", aliases = ["maasmachine-concurrency", "maascluster-concurrency"])]
    machine_concurrency: Option<String>,
    /// Only what changed is written; there is no client-side limit.
    #[arg(long, value_name = "RATE")]
    kube_api_qps: Option<String>,
    /// See --kube-api-qps.
    #[arg(long, value_name = "COUNT")]
    kube_api_burst: Option<String>,
    /// There are no feature gates.
    #[arg(long, value_name = "NAME=BOOL,…")]
    feature_gates: Option<String>,
    /// There is no webhook server: the CRDs validate.
    #[arg(long, value_name = "PORT")]
    webhook_port: Option<String>,
    /// See --webhook-port.
    #[arg(long, value_name = "DIR", aliases = ["webhook-cert-name", "webhook-key-name"])]
    webhook_cert_dir: Option<String>,
    /// /metrics is plain HTTP always.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    insecure_diagnostics: Option<String>,
    /// No TLS is served.
    #[arg(long, value_name = "VERSION")]
    tls_min_version: Option<String>,
    /// No TLS is served.
    #[arg(long, value_name = "NAMES")]
    tls_cipher_suites: Option<String>,
    /// There is no profiler.
    #[arg(long, value_name = "ADDRESS")]
    profiler_address: Option<String>,
    /// There is no profiler.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    contention_profiling: Option<String>,
    /// One schema is served under all versions: nothing is migrated.
    #[arg(long, value_name = "PHASES")]
    skip_crd_migration_phases: Option<String>,
    #[arg(long, hide = true, aliases = ["clustercache-client-qps", "clustercache-client-burst"])]
    clustercache_concurrency: Option<String>,
    #[arg(long, hide = true)]
    remote_connection_grace_period: Option<String>,
    #[arg(long, hide = true)]
    remote_conditions_grace_period: Option<String>,
    // klog's
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    logtostderr: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    alsologtostderr: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    one_output: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    add_dir_header: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    skip_headers: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    skip_log_headers: Option<String>,
    #[arg(long, hide = true)]
    stderrthreshold: Option<String>,
    #[arg(long, hide = true)]
    vmodule: Option<String>,
    #[arg(long, hide = true)]
    log_backtrace_at: Option<String>,
    #[arg(long, hide = true)]
    log_dir: Option<String>,
    #[arg(long, hide = true)]
    log_file: Option<String>,
    #[arg(long, hide = true)]
    log_file_max_size: Option<String>,
    #[arg(long, hide = true)]
    log_flush_frequency: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Logging {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug)]
struct Address(Option<SocketAddr>);

/// `:9440` (all interfaces), `127.0.0.1:8080`, `localhost:8080`, or `0` for off.
fn address(text: &str) -> Result<Address, String> {
    let expected = |e| format!("{e}; expected host:port, :port or 0");
    match text.split_once(':') {
        _ if text.is_empty() || text == "0" => Ok(Address(None)),
        Some(("", port)) => {
            let port = port.parse().map_err(|e: std::num::ParseIntError| expected(e.to_string()))?;
            Ok(Address(Some((Ipv6Addr::UNSPECIFIED, port).into())))
        }
        Some(("localhost", port)) => address(&format!("127.0.0.1:{port}")),
        _ => text.parse().map(|a| Address(Some(a))).map_err(|e: std::net::AddrParseError| expected(e.to_string())),
    }
}

/// Go's durations: `500ms`, `15s`, `2m`, `1h30m`, `10m0s`.
fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is not a duration such as 500ms, 15s or 1m30s");
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, tail) = rest.split_at(unit_at);
        let number: f64 = number.parse().map_err(|_| bad())?;
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        seconds += number
            * match unit {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return Err(bad()),
            };
        rest = tail;
    }
    if text.is_empty() {
        return Err(bad());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| bad())
}

impl Flags {
    /// What the manager is to do; `random` is appended to the identity unless one was given.
    ///
    /// # Errors
    /// When times of the election don't go together.
    pub(crate) fn settings(&self, random: &str) -> Result<Settings, ElectionError> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let credentials =
            given(&self.maas_endpoint).zip(given(&self.maas_api_key)).map(|(endpoint, key)| Credentials {
                endpoint,
                api_key: key.into(),
                source: "environment (MAAS_ENDPOINT, MAAS_API_KEY)".to_owned(),
            });
        let identity = given(&self.leader_elect_identity).unwrap_or_else(|| {
            let host = ["POD_NAME", "HOSTNAME"].iter().find_map(|name| std::env::var(name).ok());
            format!("{}_{random}", host.as_deref().unwrap_or("capmaas-controller"))
        });
        let election = Election {
            duration: self.leader_elect_lease_duration,
            renew_deadline: self.leader_elect_renew_deadline,
            retry: self.leader_elect_retry_period,
            ..Election::new(identity)
        };
        if self.leader_elect {
            election.check()?;
        }
        Ok(Settings {
            own_namespace: self.own_namespace.clone(),
            namespace: given(&self.namespace),
            watch_filter: given(&self.watch_filter),
            concurrency: self.concurrency,
            credentials,
            election: self.leader_elect.then_some(election),
            health: self.health_addr.0,
            metrics: self.diagnostics_address.0,
            ..Settings::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_addresses_read_as_in_other_managers() {
        for (text, millis) in [("15s", 15_000), ("500ms", 500), ("10m0s", 600_000), ("1h1.5s", 3_601_500), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "15", "1d", "s", "-1s", "1m30"] {
            assert!(duration(text).is_err(), "{text}");
        }
        for (text, expected) in [
            (":9440", Some("[::]:9440")),
            ("localhost:1", Some("127.0.0.1:1")),
            ("[::1]:8", Some("[::1]:8")),
            ("0", None),
        ] {
            assert_eq!(address(text).unwrap().0, expected.map(|a| a.parse().unwrap()), "{text}");
        }
        for text in ["nonsense", ":port", "9440"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn empty_values_mean_the_default() {
        let line = "capmaas-controller --namespace= --watch-filter= --leader-elect=true --leader-elect-identity=";
        let settings = Flags::parse_from(line.split(' ')).settings("1234").unwrap();
        assert_eq!((settings.namespace, settings.watch_filter), (None, None));
        assert!(settings.election.unwrap().identity.ends_with("_1234"));
    }

    #[test]
    fn leader_election_is_switched_as_go_flags_are() {
        for (flag, on) in
            [("--leader-elect", true), ("--leader-elect=1", true), ("--leader-elect=false", false), ("-v=2", false)]
        {
            let settings = Flags::parse_from(["capmaas-controller", flag, "--health-addr=0"]).settings("r").unwrap();
            assert_eq!(settings.election.is_some(), on, "{flag}");
        }
    }
}
