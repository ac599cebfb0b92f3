//! The classes of a package: what each is, in which module it lives, and under which name others import it.

use std::collections::{BTreeMap, BTreeSet};

use super::models::Model;
use crate::contract::Contract;
use crate::contract::schema::ClassRef;
use crate::diagnostic::Diagnostic;
use crate::python::{self, Names};

/// Names that the generated modules use themselves: no class of a contract may hide them.
const TAKEN: [&str; 43] = [
    "Annotated",
    "Any",
    "BaseModel",
    "ConfigDict",
    "Decimal",
    "Exception",
    "False",
    "Field",
    "Final",
    "Literal",
    "ModelONEXContainer",
    "NodeCompute",
    "NodeEffect",
    "NodeOrchestrator",
    "NodeReducer",
    "None",
    "NotImplementedError",
    "Protocol",
    "Route",
    "StrEnum",
    "TYPE_CHECKING",
    "Transition",
    "True",
    "TypeAlias",
    "UTC",
    "UUID",
    "ValidationError",
    "bool",
    "bytes",
    "date",
    "datetime",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "object",
    "set",
    "str",
    "time",
    "timedelta",
    "tuple",
    "uuid4",
];

/// Modules at the top of a package that the generator writes itself.
const OWN_MODULES: [&str; 8] =
    ["__main__", "contract", "external", "node", "routing", "state_machine", "tests", "topics"];

/// The place of a class in [`Classes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClassId(pub(super) usize);

#[derive(Debug, Clone)]
pub(super) struct Class {
    pub(super) name: String,
    /// The name under which other modules of the package import it: unique in the package.
    pub(super) alias: String,
    pub(super) home: Home,
    pub(super) body: Body,
    pub(super) description: Option<String>,
    /// The module of another package under which the contract names a class that it describes itself.
    pub(super) elsewhere: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Home {
    /// A module of this package: `["models", "model_order"]`.
    Own(Vec<String>),
    /// A module of another package: `acme.models.model_order`.
    Foreign(String),
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    Foreign,
    Model(Model),
    /// The values, in the order of the contract.
    Enum(Vec<Member>),
    Handler,
    Protocol,
}

/// One member of an enum.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) value: String,
}

impl Home {
    /// Whether this is the module at `path` of this package.
    pub(super) fn is_at(&self, path: &[String]) -> bool {
        matches!(self, Self::Own(module) if module == path)
    }
}

/// What a class is for: it says where the class lives when the contract does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Model,
    Enum,
    Handler,
    Protocol,
}

impl Role {
    fn folder(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Enum => "enums",
            Self::Handler => "handlers",
            Self::Protocol => "protocols",
        }
    }
}

/// The classes of one package.
pub(super) struct Classes {
    pub(super) all: Vec<Class>,
    /// The names of the node, as segments of module paths may have them.
    own_names: [String; 2],
    /// By module (small letters) and name.
    by_place: BTreeMap<(String, String), ClassId>,
    /// Paths that are folders, in small letters: a class that is placed at one gets a module of its own in it.
    folders: BTreeSet<Vec<String>>,
    /// How each path is spelled; one that differs only in case is the same file on some disks.
    spelled: BTreeMap<Vec<String>, Vec<String>>,
    /// For a bare name: the module under which the contract names it elsewhere.
    modules: BTreeMap<String, String>,
    aliases: Names,
    /// The names of the classes in each module of the package.
    defined: BTreeMap<Vec<String>, BTreeSet<String>>,
}

impl Classes {
    /// `mentioned` are all classes that the contract names, in their order.
    pub(super) fn new(contract: &Contract, package: &str, node_class: &str, mentioned: &[(&ClassRef, Role)]) -> Self {
        let mut aliases = Names::default();
        for name in TAKEN.into_iter().chain([node_class]) {
            aliases.claim(name);
        }
        let mut classes = Self {
            all: Vec::new(),
            own_names: [contract.name.clone(), package.to_owned()],
            by_place: BTreeMap::new(),
            folders: ["models", "enums", "handlers", "protocols"].iter().map(|name| vec![(*name).to_owned()]).collect(),
            spelled: BTreeMap::new(),
            modules: BTreeMap::new(),
            aliases,
            defined: BTreeMap::new(),
        };
        for (class, _) in mentioned {
            let Some(module) = &class.module else { continue };
            classes.modules.entry(class.name.clone()).or_insert_with(|| module.clone());
            if let Some(path) = classes.own_path(module) {
                for end in 1..path.len() {
                    classes.folders.insert(folded(&path[..end]));
                }
            }
        }
        classes
    }

    pub(super) fn get(&self, id: ClassId) -> &Class {
        &self.all[id.0]
    }

