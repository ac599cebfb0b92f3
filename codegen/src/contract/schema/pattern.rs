//! Regular expressions of contracts: whether Pydantic's engine compiles them, and a text that each of them matches.
//!
//! Pydantic compiles patterns with Rust's `regex` engine when the model class is made, so a wrong pattern would break
//! the import of the package. What is read here is that engine's syntax.

use std::collections::BTreeSet;

/// What an engine is allowed to build for one pattern, in copies of one character; `\w` weighs as several.
const WEIGHT_MAX: u64 = 4_000;

const DEPTH_MAX: u32 = 50;

/// Characters that are tried, in this order, where a class leaves the choice.
const CANDIDATES: &str = "aA0-_. /:@#,;+*=!?$%&'\"()<>[]{}|\\^~`zZ9\n\té日";

/// A text that the pattern matches, the shortest that is easily found. Ok(None) where none was found though the pattern
/// is right; Err says what is wrong with it.
pub fn sample(pattern: &str) -> Result<Option<String>, String> {
    sample_of_length(pattern, 0)
}

/// As [`sample`], of at least `length` characters.
pub fn sample_of_length(pattern: &str, length: u64) -> Result<Option<String>, String> {
    for extra in 0..=length.min(64) {
        let mut parser = Parser { rest: pattern, extra, depth: 0, unsure: false, names: BTreeSet::new() };
        let piece = parser.alternatives()?;
        if !parser.rest.is_empty() {
            return Err("closes a group that is not open".to_owned());
        }
        if piece.weight > WEIGHT_MAX {
            return Err("is too large to compile".to_owned());
        }
        if parser.unsure {
            return Ok(None);
        }
        if piece.text.chars().count() as u64 >= length {
            return Ok(Some(piece.text));
        }
    }
    Ok(None)
}

struct Piece {
    text: String,
    weight: u64,
}

struct Parser<'p> {
    rest: &'p str,
    /// How many repetitions more than needed an open-ended one makes.
    extra: u64,
    depth: u32,
    /// A construct was met whose text is not known here.
    unsure: bool,
    names: BTreeSet<&'p str>,
}

impl<'p> Parser<'p> {
    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest.strip_prefix(token);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn next(&mut self) -> Option<char> {
        let char = self.rest.chars().next()?;
        self.rest = &self.rest[char.len_utf8()..];
        Some(char)
    }

