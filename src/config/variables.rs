//! The environment as a value: what the process was given, then what `.env` says; and `${NAME}` in texts.
//!
//! The process environment is read once and never changed. A value of the process is taken as it is when it is looked up;
//! a value of `.env` may itself hold references.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::dotenv::{DotEnv, is_name};

/// References within references.
const DEPTH_MAX: u32 = 8;
/// Characters of one text with everything put in.
const LENGTH_MAX: usize = 64 * 1024;

/// What means nothing special anywhere in a URL.
const WORD: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const HOST: &AsciiSet = &WORD.remove(b':').remove(b'[').remove(b']');
const PATH: &AsciiSet = &WORD.remove(b'/');

#[derive(Default)]
pub struct Variables {
    process: BTreeMap<String, String>,
    pub(super) file: DotEnv,
}

/// Why a text with references has no value. Never holds the text: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unresolved {
    #[error("the variable `{0}` is not set")]
    Unset(String),
    #[error("the variable `{0}` refers to itself, or more than {DEPTH_MAX} deep")]
    Loop(String),
    #[error("a `${{` that is no reference")]
    NotUnderstood,
    #[error("the text is longer than {LENGTH_MAX} characters with its variables put in")]
    TooLong,
}

/// A variable that is set, as it is written.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Variable<'v> {
    pub text: &'v str,
    /// The place in the `.env` file; None where it came with the process.
    pub place: Option<codegen::Place>,
    /// Holds no references.
    pub verbatim: bool,
}

impl Variables {
    /// Those of this process. Names and values that are not UTF-8 are no text of ours; what they held is shown as `\u{FFFD}`.
    pub fn of_process() -> Self {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        Self::new(std::env::vars_os().map(|(name, value)| (text(name), text(value))))
    }

    pub fn new<N: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        let process = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { process, file: DotEnv::default() }
    }

    /// The variable from each place that has it, the strongest first.
    pub(super) fn given(&self, name: &str) -> impl Iterator<Item = Variable<'_>> {
        let process = self.process.get(name).map(|text| Variable { text, place: None, verbatim: false });
        let entry = self.file.entries.get(name);
        let file =
            entry.map(|entry| Variable { text: &entry.value, place: Some(entry.place), verbatim: entry.verbatim });
        process.into_iter().chain(file)
    }

    /// The value of a variable: what the process has as it is, what `.env` has with its references resolved.
    fn look_up(&self, name: &str, depth: u32) -> Result<Option<String>, Unresolved> {
        if depth > DEPTH_MAX {
            return Err(Unresolved::Loop(name.to_owned()));
        }
        match self.given(name).next() {
            None => Ok(None),
            Some(found) if found.place.is_none() || found.verbatim => Ok(Some(found.text.to_owned())),
            Some(found) => self.substitute(found.text, depth + 1).map(Some),
        }
    }

    /// The text with `${NAME}` and `${NAME:-default}` put in; `$${` stands for a plain `${`.
    ///
    /// In a URL the values are encoded for the part in which they stand, so that a password with `/ + = @ : # %` stays one.
    ///
    /// # Errors
    /// See [`Unresolved`].
    pub(super) fn resolve(&self, text: &str) -> Result<String, Unresolved> {
        self.substitute(text, 0)
    }

    fn substitute(&self, text: &str, depth: u32) -> Result<String, Unresolved> {
        let mut made = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let inside = &rest[at + 2..];
            if let Some(before) = rest[..at].strip_suffix('$') {
                made.push_str(before);
                made.push_str("${");
                rest = inside;
                continue;
            }
            let (reference, after) = inside.split_once('}').ok_or(Unresolved::NotUnderstood)?;
            let (name, default) = match reference.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (reference, None),
            };
            if !is_name(name) {
                return Err(Unresolved::NotUnderstood);
            }
            made.push_str(&rest[..at]);
            let value = match (self.look_up(name, depth)?, default) {
                (Some(value), None) => value,
                (Some(value), Some(_)) if !value.is_empty() => value,
                (_, Some(default)) => default.to_owned(),
                (None, None) => return Err(Unresolved::Unset(name.to_owned())),
            };
            match encoding(&text[..text.len() - rest.len() + at], after) {
                Some(set) => made.extend(utf8_percent_encode(&value, set)),
                None => made.push_str(&value),
            }
            if made.len() > LENGTH_MAX {
                return Err(Unresolved::TooLong);
            }
            rest = after;
        }
        made.push_str(rest);
        Ok(made)
    }
}

