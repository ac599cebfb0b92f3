//! Imports: what they bind in a module, and whether those inside the package lead somewhere.

use std::collections::BTreeMap;

use ruff_python_ast::{Expr, StmtImport, StmtImportFrom};
use ruff_text_size::TextRange;

use super::has_module;
use super::names::{Names, Walk};
use super::scopes::BindingKind;
use crate::render::File;

pub(super) struct RelativeImport<'s> {
    /// The number of dots.
    pub(super) level: u32,
    /// What follows the dots; empty where nothing does.
    pub(super) module: &'s str,
    pub(super) name: &'s str,
    pub(super) offset: usize,
}

impl<'s> Walk<'s> {
    pub(super) fn import_modules(&mut self, import: &StmtImport) {
        for alias in &import.names {
            let name = self.text(alias.name.range);
            match (&alias.asname, name.split_once('.')) {
                (Some(asname), _) => self.import(asname.range, name, true),
                (None, None) => self.import(alias.name.range, name, false),
                (None, Some((first, _))) => {
                    self.bind_name(first, alias.name.range, BindingKind::ImportOfSubmodule);
                }
            }
        }
    }

    pub(super) fn import_from(&mut self, import: &StmtImportFrom) {
        let module = import.module.as_ref().map_or("", |module| self.text(module.range));
        if module == "__future__" {
            self.postponed |= import.names.iter().any(|alias| alias.name.as_str() == "annotations");
            return;
        }
        for alias in &import.names {
            let offset = alias.range.start().to_usize();
            let name = self.text(alias.name.range);
            if name == "*" {
                self.names.open_ended = true;
                self.names.faults.push((offset, "`import *` hides which names there are".to_owned()));
                continue;
            }
            if import.level > 0 {
                self.names.relative.push(RelativeImport { level: import.level, module, name, offset });
            }
            self.import(
                alias.asname.as_ref().map_or(alias.name.range, |name| name.range),
                name,
                alias.asname.is_some(),
            );
        }
    }

    fn import(&mut self, bound: TextRange, name: &'s str, renamed: bool) {
        self.bind(bound, BindingKind::Import);
        // `import x as x` says that it is meant for others.
        if renamed && self.text(bound) == name && self.scope == 0 {
            self.names.scopes.mark(name);
        }
    }

    /// `__all__ = […]` and `__all__ += […]`.
    pub(super) fn export(&mut self, target: &Expr, value: &Expr) {
        let items = match (target, value) {
            (Expr::Name(name), Expr::List(list)) if name.id.as_str() == "__all__" => &list.elts,
            (Expr::Name(name), Expr::Tuple(tuple)) if name.id.as_str() == "__all__" => &tuple.elts,
            _ => return,
        };
        for item in items {
            if let Expr::StringLiteral(text) = item {
                self.names.exported.push((text.value.to_str().to_owned(), text.range.start().to_usize()));
            }
        }
    }
}

/// Why a relative import leads nowhere.
pub(super) fn dangling(
    file: &File,
    import: &RelativeImport<'_>,
    files: &[File],
    modules: &BTreeMap<&str, (&File, Names<'_>)>,
) -> Option<String> {
    let mut folder: Vec<&str> = file.path.split('/').collect();
    for _ in 0..import.level {
        if folder.pop().is_none() {
            return Some("this import leaves the package".to_owned());
        }
    }
    folder.extend(import.module.split('.').filter(|part| !part.is_empty()));
    let path = folder.join("/");
    let package = if path.is_empty() { "__init__.py".to_owned() } else { format!("{path}/__init__.py") };
    let module = format!("{path}.py");
    let target = modules.get(module.as_str()).or_else(|| modules.get(package.as_str()));
    if let Some((_, target)) = target
        && (target.open_ended || target.scopes.defines(import.name))
    {
        return None;
    }
    let below = if path.is_empty() { import.name.to_owned() } else { format!("{path}/{}", import.name) };
    if has_module(files, &below) {
        return None;
    }
    let found = has_module(files, &path) || files.iter().any(|file| file.path == package);
    // A module that does not parse has its own fault; which names it has cannot be said.
    match (target, found) {
        (None, true) => None,
        (Some(_), _) => Some(format!("`{}` does not define `{}`", shown(import), import.name)),
        (None, false) => Some(format!("the package has no module `{}`", shown(import))),
    }
}

fn shown(import: &RelativeImport<'_>) -> String {
    format!("{}{}", ".".repeat(import.level as usize), import.module)
}
