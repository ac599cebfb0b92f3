//! The modules of a package: which classes stand in each, in which order, with which imports.

use std::collections::{BTreeMap, BTreeSet};

use super::classes::{Body, Class, ClassId, Classes, Home};
use super::cycles::{Passing, for_each_needed};
use super::fields;
use super::handlers::Handler;
use super::imports::{Imports, member_key};
use super::layout::{Code, Item, statement};
use super::models::Model;
use super::text;
use super::types::Scope;
use super::view::{ClassView, EnumView, FieldView, FolderView, MemberView, ModelView, ModuleView};
use crate::contract::Contract;
use crate::contract::schema::Extra;
use crate::diagnostic::Diagnostic;

const CONTAINER: (&str, &str) = ("omnibase_core.models.container.model_onex_container", "ModelONEXContainer");

/// What the modules are made of.
pub(super) struct Parts<'a> {
    pub(super) contract: &'a Contract,
    pub(super) classes: &'a Classes,
    pub(super) handlers: &'a [Handler],
    pub(super) passing: &'a Passing,
}

/// The modules with classes, sorted by path, and the folders they stand in.
pub(super) fn modules(parts: &Parts, faults: &mut Vec<Diagnostic>) -> (Vec<ModuleView>, Vec<FolderView>) {
    let mut members: BTreeMap<&[String], Vec<ClassId>> = BTreeMap::new();
    for id in parts.classes.ids() {
        if let Home::Own(module) = &parts.classes.get(id).home {
            members.entry(module).or_default().push(id);
        }
    }
    let lazy = handlers_are_imported(parts.classes);
    let mut views: Vec<ModuleView> = members.iter().map(|(path, ids)| module(parts, path, ids, lazy, faults)).collect();
    views.extend(parts.passing.iter().map(|(path, ids)| passing_module(parts, path, ids)));
    views.sort_by(|one, other| one.path.cmp(&other.path));
    (views, folders(parts, &members))
}

/// Whether a module that has no handlers imports one that has, or its folder: then handlers must not import models when
/// they are loaded themselves.
fn handlers_are_imported(classes: &Classes) -> bool {
    let mut folders: BTreeSet<&[String]> = BTreeSet::new();
    for id in classes.ids() {
        if let (Body::Handler, Home::Own(module)) = (&classes.get(id).body, &classes.get(id).home) {
            folders.insert(&module[..module.len() - 1]);
        }
    }
    classes.ids().any(|id| {
        let mut found = false;
        for_each_needed(classes, id, &mut |other| {
            if let (Home::Own(here), Home::Own(there)) = (&classes.get(id).home, &classes.get(other).home) {
                found |= here != there && folders.contains(&there[..there.len() - 1]);
            }
        });
        found
    })
}

fn module(parts: &Parts, path: &[String], ids: &[ClassId], lazy: bool, faults: &mut Vec<Diagnostic>) -> ModuleView {
    let scope = Scope { classes: parts.classes, here: path };
    let (mut imports, mut type_imports) = (Imports::default(), Imports::default());
    let mut views = Vec::new();
    for id in in_order(parts.classes, ids) {
        let class = parts.classes.get(id);
        let mut view = ClassView {
            kind: String::new(),
            name: class.name.clone(),
            doc: class_doc(class, parts.contract),
            model: None,
            enumeration: None,
            handler: None,
        };
        match &class.body {
            Body::Model(model) => {
                view.kind = "model".to_owned();
                imports.add("pydantic", "BaseModel");
                imports.add("pydantic", "ConfigDict");
                let written = fields::written(model, &scope, &mut imports, &parts.contract.file, faults);
                view.model = Some(model_view(class, model, path, written));
            }
            Body::Enum(members) => {
                view.kind = "enum".to_owned();
                imports.add("enum", "StrEnum");
                let members = members.iter().cloned().map(MemberView::from).collect();
                view.enumeration = Some(enum_view(class, path, members));
            }
            Body::Handler => {
                let Some(handler) = parts.handlers.iter().find(|handler| handler.class == id) else { continue };
                view.kind = if handler.is_function() { "function" } else { "handler" }.to_owned();
                if !handler.is_function() {
                    type_imports.add(CONTAINER.0, CONTAINER.1);
                }
                for kind in [&handler.request, &handler.response] {
                    let (kind, _) = kind.split_limits();
                    kind.import_into(&scope, if lazy { &mut type_imports } else { &mut imports });
                }
                view.doc = handler.doc(parts.contract);
                view.handler = Some(handler.view(parts.contract, &scope));
            }
            Body::Protocol => {
                view.kind = "protocol".to_owned();
                imports.add("typing", "Protocol");
            }
            Body::Foreign => continue,
        }
        views.push(view);
    }
    if !type_imports.is_empty() {
        imports.add("typing", "TYPE_CHECKING");
    }
    written_module(parts, path, &imports, &type_imports, views)
}

