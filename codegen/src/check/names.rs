//! One walk over a Python module that gathers its names.

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{
    AnyParameterRef, Comprehension, ExceptHandler, Expr, ExprContext, ExprStringLiteral, Parameters, Pattern, Stmt,
    StmtClassDef, StmtFunctionDef, StmtIf, StringFlags, TypeParam, TypeParams,
};
use ruff_python_parser::{parse_expression_range, parse_parenthesized_expression_range};
use ruff_text_size::{Ranged, TextRange};

use super::imports::RelativeImport;
use super::scopes::{BindingKind, ScopeKind, Scopes};

/// The longest string that is read as an annotation, in bytes.
const ANNOTATION_BYTES_MAX: usize = 500;

/// What one module says about names.
#[derive(Default)]
pub(super) struct Names<'s> {
    pub(super) scopes: Scopes<'s>,
    /// `from .x import y`: where it points to is known only when all modules are read.
    pub(super) relative: Vec<RelativeImport<'s>>,
    /// The names in `__all__`, and where they stand.
    pub(super) exported: Vec<(String, usize)>,
    /// Other faults: the byte where it stands, and its words.
    pub(super) faults: Vec<(usize, String)>,
    /// A module-level `__getattr__` or `import *`: it may have names that are not to be seen.
    pub(super) open_ended: bool,
}

pub(super) fn names<'s>(source: &'s str, body: &[Stmt]) -> Names<'s> {
    let mut names = Names::default();
    let scope = names.scopes.open(ScopeKind::Module, None);
    let mut walk = Walk {
        source,
        names,
        scope,
        postponed: false,
        for_types: false,
        branch: 0,
        in_annotation: false,
        literal: false,
    };
    walk.visit_body(body);
    walk.names
}

pub(super) struct Walk<'s> {
    source: &'s str,
    pub(super) names: Names<'s>,
    pub(super) scope: usize,
    /// `from __future__ import annotations`.
    pub(super) postponed: bool,
    /// Inside `if TYPE_CHECKING:`.
    for_types: bool,
    /// How many `if`, `try`, loops and the like stand around.
    branch: usize,
    in_annotation: bool,
    /// Inside `Literal[…]`: strings are no annotations.
    literal: bool,
}

