//! The environment as a value: what the process was given, then what `.env` says; and `${NAME}` in texts.
//!
//! The process environment is read once and never changed. Values of both places may hold references: `export $(cat .env |
//! xargs)` leaves them in the process environment as they stand in the file.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::dotenv::{DotEnv, Entry, is_name};
use super::origin::Origin;

/// References within references.
const DEPTH_MAX: u32 = 8;
/// References that one text may need, those within references counted.
const REFERENCES_MAX: u32 = 1_000;
/// Bytes of one text with everything put in.
const LENGTH_MAX: usize = 64 * 1024;

/// What means nothing special anywhere in a URL.
const WORD: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const HOST: &AsciiSet = &WORD.remove(b':').remove(b'[').remove(b']');
const PATH: &AsciiSet = &WORD.remove(b'/');

#[derive(Default)]
pub struct Variables {
    /// None where the value is not UTF-8.
    process: BTreeMap<String, Option<String>>,
    pub(super) file: DotEnv,
}

/// Why a text with references has no value. Never holds the text: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unresolved {
    #[error("the variable `{0}` is not set")]
    Unset(String),
    #[error("the variable `{0}` is not UTF-8 text")]
    NotText(String),
    #[error("the variable `{0}` refers to itself, or more than {DEPTH_MAX} deep")]
    Loop(String),
    #[error("a `${{` that is no reference")]
    NotUnderstood,
    #[error("more than {REFERENCES_MAX} references, or {LENGTH_MAX} bytes with their values put in")]
    TooLong,
}

impl Variables {
    /// Those of this process.
    pub fn of_process() -> Self {
        let named = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Self { process: named.map(|(name, value)| (name, value.into_string().ok())).collect(), ..Self::default() }
    }

    pub fn new<N: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        let process = variables.into_iter().map(|(name, value)| (name.into(), Some(value.into()))).collect();
        Self { process, ..Self::default() }
    }

    /// The value of a variable from each place that has it, the strongest first.
    pub(super) fn given(&self, name: &str) -> Vec<(Result<String, Unresolved>, Origin)> {
        let (file, entry) = (&self.file.file, self.file.entries.get(name));
        let entry = entry.map(|entry| {
            let (name, file, place) = (name.to_owned(), file.clone(), entry.place);
            (self.of_file(entry, 0, &mut 0), Origin::DotEnv { name, file, place })
        });
        let process = self
            .process
            .get(name)
            .map(|text| (self.of_environment(name, text.as_deref(), 0, &mut 0), Origin::Environment(name.to_owned())));
        process.into_iter().chain(entry).collect()
    }

    fn of_environment(
        &self,
        name: &str,
        text: Option<&str>,
        depth: u32,
        count: &mut u32,
    ) -> Result<String, Unresolved> {
        self.substitute(text.ok_or_else(|| Unresolved::NotText(name.to_owned()))?, depth, count)
    }

    fn of_file(&self, entry: &Entry, depth: u32, count: &mut u32) -> Result<String, Unresolved> {
        if entry.verbatim { Ok(entry.value.clone()) } else { self.substitute(&entry.value, depth, count) }
    }

    /// The text with `${NAME}` and `${NAME:-default}` put in; `$${` stands for a plain `${`.
    ///
    /// In a URL the values are encoded for the part in which they stand, so that a password with `/ + = @ : # %` stays one.
    ///
    /// # Errors
    /// See [`Unresolved`].
    pub(super) fn resolve(&self, text: &str) -> Result<String, Unresolved> {
        self.substitute(text, 0, &mut 0)
    }

    fn substitute(&self, text: &str, depth: u32, count: &mut u32) -> Result<String, Unresolved> {
        if text.len() > LENGTH_MAX {
            return Err(Unresolved::TooLong);
        }
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
            let end = reference_end(inside).ok_or(Unresolved::NotUnderstood)?;
            let (reference, after) = (&inside[..end], &inside[end + 1..]);
            made.push_str(&rest[..at]);
            let value = self.refer(reference, depth + 1, count)?;
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

    /// The value of what stands between the braces.
    fn refer(&self, reference: &str, depth: u32, count: &mut u32) -> Result<String, Unresolved> {
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        if !is_name(name) {
            return Err(Unresolved::NotUnderstood);
        }
        *count += 1;
        if depth > DEPTH_MAX {
            return Err(Unresolved::Loop(name.to_owned()));
        } else if *count > REFERENCES_MAX {
            return Err(Unresolved::TooLong);
        }
        let value = match (self.process.get(name), self.file.entries.get(name)) {
            (Some(text), _) => Some(self.of_environment(name, text.as_deref(), depth, count)?),
            (None, entry) => entry.map(|entry| self.of_file(entry, depth, count)).transpose()?,
        };
        match (value, default) {
            (Some(value), None) => Ok(value),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value),
            (_, Some(default)) => self.substitute(default, depth, count),
            (None, None) => Err(Unresolved::Unset(name.to_owned())),
        }
    }
}

