//! One setting after the other, from whoever gives it first: flag, environment, `.env`, file, default. Every value that is
//! given is checked, also one that a stronger place overrides; faults are collected, not thrown.

use std::ops::RangeInclusive;

use codegen::{Diagnostic, nearest};
use serde_yaml::Value;

use super::document::{Document, Entry, kind_of};
use super::kind::{Kind, whole};
use super::origin::{Fault, Flag, Origin, Picked, Shown};
use super::variables::{Unresolved, Variables};

/// Variables that give a setting, whatever the file calls it.
const VARIABLES: [(&str, &str); 5] = [
    ("database.url", "DATABASE_URL"),
    ("monitoring.enabled", "MONITORING_ENABLED"),
    ("monitoring.alert_webhook_url", "ALERT_WEBHOOK_URL"),
    ("logging.level", "LOG_LEVEL"),
    ("logging.dir", "LOG_DIR"),
];

/// Longer values are cut in messages.
const FOUND_CHARS_MAX: usize = 60;

pub(super) struct Reader<'s> {
    flags: &'s [Flag],
    variables: &'s Variables,
    pub(super) document: &'s Document,
    /// Whether what is read next has an effect: a variable that is not set is a fault only there.
    pub(super) in_use: bool,
    pub(super) faults: Vec<Fault>,
    pub(super) shown: Vec<Shown>,
    known: Vec<&'static str>,
}

struct Candidate {
    value: Value,
    origin: Origin,
    /// Holds no references.
    verbatim: bool,
}

/// What a setting can be, without its type.
struct Spec<'s, T> {
    key: &'static str,
    expected: &'s str,
    words: &'static [&'static str],
    secret: bool,
    help: &'s str,
    read: &'s dyn Fn(&Value) -> Option<T>,
}

impl<'s> Reader<'s> {
    pub(super) fn new(flags: &'s [Flag], variables: &'s Variables, document: &'s Document) -> Self {
        let (faults, shown, known) = (Vec::new(), Vec::new(), Vec::new());
        Self { flags, variables, document, in_use: true, faults, shown, known }
    }

    /// A setting with a default.
    pub(super) fn pick<K: Kind>(&mut self, key: &'static str, default: K) -> Picked<K> {
        self.pick_or(key, default, Origin::Default)
    }

    /// A setting with a default that comes from somewhere.
    pub(super) fn pick_or<K: Kind>(&mut self, key: &'static str, default: K, origin: Origin) -> Picked<K> {
        let help = format!("the default is `{}`", plain(&default.show()));
        let picked = self.find(key, &help).unwrap_or(Picked { value: default, origin });
        self.show(key, picked.value.show(), picked.origin.clone());
        picked
    }

    /// A setting without a default.
    pub(super) fn pick_if<K: Kind>(&mut self, key: &'static str) -> Option<K> {
        let picked = self.find::<K>(key, REMOVE);
        let shown = picked.as_ref().map_or(serde_json::Value::Null, |picked| picked.value.show());
        let origin = picked.as_ref().map_or(Origin::Default, |picked| picked.origin.clone());
        self.show(key, shown, origin);
        picked.map(|picked| picked.value)
    }

    pub(super) fn whole(&mut self, key: &'static str, range: RangeInclusive<u64>, default: u64, origin: Origin) -> u64 {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let help = format!("the default is `{default}`");
        let read = |value: &Value| whole(value).filter(|number| range.contains(number));
        let spec = Spec { key, expected: &expected, words: &[], secret: false, help: &help, read: &read };
        let candidates = self.candidates(key, variable_of(key));
        let picked = self.first(&spec, candidates).unwrap_or(Picked { value: default, origin });
        self.show(key, picked.value.into(), picked.origin);
        picked.value
    }

    /// The value of a setting, where it is given; without a line in what is shown.
    pub(super) fn find<K: Kind>(&mut self, key: &'static str, help: &str) -> Option<Picked<K>> {
        let candidates = self.candidates(key, variable_of(key));
        self.first(&spec(key, help), candidates)
    }

    /// As [`Self::find`], from a variable whose name another setting gives. Its value is taken as it is.
    pub(super) fn find_named<K: Kind>(&mut self, key: &'static str, variable: &str) -> Option<Picked<K>> {
        let mut candidates = self.candidates(key, Some(variable));
        for candidate in &mut candidates {
            candidate.verbatim |= matches!(candidate.origin, Origin::Environment(_));
        }
        self.first(&spec(key, REMOVE), candidates)
    }

    pub(super) fn show(&mut self, key: &'static str, value: serde_json::Value, origin: Origin) {
        self.shown.push(Shown { key, value, origin, in_use: self.in_use });
    }