impl<'s> Walk<'s> {
    pub(super) fn text(&self, range: TextRange) -> &'s str {
        self.source.get(range.start().to_usize()..range.end().to_usize()).unwrap_or_default()
    }

    pub(super) fn bind(&mut self, range: TextRange, kind: BindingKind) {
        self.bind_name(self.text(range), range, kind);
    }

    pub(super) fn bind_name(&mut self, name: &'s str, range: TextRange, kind: BindingKind) {
        let offset = range.start().to_usize();
        self.names.scopes.bind(self.scope, name, offset, kind, self.for_types, self.branch > 0);
    }

    /// A target of `=`, `as` or `:=`: in a function it is there to be read.
    fn bind_target(&mut self, target: &Expr) {
        match target {
            Expr::Name(name) if self.names.scopes.kind(self.scope) == ScopeKind::Function => {
                self.bind(name.range, BindingKind::Local);
            }
            _ => self.visit_expr(target),
        }
    }

    fn within(&mut self, kind: ScopeKind, walk: impl FnOnce(&mut Self)) {
        let around = self.scope;
        self.scope = self.names.scopes.open(kind, Some(around));
        let (branch, in_annotation, literal) = (self.branch, self.in_annotation, self.literal);
        (self.branch, self.in_annotation, self.literal) = (0, false, false);
        walk(self);
        (self.branch, self.in_annotation, self.literal) = (branch, in_annotation, literal);
        self.scope = around;
    }

    fn in_branch(&mut self, walk: impl FnOnce(&mut Self)) {
        self.branch += 1;
        walk(self);
        self.branch -= 1;
    }

    /// Type parameters have a scope of their own around what they belong to.
    fn with_type_params(&mut self, params: Option<&TypeParams>, walk: impl FnOnce(&mut Self)) {
        let Some(params) = params else { return walk(self) };
        self.within(ScopeKind::Comprehension, |this| {
            for param in &params.type_params {
                let name = match param {
                    TypeParam::TypeVar(param) => &param.name,
                    TypeParam::TypeVarTuple(param) => &param.name,
                    TypeParam::ParamSpec(param) => &param.name,
                };
                this.bind(name.range, BindingKind::Other);
            }
            this.visit_type_params(params);
            walk(this);
        });
    }

    fn bind_parameters(&mut self, parameters: &Parameters) {
        for parameter in parameters.iter().map(AnyParameterRef::as_parameter) {
            self.bind(parameter.name.range, BindingKind::Other);
        }
    }

    fn function(&mut self, function: &StmtFunctionDef) {
        function.decorator_list.iter().for_each(|decorator| self.visit_decorator(decorator));
        self.names.open_ended |= self.scope == 0 && function.name.as_str() == "__getattr__";
        self.bind(function.name.range, BindingKind::Other);
        self.with_type_params(function.type_params.as_deref(), |this| {
            this.visit_parameters(&function.parameters);
            function.returns.iter().for_each(|returns| this.visit_annotation(returns));
            this.within(ScopeKind::Function, |this| {
                this.bind_parameters(&function.parameters);
                this.visit_body(&function.body);
            });
        });
    }

    fn class(&mut self, class: &StmtClassDef) {
        class.decorator_list.iter().for_each(|decorator| self.visit_decorator(decorator));
        self.with_type_params(class.type_params.as_deref(), |this| {
            class.arguments.iter().for_each(|arguments| this.visit_arguments(arguments));
            this.within(ScopeKind::Class, |this| this.visit_body(&class.body));
        });
        // Its name is bound when its body has run.
        let name = self.text(class.name.range);
        self.bind_name(name, TextRange::empty(class.range.end()), BindingKind::Other);
    }

    fn choice(&mut self, choice: &StmtIf) {
        self.visit_expr(&choice.test);
        let for_types = self.for_types;
        self.for_types |= is_named(&choice.test, "TYPE_CHECKING");
        self.in_branch(|this| this.visit_body(&choice.body));
        self.for_types = for_types;
        for clause in &choice.elif_else_clauses {
            self.in_branch(|this| this.visit_elif_else_clause(clause));
        }
    }

    /// A string where an annotation stands is one itself, to be read later.
    fn string_annotation(&mut self, range: TextRange, literal: &ExprStringLiteral) {
        // An annotation in parts, or as long as no type is, stays unread: it would be parsed by recursion.
        let Some(part) = literal.as_single_part_string().filter(|_| range.len().to_usize() <= ANNOTATION_BYTES_MAX)
        else {
            return;
        };
        let inner = range.add_start(part.flags.opener_len()).sub_end(part.flags.closer_len());
        let parsed = if part.flags.is_triple_quoted() {
            parse_parenthesized_expression_range(self.source, inner)
        } else {
            parse_expression_range(self.source, inner)
        };
        match parsed {
            Ok(parsed) => {
                let postponed = std::mem::replace(&mut self.postponed, true);
                self.visit_expr(parsed.expr());
                self.postponed = postponed;
            }
            Err(_) => self.names.faults.push((range.start().to_usize(), "this annotation is no Python".to_owned())),
        }
    }

    fn subscript(&mut self, value: &Expr, slice: &Expr) {
        self.visit_expr(value);
        let (in_annotation, literal) = (self.in_annotation, self.literal);
        match slice {
            _ if is_named(value, "Literal") => {
                self.literal = true;
                self.visit_expr(slice);
            }
            Expr::Tuple(tuple) if is_named(value, "Annotated") => {
                for (at, part) in tuple.elts.iter().enumerate() {
                    // Only the first is a type, the others are values.
                    self.literal = literal || at > 0;
                    self.visit_expr(part);
                }
            }
            _ => self.visit_expr(slice),
        }
        (self.in_annotation, self.literal) = (in_annotation, literal);
    }

    fn comprehension(&mut self, generators: &[Comprehension], walk: impl FnOnce(&mut Self)) {
        let Some((first, others)) = generators.split_first() else { return };
        // The first source is read in the scope around.
        self.visit_expr(&first.iter);
        self.within(ScopeKind::Comprehension, |this| {
            this.visit_expr(&first.target);
            first.ifs.iter().for_each(|test| this.visit_expr(test));
            others.iter().for_each(|generator| this.visit_comprehension(generator));
            walk(this);
        });
    }
}

/// Whether `expr` is `name` or `something.name`.
fn is_named(expr: &Expr, wanted: &str) -> bool {
    match expr {
        Expr::Name(name) => name.id.as_str() == wanted,
        Expr::Attribute(attribute) => attribute.attr.as_str() == wanted,
        _ => false,
    }
}

