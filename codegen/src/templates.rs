//! Compiled templates: an immutable snapshot that many jobs read at once.
//!
//! The templates of a pack are untrusted: strict about undefined values, without a loader, and rendered with limits
//! (see [`crate::render`]). Beside what minijinja brings, they have these filters:
//!
//! | filter | gives |
//! |---|---|
//! | `py_str` | a Python string literal, with its quotes |
//! | `docstring(indent)` | the inner text of a Python docstring |
//! | `comment` | the text of a one-line comment |
//! | `literal` | any value as a Python literal |
//! | `yaml_str` | text as a YAML scalar |
//! | `markdown` | text that Markdown shows as it is |
//!
//! `{{ }}` prints text, numbers and `True` or `False`; a list, a mapping or nothing at all is refused there, since no
//! generated file means to hold what that would print. There is no `namespace`: what a loop must carry belongs into the
//! plan.
//!
//! The fuel of [`crate::render`] stops loops and growing text. It does not see what a template does with lists that it
//! nests or joins itself over many `{% set %}` in a row: a pack that means harm can still hold its thread.

mod fault;
mod filters;
mod measure;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior};

use crate::diagnostic::Diagnostic;

pub(crate) use fault::{diagnostic, is_out_of_fuel};
pub use measure::{ELIFS_MAX, NESTING_MAX, TAG_WORDS_MAX};

use measure::{Chain, Measure};

/// How deep macros, includes and recursive loops may call each other: a thread's 2 MiB stack holds it in a debug build.
const RECURSION_MAX: usize = 50;

/// The largest template, in bytes of its source.
pub const SOURCE_BYTES_MAX: usize = 256 * 1024;

/// A set of compiled templates. Cloning shares them; a change of one clone is never seen by another.
#[derive(Clone)]
pub struct Templates(Arc<Environment<'static>>);

impl Templates {
    pub fn empty() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_recursion_limit(RECURSION_MAX);
        // For the byte range of a fault.
        environment.set_debug(true);
        if let Ok(syntax) = syntax() {
            environment.set_syntax(syntax);
        }
        environment.set_formatter(filters::print);
        // It prints every value that the template knows.
        environment.remove_global("debug");
        // A list that a loop puts into itself again and again takes no fuel to speak of, and all memory to read.
        environment.remove_global("namespace");
        filters::add_to(&mut environment);
        Self(Arc::new(environment))
    }

    /// This set and one template more, in place of the one that has its name.
    ///
    /// `name` is the template's name in its pack (see [`crate::pack::Pack::templates`]), and the file in diagnostics.
    pub fn with(&self, name: &str, source: &str) -> Result<Self, Diagnostic> {
        let mut templates = self.clone();
        templates.add(name, source).map(|()| templates)
    }

    /// This set and several templates more, for the cost of one copy; or the fault of each that does not compile.
    pub fn with_all<'t>(
        &self,
        templates: impl IntoIterator<Item = (&'t str, &'t str)>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut environment = (*self.0).clone();
        let added = templates.into_iter().map(|(name, source)| add(&mut environment, name, source));
        let faults: Vec<_> = added.filter_map(Result::err).collect();
        if faults.is_empty() { Ok(Self(Arc::new(environment))) } else { Err(faults) }
    }

    /// As [`Self::with`], in place: the set is copied only where somebody else holds it, and whoever does sees no change.
    pub fn add(&mut self, name: &str, source: &str) -> Result<(), Diagnostic> {
        add(Arc::make_mut(&mut self.0), name, source)
    }

    /// Takes templates out, in place as [`Self::add`].
    pub fn remove<'t>(&mut self, names: impl IntoIterator<Item = &'t str>) {
        let environment = Arc::make_mut(&mut self.0);
        names.into_iter().for_each(|name| environment.remove_template(name));
    }

    pub fn contains(&self, name: &str) -> bool {
        self.0.get_template(name).is_ok()
    }

    pub(crate) fn environment(&self) -> &Environment<'static> {
        &self.0
    }
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.templates().map(|(name, _)| name.to_owned())).finish()
    }
}

fn add(environment: &mut Environment<'static>, name: &str, source: &str) -> Result<(), Diagnostic> {
    if source.len() > SOURCE_BYTES_MAX {
        let message = format!("the template is too large: {} bytes", source.len());
        let expected = format!("at most {SOURCE_BYTES_MAX} bytes");
        return Err(Diagnostic::new(name, None, message).expected(expected).help("split it and include the parts"));
    }
    if let Some(Chain { place, message, expected, help }) = chain(source, false) {
        return Err(Diagnostic::new(name, Some(place), message).expected(expected).help(help));
    }
    environment
        .add_template_owned(name.to_owned(), source.to_owned())
        .map_err(|error| diagnostic(&error, name, Some(source)))
}

/// The first chain of a template, or of an expression alone, that is too long to be compiled: the compiler's recursion
/// over it would end the process.
pub(crate) fn chain(source: &str, is_expression: bool) -> Option<Chain> {
    measure::too_long(source, is_expression, syntax().unwrap_or_default())
}

/// A line with nothing but a block leaves nothing behind; the last line break of a template stays.
fn syntax() -> Result<SyntaxConfig, Error> {
    SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build()
}

/// What a compiled template holds in memory, in bytes, its source and its instructions: rather too much than too
/// little.
pub fn cost(source: &str) -> usize {
    // Measured with a counting allocator, where it was 1.0 to 3 times what was taken (5 where tags are few and full of
    // constants). Room for 128 instructions and their places is taken at once, for each block anew; then it is doubled.
    const OF_ANY: usize = 12_300;
    const STEPS_IN_IT: usize = 128;
    const OF_STEP: usize = 52;
    const OF_VALUE: usize = 24;
    const OF_MAPPING: usize = 120;
    let Measure { tags, words, commas, mappings, blocks, strings } = Measure::of(source, syntax().unwrap_or_default());
    // About as many instructions as it becomes.
    let steps = (2 * tags + words).next_power_of_two().saturating_sub(STEPS_IN_IT);
    let constants = commas * OF_VALUE + mappings * OF_MAPPING + strings;
    OF_ANY * (1 + blocks) + source.len() + steps * OF_STEP + constants
}
