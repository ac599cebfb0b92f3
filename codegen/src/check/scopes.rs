//! The names of one Python module: where each is bound, where each is used, and what does not fit.

use std::collections::BTreeMap;

use super::builtins::BUILTINS;

/// Names that exist inside functions and classes without being bound.
const IMPLICIT: &[&str] = &["__class__", "__module__", "__qualname__"];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ScopeKind {
    Module,
    Class,
    /// A function, a lambda, or the type parameters of either: its body runs later.
    Function,
    /// Runs where it stands.
    Comprehension,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum BindingKind {
    Import,
    /// `import a.b` binds `a`, which several of them may share.
    ImportOfSubmodule,
    /// A plain variable of a function, which is there to be read.
    Local,
    Other,
}

pub(super) struct Binding<'s> {
    name: &'s str,
    offset: usize,
    kind: BindingKind,
    scope: usize,
    /// Bound only for type checkers, under `if TYPE_CHECKING:`.
    for_types: bool,
    /// Bound inside an `if`, `try`, loop or the like: another branch may bind it too.
    in_branch: bool,
    used: bool,
    /// The same name's binding before this one, in the same scope.
    before: Option<usize>,
}

struct Scope<'s> {
    kind: ScopeKind,
    parent: Option<usize>,
    /// The last binding of each name.
    names: BTreeMap<&'s str, usize>,
    globals: Vec<&'s str>,
    nonlocals: Vec<&'s str>,
    /// It calls `locals()`, which reads every name.
    reads_all: bool,
}

struct Use<'s> {
    name: &'s str,
    offset: usize,
    scope: usize,
    /// Not evaluated when the line runs: a string annotation, or any where annotations are postponed.
    for_types: bool,
}

pub(super) enum Misfit {
    Undefined,
    ForTypesOnly,
    UnusedImport,
    UnusedLocal,
    ImportedTwice,
}

#[derive(Default)]
pub(super) struct Scopes<'s> {
    scopes: Vec<Scope<'s>>,
    bindings: Vec<Binding<'s>>,
    uses: Vec<Use<'s>>,
}

impl<'s> Scopes<'s> {
    /// Opens a scope and gives its number; the module's is 0.
    pub(super) fn open(&mut self, kind: ScopeKind, parent: Option<usize>) -> usize {
        let scope = Scope {
            kind,
            parent,
            names: BTreeMap::new(),
            globals: Vec::new(),
            nonlocals: Vec::new(),
            reads_all: false,
        };
        self.scopes.push(scope);
        self.scopes.len() - 1
    }

    pub(super) fn bind(
        &mut self,
        scope: usize,
        name: &'s str,
        offset: usize,
        kind: BindingKind,
        for_types: bool,
        in_branch: bool,
    ) {
        let here = &self.scopes[scope];
        if here.nonlocals.contains(&name) {
            return;
        }
        let (scope, kind) = if here.globals.contains(&name) { (0, BindingKind::Other) } else { (scope, kind) };
        let before = self.scopes[scope].names.insert(name, self.bindings.len());
        self.bindings.push(Binding { name, offset, kind, scope, for_types, in_branch, used: false, before });
    }

    /// `x := …` in a comprehension binds in what stands around it.
    pub(super) fn around_comprehensions(&self, mut scope: usize) -> usize {
        while let (ScopeKind::Comprehension, Some(parent)) = (self.scopes[scope].kind, self.scopes[scope].parent) {
            scope = parent;
        }
        scope
    }

    pub(super) fn kind(&self, scope: usize) -> ScopeKind {
        self.scopes[scope].kind
    }

    pub(super) fn global(&mut self, scope: usize, name: &'s str, offset: usize) {
        self.scopes[scope].globals.push(name);
        if !self.scopes[0].names.contains_key(name) {
            self.bind(0, name, offset, BindingKind::Other, false, true);
        }
    }

    pub(super) fn nonlocal(&mut self, scope: usize, name: &'s str) {
        self.scopes[scope].nonlocals.push(name);
    }

