//! What the templates made, read back: Python that parses and whose names all lead somewhere, YAML and JSON that parse.
//!
//! No Python runs. The rules about names are those of Ruff's F group that generated code can break: undefined and
//! unused names, imports that are double, unused or point nowhere inside the package.

mod builtins;
mod imports;
mod names;
mod nesting;
mod scopes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use ruff_python_ast::{Mod, PythonVersion};
use ruff_python_parser::{Mode, ParseOptions, parse_unchecked};
use ruff_text_size::{Ranged, TextRange};

use crate::diagnostic::{Diagnostic, Place};
use crate::render::File;
use crate::yaml;
use imports::dangling;
use names::Names;
use scopes::Misfit;

/// The oldest Python that generated code runs on.
const PYTHON: PythonVersion = PythonVersion::PY312;

/// Checks the files of one package together; every fault of every file is told, by file and place.
pub fn check(files: &[File]) -> Result<(), Vec<Diagnostic>> {
    let mut faults = Vec::new();
    let mut modules = BTreeMap::new();
    for file in files {
        match file.path.rsplit_once('.').map_or("", |(_, ending)| ending) {
            "py" | "pyi" => {
                if let Some(names) = python(file, &mut faults) {
                    modules.insert(file.path.as_str(), (file, names));
                }
            }
            "yaml" | "yml" => faults.extend(yaml::parse(&file.path, file.content.as_bytes()).err()),
            "json" => faults.extend(json(file)),
            _ => {}
        }
    }
    for (file, names) in modules.values() {
        for import in &names.relative {
            if let Some(message) = dangling(file, import, files, &modules) {
                faults.push(fault(file, import.offset, message, IMPORT));
            }
        }
    }
    for (file, names) in modules.values_mut() {
        told(file, names, files, &mut faults);
    }
    if faults.is_empty() {
        return Ok(());
    }
    faults.sort_by(|one, other| (&one.file, one.place).cmp(&(&other.file, other.place)));
    Err(faults)
}

/// Parses one module and gathers its names; None where it does not parse.
fn python<'f>(file: &'f File, faults: &mut Vec<Diagnostic>) -> Option<Names<'f>> {
    if nesting::is_too_deep(&file.content) {
        let expected = format!("at most {} operators, brackets and blocks in one another", nesting::NESTING_MAX);
        let deep = Diagnostic::new(&file.path, None, "the code is nested too deep");
        faults.push(deep.expected(expected).help(TEMPLATE));
        return None;
    }
    let options = ParseOptions::from(Mode::Module).with_target_version(PYTHON);
    let parsed = parse_unchecked(&file.content, options);
    let before = faults.len();
    let at = |range: TextRange| range.start().to_usize();
    for error in parsed.errors() {
        faults.push(fault(file, at(error.location), format!("this is no Python: {}", error.error), TEMPLATE));
    }
    for error in parsed.unsupported_syntax_errors() {
        faults.push(fault(file, at(error.range()), error.to_string(), TEMPLATE));
    }
    match parsed.syntax() {
        Mod::Module(module) if faults.len() == before => Some(names::names(&file.content, &module.body)),
        _ => None,
    }
}

fn json(file: &File) -> Option<Diagnostic> {
    let error = serde_json::from_str::<serde::de::IgnoredAny>(&file.content).err()?;
    let place = Place::new(error.line(), error.column().max(1));
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    Some(Diagnostic::new(&file.path, Some(place), format!("this is no JSON: {message}")).help(TEMPLATE))
}

/// Tells what does not fit in one module.
fn told(file: &File, names: &mut Names<'_>, files: &[File], faults: &mut Vec<Diagnostic>) {
    for (offset, message) in std::mem::take(&mut names.faults) {
        if !is_excused(&file.content, offset) {
            faults.push(fault(file, offset, message, TEMPLATE));
        }
    }
    // A package may name its modules there.
    let folder = file.path.strip_suffix("__init__.py");
    let is_module = |name: &str| folder.is_some_and(|folder| has_module(files, &format!("{folder}{name}")));
    for (name, offset) in std::mem::take(&mut names.exported) {
        if !names.scopes.mark(&name) && !names.open_ended && !is_module(&name) {
            faults.push(fault(file, offset, format!("`__all__` names `{name}`, which is not defined"), DEFINE));
        }
    }
    for (offset, name, misfit) in names.scopes.misfits() {
        let (message, help) = match misfit {
            Misfit::Undefined if names.open_ended => continue,
            Misfit::Undefined => (format!("`{name}` is not defined"), DEFINE),
            Misfit::ForTypesOnly => {
                (format!("`{name}` is imported only for type checkers and used at run time"), "import it without `if`")
            }
            Misfit::UnusedImport => {
                (format!("`{name}` is imported and not used"), "remove the import from the template")
            }
            Misfit::UnusedLocal => {
                (format!("`{name}` is assigned and not used"), "remove it, or begin its name with `_`")
            }
            Misfit::ImportedTwice => (format!("`{name}` is imported twice"), "remove one of the two imports"),
        };
        if !is_excused(&file.content, offset) {
            faults.push(fault(file, offset, message, help));
        }
    }
}

/// Whether there is a module or a package at `path`, which has no ending.
fn has_module(files: &[File], path: &str) -> bool {
    files.iter().any(|file| {
        let rest = file.path.strip_prefix(path);
        matches!(rest, Some(".py" | ".pyi" | "/__init__.py"))
    })
}

/// Whether the line says `# noqa`: its author knows.
fn is_excused(source: &str, offset: usize) -> bool {
    source
        .get(offset..)
        .and_then(|rest| rest.lines().next())
        .is_some_and(|line| line.to_ascii_lowercase().contains("# noqa"))
}

fn fault(file: &File, offset: usize, message: impl Into<String>, help: &str) -> Diagnostic {
    let before = file.content.get(..offset).unwrap_or(&file.content);
    Diagnostic::new(&file.path, Some(Place::after(before)), message).help(help)
}

const TEMPLATE: &str = "correct the template that makes this file, or the value that stands here";
const DEFINE: &str = "import or define it in the template, or check its spelling";
const IMPORT: &str = "correct the import in the template, or add the module to the pack";
