//! The real `kubectl` against a sandbox that runs in real time, through the doors that `capmaasctl sandbox` opens.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use capmaas_manager::Manager;
use capmaas_manager::gate::Gate;
use capmaas_sandbox::doors::{Doors, DoorsConfig};
use capmaas_sandbox::sandbox::{Sandbox, SandboxConfig};
use capmaas_sandbox::workload::Authority;
use capmaas_tests::{Hand, Play, seed_documents};
use serde_json::{Value, json};

/// What the issue asks people to type first.
const ALL: &str = "get clusters,machines,maasmachines,maasclusters -A -o wide";

/// Longest real time that anything may take: a loaded machine is slow, and who is done goes on at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much faster than real time it goes.
const SPEED: f64 = 40.0;

/// Finds the workers' machines, whose names have generated parts.
const WORKER: &str = "cluster.x-k8s.io/deployment-name=my-cluster-worker";

struct Kubectl {
    dir: PathBuf,
}

impl Kubectl {
    /// Runs it with these arguments; (succeeded, stdout, stderr).
    async fn run(&self, args: &[&str], stdin: &str) -> (bool, String, String) {
        let mut child = tokio::process::Command::new("kubectl")
            .args(args)
            .env("KUBECONFIG", self.dir.join("kubeconfig"))
            .env("HOME", &self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut child.stdin.take().unwrap(), stdin.as_bytes()).await.unwrap();
        let ended = tokio::time::timeout(PATIENCE * 2, child.wait_with_output()).await;
        let out = ended.unwrap_or_else(|_| panic!("kubectl {args:?} does not end")).unwrap();
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        (out.status.success(), text(&out.stdout), text(&out.stderr))
    }

    /// A line that must succeed without a word on standard error; its output.
    async fn ok(&self, line: &str) -> String {
        self.fed(line, "").await
    }

    async fn fed(&self, line: &str, stdin: &str) -> String {
        let args: Vec<&str> = line.split_whitespace().collect();
        let (good, out, err) = self.run(&args, stdin).await;
        assert!(good && err.is_empty(), "kubectl {line}\n{out}{err}");
        out
    }

    /// Waits for a field of one object, as scripts do.
    async fn wait(&self, object: &str, path: &str, value: &str) {
        let seconds = PATIENCE.as_secs();
        self.ok(&format!("wait {object} --for=jsonpath={{{path}}}={value} --timeout={seconds}s")).await;
    }

    /// What a line says once it says what it should.
    async fn until(&self, line: &str, good: impl Fn(&str) -> bool) -> String {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let out = self.ok(line).await;
            if good(&out) {
                return out;
            }
            assert!(tokio::time::Instant::now() < end, "kubectl {line}: waited in vain\n{out}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in\n{text}");
    }
}

/// The line of a table that begins with (namespace or) name.
fn row<'a>(table: &'a str, name: &str) -> &'a str {
    table.lines().find(|l| l.contains(name)).unwrap_or_else(|| panic!("no row {name} in\n{table}"))
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|p| std::env::split_paths(&p).any(|d| Path::new(&d).join(program).is_file()))
}

/// The manifest as YAML (JSON is YAML) with one change.
fn manifest(change: impl Fn(&mut Value)) -> String {
    let mut documents = seed_documents();
    documents.iter_mut().for_each(change);
    documents.iter().map(|d| format!("---\n{d}\n")).collect()
}

struct World {
    kubectl: Kubectl,
    play: Play,
    maas: String,
}

impl World {
    /// A control call of the MAAS simulator over HTTP, as a user would make it with curl.
    async fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (host, base) = self.maas.trim_start_matches("http://").split_once('/').unwrap();
        let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
        let body = body.to_string();
        let request = format!(
            "{method} /{base}/sim/{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        serde_json::from_str(body).unwrap()
    }
}

