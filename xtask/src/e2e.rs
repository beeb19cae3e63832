//! Scenarios against the real thing: kube-apiserver, etcd, the managers of Cluster API, clusterctl and kubectl, with
//! `capmaas-controller` and maas-sim as processes.
//!
//! The components are built from the Go module `tests/controlplane` and run on free loopback ports, with all their state in
//! `target/e2e/run-<n>`. The controller has a token of the ServiceAccount of our release and nothing else, so the released RBAC
//! is what it lives on. No process outlives this one, however it ends. `target/e2e/report.json` says how long each scenario
//! took and which requests it cost MAAS.

mod article;
mod binaries;
mod certificates;
mod child;
mod cluster;
mod conformance;
mod health;
mod http;
mod input;
mod kubectl;
mod life;
mod namespace;
mod patience;
mod plane;
mod regions;
mod rights;
mod simulator;
mod story;
mod takeover;
mod topology;
mod trouble;
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use binaries::Binaries;
use patience::{Watch, pause};
use world::World;

/// Flags of `cargo xtask e2e`.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Run this scenario only, after `init`; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Run all scenarios, not just those of the smoke test
    #[arg(long, conflicts_with = "only")]
    all: bool,
    /// Leave everything up at the end until Ctrl-C, and say where the kubeconfig is
    #[arg(long)]
    keep: bool,
}

/// One row of the report.
struct Scenario {
    name: &'static str,
    /// Part of the smoke test.
    smoke: bool,
    /// Rows that make what this one looks at.
    after: &'static [&'static str],
    play: fn(&mut World) -> Result<()>,
}