impl Visitor<'_> for Walk<'_> {
    fn visit_stmt(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::FunctionDef(function) => self.function(function),
            Stmt::ClassDef(class) => self.class(class),
            Stmt::TypeAlias(alias) => {
                self.visit_expr(&alias.name);
                self.with_type_params(alias.type_params.as_deref(), |this| {
                    this.within(ScopeKind::Function, |this| this.visit_expr(&alias.value));
                });
            }
            Stmt::Import(import) => self.import_modules(import),
            Stmt::ImportFrom(import) => self.import_from(import),
            Stmt::Global(global) => {
                for name in &global.names {
                    self.names.scopes.global(self.scope, self.text(name.range), name.range.start().to_usize());
                }
            }
            Stmt::Nonlocal(nonlocal) => {
                for name in &nonlocal.names {
                    self.names.scopes.nonlocal(self.scope, self.text(name.range));
                }
            }
            Stmt::Assign(assign) => {
                self.visit_expr(&assign.value);
                for target in &assign.targets {
                    self.export(target, &assign.value);
                    self.bind_target(target);
                }
            }
            Stmt::AnnAssign(assign) => {
                assign.value.iter().for_each(|value| self.visit_expr(value));
                self.visit_annotation(&assign.annotation);
                assign.value.iter().for_each(|value| self.export(&assign.target, value));
                self.bind_target(&assign.target);
            }
            Stmt::AugAssign(assign) => {
                self.export(&assign.target, &assign.value);
                self.visit_expr(&assign.value);
                self.visit_expr(&assign.target);
                if let Expr::Name(name) = &*assign.target {
                    self.names.scopes.r#use(self.scope, self.text(name.range), name.range.start().to_usize(), false);
                }
            }
            Stmt::If(choice) => self.choice(choice),
            Stmt::For(_) | Stmt::While(_) | Stmt::Try(_) | Stmt::Match(_) => {
                self.in_branch(|this| visitor::walk_stmt(this, stmt));
            }
            Stmt::With(with) => {
                for item in &with.items {
                    self.visit_expr(&item.context_expr);
                    item.optional_vars.iter().for_each(|target| self.bind_target(target));
                }
                self.visit_body(&with.body);
            }
            _ => visitor::walk_stmt(self, stmt),
        }
    }

    fn visit_expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Name(name) => {
                let for_types = self.for_types || self.in_annotation && self.postponed;
                let offset = name.range.start().to_usize();
                match name.ctx {
                    ExprContext::Store => self.bind(name.range, BindingKind::Other),
                    _ => self.names.scopes.r#use(self.scope, self.text(name.range), offset, for_types),
                }
            }
            Expr::StringLiteral(text) if self.in_annotation && !self.literal => {
                self.string_annotation(expr.range(), text);
            }
            Expr::Subscript(subscript) if self.in_annotation => self.subscript(&subscript.value, &subscript.slice),
            Expr::Named(named) => {
                self.visit_expr(&named.value);
                let scope = self.scope;
                self.scope = self.names.scopes.around_comprehensions(scope);
                self.bind(named.target.range(), BindingKind::Other);
                self.scope = scope;
            }
            // Its first argument is a type, as a string or not.
            Expr::Call(call) if is_named(&call.func, "cast") && !call.arguments.args.is_empty() => {
                self.visit_expr(&call.func);
                self.visit_annotation(&call.arguments.args[0]);
                call.arguments.args[1..].iter().for_each(|argument| self.visit_expr(argument));
                call.arguments.keywords.iter().for_each(|keyword| self.visit_keyword(keyword));
            }
            Expr::Lambda(lambda) => {
                lambda.parameters.iter().for_each(|parameters| self.visit_parameters(parameters));
                self.within(ScopeKind::Function, |this| {
                    lambda.parameters.iter().for_each(|parameters| this.bind_parameters(parameters));
                    this.visit_expr(&lambda.body);
                });
            }
            Expr::ListComp(list) => self.comprehension(&list.generators, |this| this.visit_expr(&list.elt)),
            Expr::SetComp(set) => self.comprehension(&set.generators, |this| this.visit_expr(&set.elt)),
            Expr::Generator(items) => self.comprehension(&items.generators, |this| this.visit_expr(&items.elt)),
            Expr::DictComp(dict) => self.comprehension(&dict.generators, |this| {
                dict.key.iter().for_each(|key| this.visit_expr(key));
                this.visit_expr(&dict.value);
            }),
            Expr::FString(text) => {
                let empty = text.value.elements().all(|element| !element.is_interpolation());
                if empty {
                    let offset = text.range.start().to_usize();
                    self.names.faults.push((offset, "an f-string that fills nothing in".to_owned()));
                }
                visitor::walk_expr(self, expr);
            }
            _ => visitor::walk_expr(self, expr),
        }
    }

    fn visit_annotation(&mut self, annotation: &Expr) {
        let (in_annotation, literal) = (self.in_annotation, self.literal);
        (self.in_annotation, self.literal) = (true, false);
        self.visit_expr(annotation);
        (self.in_annotation, self.literal) = (in_annotation, literal);
    }

    fn visit_except_handler(&mut self, handler: &ExceptHandler) {
        let ExceptHandler::ExceptHandler(except) = handler;
        except.type_.iter().for_each(|kind| self.visit_expr(kind));
        if let Some(name) = &except.name {
            let in_function = self.names.scopes.kind(self.scope) == ScopeKind::Function;
            self.bind(name.range, if in_function { BindingKind::Local } else { BindingKind::Other });
        }
        self.visit_body(&except.body);
    }

    fn visit_pattern(&mut self, pattern: &Pattern) {
        let name = match pattern {
            Pattern::MatchAs(pattern) => &pattern.name,
            Pattern::MatchStar(pattern) => &pattern.name,
            Pattern::MatchMapping(pattern) => &pattern.rest,
            _ => &None,
        };
        name.iter().for_each(|name| self.bind(name.range, BindingKind::Other));
        visitor::walk_pattern(self, pattern);
    }
}