/// Where the brace is that ends a reference, of which this is the inside: a default may hold references.
fn reference_end(inside: &str) -> Option<usize> {
    let mut open = 0_u32;
    for (at, char) in inside.char_indices() {
        match char {
            '}' if open == 0 => return Some(at),
            '}' => open -= 1,
            '{' if inside[..at].ends_with('$') => open += 1,
            _ => {}
        }
    }
    None
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
    } else if before.contains('/') || scheme.eq_ignore_ascii_case("sqlite") {
        // SQLite's URL has no host: its path begins at once.
        PATH
    } else if authority_goes_on.contains('@') {
        WORD
    } else {
        HOST
    })
}

/// What is written itself.
pub(super) fn without_references(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, inside)) = rest.split_once("${") {
        kept.push_str(before);
        rest = reference_end(inside).map_or("", |end| &inside[end + 1..]);
    }
    kept + rest
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
        let known = variables(&[("A", "1"), ("EMPTY", ""), ("R", "${A}"), ("P", "$${A}"), ("Q", "${NO}")], "");
        for (text, value) in [
            ("${A}", Ok("1")),
            ("x${A}y${A}", Ok("x1y1")),
            ("${NO:-d}${EMPTY:-e}${A:-f}", Ok("de1")),
            ("[${EMPTY}]", Ok("[]")),
            ("$A $$ $${A}", Ok("$A $$ ${A}")),
            ("${NO:-}", Ok("")),
            ("${NO:-a:-b}", Ok("a:-b")),
            ("${R}", Ok("1")),
            ("${P}", Ok("${A}")),
            ("/a/${NO:-${A}}/c", Ok("/a/1/c")),
            ("${NO:-x${EMPTY:-${R}}y}}", Ok("x1y}")),
            ("${A:-${NO}}", Ok("1")),
            ("${NO:-{x}}", Ok("{x}")),
            ("${Q}", Err(Unresolved::Unset("NO".to_owned()))),
            ("${NO:-${NO}}", Err(Unresolved::Unset("NO".to_owned()))),
            ("${NO:-${A}", Err(Unresolved::NotUnderstood)),
            ("${NO}", Err(Unresolved::Unset("NO".to_owned()))),
            ("${NO-x}", Err(Unresolved::NotUnderstood)),
            ("a${", Err(Unresolved::NotUnderstood)),
        ] {
            assert_eq!(known.resolve(text), value.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn values_are_encoded_for_the_part_of_the_url_in_which_they_stand() {
        let known = variables(&[("P", "/+=@:#% ü"), ("HOST", "h.example:99"), ("KEY", "a/b c"), ("DIR", "/tmp")], "");
        for (text, value) in [
            ("postgresql://me:${P}@h/db", "postgresql://me:%2F%2B%3D%40%3A%23%25%20%C3%BC@h/db"),
            ("https://${HOST}/x/${KEY}?k=${KEY}", "https://h.example:99/x/a/b%20c?k=a%2Fb%20c"),
            ("https://${HOST}", "https://h.example:99"),
            (
                "pg://${NO:-a/b}:${P:-x}@${HOST}/${KEY}",
                "pg://a%2Fb:%2F%2B%3D%40%3A%23%25%20%C3%BC@h.example:99/a/b%20c",
            ),
            ("pg://u:${NO:-${P}}@h", "pg://u:%2F%2B%3D%40%3A%23%25%20%C3%BC@h"),
            ("sqlite://${DIR}/x.db?mode=${KEY}", "sqlite:///tmp/x.db?mode=a%2Fb%20c"),
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
        // Also where nothing grows.
        assert_eq!(variables(&[], &text.replace('x', "")).resolve("${V7}"), Err(Unresolved::TooLong));
        let nested = "${N:-".repeat(9_000) + &"}".repeat(9_000);
        assert!(matches!(known.resolve(&nested), Err(Unresolved::Loop(_))));
    }

    #[test]
    fn a_value_that_is_no_text_is_told_where_it_is_used() {
        let known = Variables { process: [("A".to_owned(), None)].into(), ..Variables::default() };
        assert_eq!(known.resolve("${A:-x}"), Err(Unresolved::NotText("A".to_owned())));
        assert_eq!(known.given("A")[0].0, Err(Unresolved::NotText("A".to_owned())));
    }
}
