//! Values that must not be seen: a type that prints as `***`, and how URLs and lines of a file are shown without theirs.

use std::fmt;

/// What is shown in place of a secret.
pub const MASK: &str = "***";

/// A text that cannot be printed, logged or serialized by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever connects with it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// A URL without its password and without what follows `?` in a word like `password=`. Works on broken URLs too: these
/// are the ones that messages show.
pub fn mask_url(url: &str) -> String {
    let Some(start) = url.find("://").map(|at| at + 3) else { return MASK.to_owned() };
    let (scheme, rest) = url.split_at(start);
    // A password may hold `/` and `@` where nobody encoded it: the last `@` is where the host begins.
    let shown = match rest.rfind('@') {
        Some(at) => match rest[..at].find(':') {
            Some(colon) => format!("{}:{MASK}{}", &rest[..colon], &rest[at..]),
            None => rest.to_owned(),
        },
        None => rest.to_owned(),
    };
    let Some((before, query)) = shown.split_once('?') else { return format!("{scheme}{shown}") };
    let parameter = |text: &str| match text.split_once('=') {
        Some((name, _)) if is_secretive(name) => format!("{name}={MASK}"),
        _ => text.to_owned(),
    };
    let query: Vec<String> = query.split('&').map(parameter).collect();
    format!("{scheme}{before}?{}", query.join("&"))
}

/// A webhook's URL down to its host: the path of such a URL is its key.
pub fn mask_path(url: &str) -> String {
    let Some(start) = url.find("://").map(|at| at + 3) else { return MASK.to_owned() };
    let authority = url[start..].split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{}{host}/{MASK}", &url[..start])
}

/// The text of a file in which nothing that looks like a secret can be read; every character keeps its line and column.
pub fn mask_lines(text: &str) -> String {
    // Lines further in than this belong to a secret that began above them.
    let mut inside: Option<usize> = None;
    let mut shown = Vec::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        if inside.is_some_and(|outer| indent > outer || line.trim().is_empty()) {
            shown.push(starred(line, 0..line.len()));
            continue;
        }
        inside = None;
        let mut line = line.to_owned();
        if let (Some(start), Some(end)) = (line.find("://"), line.rfind('@'))
            && start + 3 < end
        {
            line = starred(&line, start + 3..end);
        }
        if let Some(from) = secret_begins(&line) {
            line = starred(&line, from..line.len());
            inside = Some(indent);
        }
        shown.push(line);
    }
    shown.join("\n")
}

/// Where on a line the value of a secret's key begins.
fn secret_begins(line: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let end = from + line[from..].find([':', '='])?;
        let name = line[from..end].rsplit([',', '{', ' ', '\t']).next().unwrap_or_default();
        // `password_env: NAME` says where the secret is, unless somebody put the secret itself there.
        let names_a_variable = name.ends_with("_env") && is_variable(line[end + 1..].trim());
        if is_secretive(name) && !names_a_variable {
            return Some(end + 1);
        }
        from = end + 1;
    }
}

/// Whether it looks like a variable's name, perhaps with a comment behind it.
fn is_variable(text: &str) -> bool {
    let name = text.split([' ', ',', '}']).next().unwrap_or_default();
    name.contains('_') && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Whether a key of this name holds a secret, by the words that people use.
fn is_secretive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["passw", "pwd", "secret", "token", "api_key", "apikey", "webhook", "credential"].iter().any(|w| name.contains(w))
}

fn starred(line: &str, range: std::ops::Range<usize>) -> String {
    let star = |(at, char): (usize, char)| if range.contains(&at) && !char.is_whitespace() { '*' } else { char };
    line.char_indices().map(star).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_no_printed_form() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn a_url_is_shown_without_its_password_even_where_it_is_broken() {
        for (url, shown) in [
            ("postgresql://me:secret@host:5432/db", "postgresql://me:***@host:5432/db"),
            ("postgresql://me:se/c@re:t@host/db", "postgresql://me:***@host/db"),
            ("postgresql://me@host/db", "postgresql://me@host/db"),
            (
                "postgresql:///db?user=me&password=x%26y&sslmode=require",
                "postgresql:///db?user=me&password=***&sslmode=require",
            ),
            ("sqlite://.omninode/omninode.db", "sqlite://.omninode/omninode.db"),
            ("hunter2", "***"),
        ] {
            assert_eq!(mask_url(url), shown);
        }
        assert_eq!(mask_path("https://hooks.slack.com/services/T0/B0/key"), "https://hooks.slack.com/***");
        assert_eq!(mask_path("https://me:pw@host?key=x"), "https://host/***");
    }

    #[test]
    fn lines_keep_their_columns_and_lose_their_secrets() {
        assert_eq!(mask_lines("password_env: POSTGRES_PASSWORD # x"), "password_env: POSTGRES_PASSWORD # x");
        assert_eq!(mask_lines("password_env: hunter2"), "password_env: *******");
        let text = "database: {user: me, passwrd: hunter2}\nport: 1 # fine\n  token: |\n    hunter2\n\n    hunter3\n  x: 1\n\
                    url: postgresql://me:hunter2@host/db\nkey: ключ\n";
        let shown = mask_lines(text);
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(shown.contains("port: 1 # fine") && shown.contains("  x: 1") && shown.contains("@host/db"), "{shown}");
        for (before, after) in text.lines().zip(shown.lines()) {
            assert_eq!(before.chars().count(), after.chars().count());
        }
    }
}
