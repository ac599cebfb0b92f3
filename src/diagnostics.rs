//! Diagnostics for people: the fault, its line in the source, what was expected, and what to do.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use codegen::{Diagnostic, Place};

/// Lines longer than this are not shown (minified files).
const LINE_CHARS_MAX: usize = 400;

/// The long form of a diagnostic. `source` is the text of its file, where it is at hand.
pub fn render(diagnostic: &Diagnostic, source: Option<&str>, colour: bool) -> String {
    draw(&Level::ERROR, diagnostic, source, colour)
}

/// The same for something that stops nobody.
pub fn render_warning(diagnostic: &Diagnostic, source: Option<&str>, colour: bool) -> String {
    draw(&Level::WARNING, diagnostic, source, colour)
}

fn draw(level: &Level<'_>, diagnostic: &Diagnostic, source: Option<&str>, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let (message, file) = (printable(&diagnostic.message), printable(&diagnostic.file));
    let (expected, help) = (printable(&format!("expected {}", diagnostic.expected)), printable(&diagnostic.help));
    let label = (!diagnostic.expected.is_empty()).then_some(expected);
    let line = diagnostic.place.and_then(|place| Some((place, printable(&line_of(source?, place)?))));

    let mut report = Group::with_title(level.clone().primary_title(message));
    if let Some((place, text)) = line {
        let mark = AnnotationKind::Primary.span(word_at(&text, place.column)).label(label);
        report = report.element(Snippet::source(text).path(file).line_start(place.line as usize).annotation(mark));
    } else {
        let origin = Origin::path(file);
        report = report.element(match diagnostic.place {
            Some(place) => origin.line(place.line as usize).char_column(place.column as usize),
            None => origin,
        });
        if let Some(label) = label {
            report = report.element(Level::NOTE.message(label));
        }
    }
    if !diagnostic.help.is_empty() {
        report = report.element(Level::HELP.message(help));
    }
    renderer.decor_style(DecorStyle::Ascii).render(&[report])
}

/// The text as a terminal may see it: a contract must not move the cursor.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{FFFD}' } else { c }).collect()
}

/// A patch as a terminal may see it: its bytes as text, without control characters, in git's colours.
pub fn patch(patch: &[u8], colour: bool) -> String {
    let mut text = String::new();
    for line in String::from_utf8_lossy(patch).split_inclusive('\n') {
        let plain: String = line.trim_end_matches('\n').split('\t').map(printable).collect::<Vec<_>>().join("\t");
        let style = match () {
            () if !colour => "",
            () if ["diff ", "--- ", "+++ ", "new file ", "deleted file "].iter().any(|it| line.starts_with(it)) => {
                "\x1b[1m"
            }
            () if line.starts_with("@@") => "\x1b[36m",
            () if line.starts_with('+') => "\x1b[32m",
            () if line.starts_with('-') => "\x1b[31m",
            () => "",
        };
        let end = if style.is_empty() { "" } else { "\x1b[0m" };
        text.extend([style, &plain, end, "\n"]);
    }
    text
}

fn line_of(source: &str, place: Place) -> Option<String> {
    let text = source.lines().nth(place.line.checked_sub(1)? as usize)?;
    (text.chars().count() <= LINE_CHARS_MAX).then(|| text.to_owned())
}

/// The bytes of the word that starts at a column (counted in characters from 1).
fn word_at(text: &str, column: u32) -> Range<usize> {
    let start = text.char_indices().nth(column.saturating_sub(1) as usize).map_or(text.len(), |(at, _)| at);
    let ends = |c: char| c.is_whitespace() || ":,]}".contains(c);
    let end = text[start..].find(ends).map_or(text.len(), |length| start + length);
    let first = text[start..].chars().next().map_or(0, char::len_utf8);
    start..end.max(start + first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_on_a_terminal_is_coloured_and_moves_no_cursor() {
        let bytes = b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n \tkept\n-old\x1b[2J\xff\r\n+new\n";
        let plain = patch(bytes, false);
        assert!(plain.contains(" \tkept\n-old\u{fffd}[2J\u{fffd}\u{fffd}\n+new\n"), "{plain:?}");
        let coloured = patch(bytes, true);
        for part in ["\x1b[1m--- a/x\x1b[0m\n", "\x1b[36m@@ -1 +1 @@\x1b[0m\n", "\x1b[32m+new\x1b[0m\n", "\x1b[31m-old"]
        {
            assert!(coloured.contains(part), "{part:?} is missing in {coloured:?}");
        }
    }

    #[test]
    fn a_fault_is_shown_with_its_line_its_mark_and_what_to_do() {
        let source = "name: node_x\nnode_type: WIDGET\n";
        let place = Some(Place { line: 2, column: 12 });
        let fault = Diagnostic::new("a/contract.yaml", place, "unknown node type `WIDGET`")
            .expected("EFFECT, COMPUTE, REDUCER or ORCHESTRATOR")
            .help("write `node_type: EFFECT_GENERIC`");
        let text = render(&fault, Some(source), false);
        for part in [
            "error: unknown node type `WIDGET`",
            "--> a/contract.yaml:2:12",
            "node_type: WIDGET",
            "^^^^^^ expected EFFECT, COMPUTE",
            "= help: write",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn a_fault_without_a_source_still_says_where_and_what() {
        let fault = Diagnostic::new("x", Some(Place { line: 9, column: 1 }), "gone").expected("something").help("look");
        let text = render(&fault, None, false);
        assert!(text.contains("x:9:1") && text.contains("something") && text.contains("look"), "{text}");
        for column in 0..40 {
            let fault = Diagnostic::new("x", Some(Place { line: 1, column }), "m");
            assert!(render(&fault, Some("ключ: \u{1F389}значение"), true).contains('m'));
        }
    }
}
