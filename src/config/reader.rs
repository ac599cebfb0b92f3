//! One setting after the other, from whoever gives it first: flag, environment, `.env`, file, default. Every value that is
//! given is checked, also one that a stronger place overrides; faults are collected, not thrown.

use codegen::nearest;
use serde_yaml::Value;

use super::document::{Document, Entry, kind_of};
use super::keys;
use super::kind::Kind;
use super::origin::{Fault, Flag, Origin, Picked, Shown};
use super::variables::{Unresolved, Variables};

/// Longer values are cut in messages.
const FOUND_CHARS_MAX: usize = 60;

pub(super) struct Reader<'s> {
    flags: &'s [Flag],
    variables: &'s Variables,
    pub(super) document: &'s Document,
    pub(super) faults: Vec<Fault>,
    pub(super) shown: Vec<Shown>,
    /// Keys of the file whose values messages may show.
    pub(super) open: Vec<&'static str>,
}

impl<'s> Reader<'s> {
    pub(super) fn new(flags: &'s [Flag], variables: &'s Variables, document: &'s Document) -> Self {
        Self { flags, variables, document, faults: Vec::new(), shown: Vec::new(), open: Vec::new() }
    }

    /// A setting with a default. Where it is not in use, it is checked all the same, but variables may be missing.
    pub(super) fn pick<K: Kind>(&mut self, key: &'static str, in_use: bool, default: K) -> Picked<K> {
        self.pick_or(key, in_use, default, Origin::Default)
    }

    /// A setting with a default that comes from somewhere.
    pub(super) fn pick_or<K: Kind>(
        &mut self,
        key: &'static str,
        in_use: bool,
        default: K,
        origin: Origin,
    ) -> Picked<K> {
        let help = format!("the default is `{}`", plain(&default.show()));
        let found = self.find(key, in_use, keys::variable_of(key), &help);
        let picked = found.unwrap_or(Picked { value: default, origin });
        self.show(key, in_use, picked.value.show(), picked.origin.clone());
        picked
    }

    /// A setting without a default.
    pub(super) fn pick_if<K: Kind>(&mut self, key: &'static str, in_use: bool, variable: &str) -> Option<Picked<K>> {
        let picked = self.find::<K>(key, in_use, variable, REMOVE);
        let (value, origin) = match &picked {
            Some(picked) => (picked.value.show(), picked.origin.clone()),
            None => (serde_json::Value::Null, Origin::Default),
        };
        self.show(key, in_use, value, origin);
        picked
    }

    /// The value of a setting from the strongest place that gives it, without a line in what is shown. All places are
    /// checked; None where no place gives it, or the strongest gives a wrong one.
    pub(super) fn find<K: Kind>(
        &mut self,
        key: &'static str,
        in_use: bool,
        variable: &str,
        help: &str,
    ) -> Option<Picked<K>> {
        if self.document.get(key).is_some_and(|entry| may_repeat::<K>(&entry.value)) {
            self.open.push(key);
        }
        let mut picked = None;
        for (at, (value, origin)) in self.candidates(key, variable).into_iter().enumerate() {
            let read = match value {
                Ok(value) => match K::read(&value) {
                    Ok(read) => Some(read),
                    Err(better) => {
                        self.wrong::<K>(key, &value, &origin, if better.is_empty() { help } else { &better });
                        None
                    }
                },
                // A variable that nothing needs may be missing.
                Err(Unresolved::Unset(_)) if at > 0 || !in_use => None,
                Err(unresolved) => {
                    self.unresolved(key, &unresolved, &origin);
                    None
                }
            };
            if at == 0 {
                picked = read.map(|value| Picked { value, origin });
            }
        }
        picked
    }

    pub(super) fn show(&mut self, key: &'static str, in_use: bool, value: serde_json::Value, origin: Origin) {
        self.shown.push(Shown { key, value, origin, in_use });
    }

