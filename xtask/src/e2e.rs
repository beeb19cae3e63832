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
mod http;
mod input;
mod kubectl;
mod life;
mod patience;
mod plane;
mod rights;
mod simulator;
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
    play: fn(&mut World) -> Result<()>,
}

/// In the order in which they run.
const SCENARIOS: [Scenario; 10] = [
    Scenario { name: "init", smoke: true, play: world::init },
    Scenario { name: "rights", smoke: true, play: rights::rights },
    Scenario { name: "article", smoke: true, play: article::article },
    Scenario { name: "template-immutable", smoke: true, play: input::template_immutable },
    Scenario { name: "unknown-field", smoke: true, play: input::unknown_field },
    Scenario { name: "bad-dns-domain", smoke: true, play: input::bad_dns_domain },
    Scenario { name: "delete", smoke: true, play: life::delete },
    Scenario { name: "pause", smoke: false, play: life::pause_and_resume },
    Scenario { name: "restart", smoke: false, play: life::restart },
    Scenario { name: "settled", smoke: false, play: life::settled },
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
    let binaries = Binaries::build(root)?;
    let folder = new_folder(&root.join("target/e2e"))?;
    let watch = Watch::start();
    let mut world = World::start(binaries, root, &folder).inspect_err(|_| told_logs(&folder))?;
    let start = watch.seconds();
    println!("{:<20} ok    {start:6.1} s  etcd, kube-apiserver, kube-controller-manager, maas-sim", "start");

    let mut rows = Vec::new();
    let mut failed = false;
    for scenario in &chosen {
        let row = play(&mut world, scenario);
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
        println!("export KUBECONFIG={}\n{}\nCtrl-C ends it", world.plane.kubeconfig.display(), world.sim.endpoint);
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

/// What the flags ask for; `init` comes first always, nothing works without.
fn chosen(options: &Options) -> Result<Vec<&'static Scenario>> {
    for name in &options.only {
        if !SCENARIOS.iter().any(|scenario| scenario.name == name) {
            let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            bail!("no scenario {name}; there are: {}", names.join(", "));
        }
    }
    let wanted = |scenario: &&Scenario| match options.only.as_slice() {
        [] => options.all || scenario.smoke,
        only => scenario.name == "init" || only.iter().any(|name| name == scenario.name),
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
