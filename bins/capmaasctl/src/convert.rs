//! `capmaasctl convert`.

use std::io::Read;
use std::path::PathBuf;

use anyhow::Context;
use capi_types::convert::Options;

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

/// Reads files one after the other, as one stream of documents.
pub(crate) fn read(files: &[PathBuf]) -> anyhow::Result<String> {
    let mut texts = Vec::new();
    for file in files {
        if file.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("standard input")?;
            texts.push(text);
        } else {
            texts.push(std::fs::read_to_string(file).with_context(|| file.display().to_string())?);
        }
    }
    Ok(texts.join("\n---\n"))
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let stdin = [PathBuf::from("-")];
    let text = read(if args.files.is_empty() { &stdin } else { &args.files })?;
    let converted = capi_types::convert(&text, &Options { kubernetes_version: args.kubernetes_version.clone() })?;
    if !args.quiet {
        for note in &converted.notes {
            eprintln!("{note}");
        }
    }
    crate::out(converted.yaml.as_bytes())
}
