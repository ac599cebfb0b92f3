//! The two files on the disk: whether they are there, and what they hold, within bounds.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use codegen::Diagnostic;

/// No settings are longer; `/dev/zero` is.
const BYTES_MAX: u64 = 1024 * 1024;

pub(super) struct Opened {
    /// As the user named it.
    pub(super) name: String,
    pub(super) content: Result<Vec<u8>, Diagnostic>,
    /// A warning: its group or others can read it.
    pub(super) open_to_others: Option<Diagnostic>,
}

/// The file that a flag names, or the default one. None only where the default one is not there: one that cannot be
/// reached may hold what the user counts on. A folder is not there either: many a `.env` is one, of Python.
pub(super) fn open(named: Option<&Path>, default: &Path, flag: &str) -> Option<Opened> {
    if named.is_none() {
        match default.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Ok(kind) if kind.is_dir() => return None,
            _ => {}
        }
    }
    let path = named.unwrap_or(default);
    let name = path.display().to_string();
    let fault = |message: String| Diagnostic::new(name.clone(), None, message);
    let (mut bytes, mut open_to_others) = (Vec::new(), None);
    let read = File::open(path).and_then(|file| {
        let kind = file.metadata()?;
        let mode = kind.permissions().mode() & 0o777;
        if kind.is_file() && mode & 0o044 != 0 {
            let warning = fault(format!("others can read this file (mode {mode:04o})"));
            open_to_others = Some(warning.expected("mode 0600").help(format!("chmod 600 {}", shell_word(&name))));
        }
        file.take(BYTES_MAX + 1).read_to_end(&mut bytes)
    });
    let content = match read {
        Ok(length) if length as u64 > BYTES_MAX => {
            let fault = fault("larger than 1 MiB".to_owned()).expected("at most 1 MiB");
            Err(fault.help("check that this is the file you meant"))
        }
        Ok(_) => Ok(bytes),
        Err(error) => {
            let help = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "give yourself the right to read it, and to enter its folder".to_owned()
                }
                io::ErrorKind::IsADirectory => format!("name a file in it with {flag} FILE"),
                _ => format!("name another file with {flag} FILE"),
            };
            Err(fault(format!("cannot read it: {error}")).help(help))
        }
    };
    Some(Opened { name, content, open_to_others })
}

/// As it can be pasted into a shell.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let word = if word.starts_with('-') { format!("./{word}") } else { word.to_owned() };
    if word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

pub(super) fn utf8(name: &str, bytes: Vec<u8>) -> Result<String, Diagnostic> {
    String::from_utf8(bytes).map_err(|_| Diagnostic::new(name, None, "not UTF-8 text").help("save the file as UTF-8"))
}
