//! `capmaasctl convert`.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use capi_types::convert::{Converted, Options};

/// Flags of `convert`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Manifests; `-` or nothing reads standard input.
    files: Vec<PathBuf>,
    /// Set this Kubernetes version everywhere (kubeadm providers of today start at v1.22.0).
    #[arg(long)]
    kubernetes_version: Option<String>,
    /// Do not explain on standard error what was changed.
    #[arg(long, short)]
    quiet: bool,
}

/// Reads a file; `-` is standard input.
fn read(file: &Path) -> anyhow::Result<String> {
    if file.as_os_str() != "-" {
        return std::fs::read_to_string(file).with_context(|| file.display().to_string());
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("standard input")?;
    Ok(text)
}

/// Each file converted by itself: numbers of documents count from its beginning, and errors name it.
pub(crate) fn convert(files: &[PathBuf], options: &Options) -> anyhow::Result<Vec<(String, Converted)>> {
    let mut all = Vec::new();
    for file in files {
        let name = if file.as_os_str() == "-" { "standard input".to_owned() } else { file.display().to_string() };
        let converted = capi_types::convert(&read(file)?, options).with_context(|| name.clone())?;
        all.push((name, converted));
    }
    Ok(all)
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let stdin = [PathBuf::from("-")];
    let files = if args.files.is_empty() { &stdin } else { args.files.as_slice() };
    let all = convert(files, &Options { kubernetes_version: args.kubernetes_version.clone() })?;
    for (name, converted) in all.iter().filter(|_| !args.quiet) {
        for note in &converted.notes {
            match all.len() {
                1 => eprintln!("{note}"),
                _ => eprintln!("{name}: {note}"),
            }
        }
    }
    let texts: Vec<_> = all.iter().map(|(_, converted)| converted.yaml.as_str()).collect();
    crate::out(texts.join("---\n").as_bytes())
}
