use minijinja::value::Value;
use ruff_python_ast::{Expr, Number};
use ruff_python_parser::parse_expression;

use super::*;

const NASTY: &[&str] = &[
    "",
    "plain",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "a\"\"\"",
    "\"\"\"\"\"\"\"",
    "\\",
    "\\\"",
    "\\\\\"",
    "ends in \\",
    "it's \"both\"",
    "say \"hi\"",
    "\\N{BULLET} \\u0041 \\x41 \\101",
    "{not} {{a}} %s f-string",
    "line\nbreak\r\nand\rreturn\ttab",
    "nul\0bell\u{7}esc\u{1b}[31mdel\u{7f}nel\u{85}",
    "\u{202e}txet\u{202c}\u{2066}x\u{2069}",
    "\u{feff}bom\u{2028}sep\u{2029}zwsp\u{200b}",
    "tag\u{e0041}\u{e007f}",
    "émoji 👩\u{200d}💻 日本語 ﬁ",
    "  leading and trailing  ",
    "\n\nblank lines\n\n  indented   \n\n\nend\n\n",
];

fn string_value(source: &str) -> String {
    let parsed = parse_expression(source).unwrap_or_else(|error| panic!("{error}: {source}"));
    let Expr::StringLiteral(literal) = parsed.expr() else { panic!("no string: {source}") };
    literal.value.to_str().to_owned()
}

#[test]
fn an_identifier_is_made_of_any_text() {
    let cases = [
        ("HTTPServer2X", "http_server2_x"),
        ("ModelHTTPRequest", "model_http_request"),
        ("NodeArchitectureValidatorCompute", "node_architecture_validator_compute"),
        ("onex.node/validator v1.0", "onex_node_validator_v1_0"),
        ("already_snake", "already_snake"),
        ("__init__", "init"),
        ("_private", "private"),
        ("a--b..c  d'e\"f", "a_b_c_d_e_f"),
        ("2fa", "n_2fa"),
        ("class", "class_"),
        ("Class", "class_"),
        ("None", "none"),
        ("match", "match"),
        ("id", "id"),
        ("S3Bucket", "s3_bucket"),
        ("Straße", "straße"),
        ("ﬁleÅngström", "file_ångström"),
        ("日本語", "日本語"),
        ("x\u{202e}y\0z\n", "x_y_z"),
        ("../../etc/passwd", "etc_passwd"),
    ];
    for (text, want) in cases {
        assert_eq!(identifier(text).as_deref(), Some(want), "{text}");
    }
    for text in ["", "___", "--- ", "💥", "\u{0}"] {
        assert_eq!(identifier(text), None, "{text:?}");
    }
}

#[test]
fn a_class_name_is_kept_where_it_is_a_name() {
    let cases = [
        ("ModelHTTPRequest", "ModelHTTPRequest"),
        ("node_x", "node_x"),
        ("_Private", "_Private"),
        ("__Mangled", "Mangled"),
        ("my node.v2", "MyNodeV2"),
        ("HTTP server", "HTTPServer"),
        ("2fa-check", "N2faCheck"),
        ("None", "None_"),
        ("class", "class_"),
        ("ﬁle", "File"),
    ];
    for (text, want) in cases {
        assert_eq!(class_name(text).as_deref(), Some(want), "{text}");
    }
    assert_eq!([class_name(""), class_name("_"), class_name("-.-")], [None, None, None]);
}

#[test]
fn a_package_hides_no_module_that_its_code_needs() {
    let cases = [("json", "json_node"), ("Pydantic", "pydantic_node"), ("omnibase-core", "omnibase_core_node")];
    for (text, want) in cases.into_iter().chain([("test", "test_node"), ("node_x", "node_x"), ("import", "import_")]) {
        assert_eq!(package_name(text).as_deref(), Some(want));
    }
    assert!(stdlib::STDLIB.is_sorted());
}

#[test]
fn every_name_that_is_made_is_one_for_python() {
    let long = "x".repeat(500);
    for text in
        NASTY.iter().copied().chain([long.as_str(), "İstanbul", "ǅ", "a\u{300}B", "ŉ", "ΐ", "·dot", "K", "\u{300}a"])
    {
        for name in [identifier(text), class_name(text), package_name(text)].into_iter().flatten() {
            assert!(is_identifier(&name) && !is_keyword(&name) && name.len() <= NAME_BYTES_MAX, "{text:?}: {name}");
        }
        if let Some(name) = identifier(text) {
            assert_eq!(identifier(&name), Some(name.clone()), "a second time changes nothing");
        }
    }
}

#[test]
fn names_that_are_too_long_are_cut_and_stay_different() {
    let names = ["é".repeat(200), "é".repeat(201)].map(|text| identifier(&text).unwrap());
    assert_ne!(names[0], names[1]);
    assert!(names.iter().all(|name| name.len() <= NAME_BYTES_MAX && is_identifier(name)), "{names:?}");
}

