//! A template pack: which files a package has, and which template makes each of them.
//!
//! ```yaml
//! name: onex
//! version: "1.0.0"
//! description: ONEX node packages.
//! partials: [macros.py.j2]              # templates that others include, import or extend
//! files:
//!   - path: node.py
//!     template: node.py.j2
//!   - path: "handlers/{{ item.module }}.py"
//!     template: handler.py.j2
//!     each: handlers                    # one file for each item of this list; in templates it is `item`
//!     when: handlers                    # no file where this is false, empty or nothing
//! ```

use std::collections::BTreeSet;

use minijinja::Environment;

use crate::diagnostic::{Diagnostic, Place};
use crate::nearest::nearest;
use crate::path;
use crate::templates;
use crate::yaml::{self, Entry, Node, Value};

const KEYS: &[&str] = &["name", "version", "description", "partials", "files"];
const RULE_KEYS: &[&str] = &["path", "template", "each", "when"];

/// What `pack.yaml` says.
#[derive(Debug, Clone, PartialEq)]
pub struct Pack {
    /// The manifest's own name, for diagnostics.
    pub file: String,
    /// Lower-case letters, digits, `-` and `_`.
    pub name: String,
    pub version: String,
    pub description: String,
    /// Templates that make no file themselves.
    pub partials: Vec<String>,
    /// In the order of the manifest, at least one.
    pub files: Vec<Rule>,
}

/// How one file of a package, or one for each item of a list, is made.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The path inside the package; may hold `{{ expressions }}`.
    pub path: Snippet,
    /// The name of the template, relative to the pack.
    pub template: String,
    /// A list in the plan: one file for each item.
    pub each: Option<Snippet>,
    /// Whether there is a file at all; asked for each item.
    pub when: Option<Snippet>,
}

/// A piece of template language in the manifest, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Snippet {
    pub text: String,
    pub place: Place,
}

impl Pack {
    /// Reads a manifest. `file` is the name used in diagnostics; all faults are told at once.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, Vec<Diagnostic>> {
        let root = yaml::parse(file, bytes).map_err(|fault| vec![fault])?;
        let mut reader = Reader { file, faults: Vec::new() };
        let pack = reader.pack(&root);
        match pack {
            Some(pack) if reader.faults.is_empty() => Ok(pack),
            _ => {
                reader.faults.sort_by_key(|fault| fault.place);
                Err(reader.faults)
            }
        }
    }

    /// Every template that a job needs, each once, in the order of the manifest.
    pub fn templates(&self) -> impl Iterator<Item = &str> {
        let mut seen = BTreeSet::new();
        let of_files = self.files.iter().map(|rule| rule.template.as_str());
        self.partials.iter().map(String::as_str).chain(of_files).filter(move |name| seen.insert(*name))
    }

    /// A fault of one of the templates, with the template's file in the place of its name: the one beside the manifest.
    #[must_use]
    pub fn locate(&self, mut fault: Diagnostic) -> Diagnostic {
        if let Some((folder, _)) = self.file.rsplit_once('/')
            && self.templates().any(|name| name == fault.file)
        {
            fault.file = format!("{folder}/{}", fault.file);
        }
        fault
    }
}

