//! `capmaasctl` as it is typed: exit codes, what it prints where, and the files it leaves.

// Helpers of tests are tests, too; the lint only knows functions marked so.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn capmaasctl(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_capmaasctl"));
    command
        .args(args)
        .stdin(Stdio::null())
        .env_remove("RUST_LOG")
        .env_remove("MAAS_ENDPOINT")
        .env_remove("MAAS_API_KEY");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What it printed, after it succeeded.
fn good(output: Output) -> String {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    out
}

/// Its last words, after it failed.
fn bad(output: Output) -> String {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{out}\n{err}");
    assert!(!err.contains("tack backtrace"), "{err}");
    err
}

/// The example, converted, with one text replaced by another.
fn manifest(from: &str, to: &str) -> String {
    let yaml = capi_types::convert(capi_types::SEED_MANIFEST, &Default::default()).unwrap().yaml;
    assert!(yaml.contains(from), "{from:?} is missing in\n{yaml}");
    yaml.replace(from, to)
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn once_brings_the_example_up_and_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display().to_string();
    let out = good(capmaasctl(&["sandbox", "--once", "--speed", "200", "--dir", &at]).output().unwrap());
    for words in ["Provisioned.", "Cluster/my-cluster", "MaasMachine/my-cluster-cp", ".maas.sc resolves to 10.10.0."] {
        assert!(out.contains(words), "{words:?} is missing in\n{out}");
    }
    for file in ["kubeconfig", "my-cluster.kubeconfig", "maas.env", "sandbox.log"] {
        assert!(dir.path().join(file).exists(), "{file}");
    }
}

#[test]
fn a_cluster_that_waits_for_a_person_ends_it_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display().to_string();
    let file = write(dir.path(), "m.yaml", &manifest("image: u-1804-0-k-11912-0", "image: nope"));
    // Were the reason not noticed, the words about --timeout would be there instead.
    let err = bad(capmaasctl(&["sandbox", "--once", "--dir", &at, &file]).output().unwrap());
    assert!(err.contains("InvalidSpec: spec.image nope: ") && !err.contains("--timeout"), "{err}");
}

#[test]
fn bad_input_is_told_with_file_document_and_field() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display().to_string();
    let cases = [
        (
            "field.yaml",
            manifest("minCPU:", "colour: 1\n      minCPU:"),
            "document 3 (MaasMachineTemplate my-cluster-cp): ",
            "\"spec.template.spec.colour\"",
        ),
        (
            "type.yaml",
            manifest("minCPU: 2", "minCPU: two"),
            "document 3 (MaasMachineTemplate my-cluster-cp): ",
            "spec.template.spec.minCPU",
        ),
        ("kind.yaml", manifest("kind: MaasCluster\n", "kind: MaasKluster\n"), "document 1: ", "MaasKluster"),
        (
            "old.yaml",
            manifest("cluster.x-k8s.io/v1beta2\nkind: Cluster\n", "cluster.x-k8s.io/v1alpha2\nkind: Cluster\n"),
            "document 2 (Cluster my-cluster): ",
            "apiVersion",
        ),
        ("list.yaml", "- a\n".to_owned(), "document 1 ", "a list"),
        ("yaml.yaml", "a: [1\n".to_owned(), "not valid YAML", "line 1"),
    ];
    for (name, text, place, what) in cases {
        let file = write(dir.path(), name, &text);
        let err = bad(capmaasctl(&["sandbox", "--once", "--dir", &at, &file]).output().unwrap());
        assert!(
            err.starts_with(&format!("Error: {file}: ")) && err.contains(place) && err.contains(what),
            "{name}: {err}"
        );
    }
    let file = write(dir.path(), "none.yaml", "");
    let err = bad(capmaasctl(&["sandbox", "--once", "--dir", &at, &file]).output().unwrap());
    assert!(err.contains("no Cluster"), "{err}");
    let err = bad(capmaasctl(&["sandbox", "--once", "/no/such/file.yaml"]).output().unwrap());
    assert!(err.contains("/no/such/file.yaml"), "{err}");
}

