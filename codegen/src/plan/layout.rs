//! How Python expressions are laid out: on one line where they fit, one part a line where they do not.
//!
//! The result is what `ruff format` and Black leave as it is: an exploded group ends in a comma, and a text that is too
//! long becomes several in brackets.

use crate::python;

/// The widest line, in characters.
pub(super) const COLUMNS_MAX: usize = 88;

/// A Python expression, not yet on lines.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Code {
    /// What is never broken.
    Atom(String),
    /// A string literal, given as the text it stands for.
    Text(String),
    /// `open` item, item `close`: a call, a list, a dict.
    Group { open: String, items: Vec<Item>, close: &'static str },
}

/// One part of a group: `key=`, `"key": ` or nothing, and its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    key: String,
    value: Code,
}

impl Code {
    pub(super) fn atom(text: impl Into<String>) -> Self {
        Self::Atom(text.into())
    }

    /// `function(item, item)`.
    pub(super) fn call(function: &str, items: Vec<Item>) -> Self {
        Self::Group { open: format!("{function}("), items, close: ")" }
    }

    pub(super) fn list(items: Vec<Self>) -> Self {
        Self::Group { open: "[".to_owned(), items: items.into_iter().map(Item::plain).collect(), close: "]" }
    }

    pub(super) fn tuple(items: Vec<Self>) -> Self {
        // A tuple of one needs its comma.
        let close = if items.len() == 1 { ",)" } else { ")" };
        Self::Group { open: "(".to_owned(), items: items.into_iter().map(Item::plain).collect(), close }
    }

    /// `{key: value, ...}`; the keys are texts.
    pub(super) fn dict(entries: Vec<(String, Self)>) -> Self {
        let item = |(key, value): (String, Self)| Item { key: format!("{}: ", python::string_literal(&key)), value };
        Self::Group { open: "{".to_owned(), items: entries.into_iter().map(item).collect(), close: "}" }
    }

    /// The expression on one line.
    pub(super) fn flat(&self) -> String {
        match self {
            Self::Atom(text) => text.clone(),
            Self::Text(text) => python::string_literal(text),
            Self::Group { open, items, close } => {
                let items: Vec<String> =
                    items.iter().map(|item| format!("{}{}", item.key, item.value.flat())).collect();
                format!("{open}{}{close}", items.join(", "))
            }
        }
    }

    /// The expression behind `column` columns of a line that is indented by `indent`; `after` columns follow it.
    pub(super) fn laid_out(&self, indent: usize, column: usize, after: usize) -> String {
        let flat = self.flat();
        if column + flat.chars().count() + after <= COLUMNS_MAX {
            return flat;
        }
        let margin = " ".repeat(indent + 4);
        match self {
            Self::Atom(text) => text.clone(),
            Self::Text(text) => match split(text, COLUMNS_MAX - (indent + 4)) {
                pieces if pieces.len() < 2 => flat,
                pieces => {
                    let lines: Vec<String> = pieces.iter().map(|piece| format!("{margin}{piece}\n")).collect();
                    format!("(\n{}{})", lines.concat(), " ".repeat(indent))
                }
            },
            Self::Group { items, .. } if items.is_empty() => flat,
            // The only argument of a call needs no comma, and a text no brackets of its own.
            Self::Group { open, items, close } if open.len() > 1 && items.len() == 1 && items[0].key.is_empty() => {
                let inner = match &items[0].value {
                    Self::Text(text) => split(text, COLUMNS_MAX - (indent + 4)).join(&format!("\n{margin}")),
                    value => value.laid_out(indent + 4, indent + 4, 0),
                };
                format!("{open}\n{margin}{inner}\n{}{close}", " ".repeat(indent))
            }
            Self::Group { open, items, close } => {
                let mut text = format!("{open}\n");
                for Item { key, value } in items {
                    let column = indent + 4 + key.chars().count();
                    let value = value.laid_out(indent + 4, column, 1);
                    text.push_str(&format!("{margin}{key}{value},\n"));
                }
                text.push_str(&" ".repeat(indent));
                text.push_str(close.trim_start_matches(','));
                text
            }
        }
    }
}

impl Item {
    pub(super) fn plain(value: Code) -> Self {
        Self { key: String::new(), value }
    }

    pub(super) fn named(name: &str, value: Code) -> Self {
        Self { key: format!("{name}="), value }
    }

    /// Whether this is `default=value`.
    pub(super) fn is_default(&self) -> bool {
        self.key == "default="
    }

    pub(super) fn value(&self) -> &Code {
        &self.value
    }

    /// `name=lambda: value`, for values that each instance needs anew.
    pub(super) fn made_anew(name: &str, value: Code) -> Self {
        Self { key: format!("{name}=lambda: "), value }
    }
}

/// String literals of at most `width` columns that together are the text; broken behind spaces, so that nothing is
/// lost.
fn split(text: &str, width: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for word in text.split_inclusive(' ') {
        let longer = format!("{piece}{word}");
        if !piece.is_empty() && python::string_literal(&longer).chars().count() > width {
            pieces.push(python::string_literal(&piece));
            piece = word.to_owned();
        } else {
            piece = longer;
        }
    }
    pieces.push(python::string_literal(&piece));
    pieces
}

/// A union as the annotation `before: annotation`, where `after` follows it: in brackets if it is too wide.
pub(super) fn annotation(indent: usize, before: &str, annotation: &str, after: &str) -> String {
    let line = format!("{before}: {annotation}");
    let members: Vec<&str> = annotation.split(" | ").collect();
    let fits = |indent: usize, text: &str, after: &str| indent + text.chars().count() + after.len() <= COLUMNS_MAX;
    if fits(indent, &line, after) || members.len() == 1 || annotation.contains(['[', '"', '\'']) {
        return line;
    }
    let margin = " ".repeat(indent + 4);
    let inner =
        if fits(indent + 4, annotation, "") { annotation.to_owned() } else { members.join(&format!("\n{margin}| ")) };
    format!("{before}: (\n{margin}{inner}\n{})", " ".repeat(indent))
}

/// A statement at the outermost level or in a class: `before` and the expression, laid out.
pub(super) fn statement(indent: usize, before: &str, code: &Code) -> String {
    let column = indent + before.rsplit('\n').next().unwrap_or_default().chars().count();
    format!("{}{before}{}", " ".repeat(indent), code.laid_out(indent, column, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(description: &str) -> Code {
        let items = vec![
            Item::named("default", Code::atom("None")),
            Item::named("description", Code::Text(description.to_owned())),
        ];
        Code::call("Field", items)
    }

    #[test]
    fn what_fits_stays_on_one_line_and_what_does_not_is_broken_with_a_comma_at_the_end() {
        let short = statement(4, "name: str | None = ", &field("The name."));
        assert_eq!(short, "    name: str | None = Field(default=None, description=\"The name.\")");
        let long = statement(4, "name: str | None = ", &field("The name under which the order is known."));
        assert_eq!(
            long,
            "    name: str | None = Field(\n        default=None,\n        \
             description=\"The name under which the order is known.\",\n    )"
        );
    }

    #[test]
    fn a_long_text_is_broken_behind_spaces() {
        let text = "word ".repeat(30);
        let laid_out = statement(4, "x: str = ", &field(&text));
        assert!(laid_out.lines().all(|line| line.chars().count() <= COLUMNS_MAX), "{laid_out}");
        let pieces = laid_out.lines().filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix('"'));
        assert_eq!(pieces.collect::<String>(), text);
    }
}