/// Gathers the faults; a part that has one is None.
struct Reader<'f> {
    file: &'f str,
    faults: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn fault(&mut self, place: Place, message: impl Into<String>, expected: &str, help: &str) {
        self.faults.push(Diagnostic::new(self.file, Some(place), message).expected(expected).help(help));
    }

    fn pack(&mut self, root: &Node) -> Option<Pack> {
        let entries = self.mapping(root, "the pack", KEYS)?;
        let name = self.required(root, entries, "name").filter(|name| self.is_pack_name(name));
        let version = self.required(root, entries, "version");
        let description = self.text(entries, "description");
        let partials = self.items(root, "partials").iter().filter_map(|item| self.template(item)).collect();
        let files: Vec<_> = self.items(root, "files").iter().filter_map(|item| self.rule(item)).collect();
        if root.get("files").is_none_or(|list| list.list().is_some_and(<[Node]>::is_empty)) {
            let place = root.get("files").map_or(root.place, |list| list.place);
            self.fault(place, "the pack makes no files", "a list under `files:`", "add `- path: …` and `template: …`");
        }
        Some(Pack {
            file: self.file.to_owned(),
            name: name?.text,
            version: version?.text,
            description: description.map(|description| description.text).unwrap_or_default(),
            partials,
            files,
        })
    }

    fn rule(&mut self, item: &Node) -> Option<Rule> {
        let entries = self.mapping(item, "an item of `files`", RULE_KEYS)?;
        let path = self.required(item, entries, "path").filter(|path| self.is_path(path));
        let template = self.required(item, entries, "template").filter(|name| self.is_template_name(name));
        let each = self.text(entries, "each").filter(|each| self.is_expression(each));
        let when = self.text(entries, "when").filter(|when| self.is_expression(when));
        Some(Rule { path: path?, template: template?.text, each, when })
    }

    fn mapping<'n>(&mut self, node: &'n Node, what: &str, keys: &[&str]) -> Option<&'n [Entry]> {
        let Some(entries) = node.map() else {
            self.fault(node.place, format!("{what} is {}", node.kind()), "a mapping", &format!("write {}", list(keys)));
            return None;
        };
        for entry in entries.iter().filter(|entry| !keys.contains(&entry.key.as_str())) {
            let help = match nearest(&entry.key, keys) {
                Some(key) => format!("did you mean `{key}`?"),
                None => "remove it".to_owned(),
            };
            self.fault(entry.key_place, format!("unknown key `{}`", entry.key.escape_debug()), &list(keys), &help);
        }
        Some(entries)
    }

    fn required(&mut self, node: &Node, entries: &[Entry], key: &str) -> Option<Snippet> {
        if node.get(key).is_none() {
            self.fault(node.place, format!("`{key}` is missing"), "text", &format!("add `{key}: …`"));
        }
        self.text(entries, key)
    }

    /// The text under `key`; no text where it is missing or null.
    fn text(&mut self, entries: &[Entry], key: &str) -> Option<Snippet> {
        let node = &entries.iter().find(|entry| entry.key == key)?.value;
        match &node.value {
            Value::Text(text) => Some(Snippet { text: text.clone(), place: node.place }),
            Value::Null => None,
            _ => {
                let help = "put quotes around it where it is meant as text";
                self.fault(node.place, format!("`{key}` is {}", node.kind()), "text", help);
                None
            }
        }
    }

    fn items<'n>(&mut self, root: &'n Node, key: &str) -> &'n [Node] {
        let Some(node) = root.get(key) else { return &[] };
        node.list().unwrap_or_else(|| {
            self.fault(node.place, format!("`{key}` is {}", node.kind()), "a list", "begin each item with `- `");
            &[]
        })
    }

    fn template(&mut self, node: &Node) -> Option<String> {
        let Some(text) = node.text() else {
            let help = "write the file name of a template";
            self.fault(node.place, format!("a template's name is {}", node.kind()), "text", help);
            return None;
        };
        let name = Snippet { text: text.to_owned(), place: node.place };
        self.is_template_name(&name).then_some(name.text)
    }

    fn is_pack_name(&mut self, name: &Snippet) -> bool {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        let good = name.text.len() <= 64 && name.text.starts_with(|char: char| char.is_ascii_lowercase());
        if good && name.text.bytes().all(allowed) {
            return true;
        }
        let expected = "a lower-case letter, then lower-case letters, digits, `-` or `_`, at most 64 in all";
        let message = format!("`{}` cannot be the name of a pack", name.text.escape_debug());
        self.fault(name.place, message, expected, "choose a name such as `onex` or `my-pack`");
        false
    }

    fn is_template_name(&mut self, name: &Snippet) -> bool {
        let Some(why) = path::refusal(&name.text) else { return true };
        let message = format!("`{}` cannot be a template: {why}", name.text.escape_debug());
        self.fault(name.place, message, "a file inside the pack", "write its path relative to `pack.yaml`, with `/`");
        false
    }

    fn is_path(&mut self, path: &Snippet) -> bool {
        if path.is_template() {
            if self.is_too_long(path, false) {
                return false;
            }
            let checked = Environment::empty().template_from_str(&path.text).map(|_| ());
            return self.is_sound(path, checked);
        }
        let Some(why) = path::refusal(&path.text) else { return true };
        let message = format!("`{}` cannot be a path: {why}", path.text.escape_debug());
        self.fault(path.place, message, "a path inside the package", "write it relative to the package, with `/`");
        false
    }

    fn is_expression(&mut self, snippet: &Snippet) -> bool {
        if self.is_too_long(snippet, true) {
            return false;
        }
        let checked = Environment::empty().compile_expression(&snippet.text).map(|_| ());
        self.is_sound(snippet, checked)
    }

    /// Before it is compiled: see [`templates::chain`].
    fn is_too_long(&mut self, snippet: &Snippet, is_expression: bool) -> bool {
        let Some(chain) = templates::chain(&snippet.text, is_expression) else { return false };
        self.fault(snippet.place, chain.message, &chain.expected, "put a part of it into the plan or a template");
        true
    }

    fn is_sound(&mut self, snippet: &Snippet, checked: Result<(), minijinja::Error>) -> bool {
        let Err(error) = checked else { return true };
        let why = error.detail().unwrap_or("it is not in the template language");
        let message = format!("`{}` cannot be read: {why}", snippet.text.escape_debug());
        let help = "write a name from the plan, without braces in `each` and `when`, in `{{ }}` in `path`";
        self.fault(snippet.place, message, "an expression of the template language", help);
        false
    }
}

