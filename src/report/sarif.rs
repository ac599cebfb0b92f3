//! What a check found, in SARIF 2.1.0, for tools that show findings beside the code.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use codegen::Diagnostic;
use serde_json::{Value, json};

use super::{Report, state_word};
use crate::packages::State;
use crate::packages::inspect::{Action, Inspected, Verdict};
use crate::summary::Status;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// Every rule: its id, what it says, what to do. First how files differ from their plan, then why a contract gives no
/// package.
const RULES: [(&str, &str, &str); 13] = [
    ("missing", "A planned file is not there", "Run `omninode generate` with the same arguments."),
    ("stale", "A generated file is not as planned any more", "Run `omninode generate` with the same arguments."),
    (
        "edited",
        "A person changed a generated file, and what is planned for it has not changed",
        "Nothing: a run leaves it alone.",
    ),
    ("unknown", "A file in a package is not generated", "Nothing: a run leaves it alone."),
    ("contract", "A contract has a fault", "Mend it at its place."),
    ("duplicate", "Two contracts would give one package", "Give each node a name of its own."),
    ("template", "A template of the pack has a fault", "Mend it at its place."),
    (
        "output",
        "A generated file does not parse, or uses a name that is not defined",
        "Mend the template that made it.",
    ),
    ("limit", "A limit of the generator was reached", "See the message."),
    ("timeout", "A contract took too long", "Raise --worker-timeout, or look at the pack."),
    (
        "conflict",
        "What a person changed, added or put there is in the way of the plan",
        "Move it away, run again and take your changes over; or overwrite edits with --force, which keeps a copy.",
    ),
    ("io", "A file cannot be read", "See the message."),
    ("crash", "The generator broke on a contract", "Please report it."),
];

/// The log, with every result in the order of the report.
pub(super) fn log(report: &Report) -> Value {
    let rules: Vec<Value> = RULES
        .iter()
        .map(|(id, says, help)| {
            let level = level(id);
            let text = |text: &str| json!({ "text": text });
            json!({
                "id": id, "shortDescription": text(says), "help": text(help),
                "defaultConfiguration": { "level": level },
            })
        })
        .collect();
    let mut results: Vec<Value> = Vec::new();
    for failure in &report.failures {
        results.extend(failure.diagnostics.iter().map(|diagnostic| fault(failure.cause, diagnostic)));
    }
    for package in &report.packages {
        results.extend(differences(&report.out, package));
    }
    let worked = !matches!(report.status, Status::Broken | Status::Interrupted);
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "omninode",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "invocations": [{ "executionSuccessful": worked }],
            "results": results,
        }],
    })
}

fn fault(cause: &str, diagnostic: &Diagnostic) -> Value {
    let mut text = diagnostic.message.clone();
    if !diagnostic.expected.is_empty() {
        // Writing to a String does not fail.
        let _ = write!(text, "; expected {}", diagnostic.expected);
    }
    if !diagnostic.help.is_empty() {
        let _ = write!(text, ". {}", diagnostic.help);
    }
    let region = diagnostic.place.map(|place| json!({ "startLine": place.line, "startColumn": place.column }));
    result(cause, &text, &diagnostic.file, region)
}

fn differences(out: &str, package: &Inspected) -> Vec<Value> {
    let folder = Path::new(out).join(&package.package);
    if package.verdict == Verdict::New {
        let text = format!("the package is not there ({} files, from {})", package.planned, package.source);
        return vec![result("missing", &text, folder, None)];
    }
    let found = package.files.iter().map(|file| {
        let text = match (file.state, file.action) {
            (State::Missing, _) => "planned, and not there",
            (State::Stale, Action::Remove) => "not planned any more, and as it was generated",
            (State::Stale, _) => "as it was generated, but the plan has changed",
            (State::Edited, _) => "changed by a person, and its plan has not changed: a run leaves it alone",
            (State::Conflict, _) => "changed or added by a person, and its plan has changed since it was generated",
            (State::Unknown, _) => "not generated: a run leaves it alone",
        };
        result(state_word(file.state), text, folder.join(&file.path), None)
    });
    found.collect()
}

/// What a run leaves alone is no fault.
fn level(rule: &str) -> &'static str {
    if ["edited", "unknown"].contains(&rule) { "note" } else { "error" }
}

/// A result at a file; one without a place is at its first line, because viewers want a line.
fn result(rule: &str, text: &str, file: impl AsRef<Path>, region: Option<Value>) -> Value {
    let level = level(rule);
    let region = region.unwrap_or_else(|| json!({ "startLine": 1 }));
    let mut result = json!({
        "ruleId": rule,
        "level": level,
        "message": { "text": text },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": uri(file.as_ref()) },
            "region": region,
        } }],
    });
    if let Some(index) = RULES.iter().position(|(id, ..)| *id == rule) {
        result["ruleIndex"] = index.into();
    }
    result
}

/// A path as a URI: relative to the working folder where it lies in it, else absolute.
fn uri(path: &Path) -> String {
    let plain = path.strip_prefix(".").unwrap_or(path);
    let inside = plain.is_relative() && plain.components().all(|part| part != std::path::Component::ParentDir);
    let (mut uri, path) =
        if inside { (String::new(), plain.to_owned()) } else { ("file://".to_owned(), absolute(path)) };
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

/// The same path for a file that is there and for one that is missing: folders are resolved as far as they exist, the
/// file itself (it may be a link) is not.
fn absolute(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let resolved = whole.ancestors().skip(1).find_map(|folder| {
        let rest = whole.strip_prefix(folder).ok()?;
        Some(std::fs::canonicalize(folder).ok()?.join(rest))
    });
    resolved.unwrap_or(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_uri_that_is_relative_where_it_can_be() {
        assert_eq!(uri(Path::new("generated/node_x/a b.py")), "generated/node_x/a%20b.py");
        assert_eq!(uri(Path::new("./a/é.py")), "a/%C3%A9.py");
        assert_eq!(uri(Path::new("/no/such/x:y")), "file:///no/such/x%3Ay");
        assert!(uri(Path::new("../x")).starts_with("file:///"));
        let folder = tempfile::tempdir().unwrap();
        let at = std::fs::canonicalize(folder.path()).unwrap();
        std::os::unix::fs::symlink("/etc/hosts", at.join("link")).unwrap();
        std::fs::create_dir(at.join("a")).unwrap();
        assert_eq!(uri(&at.join("a/../link")), format!("file://{}/link", at.display()), "not where it leads");
        assert_eq!(uri(&at.join("a/../none")), format!("file://{}/none", at.display()));
        assert_eq!(uri(Path::new("<stdin>")), "%3Cstdin%3E");
    }
}
