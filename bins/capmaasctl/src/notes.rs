//! Notes of a conversion, for a terminal of 100 columns.

use std::fmt::Write as _;

use capi_types::convert::{Note, NoteKind};

/// Columns of the narrowest terminal that is served well.
const COLUMNS: usize = 100;

/// The notes under a heading for each document: a change is one line, cut where it is too long (`capmaasctl convert` says
/// all of it, with reasons); a warning is told whole, because a person should act on it.
pub(crate) fn render(notes: &[Note]) -> String {
    let mut text = String::new();
    let mut last = None;
    for note in notes {
        let object = note.object.replacen(' ', "/", 1);
        // Notes on the file as a whole come as notes on the first document.
        let heading = match note.object.contains(' ') && !note.object.starts_with("whole") {
            true => format!("  doc {} {object}\n", note.document),
            false => format!("  {}\n", note.object),
        };
        if last.as_ref() != Some(&heading) {
            text.push_str(&heading);
            last = Some(heading);
        }
        match note.kind {
            NoteKind::Changed => {
                let _ = writeln!(text, "{}", cut(&format!("    {}: {}", note.field, note.what)));
            }
            NoteKind::Warning => {
                let words = format!("warning: {}: {} ({})", note.field, note.what, note.why);
                text.push_str(&wrap(&words, 4, 6));
            }
        }
    }
    text
}

/// Ends in `…` where it is longer than the terminal is wide.
fn cut(line: &str) -> String {
    match line.char_indices().nth(COLUMNS) {
        None => line.to_owned(),
        Some(_) => line.chars().take(COLUMNS - 1).chain(['…']).collect(),
    }
}

/// Broken between words; the first line and those that follow are indented by so many columns.
fn wrap(text: &str, first: usize, next: usize) -> String {
    let (mut lines, mut line, mut empty) = (String::new(), " ".repeat(first), true);
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            lines.push_str(&line);
            lines.push('\n');
            (line, empty) = (" ".repeat(next), true);
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    lines + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notes_on_the_seed_fit_a_terminal_and_keep_their_warnings_whole() {
        let notes = capi_types::convert(capi_types::SEED_MANIFEST, &Default::default()).unwrap().notes;
        let text = render(&notes);
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        let has = |line: &str| assert!(text.lines().any(|l| l == line), "{line:?} is missing in\n{text}");
        has("  doc 4 KubeadmControlPlane/my-cluster-cp");
        has("    spec.infrastructureTemplate: moved to spec.machineTemplate.spec.infrastructureRef");
        assert_eq!(text.matches("  doc 4 ").count(), 1, "one heading for a document\n{text}");
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let told = |n: &Note| flat.contains(&format!("warning: {}: {} ({})", n.field, n.what, n.why));
        assert!(notes.iter().filter(|n| n.kind == NoteKind::Warning).all(told), "{text}");
    }
}
