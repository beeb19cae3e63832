//! The real `kubectl` over HTTPS.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use kube_sim::{ADMIN_TOKEN, Certificates, kubeconfig, serve_tls};
use serde_json::json;
use tokio::task::JoinSet;

use super::sim;

struct Kubectl {
    config: PathBuf,
    home: PathBuf,
}

impl Kubectl {
    /// Runs it; (succeeded, stdout, stderr).
    async fn run(&self, line: &str, stdin: &str) -> (bool, String, String) {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let mut child = tokio::process::Command::new("kubectl")
            .args(&args)
            .env("KUBECONFIG", &self.config)
            .env("HOME", &self.home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut child.stdin.take().unwrap(), stdin.as_bytes()).await.unwrap();
        let out = tokio::time::timeout(std::time::Duration::from_secs(60), child.wait_with_output())
            .await
            .expect(line)
            .unwrap();
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        (out.status.success(), text(&out.stdout), text(&out.stderr))
    }

    async fn ok(&self, line: &str, stdin: &str) -> String {
        let (good, out, err) = self.run(line, stdin).await;
        assert!(good, "kubectl {line}\n{out}{err}");
        assert!(!err.contains("rror"), "kubectl {line}\n{err}");
        out
    }
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|p| std::env::split_paths(&p).any(|d| Path::new(&d).join(program).is_file()))
}

