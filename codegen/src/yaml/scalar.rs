//! What a scalar means: the rules of YAML 1.1 and 1.2 where they agree, text where they do not. And how text is written
//! so that every reader takes it for text.

use std::fmt::Write;

use serde_saphyr::granit_parser::{ScalarStyle, Tag};

use super::Value;

/// The value of a scalar, or the type that its tag promises and its text does not hold.
pub(super) fn resolve(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, &'static str> {
    let Some(tag) = tag else {
        return Ok(if style == ScalarStyle::Plain { plain(text) } else { Value::Text(text.to_owned()) });
    };
    match (tag.core_suffix(), plain(text)) {
        (Some("null"), Value::Null) => Ok(Value::Null),
        (Some("null"), _) => Err("nothing (`null`)"),
        (Some("bool"), value @ Value::Bool(_)) => Ok(value),
        (Some("bool"), _) => Err("`true` or `false`"),
        (Some("int"), value @ Value::Int(_)) => Ok(value),
        (Some("int"), _) => Err("a whole number"),
        (Some("float"), value @ Value::Float(_)) => Ok(value),
        (Some("float"), Value::Int(number)) => Ok(Value::Float(number as f64)),
        (Some("float"), _) => Err("a number"),
        // `!!str`, `!`, and every tag that is not ours to interpret (`!include`, `!!binary`, `!!timestamp`).
        _ => Ok(Value::Text(text.to_owned())),
    }
}

pub(super) fn is_null(text: &str, style: ScalarStyle) -> bool {
    style == ScalarStyle::Plain && plain(text) == Value::Null
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Value::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => Value::Float(f64::NAN),
        _ => number(text).unwrap_or_else(|| Value::Text(text.to_owned())),
    }
}

/// A number that both rule books read alike and that we can hold without loss; a longer one stays text.
fn number(text: &str) -> Option<Value> {
    if let Some(digits) = text.strip_prefix("0x") {
        let all_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        return all_hex.then(|| i128::from_str_radix(digits, 16).ok()).flatten().map(Value::Int);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let whole_len = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = unsigned.split_at(whole_len);
    if rest.is_empty() {
        let octal_in_one_of_them = whole.len() > 1 && whole.starts_with('0');
        return if octal_in_one_of_them { None } else { text.parse().ok().map(Value::Int) };
    }
    let fraction = rest.strip_prefix('.')?;
    let fraction_len = fraction.bytes().take_while(u8::is_ascii_digit).count();
    let exponent = &fraction[fraction_len..];
    // `-.5` is text to the one, `.` to both.
    if whole.is_empty() && (fraction_len == 0 || unsigned.len() != text.len()) || !is_exponent(exponent) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float)
}

/// Nothing, or `e+3`: YAML 1.1 wants the sign.
fn is_exponent(text: &str) -> bool {
    let Some(signed) = text.strip_prefix(['e', 'E']) else { return text.is_empty() };
    let digits = signed.strip_prefix(['+', '-']).unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Text as a YAML scalar that every reader, of YAML 1.1 or 1.2, reads back as the same text: a plain word where that is
/// safe, else in double quotes, on one line.
pub fn text_scalar(text: &str) -> String {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    let is_word =
        text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') && text.bytes().all(inner);
    let is_switch = ["y", "n", "yes", "no", "on", "off"].contains(&text.to_ascii_lowercase().as_str());
    if is_word && !is_switch && matches!(plain(text), Value::Text(_)) {
        return text.to_owned();
    }
    let mut scalar = String::with_capacity(text.len() + 2);
    scalar.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => scalar.extend(['\\', char]),
            '\n' => scalar.push_str("\\n"),
            '\r' => scalar.push_str("\\r"),
            '\t' => scalar.push_str("\\t"),
            // Not allowed in YAML, a line break to some readers, or not to be seen.
            '\0'..='\x1f'
            | '\x7f'..='\u{a0}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                // Writing to a string cannot fail.
                let _ = write!(scalar, "\\u{:04x}", char as u32);
            }
            char => scalar.push(char),
        }
    }
    scalar.push('"');
    scalar
}
