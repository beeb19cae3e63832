//! The cases in which kube-sim is not as the real server, each with its reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::Failure;

/// Reason by name of the case.
pub type Gaps = BTreeMap<String, String>;

/// Reads `GAPS.md` of a folder of transcripts.
///
/// # Errors
/// When it can't be read.
pub fn gaps(folder: &Path) -> Result<Gaps, Failure> {
    let path = folder.join("GAPS.md");
    let text = fs::read_to_string(&path).map_err(|e| Failure::File(format!("{}: {e}", path.display())))?;
    Ok(rows(&text))
}

fn rows(text: &str) -> Gaps {
    let cells = |line: &str| -> Option<(String, String)> {
        let (case, reason) = line.strip_prefix('|')?.trim_end().strip_suffix('|')?.split_once('|')?;
        Some((case.trim().to_owned(), reason.trim().to_owned()))
    };
    // The first two rows are the table's head.
    text.lines().filter(|line| line.starts_with('|')).skip(2).filter_map(cells).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_case_and_reason() {
        let text = "# Gaps\n\n| case | reason |\n|---|---|\n| it is so | for a reason |\n";
        assert_eq!(rows(text), Gaps::from([("it is so".to_owned(), "for a reason".to_owned())]));
    }
}