impl Snippet {
    /// Whether there is anything to render in it.
    pub(crate) fn is_template(&self) -> bool {
        self.text.contains('{')
    }
}

fn list(keys: &[&str]) -> String {
    keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
name: onex
version: '1.0'
description: d
partials: [macros.py.j2, node.py.j2]
files:
  - path: node.py
    template: node.py.j2
  - {path: 'h/{{ item.m }}.py', template: sub/h.py.j2, each: handlers, when: item.m != 'x'}
";

    fn faults(text: &str) -> Vec<String> {
        let faults = Pack::parse("pack.yaml", text.as_bytes()).expect_err("should be refused");
        assert!(faults.iter().all(|fault| !fault.help.is_empty()), "{faults:?}");
        let line = |fault: &Diagnostic| {
            let place = fault.place.unwrap();
            format!("{}:{} {}", place.line, place.column, fault.message)
        };
        faults.iter().map(line).collect()
    }

    #[test]
    fn a_manifest_says_which_files_and_templates_there_are() {
        let pack = Pack::parse("pack.yaml", GOOD.as_bytes()).unwrap();
        assert_eq!((pack.name.as_str(), pack.version.as_str(), pack.files.len()), ("onex", "1.0", 2));
        let names: Vec<_> = pack.templates().collect();
        assert_eq!(names, ["macros.py.j2", "node.py.j2", "sub/h.py.j2"]);
        let each = pack.files[1].each.as_ref().unwrap();
        assert_eq!((each.text.as_str(), each.place), ("handlers", Place { line: 8, column: 62 }));
    }

    #[test]
    fn all_faults_are_told_at_once_with_their_places() {
        let text = "\
name: My Pack
version: 1.0
descripton: d
partials: ['../secret', 3]
files:
  - {path: /etc/passwd, template: a\\b}
  - {path: '{{ x', template: t, each: 'a b', when: '{{ c }}', extra: 1}
  - text
";
        let want = [
            "1:7 `My Pack` cannot be the name of a pack",
            "2:10 `version` is a number",
            "3:1 unknown key `descripton`",
            "4:12 `../secret` cannot be a template: it has a segment `.` or `..`",
            "4:25 a template's name is a number",
            "6:12 `/etc/passwd` cannot be a path: it begins with `/`",
            "6:35 `a\\\\b` cannot be a template: it holds a backslash",
        ];
        let told = faults(text);
        assert_eq!(&told[..want.len()], want);
        let places: Vec<_> = told[want.len()..].iter().map(|fault| fault.split(' ').next().unwrap()).collect();
        assert_eq!(
            places,
            ["7:12", "7:39", "7:52", "7:63", "8:5"],
            "path, each, when, unknown key, no mapping: {told:#?}"
        );
    }

    #[test]
    fn a_manifest_without_its_parts_is_refused() {
        assert_eq!(faults("a: 1").len(), 4);
        assert_eq!(faults("[]"), ["1:1 the pack is a list"]);
        assert_eq!(faults("name: x\nversion: '1'\nfiles: []\n"), ["3:8 the pack makes no files"]);
        assert_eq!(faults("name: x\nversion: '1'\nfiles: 7\n"), ["3:8 `files` is a number"]);
        assert_eq!(Pack::parse("pack.yaml", b"").unwrap_err()[0].message, "the file is empty");
    }
}
