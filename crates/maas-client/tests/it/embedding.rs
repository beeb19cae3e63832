//! A package outside this workspace that depends on maas-client alone: it compiles, and lists the machines of a
//! simulated region over a socket.

use std::path::{Path, PathBuf};
use std::process::Command;

use maas_sim::{ADMIN_KEY, Config, Region, SharedRegion};

/// As the README states it; raise it with a reason.
const DEPENDENCIES: usize = 120;

const PROGRAM: &str = r#"
use maas_client::{Client, MachineFilter, Machines as _};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let variable = |name| std::env::var(name);
    let client = Client::builder(&variable("MAAS_ENDPOINT")?, &variable("MAAS_API_KEY")?)?.no_proxy().build()?;
    for machine in maas_client::block_on(client.machines().list(&MachineFilter::default()))?? {
        println!("{} {}", machine.hostname, machine.status);
    }
    Ok(())
}
"#;

fn cargo(package: &Path, target: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(package).args(arguments).arg("--offline").env("CARGO_TARGET_DIR", target);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn package(folder: &Path) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // the profile of the workspace, so that what is built already need not be built again
    let manifest = format!(
        "[package]\nname = \"embeds\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         maas-client = {{ path = {:?} }}\n\n[profile.dev]\ndebug = \"line-tables-only\"\n",
        here.display()
    );
    std::fs::create_dir_all(folder.join("src")).unwrap();
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.join("src/main.rs"), PROGRAM).unwrap();
    // the versions that are at hand without a network
    std::fs::copy(here.join("../../Cargo.lock"), folder.join("Cargo.lock")).unwrap();
}

fn target() -> PathBuf {
    // target/debug/deps/it-…
    let ours = std::env::current_exe().unwrap();
    ours.ancestors().nth(3).unwrap().join("embedding")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_depends_on_nothing_else_lists_machines() {
    let folder = std::env::temp_dir().join(format!("maas-client-embeds-{}", std::process::id()));
    package(&folder);
    let tree = cargo(&folder, &target(), &["tree", "--edges", "normal", "--prefix", "none", "--no-dedupe"]);
    let mut crates: Vec<&str> = tree.lines().filter(|line| !line.is_empty()).collect();
    crates.sort_unstable();
    crates.dedup();
    let dependencies = crates.len() - 2; // without itself and maas-client
    println!("{dependencies} dependencies besides maas-client");
    assert!(dependencies <= DEPENDENCIES, "{}", crates.join("\n"));

    cargo(&folder, &target(), &["build", "--quiet"]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[allow(clippy::disallowed_methods)] // two processes share the clock of this host
    let region = SharedRegion::new(Region::new(Config::lab(3)), std::sync::Arc::new(jiff::Timestamp::now));
    let mut server = tokio::task::JoinSet::new(); // dropped, it ends
    server.spawn(maas_sim::serve(listener, region));
    let program = target().join("debug/embeds");
    let endpoint = format!("http://{address}/MAAS");
    let output = tokio::task::spawn_blocking(move || {
        Command::new(program).env("MAAS_ENDPOINT", endpoint).env("MAAS_API_KEY", ADMIN_KEY).output().unwrap()
    });
    let output = output.await.unwrap();
    drop(server);
    let _ = std::fs::remove_dir_all(&folder);
    let listed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(listed.lines().filter(|line| line.ends_with(" Ready")).count(), 3, "{listed}");
}