#[test]
fn kubectl_drives_the_seed_from_manifest_to_nothing_left() {
    if !on_path("kubectl") {
        let _ = writeln!(std::io::stderr(), "skipped: kubectl is not on PATH");
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::new(quick_lab());
        sandbox.install().await.unwrap();
        let config =
            DoorsConfig { dir: dir.path().to_owned(), kube_port: 0, maas_port: 0, token: "a-token".to_owned() };
        let doors = Doors::open(&sandbox, config).await.unwrap();
        let env = sandbox.env(&Gate::open(), Default::default());
        let maas = doors.maas.clone();
        let play = Play { sandbox: sandbox.clone(), gate: Gate::open(), settings: Default::default() };
        let world = World { kubectl: Kubectl { dir: dir.path().to_owned() }, play, maas };
        // Each on a task of its own, as the program has them: the world must go on while kubectl is waited for.
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { panic!("the doors closed: {}", doors.serve().await) });
        tasks.spawn(async move { match sandbox.world().await {} });
        tasks.spawn(async move { panic!("the manager ended: {:?}", Manager::run(env, std::future::pending()).await) });
        tokio::select! { biased;
            ended = tasks.join_next() => panic!("{ended:?}"),
            () = scenario(&world) => {}
        }
    });
}

/// Seven machines that deploy in half a minute, at a speed at which a machine that is busy with other tests still keeps up.
fn quick_lab() -> SandboxConfig {
    let mut config = SandboxConfig::lab(1, 7).unwrap();
    (config.speed, config.authority) = (SPEED, Authority::generate().unwrap());
    let s = Duration::from_secs;
    let steps = maas_sim::Durations {
        ephemeral: s(5),
        installing: s(10),
        reboot: s(5),
        first_boot: s(5),
        ..Default::default()
    };
    config.maas.durations = maas_sim::Durations { power_on: s(2), release: s(5), ..steps };
    config.nodes.kubeadm = s(5);
    config
}

async fn scenario(world: &World) {
    comes_up(world).await;
    is_shown(world).await;
    bad_manifests_are_refused(world).await;
    scales_until_the_pool_is_empty_and_back(world).await;
    a_power_cord_is_pulled(world).await;
    rolls_to_another_image(world).await;
    goes(world).await;
}

async fn comes_up(World { kubectl: k, .. }: &World) {
    let seed = manifest(|_| {});
    let applied = k.fed("apply -f -", &seed).await;
    assert_eq!(applied.matches(" created\n").count(), 7, "{applied}");
    k.wait("maascluster/my-cluster", ".status.ready", "true").await;
    k.wait("cluster/my-cluster", ".status.phase", "Provisioned").await;
    k.wait("kcp/my-cluster-cp", ".status.readyReplicas", "1").await;
    k.wait("machinedeployment/my-cluster-worker", ".status.readyReplicas", "1").await;
    let waited = k.ok("wait --for=condition=Ready maasmachine,machine --all --timeout=60s").await;
    assert_eq!(waited.matches(" condition met\n").count(), 4, "{waited}");
    k.ok("wait --for=condition=NodeTied maasmachine --all --timeout=60s").await;

    let again = k.fed("apply -f -", &seed).await;
    assert_eq!(again.matches(" unchanged\n").count(), 7, "{again}");
    let edited = manifest(|d| {
        if d["kind"] == "MachineDeployment" {
            d["metadata"]["labels"]["team"] = json!("blue");
            d["spec"]["replicas"] = json!(2);
        }
    });
    let configured = k.fed("apply -f -", &edited).await;
    has(&configured, &["machinedeployment.cluster.x-k8s.io/my-cluster-worker configured\n"]);
    assert_eq!(configured.matches(" unchanged\n").count(), 6, "{configured}");
    k.wait("machinedeployment/my-cluster-worker", ".status.readyReplicas", "2").await;
    has(&k.ok("get machinedeployments -l team=blue").await, &["my-cluster-worker"]);
    has(&k.fed("diff -f -", &edited).await, &[]);
    has(&k.fed("apply -f -", &seed).await, &["my-cluster-worker configured\n"]);
    k.wait("machinedeployment/my-cluster-worker", ".status.replicas", "1").await;
    let labels = k.ok("get machinedeployment my-cluster-worker -o jsonpath={.metadata.labels}").await;
    assert!(!labels.contains("team"), "a label that left the manifest is removed: {labels}");
}