    pub(super) fn fault(
        &mut self,
        key: &str,
        found: Option<String>,
        origin: &Origin,
        message: String,
        expected: &str,
        help: &str,
    ) {
        let (file, place) = origin.whereabouts();
        let diagnostic = Diagnostic::new(file, place, message).expected(expected).help(help);
        self.faults.push(Fault { key: key.to_owned(), found, diagnostic });
    }

    /// The first of these keys that the command line gives.
    pub(super) fn flag_of(&self, keys: &[&str]) -> Option<Origin> {
        let flag = self.flags.iter().find(|flag| keys.contains(&flag.key.as_str()) && !flag.value.is_empty());
        flag.map(|flag| Origin::Flag(flag.name.clone()))
    }

    /// Where a key of the file comes from.
    pub(super) fn origin_of(&self, entry: &Entry) -> Origin {
        Origin::File { file: self.document.file.clone(), place: entry.place }
    }

    /// Everything that gives this setting, the strongest first. What is empty on the command line or in a variable is
    /// not given.
    fn candidates(&self, key: &str, variable: Option<&str>) -> Vec<Candidate> {
        let flags = self.flags.iter().filter(|flag| flag.key == key);
        let flags = flags.map(|flag| (flag.value.as_str(), Origin::Flag(flag.name.clone()), false));
        let variables = variable.into_iter().flat_map(|name| {
            self.variables.given(name).map(move |variable| {
                let name = name.to_owned();
                let origin = match variable.place {
                    Some(place) => Origin::DotEnv { name, file: self.variables.file.file.clone(), place },
                    None => Origin::Environment(name),
                };
                (variable.text, origin, variable.verbatim)
            })
        });
        let texts = flags.chain(variables).filter(|(text, ..)| !text.is_empty());
        let texts = texts.map(|(text, origin, verbatim)| Candidate { value: Value::from(text), origin, verbatim });
        let entry = self.document.get(key);
        let entry =
            entry.map(|entry| Candidate { value: entry.value.clone(), origin: self.origin_of(entry), verbatim: false });
        texts.chain(entry).collect()
    }

    /// The first candidate's value. All are checked; None where the first is wrong.
    fn first<T>(&mut self, spec: &Spec<'_, T>, candidates: Vec<Candidate>) -> Option<Picked<T>> {
        self.known.push(spec.key);
        let mut first = None;
        for (at, candidate) in candidates.into_iter().enumerate() {
            let Candidate { value, origin, verbatim } = candidate;
            let resolved = match &value {
                Value::String(text) if !verbatim => self.variables.resolve(text).map(Value::from),
                _ => Ok(value),
            };
            let read = match resolved {
                Ok(value) => {
                    let read = (spec.read)(&value);
                    if read.is_none() {
                        self.wrong(spec, &value, &origin);
                    }
                    read
                }
                // A variable that nothing needs may be missing.
                Err(Unresolved::Unset(_)) if at > 0 || !self.in_use => None,
                Err(unresolved) => {
                    self.unresolved(spec.key, &unresolved, &origin);
                    None
                }
            };
            if at == 0 {
                first = read.map(|value| Picked { value, origin });
            }
        }
        first
    }

    fn wrong<T>(&mut self, spec: &Spec<'_, T>, value: &Value, origin: &Origin) {
        let text = match value {
            Value::Bool(value) => Some(value.to_string()),
            Value::Number(value) => Some(value.to_string()),
            Value::String(value) => Some(value.escape_debug().to_string()),
            _ => None,
        };
        let found = text.clone().filter(|_| !spec.secret);
        let message = match (&found, value) {
            (_, Value::Null) => format!("`{}` has no value", spec.key),
            (Some(found), _) => format!("`{}` cannot be `{}`", spec.key, shortened(found)),
            (None, _) if text.is_some() => format!("`{}` has a value that it cannot have (not shown)", spec.key),
            (None, value) => format!("`{}` cannot be {}", spec.key, kind_of(value)),
        };
        let meant = found.as_deref().and_then(|found| nearest(found, spec.words));
        let help = meant.map_or_else(|| spec.help.to_owned(), |word| format!("did you mean `{word}`?"));
        self.fault(spec.key, found, origin, message, spec.expected, &help);
    }

