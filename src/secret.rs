//! Values that must not be seen: a type that prints as `***`, and how URLs are shown without theirs.

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

/// A URL without its password, and without the values of its query but those that are known to be harmless.
pub fn mask_url(url: &str) -> String {
    const HARMLESS: [&str; 11] = [
        "sslmode",
        "ssl-mode",
        "host",
        "port",
        "user",
        "dbname",
        "application_name",
        "connect_timeout",
        "mode",
        "cache",
        "immutable",
    ];
    let Some((scheme, rest)) = url.split_once(':') else { return MASK.to_owned() };
    // A file name may hold a `#`.
    let tail = rest.find(if scheme == "sqlite" { &['?'][..] } else { &['?', '#'] }).unwrap_or(rest.len());
    let (before, tail) = rest.split_at(tail);
    let before = match before.rfind('@').and_then(|at| Some((before[..at].find(':')?, at))) {
        Some((colon, at)) if colon + 1 < at => format!("{}:{MASK}{}", &before[..colon], &before[at..]),
        _ => before.to_owned(),
    };
    let mut shown = format!("{scheme}:{before}");
    for part in tail.split_inclusive(['?', '#', '&']) {
        let word = part.trim_end_matches(['?', '#', '&']);
        let end = &part[word.len()..];
        match word.split_once('=') {
            Some((name, value)) if !value.is_empty() && !HARMLESS.contains(&name) => {
                shown.extend([name, "=", MASK]);
            }
            None if !word.is_empty() => shown.push_str(MASK),
            _ => shown.push_str(word),
        }
        shown.push_str(end);
    }
    shown
}

/// A webhook's URL down to its host: the path of such a URL is its key.
pub fn mask_path(url: &str) -> String {
    let Some(start) = url.find("://").map(|at| at + 3) else { return MASK.to_owned() };
    let authority = url[start..].split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{}{host}/{MASK}", &url[..start])
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
    fn a_url_is_shown_without_its_password_and_unknown_words() {
        for (url, shown) in [
            ("postgresql://me:secret@host:5432/db", "postgresql://me:***@host:5432/db"),
            ("postgresql://me@host/db", "postgresql://me@host/db"),
            (
                "postgresql:///db?user=me&password=x%26y&sslmode=require",
                "postgresql:///db?user=me&password=***&sslmode=require",
            ),
            ("sqlite://.omninode/omninode.db", "sqlite://.omninode/omninode.db"),
            ("postgresql://h/db?apikey=x&x#secret", "postgresql://h/db?apikey=***&***#***"),
            ("postgresql://u:@h/db?password=", "postgresql://u:@h/db?password="),
            ("sqlite://a#b.db?mode=ro&key=x", "sqlite://a#b.db?mode=ro&key=***"),
            ("hunter2", "***"),
        ] {
            assert_eq!(mask_url(url), shown);
        }
        assert_eq!(mask_path("https://hooks.slack.com/services/T0/B0/key"), "https://hooks.slack.com/***");
        assert_eq!(mask_path("https://me:pw@host?key=x"), "https://host/***");
    }
}