/// How a value is encoded between these two parts of a text; None where the text is no URL.
fn encoding(before: &str, after: &str) -> Option<&'static AsciiSet> {
    let (scheme, before) = before.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte));
    if !is_scheme {
        return None;
    }
    let (before, after) = (without_references(before), without_references(after));
    let authority_goes_on = after.split(['/', '?', '#']).next().unwrap_or_default();
    Some(if before.contains(['?', '#']) {
        WORD
    } else if before.contains('/') {
        PATH
    } else if authority_goes_on.contains('@') {
        WORD
    } else {
        HOST
    })
}

fn without_references(text: &str) -> String {
    let mut parts = text.split("${");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    parts.for_each(|part| kept.push_str(part.split_once('}').map_or("", |(_, after)| after)));
    kept
}

/// The value encoded as one word of a URL: a user, a password, the name of a database.
pub(super) fn url_word(value: &str) -> String {
    utf8_percent_encode(value, WORD).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::dotenv;

    fn variables(process: &[(&str, &str)], file: &str) -> Variables {
        let (file, faults) = dotenv::parse(".env", file);
        assert_eq!(faults, []);
        Variables { file, ..Variables::new(process.iter().copied()) }
    }

    #[test]
    fn references_defaults_and_what_is_no_reference() {
        let known = variables(&[("A", "1"), ("EMPTY", ""), ("R", "${A}")], "");
        for (text, value) in [
            ("${A}", Ok("1")),
            ("x${A}y${A}", Ok("x1y1")),
            ("${NO:-d}${EMPTY:-e}${A:-f}", Ok("de1")),
            ("[${EMPTY}]", Ok("[]")),
            ("$A $$ $${A}", Ok("$A $$ ${A}")),
            ("${NO:-}", Ok("")),
            ("${NO:-a:-b}", Ok("a:-b")),
            ("${R}", Ok("${A}")),
            ("${NO}", Err(Unresolved::Unset("NO".to_owned()))),
            ("${NO-x}", Err(Unresolved::NotUnderstood)),
            ("a${", Err(Unresolved::NotUnderstood)),
        ] {
            assert_eq!(known.resolve(text), value.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn values_are_encoded_for_the_part_of_the_url_in_which_they_stand() {
        let known = variables(&[("P", "/+=@:#% ü"), ("HOST", "h.example:99"), ("KEY", "a/b c")], "");
        for (text, value) in [
            ("postgresql://me:${P}@h/db", "postgresql://me:%2F%2B%3D%40%3A%23%25%20%C3%BC@h/db"),
            ("https://${HOST}/x/${KEY}?k=${KEY}", "https://h.example:99/x/a/b%20c?k=a%2Fb%20c"),
            ("https://${HOST}", "https://h.example:99"),
            (
                "pg://${NO:-a/b}:${P:-x}@${HOST}/${KEY}",
                "pg://a%2Fb:%2F%2B%3D%40%3A%23%25%20%C3%BC@h.example:99/a/b%20c",
            ),
            ("not a url ://${KEY}", "not a url ://a/b c"),
            ("${KEY}://x", "a/b c://x"),
        ] {
            assert_eq!(known.resolve(text).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn the_process_wins_over_the_file_and_the_file_may_refer_in_any_order() {
        let known = variables(&[("A", "process")], "URL=x://u:${PASS}@h\nPASS=${A}/b\nA=file\nQ='${A}'\n");
        assert_eq!(known.resolve("${A}").unwrap(), "process");
        assert_eq!(known.resolve("${URL}").unwrap(), "x://u:process%2Fb@h");
        assert_eq!(known.resolve("${Q}").unwrap(), "${A}");
    }

    #[test]
    fn a_circle_and_an_explosion_end_as_errors() {
        let known = variables(&[], "A=${B}\nB=${A}\n");
        assert!(matches!(known.resolve("${A}"), Err(Unresolved::Loop(_))));
        let mut text = format!("V0={}\n", "x".repeat(1_000));
        (1..8).for_each(|n| text += &format!("V{n}={}\n", format!("${{V{}}}", n - 1).repeat(20)));
        assert_eq!(variables(&[], &text).resolve("${V7}"), Err(Unresolved::TooLong));
    }
}