    /// The first of these keys that is given, one of the command line before all others, and by whom.
    pub(super) fn given<'k>(&self, keys: &[&'k str]) -> Option<(&'k str, Origin)> {
        let origin = |key| Some((key, self.candidates(key, keys::variable_of(key)).into_iter().next()?.1));
        let given: Vec<_> = keys.iter().filter_map(|key| origin(*key)).collect();
        given.iter().find(|(_, origin)| matches!(origin, Origin::Flag(_))).or(given.first()).cloned()
    }

    /// Where a key of the file comes from.
    pub(super) fn origin_of(&self, entry: &Entry) -> Origin {
        Origin::File { file: self.document.file.clone(), place: entry.place }
    }

    /// Everything that gives this setting, the strongest first. What is empty on the command line or in a variable is
    /// not given.
    fn candidates(&self, key: &str, variable: &str) -> Vec<(Result<Value, Unresolved>, Origin)> {
        let flags = self.flags.iter().filter(|flag| flag.key == key);
        let flags = flags.map(|flag| (self.variables.resolve(&flag.value), Origin::Flag(flag.name.clone())));
        let texts = flags.chain(self.variables.given(variable)).filter(|(text, _)| text.as_deref() != Ok(""));
        let entry = self.document.get(key).map(|entry| {
            let value = match &entry.value {
                Value::String(text) => self.variables.resolve(text).map(Value::from),
                value => Ok(value.clone()),
            };
            (value, self.origin_of(entry))
        });
        texts.map(|(text, origin)| (text.map(Value::from), origin)).chain(entry).collect()
    }

    fn wrong<K: Kind>(&mut self, key: &str, value: &Value, origin: &Origin, help: &str) {
        let found = scalar(value).filter(|_| may_repeat::<K>(value)).map(|text| text.escape_debug().to_string());
        let message = match (&found, value) {
            (_, Value::Null) => format!("`{key}` has no value"),
            (Some(found), _) => format!("`{key}` cannot be `{}`", shortened(found)),
            (None, value) if scalar(value).is_some() => format!("`{key}` has a value that it cannot have (not shown)"),
            (None, value) => format!("`{key}` cannot be {}", kind_of(value)),
        };
        let meant = found.as_deref().and_then(|found| nearest(found, K::WORDS));
        let help = meant.map_or_else(|| help.to_owned(), |word| format!("did you mean `{word}`?"));
        let fault = Fault::new(key, origin, message).expected(K::expected()).help(help);
        self.faults.push(Fault { found, ..fault });
    }

    fn unresolved(&mut self, key: &str, unresolved: &Unresolved, origin: &Origin) {
        let (expected, help) = match unresolved {
            Unresolved::Unset(name) => {
                ("", format!("set {name} in the environment or in .env, or write ${{{name}:-a default}}"))
            }
            Unresolved::NotUnderstood => (
                "${NAME} or ${NAME:-default}",
                "write $${ for a plain `${`; in .env, put single quotes around the value".to_owned(),
            ),
            Unresolved::NotText(_) => ("UTF-8 text", "set it anew".to_owned()),
            Unresolved::Loop(_) | Unresolved::TooLong => ("", "correct the variables it names".to_owned()),
        };
        let fault = Fault::new(key, origin, format!("`{key}`: {unresolved}"));
        self.faults.push(fault.expected(expected).help(help));
    }

    /// Keys that are none: of the file, and of `--set`.
    pub(super) fn refuse_unknown(&mut self) {
        for flag in self.flags.iter().filter(|flag| keys::position(&flag.key).is_none()) {
            let origin = Origin::Flag(flag.name.clone());
            self.faults.push(if flag.key.is_empty() {
                let fault = Fault::new("", &origin, "a setting that cannot be read (not shown)");
                fault.expected("KEY=VALUE").help("write --set logging.level=DEBUG")
            } else {
                let message = format!("unknown setting `{}`", flag.key);
                Fault::new(&flag.key, &origin, message).help(keys::suggestion(&flag.key))
            });
        }
        for entry in &self.document.entries {
            let is_section = keys::is_section(&entry.key);
            if !keys::is_section(entry.above()) {
                // Below something unknown, or below a value, one message is enough.
            } else if entry.is_flat() {
                self.flat(entry);
            } else if is_section && !(entry.value.is_mapping() || entry.value.is_null()) {
                let message = format!("`{}` is {}", entry.key, kind_of(&entry.value));
                let help = format!("write its keys below it, indented: {}", keys::inside(&entry.key).join(", "));
                let fault = Fault::new(&entry.key, &self.origin_of(entry), message);
                self.faults.push(fault.expected("a mapping").help(help));
            } else if !is_section && keys::position(&entry.key).is_none() {
                self.unknown(entry, "", keys::suggestion(&entry.key));
            }
        }
    }

    fn flat(&mut self, entry: &Entry) {
        let (section, key) = entry.name.split_once('.').unwrap_or_default();
        let help = format!("write `{section}:`, and below it, indented, `{key}:`").escape_debug().to_string();
        self.unknown(entry, "sections, not dots", help);
    }

    fn unknown(&mut self, entry: &Entry, expected: &str, help: String) {
        let origin = Origin::File { file: self.document.file.clone(), place: entry.key_place };
        let fault = Fault::new(&entry.key, &origin, format!("unknown key `{}`", entry.key.escape_debug()));
        self.faults.push(fault.expected(expected).help(help));
    }
}

pub(super) const REMOVE: &str = "correct it, or remove it";

/// Whether a message may show this value. What looks like a URL with a password may stand in a wrong place.
fn may_repeat<K: Kind>(value: &Value) -> bool {
    scalar(value).is_some_and(|text| !(K::hides(&text) || text.contains("://") || text.contains('@')))
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::String(value) => Some(value.clone()),
        _ => None,
    }
}

/// A value as a person writes it.
pub(super) fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "-".to_owned(),
        serde_json::Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= FOUND_CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(FOUND_CHARS_MAX).chain(['…']).collect()
}