    pub(super) fn r#use(&mut self, scope: usize, name: &'s str, offset: usize, for_types: bool) {
        self.scopes[scope].reads_all |= name == "locals";
        self.uses.push(Use { name, offset, scope, for_types });
    }

    /// A use by name only (`__all__`, an explicit re-export); whether the module has the name.
    pub(super) fn mark(&mut self, name: &str) -> bool {
        let mut next = self.scopes[0].names.get(name).copied();
        let found = next.is_some();
        while let Some(at) = next {
            self.bindings[at].used = true;
            next = self.bindings[at].before;
        }
        found
    }

    /// Whether the module itself has the name.
    pub(super) fn defines(&self, name: &str) -> bool {
        self.scopes[0].names.contains_key(name)
    }

    /// What does not fit: by name, with the byte where it stands, in the order of the text.
    pub(super) fn misfits(&mut self) -> Vec<(usize, &'s str, Misfit)> {
        let mut misfits = Vec::new();
        for used in std::mem::take(&mut self.uses) {
            if let Some(misfit) = self.resolve(&used) {
                misfits.push((used.offset, used.name, misfit));
            }
        }
        for binding in &self.bindings {
            let before = binding.before.map(|before| &self.bindings[before]);
            let misfit = match binding.kind {
                BindingKind::Import if twice(binding, before) => Misfit::ImportedTwice,
                BindingKind::Import | BindingKind::ImportOfSubmodule if !binding.used => Misfit::UnusedImport,
                BindingKind::Local if !binding.used && !self.is_excused(binding) => Misfit::UnusedLocal,
                _ => continue,
            };
            misfits.push((binding.offset, binding.name, misfit));
        }
        misfits.sort_by_key(|(offset, ..)| *offset);
        misfits
    }

    /// A variable that need not be read: its name says so, or the function reads all it has.
    fn is_excused(&self, binding: &Binding<'_>) -> bool {
        binding.name.starts_with('_') || self.scopes[binding.scope].reads_all
    }

    fn resolve(&mut self, used: &Use<'s>) -> Option<Misfit> {
        let mut next = Some(used.scope);
        let mut runs_later = used.for_types;
        let mut for_types_only = false;
        while let Some(at) = next {
            let scope = &self.scopes[at];
            next = scope.parent;
            // What a class binds is not seen from the functions in it.
            let visible = scope.kind != ScopeKind::Class || at == used.scope || !runs_later;
            let last = scope.names.get(used.name).copied().filter(|_| visible);
            let ordered = !runs_later && matches!(scope.kind, ScopeKind::Module | ScopeKind::Class);
            runs_later |= scope.kind == ScopeKind::Function;
            if let Some(last) = last {
                match self.take(last, used, ordered) {
                    Taken::Yes => return None,
                    Taken::ForTypesOnly => for_types_only = true,
                    Taken::NotYet => {}
                }
            }
        }
        let known = BUILTINS.binary_search(&used.name).is_ok() || used.scope != 0 && IMPLICIT.contains(&used.name);
        match (known, for_types_only) {
            (true, _) => None,
            (false, true) => Some(Misfit::ForTypesOnly),
            (false, false) => Some(Misfit::Undefined),
        }
    }

    /// Marks the bindings of a name in one scope as used; whether one of them serves the use.
    fn take(&mut self, last: usize, used: &Use<'s>, ordered: bool) -> Taken {
        let mut taken = Taken::NotYet;
        let mut next = Some(last);
        while let Some(at) = next {
            let binding = &mut self.bindings[at];
            next = binding.before;
            if ordered && binding.offset > used.offset {
                continue;
            }
            binding.used = true;
            if used.for_types || !binding.for_types {
                taken = Taken::Yes;
            } else if taken == Taken::NotYet {
                taken = Taken::ForTypesOnly;
            }
        }
        taken
    }
}

#[derive(PartialEq)]
enum Taken {
    Yes,
    ForTypesOnly,
    NotYet,
}

fn twice(binding: &Binding<'_>, before: Option<&Binding<'_>>) -> bool {
    let before = before.filter(|before| before.kind == BindingKind::Import && before.scope == binding.scope);
    before.is_some_and(|before| !before.in_branch && !binding.in_branch)
}
