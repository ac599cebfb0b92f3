//! The words for what is wrong with a YAML text: for a person who knows the contract, not the parser.

use serde_saphyr::granit_parser::{ErrorKind, Marker, ScanError};

use super::{DEPTH_MAX, Diagnostic, INPUT_BYTES_MAX, NODES_MAX, Place};

/// A diagnostic that does not know its file yet.
pub(super) struct Fault(Box<Diagnostic>);

impl Fault {
    fn new(place: impl Into<Option<Place>>, message: impl Into<String>, expected: &str, help: &str) -> Self {
        Self(Box::new(Diagnostic::new("", place.into(), message).expected(expected).help(help)))
    }

    pub(super) fn in_file(self, file: &str) -> Diagnostic {
        Diagnostic { file: file.to_owned(), ..*self.0 }
    }
}

pub(super) fn place(mark: &Marker) -> Place {
    Place::new(mark.line().max(1), mark.col() + 1)
}

pub(super) fn too_large(bytes: usize) -> Fault {
    let message = format!("the file is too large: {bytes} bytes");
    let expected = format!("at most {INPUT_BYTES_MAX} bytes ({} MiB)", INPUT_BYTES_MAX / 1024 / 1024);
    Fault::new(None, message, &expected, "check that this is the file you meant, or split it")
}

pub(super) fn not_utf8(message: impl Into<String>, place: Option<Place>) -> Fault {
    Fault::new(place, message, "UTF-8 text", "save the file as UTF-8, or check that this is the file you meant")
}

pub(super) fn nul(place: Place) -> Fault {
    let help = "remove it, save the file as UTF-8 (not UTF-16), or check that this is the file you meant";
    Fault::new(place, "a NUL byte, which no text has", "UTF-8 text", help)
}

pub(super) fn empty() -> Fault {
    Fault::new(None, "the file is empty", "a YAML document", "write at least one `key: value` line")
}

pub(super) fn second_document(place: Place) -> Fault {
    let help = "remove the `---` line, or put the second document into a file of its own";
    Fault::new(place, "a second document begins here", "one document in a file", help)
}

pub(super) fn duplicate_key(key: &str, first: Place, second: Place) -> Fault {
    let message = format!(
        "the key `{}` is written twice, first on line {} column {}",
        key.escape_debug(),
        first.line,
        first.column
    );
    Fault::new(second, message, "each key once in a mapping", "remove one of the two, or rename it")
}

pub(super) fn no_key(place: Place) -> Fault {
    let help = "write the key before the colon; an empty key is written `\"\"`";
    Fault::new(place, "a key is missing here", "text before the `:`", help)
}

pub(super) fn key_not_text(place: Place) -> Fault {
    let help = "write a plain word before the `:`; put quotes around text that begins with `{`, `[` or `*`";
    Fault::new(place, "a list or a mapping where a key should be", "a key that is text", help)
}

pub(super) fn alias_of_itself(place: Place) -> Fault {
    let help = "write the values out, or move the anchor (`&name`) to a value above this line";
    Fault::new(place, "this alias stands inside the value that it names", "an alias of a finished value", help)
}

pub(super) fn merge_of_no_mapping(place: Place) -> Fault {
    let help =
        "write `<<: *name`, where `&name` marks a mapping; put quotes around \"<<\" to use it as an ordinary key";
    Fault::new(place, "`<<` can merge only mappings", "an alias of a mapping, or a list of such aliases", help)
}

/// Without the value: in a configuration it may be a secret.
pub(super) fn tag(expected: &str, place: Place) -> Fault {
    let help = "correct the value, or remove the tag (`!!…`)";
    Fault::new(place, "the value does not fit the tag before it", expected, help)
}

pub(super) fn too_deep(place: Place) -> Fault {
    let expected = format!("at most {DEPTH_MAX} levels");
    Fault::new(place, "lists and mappings are nested too deep here", &expected, "flatten the structure")
}

pub(super) fn too_many(place: Place) -> Fault {
    let expected = format!(
        "at most {NODES_MAX} values and {} MiB of text when all aliases are unfolded",
        INPUT_BYTES_MAX / 1024 / 1024
    );
    Fault::new(place, "the document holds too many values", &expected, "use fewer aliases (`*name`), or split the file")
}

/// What the parser could not read.
pub(super) fn syntax(error: &ScanError, text: &str) -> Fault {
    let mark = error.marker();
    let end = text.trim_end();
    let place = match place(mark) {
        // A fault at the very end is shown where the text ends, not on an empty line after it.
        _ if mark.byte_offset().is_some_and(|offset| offset >= end.len()) => Place::after(end),
        at => at,
    };
    if let ErrorKind::RecursionLimitExceeded = error.kind() {
        return too_deep(place);
    }
    let place = if is_tab(error.kind()) { tab_after(text, place) } else { place };
    let (message, help) = words(error.kind());
    Fault::new(place, message, "", help)
}