async fn is_shown(World { kubectl: k, play, .. }: &World) {
    k.until("get machines -o name", |out| out.lines().count() == 2).await;
    let all = k.ok(ALL).await;
    for columns in [
        &["PHASE", "AVAILABLE", "ENDPOINT", "AGE"][..],
        &["CLUSTER", "NODENAME", "PROVIDERID", "READY", "PHASE", "VERSION"],
        &["READY", "REASON", "STATE", "HOST", "ZONE", "PROVIDERID", "IMAGE", "MESSAGE"],
        &["CLUSTER", "READY", "ENDPOINT", "MESSAGE"],
    ] {
        let header =
            |l: &str| l.starts_with("NAMESPACE") && columns.iter().all(|c| l.split_whitespace().any(|w| w == *c));
        assert!(all.lines().any(header), "no header with {columns:?} in\n{all}");
    }
    has(row(&all, "cluster.cluster.x-k8s.io/my-cluster"), &["Provisioned", "True", ".maas.sc"]);
    has(row(&all, "machine.cluster.x-k8s.io/my-cluster-cp"), &["Running", "maas:///", "v1.19.12"]);
    has(row(&all, "maasmachine.infrastructure.cluster.x-k8s.io/my-cluster-worker"), &["Deployed", "maas:///", "True"]);
    has(row(&all, "maascluster.infrastructure.cluster.x-k8s.io/my-cluster"), &["True", ".maas.sc"]);

    let described = k.ok("describe maasmachines").await;
    has(&described, &["Conditions:", "MachineDeployed", "NodeTied", "DNSAttached", "Finalizers:", "Events:"]);
    has(&described, &["capmaas-controller", "MachineDeploying", "MAAS installs the image", "System ID:", "InternalIP"]);
    let described = k.ok("describe maascluster my-cluster").await;
    has(&described, &["LoadBalancerReady", "APIServerAvailable", "Control Plane Endpoint:", "6443", "Events:"]);
    has(&k.ok("events --for maascluster/my-cluster").await, &["MaasCluster/my-cluster", "Ready"]);

    let explained = k.ok("explain maasmachine.spec").await;
    has(
        &explained,
        &["image\t<string> -required-", "Image to deploy", "minMemory\t<integer> -required-", "Least memory, in MiB"],
    );
    has(&explained, &["maas:///<zone>/<system_id>"]);
    has(&k.ok("explain maascluster.spec.controlPlaneEndpoint.port").await, &["integer"]);
    has(&k.ok("explain maasmachinetemplates.spec.template.spec.image --api-version=infrastructure.cluster.x-k8s.io/v1alpha3").await, &["Image to deploy"]);
    has(&k.ok("get maasmachines.v1alpha4.infrastructure.cluster.x-k8s.io").await, &["Deployed"]);

    let nodes = format!("--kubeconfig {} get nodes", k.dir.join("my-cluster.kubeconfig").display());
    let ids = k.ok(&format!("{nodes} -o jsonpath={{.items[*].spec.providerID}}")).await;
    assert_eq!(ids.matches("maas:///").count(), 2, "{ids}");
    let nodes = k.until(&format!("{nodes} -o wide"), |out| out.lines().count() == 3).await;
    has(row(&nodes, "control-plane"), &["Ready", "v1.19.12", "10.10.0."]);
    assert_eq!(Hand::new(play).held().len(), 2, "machines held in MAAS");
}

