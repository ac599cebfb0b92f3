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

/// Reads all lines that can be read, and tells every one that cannot. A name that stands twice has its last value, as in
/// a shell.
pub(super) fn parse(file: &str, text: &str) -> (DotEnv, Vec<Diagnostic>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut made = DotEnv { file: file.to_owned(), entries: BTreeMap::new() };
    let mut faults = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let line_end = text[at..].find('\n').map_or(text.len(), |length| at + length);
        let mut next = line_end + 1;
        let line = &text[at..line_end];
        let statement = line.trim_start();
        if !statement.is_empty() && !statement.starts_with('#') {
            match assignment(text, at + line.len() - statement.len(), line_end) {
                Ok((name, entry, end)) => {
                    next = next.max(end + 1);
                    made.entries.insert(name, entry);
                }
                Err(fault) => faults.push(fault.in_file(file, text)),
            }
        }
        at = next;
    }
    (made, faults)
}

struct Fault {
    at: usize,
    message: &'static str,
    help: &'static str,
}

impl Fault {
    fn in_file(&self, file: &str, text: &str) -> Diagnostic {
        let place = Place::after(&text[..self.at]);
        Diagnostic::new(file, Some(place), self.message).expected("NAME=value").help(self.help)
    }
}

/// The assignment that begins at `start`, and the end of its last line.
fn assignment(text: &str, start: usize, line_end: usize) -> Result<(String, Entry, usize), Fault> {
    let statement = &text[start..line_end];
    let exported = statement.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t']));
    let begin = exported.map_or(start, |rest| line_end - rest.trim_start().len());
    let Some(equals) = text[begin..line_end].find('=').map(|at| begin + at) else {
        let help = "write NAME=value, or put a # before a comment";
        return Err(Fault { at: begin, message: "a line without a `=`", help });
    };
    let name = text[begin..equals].trim_end();
    if !is_name(name) {
        let help = "use letters, digits and `_`, with no digit first";
        return Err(Fault { at: begin, message: "what stands before the `=` is not the name of a variable", help });
    }
    let place = Place::after(&text[..begin]);
    let after = &text[equals + 1..line_end];
    let value_at = equals + 1 + (after.len() - after.trim_start().len());
    let (value, verbatim, end) = match text[value_at..].chars().next() {
        Some(quote @ ('\'' | '"')) if value_at < line_end => quoted(text, value_at, quote)?,
        _ => (bare(after).to_owned(), false, line_end),
    };
    Ok((name.to_owned(), Entry { value, verbatim, place }, end))
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
            None => return Err(Fault { at, message: "this quote is never closed", help: "add the closing quote" }),
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
        let help = "put the whole value into one pair of quotes";
        return Err(Fault { at: close + 1, message: "there is text after the closing quote", help });
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
        let (made, faults) = parse(".env", text);
        assert_eq!(faults, [], "{text}");
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
        let (made, faults) =
            parse("x/.env", "GOOD=1\nhunter2\n  1A=hunter2\nB=\"a\"hunter2\nexport C\nLAST=\"hunter2\nD=1\n");
        let places: Vec<_> = faults.iter().map(|fault| fault.place.map(|place| (place.line, place.column))).collect();
        assert_eq!(places, [Some((2, 1)), Some((3, 3)), Some((4, 6)), Some((5, 8)), Some((6, 6))]);
        assert!(faults.iter().all(|fault| !fault.to_string().contains("hunter2")), "{faults:?}");
        // A quote that is never closed costs its own line, not the ones below.
        assert_eq!(made.entries.keys().collect::<Vec<_>>(), ["D", "GOOD"]);
        assert!(!format!("{made:?}").contains("hunter2"));
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
