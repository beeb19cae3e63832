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
mod remediation;
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
    /// Where the report goes, below target/e2e: each lane of `--all` has one of its own
    #[arg(long, hide = true, default_value = "report.json")]
    report: String,
}

/// One row of the report.
struct Scenario {
    name: &'static str,
    /// Part of the smoke test.
    smoke: bool,
    /// With which others it runs when all run, see [`lanes`].
    lane: usize,
    /// Rows that make what this one looks at.
    after: &'static [&'static str],
    play: fn(&mut World) -> Result<()>,
}

/// A row of the smoke test.
const fn smoke(name: &'static str, after: &'static [&'static str], play: fn(&mut World) -> Result<()>) -> Scenario {
    Scenario { name, smoke: true, lane: 0, after, play }
}

/// A row that runs with `--all`, in that lane.
const fn more(
    name: &'static str,
    lane: usize,
    after: &'static [&'static str],
    play: fn(&mut World) -> Result<()>,
) -> Scenario {
    Scenario { name, smoke: false, lane, after, play }
}

/// Lanes of `--all`, each in a world of its own: rows wait most of their time.
const LANES: usize = 3;

/// In the order in which they run.
const SCENARIOS: &[Scenario] = &[
    smoke("init", &[], world::init),
    smoke("rights", &[], rights::rights),
    more("conformance", 1, &[], conformance::conformance),
    smoke("article", &[], article::article),
    smoke("template-immutable", &[], input::template_immutable),
    smoke("unknown-field", &[], input::unknown_field),
    smoke("bad-dns-domain", &[], input::bad_dns_domain),
    smoke("generate", &[], story::generate),
    smoke("scale-workers", &["generate"], story::scale_workers),
    smoke("move", &["generate", "scale-workers"], story::moved),
    smoke("delete-cluster", &["generate", "scale-workers", "move"], story::delete_story),
    more("delete", 0, &[], life::delete),
    more("pause", 0, &[], life::pause_and_resume),
    more("restart", 0, &[], life::restart),
    more("settled", 0, &[], life::settled),
    more("rotate-credentials", 1, &[], trouble::rotate_credentials),
    more("delete-without-maas", 1, &[], trouble::delete_without_maas),
    more("delete-without-key", 1, &[], trouble::delete_without_credentials),
    more("delete-without-data", 1, &[], trouble::delete_without_bootstrap),
    more("failed-host", 1, &[], trouble::failed_host),
    more("old-kubernetes", 0, &[], article::old_kubernetes),
    more("flavours", 0, &[], story::flavours),
    more("vip", 1, &[], story::virtual_address),
    more("two-namespaces", 1, &[], story::two_namespaces),
    more("two-regions", 1, &[], regions::two_regions),
    more("move-and-back", 1, &[], story::moved_and_back),
    more("takeover", 0, &[], takeover::by_apply),
    more("upgrade-provider", 2, &[], takeover::by_upgrade),
    more("topology", 2, &[], topology::topology),
    more("scale-control-plane", 2, &[], health::scale_control_plane),
    more("worker-power", 2, &["scale-control-plane"], health::worker_power),
    more("control-plane-power", 2, &["scale-control-plane"], health::control_plane_power),
    more("remediation", 2, &["scale-control-plane"], remediation::workers),
    more("remediation-control-plane", 2, &["scale-control-plane"], remediation::control_plane),
    more("replace-first", 2, &["scale-control-plane"], health::replace_first),
    more("upgrade", 2, &["scale-control-plane"], health::upgrade),
    more("health-end", 2, &["scale-control-plane"], health::end),
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
        if options.all && !options.keep {
            return lanes(root);
        }
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
    let report = root.join("target/e2e").join(&options.report);
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

/// Runs everything: the lanes beside each other, each as a process in namespaces of its own; their reports become one.
fn lanes(root: &Path) -> Result<ExitCode> {
    let watch = Watch::start();
    let folder = root.join("target/e2e");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let mut running = Vec::new();
    for lane in 0..LANES {
        let report = format!("report-lane-{lane}.json");
        // What an earlier run left must not be taken for this one's.
        let _ = fs::remove_file(folder.join(&report));
        let names = SCENARIOS.iter().filter(|scenario| scenario.lane == lane).flat_map(|s| ["--only", s.name]);
        let mut command = namespace::inside(names.chain(["--report", &report]))?;
        running.push((report.clone(), command.spawn().with_context(|| format!("starting lane {lane}"))?));
    }
    let mut passed = true;
    let mut rows: Vec<Value> = Vec::new();
    let mut merged = json!({});
    for (report, mut child) in running {
        passed &= child.wait().with_context(|| report.clone())?.success();
        let text = fs::read_to_string(folder.join(&report)).with_context(|| format!("{report}: the lane gave up"))?;
        merged = serde_json::from_str(&text).with_context(|| report.clone())?;
        rows.extend(merged["scenarios"].as_array().cloned().unwrap_or_default());
    }
    let place = |row: &Value| SCENARIOS.iter().position(|scenario| row["name"] == scenario.name);
    rows.sort_by_key(place);
    let count = rows.len();
    merged["seconds"] = json!(watch.seconds());
    merged["scenarios"] = json!(rows);
    let report = folder.join("report.json");
    fs::write(&report, format!("{merged:#}\n")).with_context(|| format!("writing {}", report.display()))?;
    let outcome = if passed { "ok" } else { "FAILED" };
    println!(
        "{:<20} {outcome:<5} {:6.1} s  {count} rows in {LANES} lanes: {}",
        "all",
        watch.seconds(),
        report.display()
    );
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
        Ok(chosen(&Options { only, all, keep: false, report: String::new() })?
            .iter()
            .map(|scenario| scenario.name)
            .collect())
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
    fn a_row_runs_in_the_lane_of_what_it_builds_on() {
        for scenario in SCENARIOS {
            assert!(scenario.lane < LANES, "{}", scenario.name);
            let apart = SCENARIOS.iter().find(|s| scenario.after.contains(&s.name) && s.lane != scenario.lane);
            assert!(apart.is_none_or(|s| s.name == "init"), "{} is not beside what it needs", scenario.name);
        }
    }

    #[test]
    fn an_unknown_scenario_is_an_error_that_names_those_there_are() {
        let error = names(&["artikle"], false).unwrap_err().to_string();
        assert!(error.contains("artikle") && error.contains("template-immutable"), "{error}");
    }
}
