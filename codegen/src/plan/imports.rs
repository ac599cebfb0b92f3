//! The import statements of one module, in the order that `ruff` sorts them.

use std::collections::{BTreeMap, BTreeSet};

use super::layout::COLUMNS_MAX;

/// What one module imports. Own modules are given as paths inside the package: `["models", "model_order"]`.
#[derive(Debug, Clone, Default)]
pub(super) struct Imports {
    /// By group, then module: `import` statements stand before the names of `from` ones.
    groups: BTreeMap<Group, BTreeMap<Vec<String>, Members>>,
}

/// The names that are imported from one module, each with the name it gets.
type Members = BTreeSet<(String, String)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Standard,
    Others,
    Own,
}

/// The modules of Python's own library that generated code imports.
const STANDARD: [&str; 8] = ["asyncio", "dataclasses", "datetime", "decimal", "enum", "pathlib", "typing", "uuid"];

impl Imports {
    /// `from module import name`, of Python's library or another package.
    pub(super) fn add(&mut self, module: &str, name: &str) {
        let group = if STANDARD.contains(&module) { Group::Standard } else { Group::Others };
        self.insert(group, vec![module.to_owned()], name, name);
    }

    /// A name of this package, under `alias` where that differs.
    pub(super) fn add_own(&mut self, module: &[String], name: &str, alias: &str) {
        self.insert(Group::Own, module.to_vec(), name, alias);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    fn insert(&mut self, group: Group, module: Vec<String>, name: &str, alias: &str) {
        let names = self.groups.entry(group).or_default().entry(module).or_default();
        names.insert((name.to_owned(), alias.to_owned()));
    }

    /// The statements for a module at `here`, in groups; a blank line stands between two groups. They are laid out to
    /// stand behind `indent` columns.
    pub(super) fn groups(&self, here: &[String], indent: usize) -> Vec<Vec<String>> {
        let groups = self.groups.iter().map(|(group, modules)| {
            let mut lines: Vec<(usize, String, String)> = Vec::new();
            for (module, names) in modules {
                let (up, path) = if *group == Group::Own { relative(here, module) } else { (0, module.join(".")) };
                // Those from further up come first.
                let key = (usize::MAX - up, sort_key(path.trim_start_matches('.')));
                for statement in from_import(&path, names, indent) {
                    lines.push((key.0, key.1.clone(), statement));
                }
            }
            lines.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
            lines.into_iter().map(|(_, _, statement)| statement).collect()
        });
        groups.collect()
    }
}

/// The dotted relative path from the module at `here` to that at `there`, and how many dots it begins with.
fn relative(here: &[String], there: &[String]) -> (usize, String) {
    let folder = &here[..here.len().saturating_sub(1)];
    let shared = folder.iter().zip(there).take_while(|(one, other)| one == other).count();
    // A folder itself is imported from outside of it: `from ..models import ...`.
    let shared = shared.min(there.len().saturating_sub(1));
    let dots = folder.len() - shared + 1;
    (dots, format!("{}{}", ".".repeat(dots), there[shared..].join(".")))
}

/// The statements that import `names`; each renamed one has a statement of its own.
fn from_import(module: &str, names: &Members, indent: usize) -> Vec<String> {
    let mut plain: Vec<&str> =
        names.iter().filter(|(name, alias)| name == alias).map(|(name, _)| name.as_str()).collect();
    plain.sort_by_key(|name| member_key(name));
    let mut statements = Vec::new();
    if !plain.is_empty() {
        statements.push(laid_out(module, &plain, indent));
    }
    for (name, alias) in names.iter().filter(|(name, alias)| name != alias) {
        statements.push(laid_out(module, &[&format!("{name} as {alias}")], indent));
    }
    statements
}

/// One statement; its further lines are not indented yet.
pub(super) fn laid_out(module: &str, names: &[&str], indent: usize) -> String {
    let line = format!("from {module} import {}", names.join(", "));
    if indent + line.chars().count() <= COLUMNS_MAX {
        return line;
    }
    format!("from {module} import (\n    {},\n)", names.join(",\n    "))
}

/// Sorts the names of one module: constants, classes, the others; numbers in them by their value.
pub(super) fn member_key(name: &str) -> (u8, String, String) {
    let constant =
        name.chars().count() > 1 && name.chars().any(char::is_uppercase) && !name.chars().any(char::is_lowercase);
    let class = name.chars().next().is_some_and(char::is_uppercase);
    let kind = if constant {
        0
    } else if class {
        1
    } else {
        2
    };
    (kind, sort_key(name), name.to_owned())
}

/// Small letters, and numbers as wide as each other.
fn sort_key(name: &str) -> String {
    let mut key = String::with_capacity(name.len() + 16);
    let mut digits = String::new();
    for char in name.to_lowercase().chars().chain(['\0']) {
        if char.is_ascii_digit() {
            digits.push(char);
            continue;
        }
        if !digits.is_empty() {
            key.push_str(&format!("{digits:0>20}"));
            digits.clear();
        }
        key.push(char);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(dotted: &str) -> Vec<String> {
        dotted.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn statements_are_grouped_sorted_and_relative() {
        let mut imports = Imports::default();
        imports.add("pydantic", "Field");
        imports.add("pydantic", "BaseModel");
        imports.add("uuid", "uuid4");
        imports.add("uuid", "UUID");
        imports.add_own(&path("enums.enum_state"), "EnumState", "EnumState");
        imports.add_own(&path("models.model_line"), "ModelLine", "ModelLine_2");
        imports.add_own(&path("external"), "ModelIntent", "ModelIntent");
        let groups = imports.groups(&path("models.model_order"), 0);
        let expected = [
            vec!["from uuid import UUID, uuid4"],
            vec!["from pydantic import BaseModel, Field"],
            vec![
                "from ..enums.enum_state import EnumState",
                "from ..external import ModelIntent",
                "from .model_line import ModelLine as ModelLine_2",
            ],
        ];
        assert_eq!(groups, expected);
    }
}