const A: &str = "{apiVersion: example.io/v1beta1, kind: Widget, metadata: {name: a, labels: {example.io/cluster: c1}}, spec: {color: red}}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_works_on_it() {
    if !on_path("kubectl") {
        let _ = writeln!(std::io::stderr(), "skipped: no kubectl on PATH");
        return;
    }
    let sim = sim();
    let dir = tempfile::tempdir().unwrap();
    let certs = Certificates::generate(&["127.0.0.1", "localhost"]).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(serve_tls(listener, sim.clone(), certs.identity().unwrap()));
    let config = dir.path().join("kubeconfig");
    std::fs::write(&config, kubeconfig(&url, &certs.ca_pem, ADMIN_TOKEN)).unwrap();
    let k = Kubectl { config, home: dir.path().to_owned() };

    assert!(k.ok("version", "").await.contains("v1.33.0"));
    assert!(k.ok("apply -f -", A).await.contains("widget.example.io/a created"));
    assert!(k.ok("apply -f -", A).await.contains("unchanged"));
    assert!(k.ok("apply -f -", &A.replace("red", "blue")).await.contains("configured"));

    let plain = k.ok("get widgets", "").await;
    let wide = k.ok("get wi -A -o wide", "").await;
    assert!(plain.starts_with("NAME   READY   CLUSTER   AGE") && !plain.contains("COLOR"), "{plain}");
    assert!(wide.contains("COLOR") && wide.contains("blue") && wide.contains("c1"), "{wide}");
    assert!(k.ok("get toys -o name", "").await.contains("widget.example.io/a"));

    sim.apply(
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "Painted", "type": "Normal",
        "message": "now blue", "involvedObject": {"kind": "Widget", "namespace": "default", "name": "a",
        "uid": sim.get("example.io", "Widget", Some("default"), "a").unwrap()["metadata"]["uid"]}}),
    )
    .unwrap();
    let described = k.ok("describe widget a", "").await;
    assert!(described.contains("Color:     blue") && described.contains("Painted"), "{described}");
    assert!(k.ok("get events", "").await.contains("widget/a"));

    let explained = k.ok("explain widget.spec", "").await;
    assert!(explained.contains("What it looks like") && explained.contains("-required-"), "{explained}");
    assert!(k.ok("explain widget.metadata.labels", "").await.contains("What selectors match"));

    assert!(k.ok("scale widget a --replicas=3", "").await.contains("scaled"));
    let scaled = sim.get("example.io", "Widget", Some("default"), "a").unwrap();
    assert_eq!(scaled["spec"]["replicas"], 3);

    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    let (waited, code) = tokio::join!(k.ok("wait --for=condition=Ready widget/a --timeout=20s", ""), async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        sim.request(http::Method::PATCH, "/apis/example.io/v1beta1/namespaces/default/widgets/a/status", Some(&ready)).0
    });
    assert!(waited.contains("condition met") && code == 200, "{waited}");

    let (good, _, err) = k.run("apply -f -", &A.replace("color: red", "color: red, colour: x")).await;
    assert!(!good && err.contains("strict decoding error: unknown field \"spec.colour\""), "{err}");
    let (good, _, err) = k.run("apply -f -", &A.replace("red", "green")).await;
    assert!(!good && err.contains("spec.color: Unsupported value: \"green\""), "{err}");
    let (good, _, err) = k.run("apply --server-side -f -", A).await;
    assert!(!good && err.contains("kube-sim lacks server-side apply"), "{err}");

    let writes = sim.writes();
    let (watched, _) = tokio::join!(k.run("get widget a -w --request-timeout=3s", ""), async {
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        let off = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
        sim.request(http::Method::PATCH, "/apis/example.io/v1beta1/namespaces/default/widgets/a/status", Some(&off))
    });
    assert!(watched.1.contains("True") && watched.1.contains("False"), "{}{}", watched.1, watched.2);
    assert_eq!(sim.writes(), writes + 1);
    k.ok("patch widget a --type=json -p [{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":2}]", "").await;
    let shown = k.ok("get widget a -o yaml", "").await;
    assert!(shown.contains("replicas: 2"), "{shown}");
    assert!(k.ok("replace -f -", &shown.replace("replicas: 2", "replicas: 4")).await.contains("replaced"));
    assert!(k.ok("get widget -A --sort-by=.metadata.name -o custom-columns=N:.spec.replicas", "").await.contains('4'));
    k.ok("label widget a x=y", "").await;
    k.ok("annotate widget a note=hello", "").await;
    k.ok("create -f -", "{apiVersion: v1, kind: ConfigMap, metadata: {name: m}, data: {a: b}}").await;
    let (good, _, err) = k.run("create configmap m2 --from-literal=a=b", "").await;
    assert!(!good && err.contains("kube-sim lacks bodies in application/vnd.kubernetes.protobuf"), "{err}");
    k.ok("apply -f -", "{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {a: b}}").await;
    k.ok("apply -f -", "{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {a: c}}").await;
    k.ok("apply -f -", "{apiVersion: v1, kind: Namespace, metadata: {name: team}}").await;
    assert!(k.ok("api-resources", "").await.contains("widgets"));
    for kind in ["ns", "nodes", "secrets", "cm", "crd", "leases", "svc", "sa", "pods"] {
        k.ok(&format!("get {kind} -A"), "").await;
    }
    k.ok("describe ns team", "").await;
    k.ok("describe secret s", "").await;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"node-role.kubernetes.io/control-plane": ""}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            "nodeInfo": {"kubeletVersion": "v1.33.0"}}});
    sim.apply(node).unwrap();
    let nodes = k.ok("get nodes -o wide", "").await;
    assert!(nodes.contains("Ready    control-plane") && nodes.contains("10.0.0.1"), "{nodes}");
    k.ok("describe node n1", "").await;
    k.ok("cordon n1", "").await;
    assert!(k.ok("get nodes", "").await.contains("Ready,SchedulingDisabled"));
    k.ok("taint nodes n1 a=b:NoSchedule", "").await;
    k.ok("events", "").await;
    k.ok("get events --field-selector involvedObject.name=a,type=Normal", "").await;
    k.ok("explain widget --recursive", "").await;
    k.ok("diff -f -", "{apiVersion: v1, kind: Node, metadata: {name: n1}}").await;
    assert!(k.ok("delete widget a --cascade=foreground", "").await.contains("deleted"));
    k.ok("delete ns team", "").await;
    assert_eq!(sim.get("example.io", "Widget", Some("default"), "a"), None);

    std::fs::write(&k.config, kubeconfig(&url, &certs.ca_pem, "wrong")).unwrap();
    let (good, _, err) = k.run("get widgets", "").await;
    assert!(!good && err.contains("Unauthorized") || err.contains("logged in"), "{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kubeconfig_leads_a_client_over_tls_and_only_with_the_right_authority_and_token() {
    let sim = sim();
    let certs = Certificates::generate(&["127.0.0.1"]).unwrap();
    let others = Certificates::generate(&["127.0.0.1"]).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(serve_tls(listener, sim, certs.identity().unwrap().with_token("extra")));
    let names = async |ca: &str, token: &str| -> Result<Vec<String>, kube::Error> {
        let config = kube::config::Kubeconfig::from_yaml(&kubeconfig(&url, ca, token)).unwrap();
        let mut config = kube::Config::from_custom_kubeconfig(config, &Default::default()).await.unwrap();
        config.default_retry = false;
        let api = kube::Api::<k8s_openapi::api::core::v1::Namespace>::all(kube::Client::try_from(config).unwrap());
        Ok(api.list(&Default::default()).await?.items.iter().map(kube::ResourceExt::name_any).collect())
    };
    for token in [ADMIN_TOKEN, "extra"] {
        assert_eq!(names(&certs.ca_pem, token).await.unwrap(), ["default", "kube-public", "kube-system"]);
    }
    assert!(matches!(names(&certs.ca_pem, "wrong").await, Err(kube::Error::Api(s)) if s.code == 401));
    assert!(
        !matches!(names(&others.ca_pem, ADMIN_TOKEN).await, Ok(_) | Err(kube::Error::Api(_))),
        "not this authority"
    );
    server.abort_all();
    while server.join_next().await.is_some() {}
    assert!(names(&certs.ca_pem, ADMIN_TOKEN).await.is_err(), "dropping the future stops the server");
}
