//! The word that was probably meant.

/// The known word that is nearest to what was found, where it is near enough to suggest: at most one character in three
/// differs, and at most three.
pub fn nearest<'w>(found: &str, known: &[&'w str]) -> Option<&'w str> {
    let found: Vec<char> = found.to_lowercase().chars().take(64).collect();
    let near = (found.len() / 3).clamp(1, 3);
    let distances = known.iter().map(|word| (distance(&found, &word.to_lowercase()), *word));
    distances.filter(|(distance, _)| *distance <= near).min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

/// How many characters must be put in, taken out or changed to make the one word from the other.
fn distance(one: &[char], other: &str) -> usize {
    let mut row: Vec<usize> = (0..=one.len()).collect();
    for (above, char) in other.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], above + 1);
        for at in 0..one.len() {
            let change = corner + usize::from(one[at] != char);
            corner = row[at + 1];
            row[at + 1] = change.min(corner + 1).min(row[at] + 1);
        }
    }
    row[one.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested_and_a_far_one_is_not() {
        let known = ["path", "template", "each", "when"];
        assert_eq!(nearest("templete", &known), Some("template"));
        assert_eq!(nearest("Path", &known), Some("path"));
        assert_eq!(nearest("whne", &known), None, "two changes in four letters");
        assert_eq!(nearest("eac", &known), Some("each"));
        assert_eq!(nearest("condition", &known), None);
        assert_eq!(nearest("", &["ab"]), None);
    }
}