    /// `a|b|c`: the first is taken.
    fn alternatives(&mut self) -> Result<Piece, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("is nested too deep".to_owned());
        }
        let mut first = self.sequence()?;
        while self.eat("|") {
            let unsure = self.unsure;
            first.weight += self.sequence()?.weight;
            self.unsure = unsure;
        }
        self.depth -= 1;
        Ok(first)
    }

    fn sequence(&mut self) -> Result<Piece, String> {
        let mut whole = Piece { text: String::new(), weight: 1 };
        while !self.rest.is_empty() && !self.rest.starts_with(['|', ')']) {
            let atom = self.atom()?;
            let repeated = self.repeated(atom)?;
            whole.text.push_str(&repeated.text);
            whole.weight = whole.weight.saturating_add(repeated.weight);
        }
        Ok(whole)
    }

    fn repeated(&mut self, mut piece: Piece) -> Result<Piece, String> {
        loop {
            let (low, high) = if self.eat("*") {
                (0, None)
            } else if self.eat("+") {
                (1, None)
            } else if self.eat("?") {
                (0, Some(1))
            } else if self.eat("{") {
                self.counts()?
            } else {
                return Ok(piece);
            };
            self.eat("?");
            let wanted = low + self.extra;
            let times = high.map_or(wanted, |high: u64| wanted.min(high));
            let copies = high.unwrap_or(low + 1).max(1);
            piece.weight = piece.weight.saturating_mul(copies);
            if piece.weight > WEIGHT_MAX {
                return Err("is too large to compile".to_owned());
            }
            piece.text = piece.text.repeat(usize::try_from(times).unwrap_or(usize::MAX).min(4_096));
        }
    }

    /// `3}`, `3,}`, `3,5}`.
    fn counts(&mut self) -> Result<(u64, Option<u64>), String> {
        let wrong = || "holds a `{` that begins no repetition; write `\\{` for the brace itself".to_owned();
        let (inside, after) = self.rest.split_once('}').ok_or_else(wrong)?;
        self.rest = after;
        let number = |text: &str| text.trim().parse::<u32>().map(u64::from).map_err(|_| wrong());
        let (low, high) = match inside.split_once(',') {
            None => (number(inside)?, Some(number(inside)?)),
            Some((low, high)) if high.trim().is_empty() => (number(low)?, None),
            Some((low, high)) => (number(low)?, Some(number(high)?)),
        };
        if high.is_some_and(|high| low > high) {
            return Err(format!("repeats from {low} to fewer times"));
        }
        Ok((low, high))
    }

    fn atom(&mut self) -> Result<Piece, String> {
        let char = self.next().unwrap_or_default();
        let piece = |text: &str, weight| Piece { text: text.to_owned(), weight };
        match char {
            '^' | '$' => Ok(piece("", 1)),
            '.' => Ok(piece("a", 2)),
            '(' => self.group(),
            '[' => self.class(),
            '\\' => self.escape().map(|set| match set {
                Set::Nothing => piece("", 1),
                Set::Char(char) => Piece { text: char.to_string(), weight: 1 },
                Set::Wide(text) => piece(text, 40),
                Set::Unknown => {
                    self.unsure = true;
                    piece("", 40)
                }
            }),
            '*' | '+' | '?' | '{' => Err(format!("holds a `{char}` with nothing before it to repeat")),
            char => Ok(Piece { text: char.to_string(), weight: 1 }),
        }
    }

    fn group(&mut self) -> Result<Piece, String> {
        if self.eat("?") {
            if ["=", "!", "<=", "<!"].iter().any(|look| self.rest.starts_with(look)) {
                return Err("looks around itself".to_owned());
            }
            if self.eat("P<") || self.eat("<") {
                let (name, after) = self.rest.split_once('>').ok_or("leaves the name of a group open")?;
                let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let named = name.chars().all(word) && !name.starts_with(|c: char| c.is_ascii_digit());
                if name.is_empty() || !named || !self.names.insert(name) {
                    return Err(format!("names a group `{name}`, which is no name or taken"));
                }
                self.rest = after;
            } else if !self.flags()? {
                return Ok(Piece { text: String::new(), weight: 1 });
            }
        }
        let inside = self.alternatives()?;
        if !self.eat(")") {
            return Err("leaves a group open".to_owned());
        }
        Ok(inside)
    }

    /// `i:`, `:` or `i)`; false where the group ends with its flags.
    fn flags(&mut self) -> Result<bool, String> {
        let end = self.rest.find([':', ')']).ok_or("leaves a group open")?;
        let (flags, after) = (&self.rest[..end], &self.rest[end + 1..]);
        if !flags.chars().all(|flag| "imsUuRx-".contains(flag))
            || flags.ends_with('-')
            || flags.matches('-').count() > 1
        {
            return Err(format!("has a group that begins with `?{flags}`"));
        }
        // Spaces and comments mean nothing under `x`: what would match is not known here.
        self.unsure |= flags.contains('x');
        let opens = self.rest[end..].starts_with(':');
        if flags.is_empty() && !opens {
            return Err("has an empty list of flags".to_owned());
        }
        self.rest = after;
        Ok(opens)
    }

    fn escape(&mut self) -> Result<Set, String> {
        let char = self.next().ok_or("ends in a single `\\`")?;
        Ok(match char {
            'd' => Set::Wide("0"),
            'w' => Set::Wide("a"),
            's' => Set::Wide(" "),
            'D' | 'S' => Set::Wide("a"),
            'W' => Set::Wide("-"),
            'A' | 'z' | 'b' => Set::Nothing,
            'B' => Set::Unknown,
            'n' => Set::Char('\n'),
            't' => Set::Char('\t'),
            'r' => Set::Char('\r'),
            'f' => Set::Char('\u{c}'),
            'v' => Set::Char('\u{b}'),
            'a' => Set::Char('\u{7}'),
            'x' => Set::Char(self.code_point(2)?),
            'u' => Set::Char(self.code_point(4)?),
            'U' => Set::Char(self.code_point(8)?),
            'p' | 'P' => self.property(char)?,
            '0'..='9' => return Err("refers back to a group".to_owned()),
            char if char.is_ascii_alphabetic() || matches!(char, '<' | '>') || !char.is_ascii() => {
                return Err(format!("holds the unknown escape `\\{char}`"));
            }
            char => Set::Char(char),
        })
    }

    fn code_point(&mut self, digits: usize) -> Result<char, String> {
        let wrong = "holds an escape that is no character";
        let hex = if self.eat("{") {
            let (hex, after) = self.rest.split_once('}').ok_or(wrong)?;
            self.rest = after;
            hex
        } else {
            let hex = self.rest.get(..digits).ok_or(wrong)?;
            self.rest = &self.rest[digits..];
            hex
        };
        u32::from_str_radix(hex, 16).ok().and_then(char::from_u32).ok_or_else(|| wrong.to_owned())
    }

    /// `\p{L}`: the general categories are known, no others.
    fn property(&mut self, escape: char) -> Result<Set, String> {
        let name = if self.eat("{") {
            let (name, after) = self.rest.split_once('}').ok_or("leaves a property open")?;
            self.rest = after;
            name.to_owned()
        } else {
            self.next().map(String::from).unwrap_or_default()
        };
        let text = match name.as_str() {
            "L" | "Ll" | "Letter" | "Alphabetic" | "Latin" | "Lowercase" | "ASCII" => "a",
            "Lu" | "Uppercase" => "A",
            "N" | "Nd" | "Number" => "0",
            "P" | "Punctuation" => "!",
            "Z" | "Zs" => " ",
            "S" | "M" | "C" | "Lt" | "Lm" | "Lo" | "Greek" | "Cyrillic" | "Han" | "Hiragana" | "Katakana" => {
                return Ok(Set::Unknown);
            }
            _ => return Err(format!("names the property `{name}`, which is not known here")),
        };
        Ok(if escape == 'p' { Set::Wide(text) } else { Set::Unknown })
    }

    /// A class in brackets; the opening one is eaten.
    fn class(&mut self) -> Result<Piece, String> {
        self.depth += 1;
        let negated = self.eat("^");
        let mut ranges: Vec<(char, char)> = Vec::new();
        let mut unknown = self.depth > DEPTH_MAX;
        let mut first = true;
        loop {
            if !first && self.eat("]") {
                break;
            }
            first = false;
            if self.rest.starts_with('[') {
                unknown = true;
                self.nested_class()?;
                continue;
            }
            unknown |= ["&&", "--", "~~"].iter().any(|operator| self.rest.starts_with(operator));
            match self.class_member()? {
                Set::Char(low) => ranges.push((low, self.range_end(low)?)),
                Set::Wide("0") => ranges.push(('0', '9')),
                Set::Wide(" ") => ranges.extend([(' ', ' '), ('\t', '\r')]),
                Set::Wide("a") => ranges.extend([('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')]),
                _ => unknown = true,
            }
        }
        self.depth -= 1;
        let matches = |char: &char| ranges.iter().any(|(low, high)| low <= char && char <= high) != negated;
        let mut candidates = CANDIDATES.chars().chain(ranges.iter().map(|(low, _)| *low));
        let found = if unknown { None } else { candidates.find(matches) };
        self.unsure |= found.is_none();
        Ok(Piece { text: found.map(String::from).unwrap_or_default(), weight: 4 })
    }

    fn nested_class(&mut self) -> Result<(), String> {
        if self.eat("[:") {
            let (name, after) = self.rest.split_once(":]").ok_or("leaves a class open")?;
            let name = name.strip_prefix('^').unwrap_or(name);
            let known =
                ["alnum", "alpha", "ascii", "blank", "digit", "lower", "punct", "space", "upper", "word", "xdigit"];
            self.rest = after;
            return if known.contains(&name) { Ok(()) } else { Err(format!("names the unknown class `{name}`")) };
        }
        self.eat("[");
        self.class().map(|_| ())
    }

    fn class_member(&mut self) -> Result<Set, String> {
        match self.next().ok_or("leaves a class open")? {
            // In a class `\b` would be a boundary: the engine refuses it.
            '\\' if self.rest.starts_with(['b', 'B', 'A', 'z']) => Err("holds a boundary inside a class".to_owned()),
            '\\' => self.escape(),
            char => Ok(Set::Char(char)),
        }
    }

    /// The end of a range that begins with `low`, `low` itself where there is none.
    fn range_end(&mut self, low: char) -> Result<char, String> {
        let mut ahead = self.rest.chars();
        if ahead.next() != Some('-') || matches!(ahead.next(), None | Some(']' | '-')) {
            return Ok(low);
        }
        self.eat("-");
        match self.class_member()? {
            Set::Char(high) if low <= high => Ok(high),
            _ => Err(format!("holds a range that begins with `{low}` and does not end above it")),
        }
    }
}