fn written_module(
    parts: &Parts,
    path: &[String],
    imports: &Imports,
    type_imports: &Imports,
    views: Vec<ClassView>,
) -> ModuleView {
    let names: Vec<&str> = views.iter().map(|view| view.name.as_str()).collect();
    ModuleView {
        path: format!("{}.py", path.join("/")),
        doc: module_doc(&names, &parts.contract.name),
        imports: imports.groups(path, 0),
        type_imports: type_imports.groups(path, 4),
        exports: sorted(names.into_iter().map(str::to_owned).collect()),
        all_statement: String::new(),
        classes: views,
    }
}

/// A module whose classes moved to another one.
fn passing_module(parts: &Parts, path: &[String], ids: &[ClassId]) -> ModuleView {
    let scope = Scope { classes: parts.classes, here: path };
    let mut imports = Imports::default();
    let mut names = Vec::new();
    for id in ids {
        scope.import(*id, &mut imports);
        names.push(scope.name(*id));
    }
    let doc = format!("{} of {}; it lives beside the models that need it.", listed(&names), parts.contract.name);
    ModuleView {
        path: format!("{}.py", path.join("/")),
        doc,
        imports: imports.groups(path, 0),
        type_imports: Vec::new(),
        classes: Vec::new(),
        all_statement: all_statement(names.clone()),
        exports: sorted(names),
    }
}

/// Enums and protocols, then models, each behind those it needs as far as that is possible, then handlers.
fn in_order(classes: &Classes, ids: &[ClassId]) -> Vec<ClassId> {
    let is_model = |id: &ClassId| matches!(classes.get(*id).body, Body::Model(_));
    let mut order: Vec<ClassId> =
        ids.iter().copied().filter(|id| matches!(classes.get(*id).body, Body::Enum(_) | Body::Protocol)).collect();
    let mut models: Vec<ClassId> = ids.iter().copied().filter(is_model).collect();
    while !models.is_empty() {
        let is_free = |id: &ClassId| {
            let mut free = true;
            for_each_needed(classes, *id, &mut |other| free &= other == *id || !models.contains(&other));
            free
        };
        let free: Vec<ClassId> = models.iter().copied().filter(is_free).collect();
        // In a circle one has to be first; Pydantic completes it when the others are there.
        let next = if free.is_empty() { vec![models[0]] } else { free };
        models.retain(|id| !next.contains(id));
        order.extend(next);
    }
    order.extend(ids.iter().copied().filter(|id| matches!(classes.get(*id).body, Body::Handler)));
    order
}

fn model_view(class: &Class, model: &Model, path: &[String], written: Vec<fields::Written>) -> ModelView {
    let setting = |name: &str, value: &str| Item::named(name, Code::atom(value));
    let mut settings = Vec::new();
    if model.frozen {
        settings.push(setting("frozen", "True"));
    }
    settings.push(setting("extra", &format!("\"{}\"", model.extra.as_str())));
    if written.iter().any(|field| field.alias.is_some()) {
        settings.push(setting("populate_by_name", "True"));
    }
    if written.iter().any(|field| field.name.starts_with("model_")) {
        settings.push(setting("protected_namespaces", "()"));
    }
    let fields = written.into_iter().zip(&model.fields).map(|(written, field)| FieldView {
        name: written.name,
        alias: written.alias,
        annotation: written.annotation,
        required: field.required,
        description: field.description.clone(),
        declaration: written.declaration,
    });
    ModelView {
        name: class.name.clone(),
        module: path.join("."),
        summary: text::summary(class.description.as_deref(), "The contract does not describe it."),
        config_statement: statement(4, "model_config = ", &Code::call("ConfigDict", settings)),
        fields: fields.collect(),
    }
}