/// A row of the smoke test.
const fn smoke(name: &'static str, after: &'static [&'static str], play: fn(&mut World) -> Result<()>) -> Scenario {
    Scenario { name, smoke: true, after, play }
}

/// A row that runs with `--all`.
const fn more(name: &'static str, after: &'static [&'static str], play: fn(&mut World) -> Result<()>) -> Scenario {
    Scenario { name, smoke: false, after, play }
}

/// In the order in which they run.
const SCENARIOS: &[Scenario] = &[
    smoke("init", &[], world::init),
    smoke("rights", &[], rights::rights),
    more("conformance", &[], conformance::conformance),
    smoke("article", &[], article::article),
    smoke("template-immutable", &[], input::template_immutable),
    smoke("unknown-field", &[], input::unknown_field),
    smoke("bad-dns-domain", &[], input::bad_dns_domain),
    smoke("generate", &[], story::generate),
    smoke("scale-workers", &["generate"], story::scale_workers),
    smoke("move", &["generate", "scale-workers"], story::moved),
    smoke("delete-cluster", &["generate", "scale-workers", "move"], story::delete_story),
    more("delete", &[], life::delete),
    more("pause", &[], life::pause_and_resume),
    more("restart", &[], life::restart),
    more("settled", &[], life::settled),
    more("rotate-credentials", &[], trouble::rotate_credentials),
    more("delete-without-maas", &[], trouble::delete_without_maas),
    more("delete-without-key", &[], trouble::delete_without_credentials),
    more("delete-without-data", &[], trouble::delete_without_bootstrap),
    more("old-kubernetes", &[], article::old_kubernetes),
    more("flavours", &[], story::flavours),
    more("vip", &[], story::virtual_address),
    more("two-namespaces", &[], story::two_namespaces),
    more("two-regions", &[], regions::two_regions),
    more("move-and-back", &[], story::moved_and_back),
    more("takeover", &[], takeover::by_apply),
    more("upgrade-provider", &[], takeover::by_upgrade),
    more("topology", &[], topology::topology),
    more("scale-control-plane", &[], health::scale_control_plane),
    more("worker-power", &["scale-control-plane"], health::worker_power),
    more("control-plane-power", &["scale-control-plane"], health::control_plane_power),
    more("replace-first", &["scale-control-plane"], health::replace_first),
    more("upgrade", &["scale-control-plane"], health::upgrade),
    more("health-end", &["scale-control-plane"], health::end),
];

/// Runs what the flags ask for; an error is told without a back trace, which says nothing about what is missing.
pub(crate) fn run(root: &Path, options: &Options) -> ExitCode {
    played(root, options).unwrap_or_else(|error| {
        eprintln!("Error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Builds, starts, plays, reports; whatever was started is gone afterwards.
fn played(root: &Path, options: &Options) -> Result<ExitCode> {
    let chosen = chosen(options)?;
    if !namespace::entered() {
        // Builds need the network of outside.
        Binaries::build(root)?;
        namespace::enter()?;
    }
    let binaries = Binaries::find(root)?;
    let folder = new_folder(&root.join("target/e2e"))?;
    namespace::furnish(&folder, &[simulator::FIRST.name_server, simulator::SECOND.name_server])?;
    let watch = Watch::start();
    let mut world = World::start(binaries, root, &folder).inspect_err(|_| told_logs(&folder))?;
    let start = watch.seconds();
    println!("{:<20} ok    {start:6.1} s  etcd, kube-apiserver, kube-controller-manager, maas-sim", "start");

    let mut rows = Vec::new();
    let mut failed = false;
    let mut missing: Vec<&str> = Vec::new();
    for scenario in &chosen {
        let lost = scenario.after.iter().find(|name| missing.contains(name));
        let row = match lost {
            None => play(&mut world, scenario),
            Some(lost) => {
                println!("{:<20} FAILED   0.0 s  {lost} failed", scenario.name);
                json!({"name": scenario.name, "passed": false, "error": format!("{lost} failed")})
            }
        };
        if row["passed"] != true {
            missing.push(scenario.name);
        }
        let passed = row["passed"] == true;
        failed |= !passed;
        if !passed && !options.keep {
            world.sweep();
        }
        rows.push(row);
        if !passed && scenario.name == "init" {
            break;
        }
    }
    let report = root.join("target/e2e/report.json");
    let text = json!({
        "kubernetes": world.binaries.kubernetes, "clusterApi": world.binaries.cluster_api,
        "startSeconds": start, "seconds": watch.seconds(), "scenarios": rows,
    });
    fs::write(&report, format!("{text:#}\n")).with_context(|| format!("writing {}", report.display()))?;
    println!(
        "{:<20} {:<5} {:6.1} s  {}",
        "all",
        if failed { "FAILED" } else { "ok" },
        watch.seconds(),
        report.display()
    );
    if failed {
        told_logs(&folder);
    }
    if options.keep {
        println!("{} kubectl --kubeconfig {} get clusters -A", namespace::way_in(), world.plane.kubeconfig.display());
        println!("MAAS: {} (from inside)\nCtrl-C ends it", world.sim.endpoint);
        // The signal ends this process, and with it the kernel ends all others.
        loop {
            pause(Duration::from_secs(60));
        }
    }
    drop(world);
    if !failed {
        // The logs stay, the data of etcd is of no use.
        fs::remove_dir_all(folder.join("state")).context("removing the state")?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn told_logs(folder: &Path) {
    println!("logs: {}", folder.display());
}

/// What the flags ask for, with what it builds on; `init` comes first always, nothing works without.
fn chosen(options: &Options) -> Result<Vec<&'static Scenario>> {
    for name in &options.only {
        if !SCENARIOS.iter().any(|scenario| scenario.name == name) {
            let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            bail!("no scenario {name}; there are: {}", names.join(", "));
        }
    }
    let needed = |name: &str| {
        let asked =
            |only: &String| SCENARIOS.iter().any(|s| s.name == only && (s.name == name || s.after.contains(&name)));
        options.only.iter().any(asked)
    };
    let wanted = |scenario: &&Scenario| match options.only.as_slice() {
        [] => options.all || scenario.smoke,
        _ => scenario.name == "init" || needed(scenario.name),
    };
    Ok(SCENARIOS.iter().filter(wanted).collect())
}

/// The next free `run-<n>`.
fn new_folder(parent: &Path) -> Result<PathBuf> {
    fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    for number in 1.. {
        let folder = parent.join(format!("run-{number}"));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("making {}", folder.display())),
        }
    }
    bail!("no folder is free in {}", parent.display())
}

/// Plays one scenario, prints its line, and makes its row of the report.
fn play(world: &mut World, scenario: &Scenario) -> Value {
    let watch = Watch::start();
    let outcome = world.turn_page().and_then(|()| (scenario.play)(world)).and_then(|()| world.check());
    let seconds = watch.seconds();
    let maas = world.sim.get("counters").unwrap_or_default();
    let requests = format!("{} MAAS reads, {} writes", maas["reads"], maas["writes"]);
    let mut row = json!({
        "name": scenario.name, "passed": outcome.is_ok(), "seconds": (seconds * 10.0).round() / 10.0, "maas": maas,
    });
    match outcome {
        Ok(()) => println!("{:<20} ok    {seconds:6.1} s  {requests}", scenario.name),
        Err(error) => {
            // A process that died, or a right that lacks, is why the scenario waited in vain.
            let why =
                world.check().err().map(|why| format!("; {why:#}")).filter(|why| !why.contains(&error.to_string()));
            let error = format!("{error:#}{}", why.unwrap_or_default());
            // What clusterctl and kubectl print can be long: all of it is in the report.
            let short: String = error.chars().take(1000).collect();
            println!("{:<20} FAILED{seconds:6.1} s  {short}", scenario.name);
            row["error"] = json!(error);
            let evidence = world.collect(scenario.name);
            println!("{:<20} what was seen: {}", "", evidence.display());
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(only: &[&str], all: bool) -> Result<Vec<&'static str>> {
        let only = only.iter().map(|name| (*name).to_owned()).collect();
        Ok(chosen(&Options { only, all, keep: false })?.iter().map(|scenario| scenario.name).collect())
    }

    #[test]
    fn init_comes_first_whatever_is_chosen() {
        assert_eq!(names(&["restart"], false).unwrap(), ["init", "restart"]);
        assert_eq!(names(&["replace-first"], false).unwrap(), ["init", "scale-control-plane", "replace-first"]);
        assert_eq!(names(&[], true).unwrap().len(), SCENARIOS.len());
        let smoke = names(&[], false).unwrap();
        assert!(smoke.starts_with(&["init", "rights"]) && smoke.len() < SCENARIOS.len(), "{smoke:?}");
    }

    #[test]
    fn an_unknown_scenario_is_an_error_that_names_those_there_are() {
        let error = names(&["artikle"], false).unwrap_err().to_string();
        assert!(error.contains("artikle") && error.contains("template-immutable"), "{error}");
    }
}