/// Ends the program when a test fails, too.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A sandbox that stays up, with the example's two machines in it.
struct Kept {
    dir: tempfile::TempDir,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    _sandbox: Running,
}

impl Kept {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display().to_string();
        let mut command = capmaasctl(&["sandbox", "--keep", "--speed", "200", "--dir", &at]);
        let mut sandbox = Running(command.stdout(Stdio::piped()).spawn().unwrap());
        let lines = BufReader::new(sandbox.0.stdout.take().unwrap()).lines();
        let mut kept = Self { dir, lines, _sandbox: sandbox };
        kept.says("It stays up until Ctrl-C");
        kept
    }

    /// Waits for a line that begins so.
    fn says(&mut self, beginning: &str) {
        assert!(self.lines.any(|line| line.unwrap().starts_with(beginning)), "it ended without {beginning:?}");
    }

    fn kubeconfig(&self) -> String {
        self.dir.path().join("kubeconfig").display().to_string()
    }

    /// Lines `NAME=value` that it left for others.
    fn env(&self) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.dir.path().join("maas.env")).unwrap();
        text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    fn maas(&self) -> maas_client::Client {
        let env = self.env();
        let value = |name: &str| env.iter().find(|(key, _)| key == name).unwrap().1.clone();
        maas_client::Client::builder(&value("MAAS_ENDPOINT"), &value("MAAS_API_KEY")).unwrap().build().unwrap()
    }

    /// A command that talks to both of its sides.
    fn run(&self, args: &[&str]) -> Output {
        let kubeconfig = self.kubeconfig();
        capmaasctl(&[args, &["--kubeconfig", &kubeconfig]].concat()).envs(self.env()).output().unwrap()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_sandbox_that_is_kept_is_open_to_the_other_commands() {
    let mut kept = Kept::start();
    kept.says("  kubectl delete cluster my-cluster");

    let tree = good(capmaasctl(&["tree", "--kubeconfig", &kept.kubeconfig()]).output().unwrap());
    assert!(tree.starts_with("Cluster/my-cluster ") && tree.contains("Deployed, power on"), "{tree}");
    // Many minutes have passed in there; a request that is signed by our clock is still taken.
    let machines = good(capmaasctl(&["machines"]).envs(kept.env()).output().unwrap());
    assert_eq!(machines.lines().count(), 8, "{machines}");
    assert_eq!(machines.matches(" default/my-cluster-").count(), 2, "{machines}");
}

/// W-08
#[test]
fn orphans_are_told_with_an_exit_code_and_nothing_is_done_about_them() {
    let kept = Kept::start();
    let orphans = |more: &[&str]| kept.run(&[&["orphans"], more].concat());
    let clean = good(orphans(&[]));
    assert!(clean.contains("2 MaasMachines") && clean.ends_with("Nothing is left over.\n"), "{clean}");

    // Somebody takes a machine with our key; then one that has our marks and whose object is gone; then a name.
    let maas = kept.maas();
    let runtime = runtime();
    let held = |filter: maas_client::MachineFilter| {
        use maas_client::Machines as _;
        runtime.block_on(maas.machines().list(&filter)).unwrap()
    };
    let allocated = runtime.block_on(async {
        use maas_client::Machines as _;
        maas.machines().allocate(&maas_client::AllocateRequest::default()).await.unwrap()
    });
    let id = allocated.system_id.to_string();
    let told = good(orphans(&[]));
    let release = format!("maas $PROFILE machine release {id} ");
    assert!(told.contains("without our marks") && told.contains(&release) && told.contains("User acquiring node by "));
    runtime.block_on(async {
        use maas_client::{DnsResources as _, Machines as _};
        let marks = [("capmaas-token", "capmaas:1"), ("capmaas-machine", "default/gone"), ("capmaas-cluster", "gone")];
        let marks = marks.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        maas.machines().set_owner_data(&allocated.system_id, &marks).await.unwrap();
        let name = maas_client::DnsName::within("gone-abc123.maas.sc", "maas.sc").unwrap();
        let request = maas_client::CreateDnsResource { name, addresses: Default::default(), ttl: None };
        maas.dns_resources().create(&request).await.unwrap();
    });
    let before = held(maas_client::MachineFilter::default());
    let output = orphans(&["-o", "json"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let machine = &json["machines"][0];
    assert_eq!((machine["systemID"].as_str(), machine["maasMachine"].as_str()), (Some(&*id), Some("default/gone")));
    assert_eq!(json["machines"].as_array().unwrap().len(), 1, "{json:#}");
    assert_eq!(
        (&json["records"][0]["fqdn"], json["records"].as_array().unwrap().len()),
        (&"gone-abc123.maas.sc".into(), 1)
    );
    assert_eq!(held(maas_client::MachineFilter::default()), before, "it only tells");

    let help = good(capmaasctl(&["orphans", "--help"]).output().unwrap());
    assert!(help.contains("Exit code: 0") && help.contains("3 machines with marks of ours"), "{help}");
}

/// The end of its standard output and its exit code.
fn told(output: &Output, code: i32) -> String {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    out
}

#[test]
fn explain_tells_before_anything_is_applied_what_fits_and_what_rules_out_the_rest() {
    let kept = Kept::start();
    let dir = kept.dir.path();
    let fits = write(dir, "fits.yaml", &manifest("minCPU: 2", "minCPU: 2"));
    let out = told(&kept.run(&["explain", "-f", &fits]), 0);
    assert!(out.contains("KubeadmControlPlane default/my-cluster-cp: 1 of 1 fits\n  node"), "{out}");
    let huge = write(dir, "huge.yaml", &manifest("minCPU: 2", "minCPU: 2000"));
    let out = told(&kept.run(&["explain", "-f", &huge]), 3);
    for words in [
        "MachineDeployment default/my-cluster-worker: 0 of 1 fit",
        "gets none: 0 of 5 Ready machines have at least 2000 CPUs (spec.minCPU); nearest: node",
    ] {
        assert!(out.contains(words), "{words:?} is missing in\n{out}");
    }
    let odd = write(dir, "odd.yaml", &manifest("minCPU: 2", "resourcePool: nowhere"));
    let out = told(&kept.run(&["explain", "-f", &odd]), 3);
    assert!(out.contains("MAAS does not accept it: spec.resourcePool: No such pool(s): nowhere."), "{out}");
    let machines = good(capmaasctl(&["tree", "--kubeconfig", &kept.kubeconfig()]).output().unwrap());
    let worker = machines.split_once("MaasMachine/my-cluster-worker").unwrap().1.split_whitespace().next().unwrap();
    let out = told(&kept.run(&["explain", &format!("my-cluster-worker{worker}")]), 0);
    assert!(
        out.contains("asks for at least") && out.contains("It has machine node") && out.contains("Deployed."),
        "{out}"
    );
    let err = bad(kept.run(&["explain", "nobody"]));
    assert!(err.contains("there is no MaasMachine default/nobody"), "{err}");
    let err = bad(kept.run(&["explain", "-f", "/no/such.yaml"]));
    assert!(err.contains("/no/such.yaml"), "{err}");
}

#[test]
fn the_doctor_names_what_is_wrong_and_how_to_mend_it() {
    let kept = Kept::start();
    let out = told(&kept.run(&["doctor"]), 0);
    for words in
        ["ok     MAAS 3.7.3 answers at", "administrator", "ok     MAAS has image", "maas.sc", "names another MAAS"]
    {
        assert!(out.contains(words), "{words:?} is missing in\n{out}");
    }
    let dir = kept.dir.path();
    let sick = manifest("image: u-1804-0-k-11912-0", "image: focal\n      failureDomain: moon\n      tags: [unheard]");
    let sick = write(dir, "sick.yaml", &sick.replace("dnsDomain: maas.sc", "dnsDomain: nowhere.org"));
    let out = told(&kept.run(&["doctor", "-f", &sick]), 3);
    for words in [
        "spec.template.spec.image focal: MAAS has no such image\n       fix: import or upload it in MAAS, or name one of ",
        "spec.template.spec.failureDomain moon: MAAS has no such zone\n       fix: make it in MAAS, or name another one; it has default, ",
        "spec.template.spec.tags unheard: MAAS has no such tag",
        "MaasCluster my-cluster spec.dnsDomain nowhere.org: MAAS has no such DNS domain",
    ] {
        assert!(out.contains(words), "{words:?} is missing in\n{out}");
    }
    let mut env = kept.env();
    env.iter_mut().find(|(key, _)| key == "MAAS_API_KEY").unwrap().1 = "a:b:c".to_owned();
    let out = told(&capmaasctl(&["doctor", "-f", &sick]).envs(env).output().unwrap(), 3);
    assert!(out.contains("WRONG  MAAS refuses the API key") && out.contains("make a key in MAAS"), "{out}");
}

#[test]
fn adopt_shows_the_evidence_and_writes_the_marks_only_when_told_to() {
    use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
    use maas_client::Machines as _;
    let kept = Kept::start();
    let runtime = runtime();
    let maas = kept.maas();
    let filter = maas_client::MachineFilter::default();
    let machines = runtime.block_on(maas.machines().list(&filter)).unwrap();
    let machine =
        machines.iter().find(|m| m.owner_data.get("capmaas-machine").is_some_and(|m| m.contains("-worker-"))).unwrap();
    let name = machine.owner_data["capmaas-machine"].strip_prefix("default/").unwrap().to_owned();
    let out = told(&kept.run(&["adopt", &name]), 0);
    assert!(out.contains("It is adopted already."), "{out}");

    // Paused, so that the controller does not take it over by itself; then another's machine by all that MAAS shows.
    let patch = |annotation: serde_json::Value| {
        runtime.block_on(async {
            let kubeconfig = kube::config::Kubeconfig::read_from(kept.kubeconfig()).unwrap();
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
            let gvk = kube::core::GroupVersionKind::gvk("infrastructure.cluster.x-k8s.io", "v1beta1", "MaasMachine");
            let resource = ApiResource::from_gvk_with_plural(&gvk, "maasmachines");
            let api: Api<DynamicObject> =
                Api::namespaced_with(kube::Client::try_from(config).unwrap(), "default", &resource);
            let patch = serde_json::json!({"metadata": {"annotations": {"cluster.x-k8s.io/paused": annotation}}});
            api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        });
    };
    patch("".into());
    let id = &machine.system_id;
    let mark = |token: &str, machine: &str| {
        let marks = [("capmaas-token", token), ("capmaas-machine", machine)];
        let marks = marks.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        runtime.block_on(maas.machines().set_owner_data(id, &marks)).unwrap()
    };
    mark("capmaas:another", "default/another");
    let err = bad(kept.run(&["adopt", &name, "--yes"]));
    assert!(err.contains("bears the marks of another claim: capmaas:another"), "{err}");
    mark("", "");
    let out = told(&kept.run(&["adopt", &name]), 3);
    for words in ["the object says", "MAAS says", machine.hostname.as_str(), "Deployed", "run it again with --yes"] {
        assert!(out.contains(words), "{words:?} is missing in\n{out}");
    }
    let untouched = runtime.block_on(maas.machines().read(id)).unwrap();
    assert!(!untouched.owner_data.contains_key("capmaas-token"), "nothing was done");
    let out = told(&kept.run(&["adopt", &name, "--yes"]), 0);
    assert!(out.contains("Adopted: the marks are written."), "{out}");
    let adopted = runtime.block_on(maas.machines().read(id)).unwrap();
    assert_eq!(adopted.owner_data["capmaas-machine"], format!("default/{name}"));
    assert_eq!(adopted.owner_data["capmaas-token"], machine.owner_data["capmaas-token"]);
    patch(serde_json::Value::Null);
    let err = bad(kept.run(&["adopt", "nobody"]));
    assert!(err.contains("there is no MaasMachine default/nobody"), "{err}");
}

#[test]
fn a_cluster_without_our_kinds_is_not_taken_for_one_without_machines() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = capmaasctl(&["maas-sim", "--listen", "127.0.0.1:0", "--machines", "1"]);
    let mut region = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(region.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let env: Vec<_> = lines.take(2).collect();
    let env: Vec<_> = env.iter().filter_map(|line| line.split_once('=')).collect();
    // An API server that answers, and has no such kind.
    let server = env.iter().find(|(key, _)| *key == "MAAS_ENDPOINT").unwrap().1;
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: '{server}'}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
    );
    let kubeconfig = write(dir.path(), "kubeconfig", &kubeconfig);
    let err = bad(capmaasctl(&["orphans", "--kubeconfig", &kubeconfig]).envs(env).output().unwrap());
    assert!(err.contains("is it the management cluster?"), "{err}");
}

#[test]
fn a_region_alone_is_open_to_machines() {
    let mut command = capmaasctl(&["maas-sim", "--listen", "127.0.0.1:0", "--machines", "3", "--speed", "100000"]);
    let mut region = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(region.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let env: Vec<_> = lines.take(2).collect();
    let env = env.iter().filter_map(|line| line.split_once('='));
    let machines = good(capmaasctl(&["machines", "--zone", "default"]).envs(env).output().unwrap());
    assert!(machines.contains("node01") && machines.contains("Ready"), "{machines}");
}

/// A DNS question for the A records of a name, in its wire form.
fn question(name: &str) -> Vec<u8> {
    let mut bytes = vec![7, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(label.len().try_into().unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

#[test]
fn a_region_on_loopback_addresses_answers_dns_on_one_port_of_both_transports() {
    let args = ["maas-sim", "--listen", "127.0.0.1:0", "--subnet", "127.10.0.0/16", "--dns-listen", "127.10.0.2:0"];
    let mut region = Running(capmaasctl(&args).stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(region.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let lines: Vec<_> = lines.take(3).collect();
    let at: std::net::SocketAddr = lines[2].strip_prefix("MAAS_DNS=").unwrap().parse().unwrap();
    assert_eq!(at.ip().to_string(), "127.10.0.2");

    let asked = question("node01.maas");
    let limit = Some(std::time::Duration::from_secs(20));
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(limit).unwrap();
    udp.send_to(&asked, at).unwrap();
    let mut answer = [0; 512];
    let length = udp.recv(&mut answer).unwrap();
    // Its only answer ends with the address.
    assert_eq!((answer[7], &answer[length - 4..length]), (1, &[127, 10, 192, 1][..]));

    let mut tcp = std::net::TcpStream::connect(at).unwrap();
    tcp.set_read_timeout(limit).unwrap();
    tcp.write_all(&[&[0, asked.len().try_into().unwrap()], asked.as_slice()].concat()).unwrap();
    let mut framed = vec![0; length + 2];
    tcp.read_exact(&mut framed).unwrap();
    assert_eq!(&framed[2..], &answer[..length]);
}

#[test]
fn flags_of_a_region_that_do_not_go_together_are_refused() {
    let output = capmaasctl(&["maas-sim", "--subnet", "127.10.0.0/16", "--inventory", "x.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let err = bad(capmaasctl(&["maas-sim", "--subnet", "2001:db8::/64"]).output().unwrap());
    assert!(err.contains("--subnet") && err.contains("IPv4"), "{err}");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    for args in [&["completion", "bash"][..], &["convert", "-q", "../../crates/capi-types/seed/cluster1.yaml"]] {
        let mut child = capmaasctl(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {}", text(&output.stderr));
    }
}
