//! What is wrong with a template, in words for its author.

use minijinja::{Error, ErrorKind};

use crate::diagnostic::{Diagnostic, Place};

/// The diagnostic of a template's error. `file` and `source` stand in where the error does not know its template.
///
/// Only the error's kind, its detail and its place are told: never the values that the template was working with.
pub(crate) fn diagnostic(error: &Error, file: &str, source: Option<&str>) -> Diagnostic {
    let error = innermost(error);
    let source = error.template_source().or(source);
    let place = match (error.range(), source) {
        (Some(range), Some(source)) => source.get(..range.start).map(Place::after),
        _ => None,
    };
    let place = place.or_else(|| error.line().map(|line| Place::new(line, 1)));
    let detail = error.detail().unwrap_or_default();
    let kind = error.kind();
    let (message, help) = match kind {
        ErrorKind::UndefinedError if detail.is_empty() => ("a value is undefined".to_owned(), UNDEFINED),
        ErrorKind::UndefinedError => (detail.to_owned(), UNDEFINED),
        ErrorKind::SyntaxError => (format!("this is not in the template language: {detail}"), SYNTAX),
        ErrorKind::TemplateNotFound | ErrorKind::BadInclude => (detail.to_owned(), PARTIALS),
        ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction | ErrorKind::UnknownMethod => {
            (detail.to_owned(), "check the spelling; the documentation of packs lists what there is")
        }
        _ if detail.is_empty() => (kind.to_string(), VALUES),
        _ => (detail.to_owned(), VALUES),
    };
    Diagnostic::new(error.name().unwrap_or(file), place, message).help(help)
}

/// Whether the error is that of a template that did too much.
pub(crate) fn is_out_of_fuel(error: &Error) -> bool {
    innermost(error).kind() == ErrorKind::OutOfFuel
}

/// The error that the others are about: an include or a block repeats what went wrong inside it.
fn innermost(mut error: &Error) -> &Error {
    while let Some(inner) = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Error>()) {
        error = inner;
    }
    error
}

const UNDEFINED: &str = "check the spelling, or give it a value with `| default(…)` or `{% if … is defined %}`";
const PARTIALS: &str = "add it to the pack, and to `partials` in its pack.yaml";
const SYNTAX: &str = "check the braces, quotes and block names of this line";
const VALUES: &str = "check the values that this line works with";