async fn bad_manifests_are_refused(World { kubectl: k, .. }: &World) {
    let cases = [
        (
            json!({ "kind": "MaasMachineTemplate", "path": "/spec/template/spec", "key": "colour", "value": 1 }),
            "unknown field \"spec.template.spec.colour\"",
        ),
        (
            json!({ "kind": "MaasCluster", "path": "/spec", "key": "dnsDomian", "value": "x" }),
            "unknown field \"spec.dnsDomian\"",
        ),
        (
            json!({ "kind": "MaasMachineTemplate", "path": "/spec/template/spec", "key": "minCPU", "value": "two" }),
            "spec.template.spec.minCPU in body must be of type integer",
        ),
        (
            json!({ "kind": "MaasMachineTemplate", "path": "/spec/template/spec", "key": "image", "value": null }),
            "spec.template.spec.image: Required value",
        ),
    ];
    for (case, words) in cases {
        let bad = manifest(|d| {
            if d["kind"] == case["kind"] {
                // New objects, so that nothing that runs depends on what is refused.
                d["metadata"]["name"] = json!(format!("bad-{}", d["metadata"]["name"].as_str().unwrap()));
                d.pointer_mut(case["path"].as_str().unwrap()).unwrap()[case["key"].as_str().unwrap()] =
                    case["value"].clone();
            } else {
                *d = Value::Null;
            }
        });
        let (good, out, err) = k.run(&["apply", "-f", "-"], &bad.replace("---\nnull\n", "")).await;
        assert!(!good && out.is_empty() && err.contains(words), "{words}\n{out}{err}");
    }
    let patch = r#"{"spec":{"providerID":"maas:///default/abc123"}}"#;
    let name = k.ok(&format!("get maasmachines -l {WORKER} -o name")).await;
    let (good, _, err) = k.run(&["patch", name.trim(), "--type=merge", "-p", patch], "").await;
    assert!(!good && err.contains("spec.providerID") && err.contains("cannot change once set"), "{err}");
}

async fn scales_until_the_pool_is_empty_and_back(World { kubectl: k, play, .. }: &World) {
    const DEPLOYMENT: &str = "machinedeployment/my-cluster-worker";
    for (replicas, machines) in [(3, 4), (6, 7)] {
        has(&k.ok(&format!("scale {DEPLOYMENT} --replicas={replicas}")).await, &["scaled"]);
        k.wait(DEPLOYMENT, ".status.readyReplicas", &replicas.to_string()).await;
        assert_eq!(Hand::new(play).held().len(), machines, "machines held in MAAS");
    }
    k.ok(&format!("scale {DEPLOYMENT} --current-replicas=6 --replicas=7")).await;
    let shown = k.until("get maasmachines", |out| out.contains("NoMachineAvailable")).await;
    assert_eq!(shown.matches(" Deployed ").count(), 7, "{shown}");
    has(row(&shown, "NoMachineAvailable"), &["my-cluster-worker", "False"]);
    let name = row(&shown, "NoMachineAvailable").split_whitespace().next().unwrap();
    let wide = k.ok(&format!("get maasmachine {name} -o wide")).await;
    has(&wide, &["no Ready machine in MAAS satisfies all of: at least 2 CPUs (spec.minCPU)", "add or free a machine"]);
    let told = k.until(&format!("describe maasmachine {name}"), |out| out.contains("Warning")).await;
    has(row(&told, "Warning"), &["NoMachineAvailable", "no Ready machine in MAAS"]);
    // Whoever waits for hardware is the one to go first, and does not have to find any for that.
    k.ok(&format!("scale {DEPLOYMENT} --replicas=6")).await;
    k.ok(&format!("wait --for=delete maasmachine/{name} --timeout=60s")).await;
    k.ok(&format!("scale {DEPLOYMENT} --replicas=3")).await;
    k.wait(DEPLOYMENT, ".status.replicas", "3").await;
    k.until("get maasmachines -o name", |out| out.lines().count() == 4).await;
    assert_eq!(Hand::new(play).held().len(), 4, "machines held in MAAS");
}

async fn a_power_cord_is_pulled(world: &World) {
    let World { kubectl: k, .. } = world;
    let name = k.ok(&format!("get maasmachines -l {WORKER} -o jsonpath={{.items[0].metadata.name}}")).await;
    let host = k.ok(&format!("get maasmachine {name} -o jsonpath={{.status.hostname}}")).await;
    let cord = format!("machines/{host}/power-cord");
    world.control("POST", &cord, &json!({ "plugged": false })).await;
    k.ok(&format!("wait --for=condition=Ready=False maasmachine/{name} --timeout=60s")).await;
    let shown = k.ok(&format!("get maasmachine {name} -o wide")).await;
    has(&shown, &["MachinePoweredOff", &format!("machine {host} is powered off")]);
    k.until(&format!("describe maasmachine {name}"), |out| out.contains("Warning  MachinePoweredOff")).await;
    let nodes = format!("--kubeconfig {} get nodes", k.dir.join("my-cluster.kubeconfig").display());
    k.until(&nodes, |out| row(out, &host).contains("NotReady")).await;
    world.control("POST", &cord, &json!({ "plugged": true })).await;
    // The machine starts by itself when current comes back, as its firmware is set up to.
    k.ok(&format!("wait --for=condition=Ready maasmachine/{name} --timeout=60s")).await;
    k.until(&nodes, |out| !out.contains("NotReady")).await;
}

