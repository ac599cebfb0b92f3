//! What a run would change in a package, as a patch that `git apply` takes from the output folder (and `patch -p1`, which
//! is at a loss where an empty file leaves, or where a file and a folder change places).
//!
//! Lines end at `\n` and nowhere else, as for these tools: a carriage return is a byte like others. The headers are git's,
//! because without them a patch cannot make or remove an empty file.

use std::io::Write as _;

use similar::TextDiff;

use super::changes::Comparison;
use super::manifest::FILE_NAME;

/// Lines around a change.
const CONTEXT: usize = 3;

/// The patch of one package, its manifest included: after it the folder is what a run would have left.
pub(super) fn of_package(package: &str, comparison: &Comparison<'_>, manifest: Option<&[u8]>) -> Vec<u8> {
    let after = comparison.after.to_bytes();
    let record = (FILE_NAME, manifest, Some(after.as_slice()));
    let files = comparison.changes.iter().map(|change| {
        let planned = change.planned.map(|file| file.content.as_bytes());
        (change.path.as_str(), change.before.as_deref(), planned)
    });
    let mut changes: Vec<_> = files.chain([record]).collect();
    changes.sort_by_key(|(path, ..)| *path);
    let mut patch = Vec::new();
    for (path, before, after) in changes {
        if before != after {
            of_file(&mut patch, &format!("{package}/{path}"), before, after);
        }
    }
    patch
}

fn of_file(patch: &mut Vec<u8>, path: &str, before: Option<&[u8]>, after: Option<&[u8]>) {
    // A name with a blank ends at a tab, as git writes it.
    let end = if path.contains(char::is_whitespace) { "\t" } else { "" };
    let (old, new) = (format!("a/{path}{end}"), format!("b/{path}{end}"));
    let mut header = format!("diff --git a/{path} b/{path}\n");
    if before.is_none() {
        header += "new file mode 100644\n";
    } else if after.is_none() {
        header += "deleted file mode 100644\n";
    }
    let (before_lines, after_lines) = (lines(before), lines(after));
    if before_lines != after_lines {
        let old = before.map_or("/dev/null", |_| &old);
        let new = after.map_or("/dev/null", |_| &new);
        header += &format!("--- {old}\n+++ {new}\n");
    }
    patch.extend_from_slice(header.as_bytes());
    let diff = TextDiff::configure().newline_terminated(true).diff_slices(&before_lines, &after_lines);
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        // Writing to a Vec does not fail.
        let _ = writeln!(patch, "{}", hunk.header());
        for change in hunk.iter_changes() {
            let _ = write!(patch, "{}", change.tag());
            patch.extend_from_slice(change.value());
            if !change.value().ends_with(b"\n") {
                patch.extend_from_slice(b"\n\\ No newline at end of file\n");
            }
        }
    }
}

/// The lines of a file, each with its end.
fn lines(content: Option<&[u8]>) -> Vec<&[u8]> {
    content.map(|content| content.split_inclusive(|byte| *byte == b'\n').collect()).unwrap_or_default()
}
