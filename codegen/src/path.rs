//! The jail of a package: which paths a pack may write, on every system that people unpack it on.

use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization;

/// The longest segment of a path, in bytes.
const SEGMENT_BYTES_MAX: usize = 255;

/// The longest path, in bytes.
const PATH_BYTES_MAX: usize = 1024;

/// Names that Windows keeps for devices, whatever ending they have.
const DEVICES: &[&str] = &["con", "prn", "aux", "nul", "conin$", "conout$"];

/// Why `path` may not be written, or read as the name of a template. None where it may.
pub fn refusal(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("it is empty");
    }
    if path.len() > PATH_BYTES_MAX {
        return Some("it is longer than 1024 bytes");
    }
    if path.starts_with('/') {
        return Some("it begins with `/`");
    }
    if path.contains('\\') {
        return Some("it holds a backslash");
    }
    if path
        .contains(|char: char| char.is_control() || matches!(char, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    {
        return Some("it holds a control character");
    }
    if path.contains([':', '<', '>', '"', '|', '?', '*']) {
        return Some("it holds one of `: < > \" | ? *`, which Windows does not allow");
    }
    let first = folded(path.split('/').next().unwrap_or_default());
    if first.starts_with(".omninode") {
        return Some("names that begin with `.omninode` are kept for the generator's own records");
    }
    path.split('/').find_map(segment_refusal)
}

fn segment_refusal(segment: &str) -> Option<&'static str> {
    let folded = folded(segment);
    let stem = folded.split('.').next().unwrap_or_default().trim_end();
    let port = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"));
    match segment {
        "" => Some("it has an empty segment (`//`, or a `/` at its end)"),
        "." | ".." => Some("it has a segment `.` or `..`"),
        _ if segment.len() > SEGMENT_BYTES_MAX => Some("it has a segment longer than 255 bytes"),
        _ if segment.ends_with(['.', ' ']) || segment.starts_with(' ') => {
            Some("it has a segment that begins with a space, or ends with a space or a dot")
        }
        _ if folded == ".git" => Some("`.git` belongs to git"),
        _ if DEVICES.contains(&stem)
            || matches!(port.map(|port| port.chars().collect::<Vec<_>>()).as_deref(), Some([c]) if c.is_numeric()) =>
        {
            Some("it has a segment that Windows keeps for a device (`con`, `nul`, `com1` …)")
        }
        _ => None,
    }
}

/// What two paths share where a disk cannot tell them apart.
fn folded(path: &str) -> String {
    if path.is_ascii() { path.to_ascii_lowercase() } else { path.nfc().flat_map(char::to_lowercase).nfc().collect() }
}

/// The paths of one package, each of which must be a file of its own on every disk.
#[derive(Default)]
pub(crate) struct Taken {
    /// By the folded path: the path as written. A folder stands here with the first file in it.
    files: BTreeMap<String, String>,
    folders: BTreeMap<String, String>,
}

impl Taken {
    /// Takes `path`, or gives the path that is in its way: one that differs only in case, or that is its folder.
    pub(crate) fn claim(&mut self, path: &str) -> Result<(), String> {
        let folded = folded(path);
        let folders: Vec<&str> = folded.match_indices('/').map(|(at, _)| &folded[..at]).collect();
        let in_the_way = folders.iter().copied().chain([folded.as_str()]).find_map(|taken| self.files.get(taken));
        if let Some(other) = in_the_way.or_else(|| self.folders.get(&folded)) {
            return Err(other.clone());
        }
        for folder in folders {
            self.folders.entry(folder.to_owned()).or_insert_with(|| path.to_owned());
        }
        self.files.insert(folded, path.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_relative_path_is_let_through() {
        for path in
            ["node.py", "a/b/c.py", ".gitignore", "handlers/héllo.py", "console.py", "com.py", "a b/c", "auxiliary/x"]
        {
            assert_eq!(refusal(path), None, "{path}");
        }
        let long = "x".repeat(256);
        let refused = [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a/./b",
            "a//b",
            "a/",
            "..",
            "a\\b",
            "C:x",
            "a\0b",
            "a\nb",
            "a/\u{202e}b",
            "con",
            "a/NUL.txt",
            "Aux .py",
            "com1.py",
            "LPT9",
            "com¹",
            "x.",
            "x ",
            "a/ b",
            "a?b",
            ".omninode.json",
            ".OMNINODE/x",
            ".git/hooks/pre-commit",
            "sub/.Git/config",
            &long,
        ];
        for path in refused {
            assert!(refusal(path).is_some(), "{path:?}");
        }
    }

    #[test]
    fn two_paths_that_one_disk_cannot_hold_are_refused() {
        let mut taken = Taken::default();
        assert_eq!(taken.claim("a/b.py"), Ok(()));
        assert_eq!(taken.claim("a/c.py"), Ok(()));
        assert_eq!(taken.claim("A/B.py"), Err("a/b.py".to_owned()));
        assert_eq!(taken.claim("a"), Err("a/b.py".to_owned()));
        assert_eq!(taken.claim("a/b.py/c"), Err("a/b.py".to_owned()));
        assert_eq!(taken.claim("é"), Ok(()));
        assert_eq!(taken.claim("E\u{301}"), Err("é".to_owned()));
    }
}
