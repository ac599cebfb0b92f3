//! The `.env` file: `NAME=value`, one a line.
//!
//! What shells and python-dotenv agree on: comments, an optional `export`, values bare or in quotes. A bare value ends at
//! the line's end or at a ` #`; in single quotes everything is literal; in double quotes `\n`, `\t`, `\r`, `\\`, `\"` and
//! `\$` are read, and both may go over several lines. `${NAME}` is substituted in bare and double-quoted values, but later,
//! when the value is used: what it must be encoded for (a URL) is known only then. The ready-made crate substitutes while
//! it reads, without encoding, which is why this parser is our own.

use std::collections::BTreeMap;

use codegen::{Diagnostic, Place};

/// What a `.env` file says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct DotEnv {
    pub(super) file: String,
    pub(super) entries: BTreeMap<String, Entry>,
}

#[derive(Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) value: String,
    /// In single quotes: nothing in it is substituted.
    pub(super) verbatim: bool,
    pub(super) place: Place,
}

/// Values of a `.env` file are secrets more often than not.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entry at {}:{}", self.place.line, self.place.column)
    }
}

/// Reads all lines that can be read, and tells every one that cannot: as [`Told::foreign`] one that is no assignment at all,
/// perhaps another program's. A name that stands twice has its last value, as in a shell.
pub(super) fn parse(file: &str, text: &str) -> (DotEnv, Vec<Told>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut made = DotEnv { file: file.to_owned(), entries: BTreeMap::new() };
    let mut told = Vec::new();
    // The lines above it.
    let (mut at, mut number) = (0, 0);
    while at < text.len() {
        let line_end = text[at..].find('\n').map_or(text.len(), |length| at + length);
        let mut next = line_end + 1;
        let line = &text[at..line_end];
        let statement = line.trim_start();
        if !statement.is_empty() && !statement.starts_with('#') {
            // From the line's start: to count from the file's would take the square of its length.
            let place = |to: usize| {
                let inside = Place::after(&text[at..to]);
                Place::new(number + inside.line as usize, inside.column as usize)
            };
            match assignment(text, at + line.len() - statement.len(), line_end) {
                Ok(read) => {
                    next = next.max(read.end + 1);
                    let entry = Entry { value: read.value, verbatim: read.verbatim, place: place(read.begin) };
                    made.entries.insert(read.name, entry);
                }
                Err(fault) => {
                    let (place, opened) = (place(fault.at), number + 1);
                    let help = fault.help.replace("{line}", &opened.to_string());
                    let diagnostic = Diagnostic::new(file, Some(place), fault.message).expected("NAME=value");
                    told.push(Told { foreign: fault.foreign, diagnostic: diagnostic.help(help) });
                }
            }
        }
        number += text[at..next.min(text.len())].matches('\n').count();
        at = next;
    }
    (made, told)
}

/// A line that cannot be read.
#[derive(Debug, PartialEq)]
pub(super) struct Told {
    pub(super) foreign: bool,
    pub(super) diagnostic: Diagnostic,
}

struct Fault {
    at: usize,
    foreign: bool,
    message: &'static str,
    /// `{line}` stands for the line on which the assignment begins.
    help: &'static str,
}

struct Assignment {
    name: String,
    value: String,
    verbatim: bool,
    begin: usize,
    /// Of its last line.
    end: usize,
}

/// The assignment that begins at `start`.
fn assignment(text: &str, start: usize, line_end: usize) -> Result<Assignment, Fault> {
    let statement = &text[start..line_end];
    let exported = statement.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t']));
    let begin = exported.map_or(start, |rest| line_end - rest.trim_start().len());
    let Some(equals) = text[begin..line_end].find('=').map(|at| begin + at) else {
        let help = "write NAME=value, or put a # before a comment";
        return Err(Fault { at: begin, foreign: true, message: "a line without a `=`", help });
    };
    let name = text[begin..equals].trim_end().to_owned();
    if !is_name(&name) {
        let help = "use letters, digits and `_`, with no digit first";
        let message = "what stands before the `=` is not the name of a variable";
        return Err(Fault { at: begin, foreign: true, message, help });
    }
    let after = &text[equals + 1..line_end];
    let value_at = equals + 1 + (after.len() - after.trim_start().len());
    let (value, verbatim, end) = match text[value_at..].chars().next() {
        Some(quote @ ('\'' | '"')) if value_at < line_end => quoted(text, value_at, quote)?,
        _ => (bare(after).to_owned(), false, line_end),
    };
    Ok(Assignment { name, value, verbatim, begin, end })
}

/// A value without quotes, `after` the `=`: up to a comment that a space sets off.
fn bare(after: &str) -> &str {
    let comment =
        after.char_indices().zip(after.chars().skip(1)).find(|((_, c), next)| c.is_whitespace() && *next == '#');
    after[..comment.map_or(after.len(), |((at, _), _)| at)].trim()
}

