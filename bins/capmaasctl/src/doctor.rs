//! `capmaasctl doctor`: what is wrong between manifests, management cluster and MAAS, each finding with its fix. It reads and tells; it
//! changes nothing.

mod names;
mod rights;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use capi_types::names::{CREDENTIALS_SECRET, CREDENTIALS_SECRET_ARTICLE, MAAS_ENDPOINT_KEY, PROVIDER_NAMESPACE};
use capmaas_provider_maas::{ConnectError, MaasRegion};
use capmaas_reconcile::stores::RegionFacts;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client as Kube};
use maas_client::Client;
use serde_json::Value;

use self::names::Wanted;

/// Exit code when something is wrong.
const FOUND: u8 = 3;

/// Flags of `doctor`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Exit code: 0 nothing is wrong (warnings alone do not count), 1 it could not look, 2 wrong flags, 3 something is wrong.

It looks at the MAAS of the flags; at the manifests of -f, or at what is in the management cluster; and at the rights that the controller's
service account has there.")]
pub(crate) struct Args {
    /// Manifests that are to be applied, instead of the objects of the management cluster; `-` is standard input.
    #[arg(long, short = 'f', value_name = "FILE")]
    filename: Vec<PathBuf>,
    /// Kubeconfig of the management cluster; default: in-cluster, $KUBECONFIG, ~/.kube/config, and none with -f.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// Namespace of the controller.
    #[arg(long, default_value = PROVIDER_NAMESPACE)]
    controller_namespace: String,
    /// Service account of the controller.
    #[arg(long, default_value = "capmaas-manager")]
    service_account: String,
    /// MAAS URL.
    #[arg(long, env = "MAAS_ENDPOINT")]
    maas_endpoint: String,
    /// MAAS API key: the controller's.
    #[arg(long, env = "MAAS_API_KEY", hide_env_values = true)]
    maas_api_key: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Good,
    Warning,
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    level: Level,
    what: String,
    /// What to do; empty when all is well.
    fix: String,
}

impl Finding {
    fn good(what: impl Into<String>) -> Self {
        Self { level: Level::Good, what: what.into(), fix: String::new() }
    }

    fn warning(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Warning, what: what.into(), fix: fix.into() }
    }

    fn wrong(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Wrong, what: what.into(), fix: fix.into() }
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut findings = Vec::new();
    let mut documents = Vec::new();
    for file in &args.filename {
        documents.extend(crate::explain::read(file)?);
    }
    let from_files = !args.filename.is_empty();
    let kube = match (&args.kubeconfig, from_files) {
        (None, true) => None,
        (kubeconfig, _) => Some(crate::tree::client(kubeconfig.as_deref()).await?),
    };
    if let Some(kube) = &kube {
        if !from_files {
            documents = live(kube, &mut findings).await?;
        }
        findings.push(credentials(kube, &args).await);
        findings.extend(rights::look(kube, &args.controller_namespace, &args.service_account).await);
    }
    findings.extend(maas(&args, &Wanted::of(&documents)).await);
    crate::out(render(&findings).as_bytes())?;
    let wrong = findings.iter().any(|finding| finding.level == Level::Wrong);
    Ok(if wrong { ExitCode::from(FOUND) } else { ExitCode::SUCCESS })
}

/// What is in the management cluster.
async fn live(kube: &Kube, findings: &mut Vec<Finding>) -> anyhow::Result<Vec<Value>> {
    let mut documents = Vec::new();
    for (kind, plural) in [
        ("MaasCluster", "maasclusters"),
        ("MaasMachineTemplate", "maasmachinetemplates"),
        ("MaasMachine", "maasmachines"),
    ] {
        let list = crate::tree::objects(kube, None, "infrastructure.cluster.x-k8s.io", kind, plural).await;
        match list.with_context(|| format!("listing {plural}"))? {
            None => findings.push(Finding::wrong(
                format!("the management cluster does not serve {kind}"),
                "install the provider: clusterctl init --infrastructure maas",
            )),
            Some(list) => documents.extend(list.into_iter().map(|mut object| {
                // Items of a list bear no kind.
                object["kind"] = kind.into();
                object
            })),
        }
    }
    findings.push(Finding::good(format!("{} objects of ours in the management cluster", documents.len())));
    Ok(documents)
}