pub(super) fn enum_view(class: &Class, path: &[String], members: Vec<MemberView>) -> EnumView {
    EnumView {
        name: class.name.clone(),
        module: path.join("."),
        summary: text::summary(class.description.as_deref(), "The contract does not describe it."),
        members,
    }
}

fn class_doc(class: &Class, contract: &Contract) -> String {
    let otherwise = match &class.body {
        Body::Enum(_) => format!("A choice of values in {}.", contract.name),
        Body::Protocol => format!("What {} needs from outside.", contract.name),
        _ => format!("Data of {}.", contract.name),
    };
    let mut doc = text::doc(class.description.as_deref(), &otherwise);
    if let Body::Model(model) = &class.body
        && model.fields.is_empty()
    {
        doc.push_str(match model.extra {
            Extra::Forbid => "\n\nThe contract lists no fields for it: add them here.",
            _ => "\n\nThe contract lists no fields for it; it takes whatever it is given.",
        });
    }
    if let Some(module) = &class.elsewhere {
        doc.push_str(&format!("\n\nThe contract also names it in `{module}`: keep the two alike."));
    }
    doc
}

fn module_doc(names: &[&str], node: &str) -> String {
    format!("{} of {node}.", listed(names))
}

fn listed(names: &[impl AsRef<str>]) -> String {
    match names {
        [] => "Nothing".to_owned(),
        [one] => one.as_ref().to_owned(),
        [first, .., last] if names.len() < 4 => {
            let middle: Vec<&str> = names[1..names.len() - 1].iter().map(AsRef::as_ref).collect();
            let middle = middle.iter().map(|name| format!(", {name}")).collect::<String>();
            format!("{}{middle} and {}", first.as_ref(), last.as_ref())
        }
        [first, ..] => format!("{} and {} other classes", first.as_ref(), names.len() - 1),
    }
}

/// Every folder on the way to a module; its `__init__` passes on the classes of the modules that stand in it.
fn folders(parts: &Parts, members: &BTreeMap<&[String], Vec<ClassId>>) -> Vec<FolderView> {
    let mut folders: BTreeMap<&[String], Vec<ClassId>> = BTreeMap::new();
    for (path, ids) in members {
        for end in 1..path.len() {
            folders.entry(&path[..end]).or_default();
        }
        folders.entry(&path[..path.len() - 1]).or_default().extend(ids);
    }
    for (path, ids) in parts.passing {
        for end in 1..path.len() {
            folders.entry(&path[..end]).or_default();
        }
        let folder = folders.entry(&path[..path.len() - 1]).or_default();
        folder.extend(ids.iter().filter(|id| !folder.contains(id)).copied().collect::<Vec<_>>());
    }
    folders.remove([].as_slice());
    let view = |(path, ids): (&[String], Vec<ClassId>)| {
        let here: Vec<String> = path.iter().cloned().chain(["__init__".to_owned()]).collect();
        let scope = Scope { classes: parts.classes, here: &here };
        let mut imports = Imports::default();
        ids.iter().for_each(|id| scope.import(*id, &mut imports));
        let names = ids.iter().map(|id| scope.name(*id)).collect();
        let what = path.last().map(String::as_str).unwrap_or_default();
        FolderView {
            path: path.join("/"),
            doc: format!("{} of {}.", capitalized(what), parts.contract.name),
            imports: imports.groups(&here, 0),
            all_statement: all_statement(names),
        }
    };
    folders.into_iter().map(view).collect()
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// `__all__ = [...]`, sorted and laid out.
pub(super) fn all_statement(names: Vec<String>) -> String {
    let names = sorted(names).into_iter().map(Code::Text).collect();
    statement(0, "__all__ = ", &Code::list(names))
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_by_key(|name| member_key(name));
    names.dedup();
    names
}