/// What one escape stands for.
enum Set {
    Nothing,
    Char(char),
    /// Any of many characters; one of them.
    Wide(&'static str),
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::{sample, sample_of_length};

    #[test]
    fn a_sample_is_the_shortest_text_of_the_pattern() {
        for (pattern, expected) in [
            ("^[A-Z]{3}-\\d{4}$", "AAA-0000"),
            ("^(?:eu|us)-west$", "eu-west"),
            ("[^a-z]+", "A"),
            ("", ""),
            ("\\{\\}a?", "{}"),
            ("^[\\w.+-]+@example\\.com$", "a@example.com"),
            ("[]x]", "]"),
            ("é{2}", "éé"),
        ] {
            assert_eq!(sample(pattern), Ok(Some(expected.to_owned())), "{pattern}");
        }
        assert_eq!(sample_of_length("^a+$", 3), Ok(Some("aaa".to_owned())));
        assert_eq!(sample("[[:alpha:]&&[^a]]"), Ok(None));
    }

    #[test]
    fn a_pattern_that_the_engine_refuses_is_refused() {
        for pattern in
            ["(?=a)", "(a", "a)", "[a", "*a", "\\1", "[z-a]", "a{2,1}", "a{", "\\q", "(?P<a>x)(?P<a>y)", "\\"]
        {
            assert!(sample(pattern).is_err(), "{pattern}");
        }
    }
}