    fn unresolved(&mut self, key: &str, unresolved: &Unresolved, origin: &Origin) {
        let (expected, help) = match unresolved {
            Unresolved::Unset(name) => {
                (String::new(), format!("set {name} in the environment or in .env, or write ${{{name}:-a default}}"))
            }
            Unresolved::NotUnderstood => (
                "${NAME} or ${NAME:-default}".to_owned(),
                "write $${ for a plain `${`; in .env, put single quotes around the value".to_owned(),
            ),
            Unresolved::Loop(_) | Unresolved::TooLong => (String::new(), "correct the variables it names".to_owned()),
        };
        self.fault(key, None, origin, format!("`{key}`: {unresolved}"), &expected, &help);
    }

    /// Keys that nobody asked for: of the file, and of `--set`. To be called when everything was read.
    pub(super) fn refuse_unknown(&mut self) {
        let flags = self.flags;
        for flag in flags {
            if self.known.contains(&flag.key.as_str()) {
                continue;
            }
            let help = self.suggestion(&flag.key);
            let message = format!("unknown setting `{}`", flag.key.escape_debug());
            self.fault(&flag.key, None, &Origin::Flag(flag.name.clone()), message, "", &help);
        }
        let document = self.document;
        for entry in &document.entries {
            let inside = self.known.iter().any(|known| starts_section(known, &entry.key));
            let above = entry.key.rsplit_once('.').map(|(above, _)| above);
            // Below something unknown, or below a value, one message is enough.
            let is_told = above.is_some_and(|above| !self.known.iter().any(|known| starts_section(known, above)));
            if entry.is_flat() && !is_told {
                self.flat(entry);
            } else if inside && !(entry.value.is_mapping() || entry.value.is_null()) {
                let message = format!("`{}` is {}", entry.key, kind_of(&entry.value));
                let help = format!("write its keys below it, indented: {}", self.children(&entry.key).join(", "));
                self.fault(&entry.key, None, &self.origin_of(entry), message, "a mapping", &help);
            } else if !(inside || is_told || self.known.contains(&entry.key.as_str())) {
                let help = self.suggestion(&entry.key);
                let origin = Origin::File { file: document.file.clone(), place: entry.key_place };
                let message = format!("unknown key `{}`", entry.key.escape_debug());
                self.fault(&entry.key, None, &origin, message, "", &help);
            }
        }
    }

    fn flat(&mut self, entry: &Entry) {
        let (section, key) = entry.name.split_once('.').unwrap_or_default();
        let help = format!("write `{section}:`, and below it, indented, `{key}:`").escape_debug().to_string();
        let origin = Origin::File { file: self.document.file.clone(), place: entry.key_place };
        let message = format!("unknown key `{}`", entry.key.escape_debug());
        self.fault(&entry.key, None, &origin, message, "sections, not dots", &help);
    }

    fn suggestion(&self, key: &str) -> String {
        let (above, name) = key.rsplit_once('.').unwrap_or(("", key));
        let siblings = self.children(above);
        if let Some(meant) = nearest(name, &siblings) {
            return format!("did you mean `{meant}`?");
        }
        let elsewhere = self.known.iter().find(|known| known.rsplit('.').next() == Some(name));
        if let Some(known) = elsewhere {
            return format!("did you mean `{known}`?");
        }
        match (above, siblings.is_empty()) {
            (_, true) => format!("known here: {}", self.children("").join(", ")),
            ("", _) => format!("known here: {}", siblings.join(", ")),
            (above, _) => format!("known in `{above}`: {}", siblings.join(", ")),
        }
    }

    /// The names of what a section holds; of the sections where it is empty.
    fn children(&self, section: &str) -> Vec<&'static str> {
        let mut names = Vec::new();
        for known in &self.known {
            let inside = if section.is_empty() { Some(*known) } else { known.strip_prefix(section) };
            let inside = inside.filter(|rest| section.is_empty() || rest.starts_with('.'));
            let name = inside.and_then(|rest| rest.trim_start_matches('.').split('.').next());
            names.extend(name.filter(|name| !names.contains(name)));
        }
        names
    }
}

const REMOVE: &str = "correct it, or remove it";

fn spec<'h, K: Kind>(key: &'static str, help: &'h str) -> Spec<'h, K> {
    let help = if K::HELP.is_empty() { help } else { K::HELP };
    Spec { key, expected: K::EXPECTED, words: K::WORDS, secret: K::SECRET, help, read: &K::read }
}

/// A value as a person writes it.
pub(super) fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "-".to_owned(),
        serde_json::Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// Whether `key` stands in that section.
fn starts_section(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= FOUND_CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(FOUND_CHARS_MAX).chain(['…']).collect()
}

fn variable_of(key: &str) -> Option<&'static str> {
    VARIABLES.iter().find(|(known, _)| *known == key).map(|(_, name)| *name)
}