fn is_tab(kind: &ErrorKind) -> bool {
    use ErrorKind as K;
    matches!(
        kind,
        K::TabNotAllowed
            | K::TabInBlockIndentation
            | K::TabInIndentation
            | K::TabAtBlockScalarStart
            | K::TabInPlainScalar
    )
}

/// The first tab in the indentation of this line or a later one: the parser points at the value that it cuts short.
fn tab_after(text: &str, place: Place) -> Place {
    let lines = text.lines().zip(1..).skip(place.line.saturating_sub(1) as usize);
    let mut tabs = lines.filter_map(|(line, number)| {
        let column = line.chars().take_while(|c| c.is_whitespace()).position(|c| c == '\t')?;
        Some(Place { line: number, column: u32::try_from(column).unwrap_or(u32::MAX - 1) + 1 })
    });
    tabs.next().unwrap_or(place)
}

fn words(kind: &ErrorKind) -> (String, &'static str) {
    use ErrorKind as K;
    let (message, help) = match kind {
        K::UnclosedFlowCollection { open } => return (format!("this `{open}` is never closed"), CLOSE),
        K::MismatchedFlowCollectionEnd { open, close } => {
            return (format!("this `{open}` is closed by `{close}`"), CLOSE);
        }
        K::UnexpectedCharacter { character } => {
            return (format!("a value cannot begin with `{}`", character.escape_debug()), QUOTE);
        }
        kind if is_tab(kind) => ("a tab where YAML wants spaces", "indent with spaces only: replace the tab"),
        K::UnknownAnchor => (
            "this alias names an anchor that is not defined above it",
            "mark the value with `&name` above this line, or put quotes around text that begins with `*`",
        ),
        K::UnclosedQuotedScalar | K::DocumentIndicatorInQuotedScalar => {
            ("this quote is never closed", "add the closing quote")
        }
        K::InvalidTrailingSingleQuotedScalar => (
            "there is text after the closing quote",
            "write '' for a single quote inside single quotes, or use double quotes",
        ),
        K::InvalidTrailingDoubleQuotedScalar => (
            "there is text after the closing quote",
            "write \\\" for a quote inside double quotes, or use single quotes",
        ),
        K::UnexpectedEofFlowSequence | K::ExpectedFlowSequenceSeparator => ("a `,` or `]` is missing here", CLOSE),
        K::UnexpectedEofFlowMapping | K::UnexpectedEofImplicitFlowMapping | K::ExpectedFlowMappingSeparator => {
            ("a `,` or `}` is missing here", CLOSE)
        }
        K::MisplacedFlowCollectionEnd => ("a closing bracket that nothing opened", CLOSE),
        K::UnknownQuotedScalarEscape
        | K::InvalidQuotedScalarHexEscape
        | K::InvalidLowSurrogateHexEscape
        | K::InvalidLowSurrogate
        | K::MissingLowSurrogate
        | K::UnpairedLowSurrogate
        | K::InvalidUnicodeEscape => (
            "this text holds a backslash sequence that double quotes do not have",
            "write \\\\ for a backslash, or use single quotes",
        ),
        K::MappingValueNotAllowed | K::InvalidColonPlacement | K::FlowMappingValueAdjacentCollection => (
            "a `:` where no value can begin",
            "put quotes around text that contains `: `, and check the indentation of this line and the one above",
        ),
        K::SimpleKeyExpected | K::InvalidSimpleKey | K::ExpectedBlockMappingKey => (
            "a line that is no `key: value`",
            "add the missing `:`, or check the indentation of this line and the one above",
        ),
        K::InvalidIndentation
        | K::ExpectedBlockSequenceEntry
        | K::BlockSequenceEntryNotAllowed
        | K::MappingKeyNotAllowed
        | K::InvalidBlockScalarIndent
        | K::InvalidQuotedScalarIndent
        | K::InvalidFlowScalarIndent => (
            "the indentation does not fit the lines above",
            "align this line with its neighbours: the keys of a mapping, and the `-` of a list, begin in one column",
        ),
        K::CommentInterceptedScalar | K::CommentNotSeparated => {
            ("a comment that YAML cannot tell from text", "put a space before the `#`, or quotes around the text")
        }
        K::InvalidBlockScalarHeader | K::ZeroBlockScalarIndent => {
            ("only a line break can follow `|` or `>`", "begin the text on the next line, or put quotes around it")
        }
        _ => (
            "the text is not valid YAML here",
            "check the quotes, brackets and indentation of this line and the one above",
        ),
    };
    (message.to_owned(), help)
}

const CLOSE: &str =
    "check that every `[`, `{` and quote is closed, and put quotes around text that begins with one of them";
const QUOTE: &str = "put quotes around the text";
