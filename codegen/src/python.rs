//! Python's words: identifiers, class and package names, literals.
//!
//! Names are made for CPython 3.12 and later. What a function here returns is safe to put into a source file whatever
//! the text was that it came from.

mod literal;
mod names;
mod stdlib;
#[cfg(test)]
mod tests;

use unicode_ident::{is_xid_continue, is_xid_start};
use unicode_normalization::UnicodeNormalization;

pub use literal::{comment, docstring, float_literal, literal, string_literal};
pub use names::Names;

/// The longest name that is made, in bytes: with an ending it still fits a file name on every file system.
pub const NAME_BYTES_MAX: usize = 100;

/// The hard keywords. The soft ones (`match`, `case`, `type`) are ordinary names wherever a name is expected.
const KEYWORDS: &[&str] = &[
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// Packages that generated code imports: one of these names would hide them from it.
const IMPORTED: &[&str] =
    &["omnibase_core", "omnibase_infra", "omnibase_spi", "pydantic", "pytest", "tests", "typing_extensions", "yaml"];

fn is_standard(name: &str) -> bool {
    stdlib::STDLIB.binary_search(&name).is_ok()
}

/// Whether a dotted path leads to a module of Python's own library.
pub fn is_standard_module(path: &str) -> bool {
    is_standard(path.split('.').next().unwrap_or(path))
}

pub fn is_keyword(text: &str) -> bool {
    KEYWORDS.contains(&text)
}

/// Whether Python reads `text` as one name and shows it unchanged. Keywords are names here, as for `str.isidentifier`.
pub fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first == '_' || is_xid_start(first))
        && chars.all(is_xid_continue)
        // Python normalises names: `ﬁle` in the source is `file` at run time.
        && (text.is_ascii() || unicode_normalization::is_nfkc(text))
}

/// The `snake_case` name of a module, function or variable: `ModelHTTPRequest` is `model_http_request`, `a.b-c` is
/// `a_b_c`.
///
/// What no name may hold becomes `_`, runs of `_` become one and the outer ones go; a name that would begin with a
/// digit gets `n_` before it, a keyword `_` after it. None where nothing is left.
pub fn identifier(text: &str) -> Option<String> {
    let words = split_camel_case(&text.nfkc().collect::<String>()).to_lowercase();
    // Lower-casing can take a text out of its normal form.
    let mut name = String::with_capacity(words.len());
    for char in words.nfkc() {
        match char {
            char if char != '_' && is_xid_continue(char) => name.push(char),
            _ if name.is_empty() || name.ends_with('_') => {}
            _ => name.push('_'),
        }
    }
    let name = name.trim_end_matches('_');
    let first = name.chars().next()?;
    let name = if is_xid_start(first) { name.to_owned() } else { format!("n_{name}") };
    Some(finish(name))
}

/// The name of a class: a text that is a name already is kept; of any other the words are joined, each with a capital
/// first letter (`my node.v2` is `MyNodeV2`). A keyword gets `_` after it; None where nothing is left.
pub fn class_name(text: &str) -> Option<String> {
    // Inside a class Python rewrites names that begin with two underscores.
    if is_identifier(text) && !text.starts_with("__") && text != "_" {
        return Some(finish(text.to_owned()));
    }
    let mut name = String::with_capacity(text.len());
    let mut begins_word = true;
    for char in text.nfkc() {
        if char == '_' || !is_xid_continue(char) {
            begins_word = true;
        } else if std::mem::take(&mut begins_word) {
            name.extend(char.to_uppercase());
        } else {
            name.push(char);
        }
    }
    if !is_xid_start(name.chars().next()?) {
        name.insert(0, 'N');
    }
    // Upper-casing and joining can take a text out of its normal form.
    Some(finish(name.nfkc().collect()))
}

/// The name of a package: an [`identifier`] that hides neither a module of Python's own library nor a package that
/// generated code imports; such a name gets `_node` after it.
pub fn package_name(text: &str) -> Option<String> {
    let name = identifier(text)?;
    let hides = is_standard(&name) || IMPORTED.contains(&name.as_str());
    Some(if hides { format!("{name}_node") } else { name })
}

/// `HTTPServer2X` -> `HTTP_Server2_X`: a word begins at a capital letter that follows anything else, and at the last of
/// several capital letters that a small one follows.
fn split_camel_case(text: &str) -> String {
    let mut split = String::with_capacity(text.len() + 8);
    let mut before = None::<char>;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        if char.is_uppercase() {
            let after_word = before.is_some_and(|before| before.is_lowercase() || before.is_numeric());
            let ends_acronym =
                before.is_some_and(char::is_uppercase) && chars.peek().is_some_and(|next| next.is_lowercase());
            if after_word || ends_acronym {
                split.push('_');
            }
        }
        split.push(char);
        before = Some(char);
    }
    split
}

/// No keyword, and not too long: a cut name ends in a hash of the whole, so that different names stay different.
fn finish(mut name: String) -> String {
    if is_keyword(&name) {
        name.push('_');
    }
    if name.len() > NAME_BYTES_MAX {
        let hash = blake3::hash(name.as_bytes()).to_hex();
        let kept = name.floor_char_boundary(NAME_BYTES_MAX - 9);
        name = format!("{}_{}", name[..kept].trim_end_matches('_'), &hash[..8]);
    }
    name
}