    pub(super) fn get_mut(&mut self, id: ClassId) -> &mut Class {
        &mut self.all[id.0]
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ClassId> + use<> {
        (0..self.all.len()).map(ClassId)
    }

    /// The path inside this package that a dotted module path names; None where it is the module of another package.
    pub(super) fn own_path(&self, module: &str) -> Option<Vec<String>> {
        let segments: Vec<&str> = module.split('.').collect();
        let before_models = segments.iter().position(|segment| *segment == "models").unwrap_or(segments.len());
        let is_own = |segment: &&str| {
            self.own_names.iter().any(|name| name == segment)
                || python::identifier(segment).is_some_and(|name| name == self.own_names[1])
        };
        let at = segments[..before_models].iter().position(is_own)?;
        Some(segments[at + 1..].iter().map(|segment| (*segment).to_owned()).collect())
    }

    /// The module that the contract names for a class, there or elsewhere.
    pub(super) fn module_of(&self, class: &ClassRef) -> Option<String> {
        class.module.clone().or_else(|| self.modules.get(&class.name).cloned())
    }

    /// Whether the class belongs to this package.
    pub(super) fn is_own(&self, class: &ClassRef) -> bool {
        self.module_of(class).is_none_or(|module| self.own_path(&module).is_some())
    }

    /// The class that the contract names; a new one where it is met for the first time.
    pub(super) fn named(&mut self, class: &ClassRef, role: Role, file: &str) -> Result<ClassId, Diagnostic> {
        let module = self.module_of(class);
        let path = match &module {
            Some(module) => match self.own_path(module) {
                Some(path) => path,
                None => return self.foreign(class, module, file),
            },
            None => Vec::new(),
        };
        if let Some(wrong) = path.iter().find(|segment| !python::is_identifier(segment) || python::is_keyword(segment))
        {
            let message = format!("`{wrong}` cannot be the name of a Python module");
            return Err(Diagnostic::new(file, Some(class.place), message)
                .expected("letters, digits and `_`")
                .help("change the path under `module`"));
        }
        self.check_name(class, file)?;
        Ok(self.own(&class.name, &path, role))
    }

    fn check_name(&self, class: &ClassRef, file: &str) -> Result<(), Diagnostic> {
        if !TAKEN.contains(&class.name.as_str()) && !python::is_keyword(&class.name) {
            return Ok(());
        }
        let message = format!("a class of this node cannot be called `{}`", class.name);
        Err(Diagnostic::new(file, Some(class.place), message)
            .expected("a name that the generated code does not use itself")
            .help("choose a name such as `ModelOrderRequest`, or give the `module` of the package that has the class"))
    }

    fn foreign(&mut self, class: &ClassRef, module: &str, file: &str) -> Result<ClassId, Diagnostic> {
        let is_name = |segment: &str| python::is_identifier(segment) && !python::is_keyword(segment);
        if !module.split('.').all(is_name) || !is_name(&class.name) {
            let message = format!("`{module}` cannot be imported");
            return Err(Diagnostic::new(file, Some(class.place), message)
                .expected("the path of a Python module: names of letters, digits and `_`, joined by dots")
                .help("write the path as a Python program imports it"));
        }
        let key = (format!(" {module}"), class.name.clone());
        let home = Home::Foreign(module.to_owned());
        Ok(self.insert(key, &class.name, home, Body::Foreign))
    }

    /// A class of this package at `path`; an empty path means the usual place.
    pub(super) fn own(&mut self, name: &str, path: &[String], role: Role) -> ClassId {
        let home = self.home(name, path, role);
        let key = (folded(&home).join("."), name.to_owned());
        let body = match role {
            Role::Model => Body::Model(Model::default()),
            Role::Enum => Body::Enum(Vec::new()),
            Role::Handler => Body::Handler,
            Role::Protocol => Body::Protocol,
        };
        self.insert(key, name, Home::Own(home), body)
    }

    /// A class that the contract does not name itself, at the usual place and under a name that is still free.
    pub(super) fn new_own(&mut self, wanted: &str, role: Role) -> ClassId {
        let mut tried = self.aliases.clone();
        let name = tried.claim(wanted);
        self.own(&name, &[], role)
    }

    /// The class of this package with that name, if there is one.
    pub(super) fn find_own(&self, name: &str) -> Option<ClassId> {
        self.ids().find(|id| self.get(*id).name == name && matches!(self.get(*id).home, Home::Own(_)))
    }

    fn insert(&mut self, key: (String, String), name: &str, home: Home, body: Body) -> ClassId {
        if let Some(id) = self.by_place.get(&key) {
            return *id;
        }
        let id = ClassId(self.all.len());
        let alias = self.aliases.claim(name);
        if let Home::Own(module) = &home {
            self.defined.entry(module.clone()).or_default().insert(name.to_owned());
        }
        self.all.push(Class { name: name.to_owned(), alias, home, body, description: None, elsewhere: None });
        self.by_place.insert(key, id);
        id
    }

    /// Whether the module at `path` has a class of that name.
    pub(super) fn is_defined(&self, path: &[String], name: &str) -> bool {
        self.defined.get(path).is_some_and(|names| names.contains(name))
    }

    /// Moves a class to the module at `path`.
    pub(super) fn relocate(&mut self, id: ClassId, path: &[String]) {
        let class = &mut self.all[id.0];
        if let Home::Own(module) = &mut class.home {
            if let Some(names) = self.defined.get_mut(module) {
                names.remove(&class.name);
            }
            *module = path.to_vec();
            self.defined.entry(path.to_vec()).or_default().insert(class.name.clone());
        }
    }

    /// The module for a class that the contract places at `path`.
    fn home(&mut self, name: &str, path: &[String], role: Role) -> Vec<String> {
        let mut path: Vec<String> = path.iter().filter(|segment| *segment != "__init__").cloned().collect();
        if path.first().is_none_or(|first| OWN_MODULES.contains(&first.to_lowercase().as_str())) {
            path = vec![role.folder().to_owned()];
        }
        while self.folders.contains(&folded(&path)) {
            path.push(python::identifier(name).unwrap_or_else(|| "unnamed".to_owned()));
        }
        self.spelled.entry(folded(&path)).or_insert(path).clone()
    }
}

fn folded(path: &[String]) -> Vec<String> {
    path.iter().map(|segment| segment.to_lowercase()).collect()
}
