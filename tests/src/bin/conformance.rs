//! Plays the conformance cases on a real API server: `--write` makes what it says the tracked transcripts, `--check` compares.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use capmaas_tests::conformance::{AREAS, Area, Played, Run, Transcript, difference};
use clap::Parser;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Map, Value};

/// Plays the conformance cases on a real API server.
#[derive(Parser)]
struct Arguments {
    /// Kubeconfig of somebody who may do everything
    #[arg(long)]
    kubeconfig: PathBuf,
    /// Write the transcripts
    #[arg(long, conflicts_with = "check")]
    write: bool,
    /// Fail when the tracked transcripts are not what this server says
    #[arg(long)]
    check: bool,
    /// Cases whose name contains this, or all of this area
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Cases at a time
    #[arg(long, default_value_t = 8)]
    parallel: usize,
    /// Folder of the transcripts
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance"))]
    folder: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run(&arguments)));
    ended.unwrap_or_else(|error| {
        eprintln!("Error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(arguments: &Arguments) -> Result<ExitCode> {
    let kubeconfig = Kubeconfig::read_from(&arguments.kubeconfig)?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    // Refusals are what this is about.
    config.default_retry = false;
    let id = format!("conf{:06x}", fastrand::u32(..0x0100_0000));
    let run = Run::prepare(kube::Client::try_from(config)?, &id).await?;
    let start = tokio::time::Instant::now();
    let played = run.play(&arguments.only, arguments.parallel).await;
    run.clean().await?;
    let seconds = start.elapsed().as_secs_f64();

    let mut failed = 0;
    for one in &played {
        if let Err(error) = &one.outcome {
            println!("FAILED {}: {}: {error}", one.area.name, one.case.name);
            failed += 1;
        }
    }
    let count = played.len();
    println!("{count} behaviours on {}, {failed} could not be played, {seconds:.1} s", run.server);
    if let Some(slowest) = played.iter().max_by_key(|one| one.took) {
        println!("slowest: {} ({:.1} s)", slowest.case.name, slowest.took.as_secs_f64());
    }
    let mut differ = 0;
    for area in &AREAS {
        let told = transcript(area, &played, &run.server);
        if arguments.write {
            write(area, told, &arguments.folder)?;
        } else {
            differ += compare(area, &told, arguments)?;
        }
    }
    if arguments.check && differ > 0 {
        println!(
            "{differ} differences: if they are right, refresh the transcripts (crate doc of capmaas-tests, `conformance`)"
        );
    }
    let bad = failed > 0 || (arguments.check && (differ > 0 || count == 0));
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What was said in the cases of an area.
fn transcript(area: &Area, played: &[Played], server: &str) -> Transcript {
    let here = played.iter().filter(|one| one.area.name == area.name);
    let said = here.filter_map(|one| Some((one.case.name.to_owned(), Value::from(one.outcome.as_ref().ok()?.clone()))));
    Transcript { server: server.to_owned(), cases: said.collect() }
}

/// Writes an area; cases that were not played stay as they are.
fn write(area: &Area, told: Transcript, folder: &Path) -> Result<()> {
    if told.cases.is_empty() {
        return Ok(());
    }
    let mut all = Transcript::read(folder, area.name)?.map_or_else(Map::new, |old| old.cases);
    all.extend(told.cases);
    let order: Vec<&str> = area.cases.iter().map(|case| case.name).collect();
    Transcript { server: told.server, cases: all }.write(folder, area.name, &order).context("writing")
}

/// Prints how an area differs from what is tracked; returns in how many places.
fn compare(area: &Area, told: &Transcript, arguments: &Arguments) -> Result<usize> {
    let tracked = Transcript::read(&arguments.folder, area.name)?;
    let tracked = tracked.unwrap_or_else(|| Transcript { server: told.server.clone(), cases: Map::new() });
    let mut differ = 0;
    if tracked.server != told.server && !told.cases.is_empty() {
        println!("{}: written by {}, this is {}", area.name, tracked.server, told.server);
        differ += 1;
    }
    for (name, exchanges) in &told.cases {
        let old = tracked.cases.get(name).cloned().unwrap_or_default();
        let text = difference(&old, exchanges);
        if !text.is_empty() {
            println!("{}: {name} (- tracked, + this server)\n{text}", area.name);
            differ += 1;
        }
    }
    for name in tracked.cases.keys().filter(|name| !area.cases.iter().any(|case| case.name == name.as_str())) {
        println!("{}: tracked, but no case: {name}", area.name);
        differ += 1;
    }
    Ok(differ)
}
