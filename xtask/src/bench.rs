//! `cargo xtask bench`: what our crates cost, against something others use, in one run on one machine.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Decode a list of machines with maas-client and with Go's encoding/json
    Client {
        /// How many machines
        #[arg(long, default_value_t = 10_000)]
        machines: usize,
        /// How often each program runs; they take turns
        #[arg(long, default_value_t = 5)]
        runs: usize,
    },
    /// The simulator of MAAS: 10,000 machines resident, filtered and whole lists
    Sim {
        /// Arguments of the measuring program
        #[arg(trailing_var_arg = true)]
        arguments: Vec<String>,
    },
}

/// What one run of a program cost.
#[derive(Clone, Copy)]
struct Cost {
    seconds: f64,
    peak_kib: u64,
}

/// Faster by at least this, and in at most this share of the memory.
const FASTER: f64 = 4.0;
const SMALLER: f64 = 4.0;

fn done(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Reads `machines seconds peak`, the last line a program prints.
fn cost(text: &str, machines: usize) -> Result<Cost> {
    let line = text.lines().last().unwrap_or_default();
    let mut words = line.split_whitespace();
    let mut word = || words.next().with_context(|| format!("{line:?} is not a cost"));
    ensure!(word()?.parse::<usize>()? == machines, "not all machines were read: {line}");
    Ok(Cost { seconds: word()?.parse()?, peak_kib: word()?.parse()? })
}

fn median(costs: &[Cost]) -> Cost {
    let mut seconds: Vec<f64> = costs.iter().map(|cost| cost.seconds).collect();
    let mut peaks: Vec<u64> = costs.iter().map(|cost| cost.peak_kib).collect();
    seconds.sort_by(f64::total_cmp);
    peaks.sort_unstable();
    Cost { seconds: seconds[seconds.len() / 2], peak_kib: peaks[peaks.len() / 2] }
}

/// Runs it; true when what was measured is as good as it has to be.
pub(crate) fn run(root: &Path, bench: &Bench) -> Result<bool> {
    match bench {
        Bench::Client { machines, runs } => client(root, *machines, *runs),
        Bench::Sim { arguments } => simulator(root, arguments),
    }
}

/// Builds the measuring program in release mode, it alone, and runs it; its figures go to standard output.
fn simulator(root: &Path, arguments: &[String]) -> Result<bool> {
    let status = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["run", "--quiet", "--release", "--package", "maas-sim", "--example", "scale", "--"])
        .args(arguments)
        .status()
        .context("cargo run")?;
    Ok(status.success())
}

fn client(root: &Path, machines: usize, runs: usize) -> Result<bool> {
    ensure!(machines > 0 && runs > 0, "nothing to measure");
    let folder = root.join("target/bench");
    std::fs::create_dir_all(&folder)?;
    let (input, go) = (folder.join("machines.json"), folder.join("decode-go"));
    let ours = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(root).args(["bench", "--quiet", "-p", "maas-client", "--bench", "decode", "--"]);
        done(command.args(arguments))
    };
    let file = input.to_string_lossy().into_owned();
    ours(&["write", &file, &machines.to_string()])?;
    done(
        Command::new("go")
            .current_dir(root.join("crates/maas-client/benches/go"))
            .args(["build", "-o"])
            .arg(&go)
            .arg("."),
    )?;
    let theirs = |way: &str| done(Command::new(&go).args([way, &file]));
    let (mut rust, mut whole, mut stream) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        rust.push(cost(&ours(&["read", &file])?, machines)?);
        whole.push(cost(&theirs("whole")?, machines)?);
        stream.push(cost(&theirs("stream")?, machines)?);
    }
    let megabytes = std::fs::metadata(&input)?.len() / 1_000_000;
    println!("{machines} machines, {megabytes} MB of JSON, median of {runs} runs");
    let (rust, whole, stream) = (median(&rust), median(&whole), median(&stream));
    for (name, cost) in [("maas-client", rust), ("Go, whole", whole), ("Go, entry by entry", stream)] {
        println!("{name:20} {:7.3} s  {:8.1} MiB", cost.seconds, cost.peak_kib as f64 / 1024.0);
    }
    let faster = whole.seconds / rust.seconds;
    let smaller = whole.peak_kib as f64 / rust.peak_kib as f64;
    println!("against Go, whole: {faster:.1} times as fast, 1/{smaller:.1} of the memory");
    let entry = (stream.seconds / rust.seconds, stream.peak_kib as f64 / rust.peak_kib as f64);
    println!("against Go, entry by entry: {:.1} times as fast, 1/{:.1} of the memory", entry.0, entry.1);
    Ok(faster >= FASTER && smaller >= SMALLER)
}
