//! The real controller process over real sockets: kube-sim over TLS, maas-sim over HTTP.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use std::time::Duration;

use capi_types::names::{CREDENTIALS_SECRET, CREDENTIALS_SECRET_ARTICLE};
use maas_sim::ADMIN_KEY;
use serde_json::json;
use tokio::time::Instant;

use world::{World, controller, until};

/// W-40
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_waits_for_kinds_and_credentials_and_takes_both_up_without_a_restart() {
    let world = World::new().await;
    let mut controller = world.start(&[], &[]);
    assert_eq!(controller.health("/healthz").await.0, 200);
    let (code, answer) = controller.health("/readyz").await;
    assert!(
        code == 503
            && answer.contains("Cluster, MaasCluster, MaasMachine, MaasMachineTemplate, MaasRemediation, Machine"),
        "{answer}"
    );

    world.install();
    controller.ready().await;
    world.namespace("team");
    world.cluster("team", "first", json!({}));
    world.says("team", "first", "CredentialsMissing", &format!("capmaas-system/{CREDENTIALS_SECRET}")).await;
    world.secret(CREDENTIALS_SECRET, "${MAAS_ENDPOINT}", "${MAAS_API_KEY}");
    world.says("team", "first", "CredentialsMissing", "placeholder ${MAAS_ENDPOINT}").await;
    assert_eq!(world.names_made(), 0);

    world.secret(CREDENTIALS_SECRET, &world.maas_url, ADMIN_KEY);
    let host = world.provisioned("team", "first").await;
    assert!(host.ends_with(".maas"), "{host}");
    assert_eq!(world.names_made(), 1);

    let key = "NewConsumer0000000:NewTokenKey0000000:NewTokenSecret000000000000000000";
    world.maas.with(|region, _| {
        region.add_api_key("admin", key).unwrap();
        region.revoke_api_keys("admin", Some(ADMIN_KEY)).unwrap();
    });
    world.secret(CREDENTIALS_SECRET, &world.maas_url, key);
    world.cluster("team", "second", json!({}));
    world.provisioned("team", "second").await;
    assert_eq!(world.names_made(), 2);

    let path = format!("/api/v1/namespaces/{}/secrets/{CREDENTIALS_SECRET}", world::OWN);
    assert_eq!(world.kube.request(http::Method::DELETE, &path, None).0, 200);
    world.cluster("team", "third", json!({}));
    world.says("team", "third", "CredentialsMissing", "no MAAS credentials").await;
    world.secret(CREDENTIALS_SECRET_ARTICLE, &world.maas_url, key);
    world.provisioned("team", "third").await;

    let metrics = controller.metrics().await;
    assert!(
        metrics.contains("content-type: application/openmetrics-text") && metrics.trim_end().ends_with("# EOF"),
        "{metrics}"
    );
    for counter in
        ["capmaas_reconciles_total", "capmaas_steps_total", "capmaas_maas_reads_total", "capmaas_kube_writes_total"]
    {
        let line =
            metrics.lines().find(|line| line.starts_with(counter)).unwrap_or_else(|| panic!("{counter}: {metrics}"));
        assert!(line.rsplit(' ').next().unwrap().parse::<u64>().unwrap() > 0, "{line}");
    }
    let (status, took, log) = controller.terminate().await;
    assert!(status.success() && took < Duration::from_secs(4), "{status} after {took:?}: {log}");
    for secret in [ADMIN_KEY, key].iter().flat_map(|key| key.split(':').skip(2)) {
        assert!(!log.contains(secret), "the log has a secret: {log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_several_leads_and_another_follows_it_late_after_a_kill_and_at_once_after_a_stop() {
    let world = World::installed().await;
    let flags = |identity: &'static str, lease: &'static str| {
        ["--leader-elect", identity, lease, "--leader-elect-renew-deadline=1500ms", "--leader-elect-retry-period=300ms"]
    };
    let first = world.start(&flags("--leader-elect-identity=first", "--leader-elect-lease-duration=2s"), &[]);
    until("first leads", || (world.holder()? == "first").then_some(())).await;
    let mut second = world.start(&flags("--leader-elect-identity=second", "--leader-elect-lease-duration=60s"), &[]);
    second.logs("standing by").await;
    assert_eq!(second.health("/readyz").await.0, 200, "a standby is ready, or it could never be rolled out");

    world.cluster("default", "by-first", json!({}));
    world.says("default", "by-first", "CredentialsMissing", "").await;
    let metrics = second.metrics().await;
    assert!(!metrics.contains("capmaas_reconciles_total"), "{metrics}");
    assert_eq!(world.holder().as_deref(), Some("first"));

    first.kill();
    let killed = Instant::now();
    world.cluster("default", "by-second", json!({}));
    until("second leads", || (world.holder()? == "second").then_some(())).await;
    // Its last renewal was at most one retry old when second saw it.
    assert!(killed.elapsed() > Duration::from_millis(1200), "{:?}", killed.elapsed());
    assert_eq!(world.lease().unwrap()["leaseTransitions"], 1);
    world.says("default", "by-second", "CredentialsMissing", "").await;

    let mut third = world.start(&flags("--leader-elect-identity=third", "--leader-elect-lease-duration=60s"), &[]);
    third.logs("standing by").await;
    let (status, _, log) = second.terminate().await;
    assert!(status.success(), "{status}: {log}");
    // Second had stated 60 s, more than we wait for anything.
    until("third leads", || (world.holder()? == "third").then_some(())).await;
    world.cluster("default", "by-third", json!({}));
    world.says("default", "by-third", "CredentialsMissing", "").await;

    let mut lease = world.lease().unwrap();
    lease["holderIdentity"] = json!("somebody");
    world
        .kube
        .apply(json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": lease,
            "metadata": { "name": capi_types::names::LEADER_ELECTION_LEASE, "namespace": world::OWN },
        }))
        .unwrap();
    let (status, log) = third.ends().await;
    assert!(!status.success() && log.contains("the leader election was lost"), "{status}: {log}");
}