/// The controller's Secret, and whether it is the MAAS that is looked at.
async fn credentials(kube: &Kube, args: &Args) -> Finding {
    let api: Api<Secret> = Api::namespaced(kube.clone(), &args.controller_namespace);
    for name in [CREDENTIALS_SECRET, CREDENTIALS_SECRET_ARTICLE] {
        let at = format!("Secret {}/{name}", args.controller_namespace);
        match api.get_opt(name).await {
            Ok(None) => {}
            Err(error) => {
                return Finding::warning(
                    format!("{at} can't be read: {error}"),
                    "look with an administrator's kubeconfig",
                );
            }
            Ok(Some(secret)) => {
                let data = secret.data.unwrap_or_default();
                let endpoint =
                    data.get(MAAS_ENDPOINT_KEY).map(|bytes| String::from_utf8_lossy(&bytes.0).trim().to_owned());
                let same = |a: &str, b: &str| a.trim_end_matches('/') == b.trim_end_matches('/');
                return match endpoint {
                    None => Finding::wrong(
                        format!("{at} has no {MAAS_ENDPOINT_KEY}"),
                        format!("put {MAAS_ENDPOINT_KEY} and MAAS_API_KEY into it"),
                    ),
                    Some(endpoint) if same(&endpoint, &args.maas_endpoint) => {
                        Finding::good(format!("{at} names this MAAS"))
                    }
                    Some(endpoint) => Finding::warning(
                        format!("{at} names another MAAS than the one looked at: {endpoint}"),
                        "give that one's URL and key to doctor",
                    ),
                };
            }
        }
    }
    Finding::wrong(
        format!("there is no Secret {}/{CREDENTIALS_SECRET}", args.controller_namespace),
        "make it with MAAS_ENDPOINT and MAAS_API_KEY, or give the controller both as environment variables",
    )
}

async fn maas(args: &Args, wanted: &Wanted) -> Vec<Finding> {
    let client = match Client::builder(&args.maas_endpoint, &args.maas_api_key).and_then(|builder| builder.build()) {
        Ok(client) => client,
        Err(error) => {
            return vec![Finding::wrong(
                error.to_string(),
                "give --maas-endpoint and --maas-api-key as MAAS shows them",
            )];
        }
    };
    let facts = match MaasRegion::connect(client.clone()).await {
        Ok((_, facts)) => facts,
        // The text has the fix: what is wrong with the key, the URL or the clocks.
        Err(ConnectError::Refused(said) | ConnectError::Down(said)) => {
            return vec![Finding::wrong(said, "mend that first: nothing else of MAAS could be looked at")];
        }
    };
    let mut findings = about(&facts, &args.maas_endpoint, wanted);
    findings.extend(names::look(&client, wanted).await);
    findings
}

/// What MAAS says of itself and of the key.
fn about(facts: &RegionFacts, endpoint: &str, wanted: &Wanted) -> Vec<Finding> {
    let mut findings = vec![Finding::good(format!("MAAS {} answers at {endpoint}", facts.version))];
    let mut numbers = facts.version.split('.').map(|part| part.parse::<u32>().ok());
    if let (Some(Some(major)), Some(Some(minor))) = (numbers.next(), numbers.next())
        && (major, minor) < (3, 4)
    {
        findings
            .push(Finding::wrong(format!("MAAS {} is older than 3.4", facts.version), "upgrade MAAS to 3.4 or later"));
    }
    // MAAS refuses a signature that is off by more; then the connection says so, with both times.
    findings.push(Finding::good("the clocks differ by less than five minutes: MAAS takes our signatures"));
    findings.push(match (facts.is_admin, wanted.needs_administrator.first()) {
        (true, _) => Finding::good(format!("the key is that of administrator {}", facts.user)),
        (false, None) => Finding::good(format!(
            "the key is that of user {}, and nothing asked for needs an administrator",
            facts.user
        )),
        (false, Some(why)) => Finding::wrong(
            format!("the key is that of user {}, who is no administrator: {why}", facts.user),
            "give the user administrator rights in MAAS, use another key, or change that field",
        ),
    });
    if let Some(who) = wanted.in_memory.first()
        && !facts.deploys_into_memory()
    {
        findings.push(Finding::wrong(
            format!("{who}: spec.deployInMemory needs MAAS 3.5.10, 3.6.3, 3.7.1 or later"),
            format!("upgrade MAAS {}, or leave the field out", facts.version),
        ));
    }
    findings
}

fn render(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let word = match finding.level {
            Level::Good => "ok   ",
            Level::Warning => "warn ",
            Level::Wrong => "WRONG",
        };
        text.push_str(&format!("{word}  {}\n", finding.what));
        if !finding.fix.is_empty() {
            text.push_str(&format!("       fix: {}\n", finding.fix));
        }
    }
    text
}