async fn rolls_to_another_image(World { kubectl: k, play, .. }: &World) {
    let text = k.ok("get maasmachinetemplate my-cluster-worker -o json").await;
    let old: Value = serde_json::from_str(&text).unwrap();
    let mut spec = old["spec"].clone();
    spec["template"]["spec"]["image"] = json!("ubuntu/noble");
    let metadata = json!({ "name": "my-cluster-worker-noble", "namespace": "default" });
    let new = json!({ "apiVersion": old["apiVersion"], "kind": old["kind"], "metadata": metadata, "spec": spec });
    has(&k.fed("create -f -", &new.to_string()).await, &["my-cluster-worker-noble created"]);
    let patch = r#"{"spec":{"template":{"spec":{"infrastructureRef":{"name":"my-cluster-worker-noble"}}}}}"#;
    let (good, out, err) =
        k.run(&["patch", "machinedeployment", "my-cluster-worker", "--type=merge", "-p", patch], "").await;
    assert!(good && out.contains("patched"), "{out}{err}");
    let images = format!("get maasmachines -l {WORKER} -o jsonpath={{.items[*].spec.image}}");
    k.until(&images, |out| out == "ubuntu/noble ubuntu/noble ubuntu/noble").await;
    k.wait("machinedeployment/my-cluster-worker", ".status.readyReplicas", "3").await;
    k.ok("wait --for=condition=Ready maasmachine --all --timeout=60s").await;
    assert_eq!(Hand::new(play).held().len(), 4, "the old boxes are back in the pool");
    let nodes = format!("--kubeconfig {} get nodes -o name", k.dir.join("my-cluster.kubeconfig").display());
    k.until(&nodes, |out| out.lines().count() == 4).await;
}

async fn goes(world: &World) {
    let World { kubectl: k, .. } = world;
    let host = k.ok("get maascluster my-cluster -o jsonpath={.spec.controlPlaneEndpoint.host}").await;
    let resolve = format!("resolve?name={host}");
    assert_eq!(world.control("GET", &resolve, &Value::Null).await["addresses"].as_array().unwrap().len(), 1);
    has(&k.ok("delete cluster my-cluster --timeout=60s").await, &["\"my-cluster\" deleted"]);
    let kinds = "clusters,machines,maasmachines,maasclusters,machinedeployments,machinesets,kubeadmcontrolplanes,\
                 kubeadmconfigs,kubeadmconfigtemplates,maasmachinetemplates,maasclustertemplates";
    let mut left = String::new();
    // The Cluster goes last, but for what the garbage collector takes after it.
    let end = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < end {
        let (good, out, err) = k.run(&["get", kinds, "-A"], "").await;
        assert!(good, "{err}");
        left = out + &err;
        if left == "No resources found\n" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(left, "No resources found\n");
    let secrets = k.ok("get secrets -A -o name").await;
    assert_eq!(secrets, "secret/capmaas-manager-bootstrap-credentials\n");
    let machines = world.control("GET", "machines", &Value::Null).await;
    let machines = machines.as_array().unwrap();
    assert_eq!(machines.len(), 7);
    for machine in machines {
        assert_eq!(machine["status"], "ready", "{machine}");
        assert_eq!(machine["owner"], Value::Null, "{machine}");
        assert_eq!(machine["powered"], false, "{machine}");
        assert_eq!(machine["owner_data"], json!({}), "{machine}");
    }
    assert_eq!(world.control("GET", &resolve, &Value::Null).await["addresses"], json!([]), "{host} is gone");
    let file = k.dir.join("my-cluster.kubeconfig");
    let end = tokio::time::Instant::now() + PATIENCE;
    while file.exists() {
        assert!(tokio::time::Instant::now() < end, "the workload cluster's kubeconfig stays");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