/// W-43
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespace_and_watch_filter_limit_what_is_acted_upon() {
    let world = World::installed().await;
    world.namespace("one");
    world.namespace("two");
    let blue = json!({ "cluster.x-k8s.io/watch-filter": "blue" });
    world.cluster("two", "plain", json!({}));
    world.cluster("two", "red", json!({ "cluster.x-k8s.io/watch-filter": "red" }));
    world.cluster("two", "blue", blue);
    world.cluster("one", "plain", json!({}));

    // One finds its credentials in the environment, the other has none: what they write tells who wrote it.
    let environment = [("MAAS_ENDPOINT", world.maas_url.as_str()), ("MAAS_API_KEY", ADMIN_KEY)];
    let _in_one = world.start(&["--namespace=one"], &environment);
    let _blue = world.start(&["--watch-filter=blue"], &[]);
    world.provisioned("one", "plain").await;
    world.says("two", "blue", "CredentialsMissing", "").await;
    for name in ["plain", "red"] {
        let object = world.maas_cluster("two", name);
        assert!(object["status"].is_null() && object["metadata"]["finalizers"].is_null(), "{object:#}");
    }
}

#[test]
fn help_lists_the_flags_with_their_defaults() {
    let output = controller().arg("--help").output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for words in [
        "--kubeconfig <FILE>",
        "--namespace <NAME>",
        "--watch-filter <VALUE>",
        "--leader-elect[=<BOOL>]",
        "--leader-elect-lease-duration <TIME>",
        "[default: 15s]",
        "[default: 10s]",
        "[default: 2s]",
        "[default: :9440]",
        "[default: 127.0.0.1:8080]",
        "metrics-bind-addr",
        "[default: capmaas-system]",
        "--logging-format",
        "without effect",
        "--sync-period",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("maas-api-key"), "a key does not belong on a command line: {text}");
}

#[test]
fn bad_flags_are_named_and_end_it() {
    let missing = "--kubeconfig=/does/not/exist";
    for (flags, words) in [
        (vec!["--no-such-flag"], "--no-such-flag"),
        (vec!["--health-addr=nonsense"], "expected host:port, :port or 0"),
        (vec!["--leader-elect-lease-duration=15"], "is not a duration such as"),
        (vec!["--leader-elect=maybe"], "--leader-elect"),
        (
            vec!["--leader-elect", "--leader-elect-lease-duration=5s"],
            "lease duration (5s) must be longer than the renew deadline",
        ),
        (vec![missing], "/does/not/exist"),
        (vec![], "no management cluster: give --kubeconfig"),
    ] {
        let output = controller().args(&flags).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && text.contains(words), "{flags:?}: {text}");
    }
}

#[test]
fn flags_of_the_go_provider_and_of_other_managers_are_taken() {
    // It ends at the kubeconfig: all flags were understood.
    let output = controller()
        .args([
            "--kubeconfig=/does/not/exist",
            "--leader-elect",
            "--metrics-bind-addr=127.0.0.1:8080",
            "--machine-concurrency=2",
            "--machine-concurrency=4",
        ])
        .args([
            "--sync-period=120m",
            "--health-addr=:9440",
            "--webhook-port",
            "9443",
            "--namespace=",
            "--feature-gates=A=true",
        ])
        .args([
            "-v=2",
            "--logtostderr=true",
            "--stderrthreshold=2",
            "--vmodule=x=4",
            "--kube-api-qps=100",
            "--kube-api-burst=200",
        ])
        .args([
            "--watch-filter=",
            "--webhook-cert-dir=/tmp",
            "--insecure-diagnostics",
            "--tls-min-version=VersionTLS12",
        ])
        .args(["--profiler-address=localhost:6060", "--contention-profiling", "--logging-format=JSON"])
        .args(["--skip-crd-migration-phases=StorageVersionMigration", "--maasmachine-concurrency=10"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("/does/not/exist"), "{text}");
    assert!(text.contains("has no effect here") && text.contains("--sync-period"), "{text}");
}