fn quoted(text: &str, at: usize, quote: char) -> Result<(String, bool, usize), Fault> {
    let verbatim = quote == '\'';
    let mut value = String::new();
    let mut chars = text[at + 1..].char_indices().peekable();
    let close = loop {
        match chars.next() {
            None => {
                let (message, help) = ("this quote is never closed", "add the closing quote");
                return Err(Fault { at, foreign: false, message, help });
            }
            Some((offset, c)) if c == quote => break at + 1 + offset,
            Some((_, '\\')) if !verbatim => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, 'r')) => value.push('\r'),
                // `\${` must not be substituted later: `$${` is how that is said.
                Some((_, '$')) if chars.peek().is_some_and(|(_, c)| *c == '{') => value.push_str("$$"),
                Some((_, c @ ('\\' | '"' | '$'))) => value.push(c),
                Some((_, c)) => value.extend(['\\', c]),
                None => {}
            },
            Some((_, c)) => value.push(c),
        }
    };
    let end = text[close..].find('\n').map_or(text.len(), |length| close + length);
    let rest = text[close + 1..end].trim();
    if !(rest.is_empty() || rest.starts_with('#')) {
        let help = "put the whole value, which begins on line {line}, into one pair of quotes";
        return Err(Fault { at: close + 1, foreign: false, message: "there is text after the closing quote", help });
    }
    Ok((value, verbatim, end))
}

/// Whether this can be the name of a variable.
pub(super) fn is_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<(String, String)> {
        let (made, told) = parse(".env", text);
        assert_eq!(told, [], "{text}");
        made.entries.into_iter().map(|(name, entry)| (name, entry.value)).collect()
    }

    #[test]
    fn values_are_read_as_a_shell_reads_them() {
        for (text, value) in [
            ("A=plain", "plain"),
            ("  export A=plain  ", "plain"),
            ("A = spaced words ", "spaced words"),
            ("A=a#b/c+d=e@f:g%", "a#b/c+d=e@f:g%"),
            ("A=value # a comment", "value"),
            ("A= # nothing", ""),
            ("A=", ""),
            ("A=#hash", "#hash"),
            ("A='single $X ${Y} \\n' # c", "single $X ${Y} \\n"),
            ("A=\"double \\\"q\\\" \\\\ \\n \\x\"", "double \"q\" \\ \n \\x"),
            ("A=\"\\${X} \\$Y\"", "$${X} $Y"),
            ("A=it's", "it's"),
            ("\u{feff}A=marked\r\n", "marked"),
            ("A='two\nlines'\n", "two\nlines"),
        ] {
            assert_eq!(values(text), [("A".to_owned(), value.to_owned())], "{text}");
        }
        assert_eq!(values("# A=1\n\n   # B\nC=3\nC=4\n"), [("C".to_owned(), "4".to_owned())]);
    }

    #[test]
    fn every_line_that_cannot_be_read_is_told_with_its_place_and_without_its_value() {
        let text = "GOOD=1\nhunter2\n  1A=hunter2\nB=\"a\"hunter2\nexport C\n\
                    OPEN=\"hunter2\nD=\"hunter2\"\nE=1\nLAST=\"hunter2\n";
        let (made, told) = parse("x/.env", text);
        let found: Vec<_> = told
            .iter()
            .map(|told| (told.diagnostic.place.map(|place| (place.line, place.column)).unwrap(), told.foreign))
            .collect();
        let expected =
            [((2, 1), true), ((3, 3), true), ((4, 6), false), ((5, 8), true), ((7, 4), false), ((9, 6), false)];
        assert_eq!(found, expected);
        assert!(told[4].diagnostic.help.contains("begins on line 6"), "{told:?}");
        assert!(!format!("{told:?} {made:?}").contains("hunter2"), "{told:?}");
        // A quote that is not closed costs its own line, not the ones below.
        assert_eq!(made.entries.keys().collect::<Vec<_>>(), ["D", "E", "GOOD"]);
    }

    #[test]
    fn a_long_file_is_read_in_a_time_that_grows_with_its_length() {
        let text = "A=1\n=\nB=\"x\"y\n".repeat(70_000);
        let begin = std::time::Instant::now();
        let (_, told) = parse(".env", &text);
        assert_eq!(told.last().unwrap().diagnostic.place, Some(Place::new(210_000, 6)));
        // The square would be minutes.
        assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
    }

    #[test]
    fn any_text_is_read_without_a_panic() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let alphabet: Vec<char> = "A=\"'\\\n #$\u{feff}{}é export1".chars().collect();
        for _ in 0..20_000 {
            let length = random.usize(0..24);
            let text: String = (0..length).map(|_| alphabet[random.usize(0..alphabet.len())]).collect();
            parse(".env", &text);
        }
    }
}
