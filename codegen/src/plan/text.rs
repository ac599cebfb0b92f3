//! Descriptions as docstrings: a summary, a blank line, the rest.

/// The widest summary, in characters: with its quotes and indentation it stands on one line.
const SUMMARY_MAX: usize = 78;

/// The first sentence of a text, on one line; `otherwise` where there is none.
pub(super) fn summary(text: Option<&str>, otherwise: &str) -> String {
    let (summary, _) = parts(text.unwrap_or_default());
    if summary.is_empty() { otherwise.to_owned() } else { summary }
}

/// The text as a docstring: its first sentence, and behind a blank line what follows.
pub(super) fn doc(text: Option<&str>, otherwise: &str) -> String {
    let (summary, rest) = parts(text.unwrap_or_default());
    match (summary.as_str(), rest.as_str()) {
        ("", _) => otherwise.to_owned(),
        (_, "") => summary,
        _ => format!("{summary}\n\n{rest}"),
    }
}

/// The first sentence and the rest. A short text is one sentence even where it has two.
fn parts(text: &str) -> (String, String) {
    let text = text.trim();
    let (first, others) = text.split_once('\n').unwrap_or((text, ""));
    // A text that was folded by hand goes on to the end of its paragraph.
    let (paragraph, others) = match text.split_once("\n\n") {
        Some((paragraph, others)) if is_prose(paragraph) => (paragraph, others),
        None if is_prose(text) => (text, ""),
        _ => (first, others),
    };
    let paragraph = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let others = others.trim_matches('\n');
    if paragraph.chars().count() <= SUMMARY_MAX {
        return (finished(&paragraph), others.trim_end().to_owned());
    }
    let end = sentence_end(&paragraph);
    let (sentence, rest) = paragraph.split_at(end);
    let between = if rest.trim().is_empty() || others.is_empty() { "" } else { "\n\n" };
    (finished(sentence), format!("{}{between}{}", rest.trim(), others.trim_end()))
}

/// Whether the lines are sentences, and not a list or a table whose lines must stay apart.
fn is_prose(text: &str) -> bool {
    let plain = |line: &str| line.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '(' | '"' | '\'' | '`'));
    text.lines().all(plain)
}

/// Where the first sentence ends: behind a full stop that a capital letter follows.
fn sentence_end(text: &str) -> usize {
    let ends = text.match_indices(". ").map(|(at, _)| at + 1);
    ends.into_iter()
        .find(|end| {
            let before = text[..end - 1].rsplit(' ').next().unwrap_or_default();
            let abbreviated = before.contains('.') || before.chars().count() < 2;
            !abbreviated && text[*end..].trim_start().starts_with(char::is_uppercase)
        })
        .unwrap_or(text.len())
}

/// The sentence with a full stop.
fn finished(sentence: &str) -> String {
    let sentence = sentence.trim();
    match sentence.chars().last() {
        Some(last) if last.is_alphanumeric() || matches!(last, ')' | '`') => format!("{sentence}."),
        _ => sentence.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_docstring_begins_with_the_first_sentence() {
        let long = "Accepts orders from the shop. Each of them is checked, e.g. for its lines, and then it is stored.";
        let expected =
            "Accepts orders from the shop.\n\nEach of them is checked, e.g. for its lines, and then it is stored.";
        assert_eq!(doc(Some(long), ""), expected);
        assert_eq!(summary(Some(long), ""), "Accepts orders from the shop.");
        assert_eq!(doc(Some("Short one"), ""), "Short one.");
        assert_eq!(doc(Some(" \n"), "Otherwise."), "Otherwise.");
        assert_eq!(doc(Some("Takes:\n- a\n- b\n"), ""), "Takes:\n\n- a\n- b");
        assert_eq!(doc(Some("Folded by\nhand"), ""), "Folded by hand.");
    }
}
