//! What the rules look at: manifests, names of files, and Rust sources.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use toml::{Table, Value};

/// Folders whose members are packages, and packages at the top level; the same as `members` in the root Cargo.toml.
const GROUPS: [&str; 2] = ["crates", "bins"];
const SINGLES: [&str; 2] = ["xtask", "tests"];

/// The workspace, read once.
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    /// Names at the top level.
    pub(crate) top_level: Vec<String>,
    /// Our source files and folders, relative to the root.
    pub(crate) sources: Vec<PathBuf>,
}

/// One package.
pub(crate) struct Package {
    pub(crate) name: String,
    /// Relative to the root, such as `crates/maas-client`.
    pub(crate) folder: PathBuf,
    pub(crate) manifest: Table,
    /// `lib.rs` and `main.rs`, whichever exist, with their text.
    pub(crate) roots: Vec<(PathBuf, String)>,
    /// The text of every `.rs` file, tests and examples included.
    pub(crate) code: Vec<String>,
}

/// Which dependency table an edge stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// `dependencies` or `build-dependencies`: part of what we ship.
    Normal,
    /// `dev-dependencies`: tests only.
    Dev,
}

/// One line of a dependency table.
pub(crate) struct Dependency<'a> {
    /// Its name in the table, which code uses.
    pub(crate) name: &'a str,
    /// Name of the package, also when it is renamed.
    pub(crate) package: &'a str,
    pub(crate) used: Use,
    pub(crate) spec: &'a Value,
}

impl Dependency<'_> {
    pub(crate) fn features(&self) -> Vec<&str> {
        let features = self.spec.get("features").and_then(Value::as_array);
        features.into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

impl Package {
    /// Reads a manifest from text; the name is the one in `[package]`, the code that of the roots.
    pub(crate) fn parse(folder: &Path, manifest: &str, roots: Vec<(PathBuf, String)>) -> Result<Package> {
        let manifest: Table = manifest.parse().with_context(|| format!("{}/Cargo.toml", folder.display()))?;
        let name = manifest.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
        let name = name.with_context(|| format!("{}/Cargo.toml has no package.name", folder.display()))?.to_owned();
        Ok(Package {
            name,
            folder: folder.to_owned(),
            manifest,
            code: roots.iter().map(|(_, text)| text.clone()).collect(),
            roots,
        })
    }

    /// All dependencies, those under `[target.…]` included.
    pub(crate) fn dependencies(&self) -> Vec<Dependency<'_>> {
        let per_target = self.manifest.get("target").and_then(Value::as_table).into_iter().flatten();
        let tables = std::iter::once(&self.manifest).chain(per_target.filter_map(|(_, table)| table.as_table()));
        let mut found = Vec::new();
        for table in tables {
            for (section, used) in
                [("dependencies", Use::Normal), ("build-dependencies", Use::Normal), ("dev-dependencies", Use::Dev)]
            {
                for (name, spec) in table.get(section).and_then(Value::as_table).into_iter().flatten() {
                    let package = spec.get("package").and_then(Value::as_str).unwrap_or(name);
                    found.push(Dependency { name, package, used, spec });
                }
            }
        }
        found
    }
}

impl Workspace {
    /// Reads the workspace under `root`.
    pub(crate) fn read(root: &Path) -> Result<Workspace> {
        let mut folders: Vec<PathBuf> = SINGLES.iter().map(PathBuf::from).collect();
        for group in GROUPS {
            for name in names(&root.join(group))? {
                folders.push(Path::new(group).join(name));
            }
        }
        let mut packages = Vec::new();
        let mut sources = Vec::new();
        for folder in folders {
            let path = root.join(&folder).join("Cargo.toml");
            let manifest = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let mut roots = Vec::new();
            for file in ["src/lib.rs", "src/main.rs"] {
                let file = folder.join(file);
                if let Ok(text) = fs::read_to_string(root.join(&file)) {
                    roots.push((file, text));
                }
            }
            let mut package = Package::parse(&folder, &manifest, roots)?;
            let before = sources.len();
            collect(root, &folder, &mut sources)?;
            package.code = texts(root, &sources[before..])?;
            packages.push(package);
        }
        Ok(Workspace { packages, top_level: names(root)?, sources })
    }
}

/// Files and folders below `folder`, depth first, sorted; build output is left out.
fn collect(root: &Path, folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for name in names(&root.join(folder))? {
        let path = folder.join(&name);
        if name == "target" {
            continue;
        }
        let is_folder = root.join(&path).is_dir();
        found.push(path.clone());
        if is_folder {
            collect(root, &path, found)?;
        }
    }
    Ok(())
}

/// The Rust files among `paths`.
fn texts(root: &Path, paths: &[PathBuf]) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for path in paths {
        let path = root.join(path);
        if path.extension().is_some_and(|extension| extension == "rs") && path.is_file() {
            let text = fs::read_to_string(&path);
            texts.push(text.with_context(|| format!("reading {}", path.display()))?);
        }
    }
    Ok(texts)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