#[test]
fn a_scope_gives_every_name_once_also_on_a_disk_without_case() {
    let mut names = Names::default();
    let claims = ["model_x", "Model_X", "model_x", "model_x_2", "other", "model_x"];
    let given = claims.map(|claim| names.claim(claim));
    assert_eq!(given, ["model_x", "Model_X_2", "model_x_3", "model_x_2_2", "other", "model_x_4"]);
}

#[test]
fn a_string_literal_is_read_back_as_the_same_text() {
    for text in NASTY {
        let literal = string_literal(text);
        assert_eq!(string_value(&literal), *text, "{literal}");
        assert!(
            !literal.chars().any(|char| char.is_control() || ('\u{2028}'..='\u{202e}').contains(&char)),
            "{literal:?}"
        );
    }
    assert_eq!(string_literal("it's"), "\"it's\"");
    assert_eq!(string_literal("say \"hi\""), "'say \"hi\"'");
    assert_eq!(string_literal("日本 👩\u{200d}💻"), "\"日本 👩\u{200d}💻\"");
}

#[test]
fn a_docstring_is_read_back_with_the_same_words() {
    let long = format!("{} \"\"\" {}", "word ".repeat(60), "\\".repeat(200));
    let words = |text: &str| -> Vec<String> {
        let sep = |char: char| char == ' ' || char == '\n' || char == '\r' || char == '\t';
        text.split(sep).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    for text in NASTY.iter().copied().chain([long.as_str()]) {
        for indent in [0, 4, 12, 90] {
            let source = format!("\"\"\"{}\"\"\"", docstring(text, indent));
            assert_eq!(words(&string_value(&source)), words(text), "{source}");
            assert!(!source.lines().any(|line| line.ends_with(' ') && line.trim() != ""), "{source:?}");
        }
    }
}

#[test]
fn a_docstring_is_wrapped_to_88_columns_and_keeps_its_lines() {
    assert_eq!(docstring("One line.", 4), "One line.");
    assert_eq!(docstring("One.\n\n  - item  \n\nTwo.\n", 4), "One.\n\n      - item\n\n    Two.\n    ");
    for (text, indent) in [("a bb ccc ".repeat(40), 4), (format!("  {}", "wörter ".repeat(40)), 8)] {
        let inner = docstring(&text, indent);
        let columns =
            inner.lines().enumerate().map(|(at, line)| line.chars().count() + if at == 0 { indent + 3 } else { 0 });
        let widths: Vec<_> = columns.collect();
        assert!(widths.iter().all(|width| *width <= 88) && widths.len() > 3, "{widths:?}");
    }
    assert!(docstring(&"x".repeat(78), 4).lines().count() == 1);
    // One line stays one if it cannot be wrapped; the formatter does not move its closing quotes either.
    assert_eq!(docstring(&"x".repeat(79), 4), "x".repeat(79));
    assert_eq!(docstring(&format!("{} yy", "x".repeat(76)), 4), format!("{}\n    yy\n    ", "x".repeat(76)));
}

#[test]
fn a_comment_is_one_visible_line() {
    assert_eq!(comment("  a\nb\r\n\tc \u{202e}d\0 "), "a b c \\u202ed");
    for text in NASTY {
        assert!(!comment(text).contains(|char: char| char.is_control()), "{text:?}");
    }
}

#[test]
fn a_value_becomes_its_python_literal() {
    let json = serde_json::json!({"a": [null, true, false, -3, 1.0, "x\"y"], "none": {}, "l": [[], [{}]]});
    let value = Value::from(minijinja::value::Serde(&json));
    let want = r#"{"a": [None, True, False, -3, 1.0, 'x"y'], "none": {}, "l": [[], [{}]]}"#;
    assert_eq!(literal(&value).unwrap(), want);
    assert_eq!(literal(&Value::from(f64::INFINITY)).unwrap(), "float(\"inf\")");
    assert_eq!(literal(&Value::from(i128::MIN)).unwrap(), i128::MIN.to_string());
    assert!(literal(&Value::UNDEFINED).is_err());
    for number in [0.0, -0.0, 0.1, 1e16, 1e22, 1e-7, f64::MAX, f64::MIN_POSITIVE, 123_456_789.123] {
        let source = float_literal(number);
        let parsed = parse_expression(source.trim_start_matches('-')).unwrap();
        let Expr::NumberLiteral(literal) = parsed.expr() else { panic!("{source}") };
        assert_eq!(literal.value, Number::Float(number.abs()), "{source}");
    }
    let mut deep = Value::from(1);
    for _ in 0..200 {
        deep = Value::from(vec![deep]);
    }
    assert!(literal(&deep).is_err());
}
