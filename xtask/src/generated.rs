//! Files that are made from code.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const CRD_FOLDER: &str = "crates/capi-types/crds";

/// Writes the CRD files that are not current and removes those of no kind. Returns what was touched.
pub(crate) fn write_crds(root: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join(CRD_FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let mut touched = Vec::new();
    let wanted = wanted_crds()?;
    for (name, text) in &wanted {
        let path = folder.join(name);
        if fs::read_to_string(&path).ok().as_ref() != Some(text) {
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
            touched.push(path);
        }
    }
    for path in leftovers(&folder, &wanted)? {
        fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        touched.push(path);
    }
    Ok(touched)
}

/// CRD files that are missing, old or of no kind.
pub(crate) fn stale_crds(root: &Path) -> Result<Vec<String>> {
    let folder = root.join(CRD_FOLDER);
    let wanted = wanted_crds()?;
    let mut stale: Vec<PathBuf> = wanted
        .iter()
        .map(|(name, text)| (folder.join(name), text))
        .filter(|(path, text)| fs::read_to_string(path).ok().as_ref() != Some(text))
        .map(|(path, _)| path)
        .collect();
    stale.extend(leftovers(&folder, &wanted)?);
    Ok(stale
        .into_iter()
        .map(|path| format!("generated: {} is not current: run `cargo xtask gen-crds`", path.display()))
        .collect())
}

fn wanted_crds() -> Result<Vec<(String, String)>> {
    capi_types::crds()
        .iter()
        .map(|crd| Ok((capi_types::crd_file_name(&crd.spec.names.kind), capi_types::crd_yaml(crd)?)))
        .collect()
}

fn leftovers(folder: &Path, wanted: &[(String, String)]) -> Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(left);
    };
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
        if !wanted.iter().any(|(name, _)| entry.file_name().to_str() == Some(name)) {
            left.push(entry.path());
        }
    }
    left.sort();
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edited_a_missing_and_a_leftover_crd_are_found_and_repaired() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(stale_crds(root.path()).unwrap().len(), capi_types::CRD_KINDS.len(), "all missing");
        assert_eq!(write_crds(root.path()).unwrap().len(), capi_types::CRD_KINDS.len());
        assert_eq!(stale_crds(root.path()).unwrap(), Vec::<String>::new());
        let folder = root.path().join(CRD_FOLDER);
        fs::write(folder.join("maascluster.yaml"), "edited").unwrap();
        fs::remove_file(folder.join("maasmachine.yaml")).unwrap();
        fs::write(folder.join("maasthing.yaml"), "left over").unwrap();
        let stale = stale_crds(root.path()).unwrap();
        assert_eq!(stale.len(), 3, "{stale:?}");
        assert!(stale.iter().all(|text| text.contains("cargo xtask gen-crds")));
        assert_eq!(write_crds(root.path()).unwrap().len(), 3, "only what was wrong is touched");
        assert_eq!(stale_crds(root.path()).unwrap(), Vec::<String>::new());
    }
}
