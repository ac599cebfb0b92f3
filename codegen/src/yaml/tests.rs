use super::*;

fn read(text: &str) -> Node {
    parse("contract.yaml", text.as_bytes()).unwrap_or_else(|fault| panic!("{fault}\n{text}"))
}

/// `line:column message` of what `bytes` is refused for; every refusal must say what to do.
fn refusal(bytes: impl AsRef<[u8]>) -> String {
    let fault = parse("contract.yaml", bytes.as_ref()).expect_err("should be refused");
    assert_eq!(fault.file, "contract.yaml");
    assert!(!fault.help.is_empty(), "{fault}");
    let place = fault.place.map(|place| format!("{}:{} ", place.line, place.column)).unwrap_or_default();
    format!("{place}{}", fault.message)
}

#[test]
fn every_node_knows_its_place_in_characters() {
    let root = read("é: [ü, {ß: 1}]\nlist:\n  - a\n  - b: c\n");
    let places: Vec<_> = root.map().unwrap().iter().map(|entry| (entry.key_place, entry.value.place)).collect();
    let at = |line, column| Place { line, column };
    assert_eq!(places, [(at(1, 1), at(1, 4)), (at(2, 1), at(3, 3))]);
    let items = root.get("é").unwrap().list().unwrap();
    assert_eq!((items[0].place, items[1].place), (at(1, 5), at(1, 8)));
    assert_eq!(items[1].map().unwrap()[0].value.place, at(1, 12));
    assert_eq!(root.get("list").unwrap().list().unwrap()[1].map().unwrap()[0].key_place, at(4, 5));
}

#[test]
fn a_scalar_has_a_type_only_where_both_yaml_versions_agree() {
    let text = |text: &str| Value::Text(text.to_owned());
    let same =
        ["yes", "no", "on", "off", "y", "0755", "08", "1_000", "1:30", "0o17", "0b11", "1e5", "1.5e3", "-.5", "."];
    let cases = [
        ("true", Value::Bool(true)),
        ("FALSE", Value::Bool(false)),
        ("~", Value::Null),
        ("42", Value::Int(42)),
        ("-7", Value::Int(-7)),
        ("0", Value::Int(0)),
        ("0x1F", Value::Int(31)),
        ("170141183460469231731687303715884105727", Value::Int(i128::MAX)),
        ("170141183460469231731687303715884105728", text("170141183460469231731687303715884105728")),
        ("1.5", Value::Float(1.5)),
        (".5", Value::Float(0.5)),
        ("1.5e+3", Value::Float(1500.0)),
        ("1.0e+999", text("1.0e+999")),
        (".inf", Value::Float(f64::INFINITY)),
        ("-.Inf", Value::Float(f64::NEG_INFINITY)),
        ("2026-01-31T10:00:00Z", text("2026-01-31T10:00:00Z")),
        ("1.0.0", text("1.0.0")),
        ("'42'", text("42")),
        ("!!str 42", text("42")),
        ("!!int '42'", Value::Int(42)),
        ("!!float 1", Value::Float(1.0)),
        ("!!binary aGk=", text("aGk=")),
        ("!include other.yaml", text("other.yaml")),
        ("!!timestamp 2026-01-31", text("2026-01-31")),
        ("|\n  a\n  b\n", text("a\nb\n")),
    ];
    for (source, value) in cases.into_iter().chain(same.map(|source| (source, text(source)))) {
        assert_eq!(read(&format!("key: {source}")).map().unwrap()[0].value.value, value, "{source}");
    }
    assert!(matches!(read(".nan").value, Value::Float(number) if number.is_nan()));
}

#[test]
fn keys_are_kept_as_they_are_written() {
    let root = read("1: a\ntrue: b\n~: c\n'yes': d\n0x1F: e\n\"\": f\n");
    let keys: Vec<_> = root.map().unwrap().iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["1", "true", "~", "yes", "0x1F", ""]);
}

#[test]
fn aliases_are_unfolded_and_merge_keys_merged() {
    let root =
        read("a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc:\n  first: 0\n  <<: [*a, *b]\n  z: 9\nd: *a\n? &k key\n: *k\n");
    let merged = root.get("c").unwrap();
    let pairs: Vec<_> =
        merged.map().unwrap().iter().map(|entry| (entry.key.as_str(), entry.value.value.clone())).collect();
    let want = [("first", 0), ("x", 1), ("y", 2), ("z", 9)].map(|(key, number)| (key, Value::Int(number)));
    assert_eq!(pairs, want);
    assert_eq!(root.get("d"), root.get("a"));
    assert_eq!(root.get("key").unwrap().text(), Some("key"));
    assert_eq!(read("a: {\"<<\": 1}").get("a").unwrap().map().unwrap()[0].key, "<<");
    assert_eq!(refusal("a: &a [1]\nb:\n  <<: *a\n"), "1:7 `<<` can merge only mappings");
}

#[test]
fn faults_are_told_in_plain_words_and_at_their_place() {
    let cases = [
        ("", "the file is empty"),
        ("# only\n\n  # comments\n", "the file is empty"),
        ("---\n", "the file is empty"),
        ("a: 1\nb: 2\na: 3\n", "3:1 the key `a` is written twice, first on line 1 column 1"),
        ("{x: {k: 1, \"k\": 2}}", "1:12 the key `k` is written twice, first on line 1 column 6"),
        ("a: 1\n---\nb: 2\n", "2:1 a second document begins here"),
        ("a:\n\tb: 1\n", "2:1 a tab where YAML wants spaces"),
        ("a: [1, 2\n", "1:4 this `[` is never closed"),
        ("a: [1, 2}\n", "1:4 this `[` is closed by `}`"),
        ("a: \"text\n", "1:4 this quote is never closed"),
        ("a: b: c\n", "1:5 a `:` where no value can begin"),
        ("a: @x\n", "1:4 a value cannot begin with `@`"),
        ("a: *b\n", "1:4 this alias names an anchor that is not defined above it"),
        ("a: &a [*a]\n", "1:8 this alias stands inside the value that it names"),
        ("a: {{ name }}\n", "1:5 a list or a mapping where a key should be"),
        (": 1\n", "1:1 a key is missing here"),
        ("a: !!int x\n", "1:10 the value does not fit the tag before it"),
        ("a: 1\n  b: 2\n", "2:4 a `:` where no value can begin"),
        ("a: \"\\q\"\n", "1:4 this text holds a backslash sequence that double quotes do not have"),
        ("a: 'it's'\n", "1:8 there is text after the closing quote"),
        ("a: b\nc\n", "2:1 a line that is no `key: value`"),
    ];
    let refused: Vec<_> = cases.iter().map(|(text, _)| (*text, refusal(text))).collect();
    let wanted: Vec<_> = cases.iter().map(|(text, want)| (*text, want.to_string())).collect();
    assert_eq!(refused, wanted);
}

#[test]
fn what_is_not_utf8_text_is_refused_with_its_place() {
    assert_eq!(refusal(b"a: 1\nb: \xffx\n"), "2:4 byte 9 of the file is not UTF-8 text");
    assert_eq!(refusal(b"\xff\xfea\0:\0"), "the file is written in UTF-16 or UTF-32");
    assert_eq!(refusal(b"\xfe\xff\0a\0:"), "the file is written in UTF-16 or UTF-32");
    assert_eq!(refusal("a: é\0\n"), "1:5 a NUL byte, which no text has");
    let root = read("\u{feff}name: x\n");
    assert_eq!(root.map().unwrap()[0].key_place, Place { line: 1, column: 1 });
}

#[test]
fn bombs_are_refused_and_not_expanded() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        laughs += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    assert!(refusal(&laughs).ends_with("the document holds too many values"));
    let texts = format!("a: &a {}\nb: [{}]", "x".repeat(500_000), vec!["*a"; 100_000].join(","));
    assert!(refusal(texts).ends_with("the document holds too many values"));
    let anchors = format!("{}[{}]{}", "&a [".repeat(90), "1,".repeat(100_000), "]".repeat(90));
    assert!(refusal(anchors).ends_with("the document holds too many values"));
    let mut ladder = format!("a0: &a0 {}1{}\n", "[".repeat(60), "]".repeat(60));
    for level in 1..2000 {
        ladder += &format!("a{level}: &a{level} {}*a{}{}\n", "[".repeat(60), level - 1, "]".repeat(60));
    }
    assert!(refusal(ladder).ends_with("nested too deep here"));
    assert_eq!(refusal(vec![b'a'; INPUT_BYTES_MAX + 1]), "the file is too large: 4194305 bytes");
}

#[test]
fn deep_nesting_is_refused_without_a_stack_overflow() {
    for text in
        ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), "[{a: ".repeat(70), "? ".repeat(50_000)]
    {
        let refused = refusal(&text);
        assert!(refused.ends_with("nested too deep here") || refused.contains("key"), "{refused}");
    }
    read(&format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX)));
}

#[test]
fn the_name_is_found_without_reading_on() {
    let peek = |text: &str| peek_name(text.as_bytes());
    assert_eq!(peek("# c\nversion: {name: x}\nlist: [name, y]\nname: \"node a\"\n"), Some("node a".to_owned()));
    assert_eq!(peek("name: first\nrest: [broken\n"), Some("first".to_owned()));
    assert_eq!(peek("value: name\nother: x\n"), None);
    for text in
        ["", "name:\n", "name: [a]\n", "name: ''\n", "- name: x\n", "a: [\nname: x", "a: {name: x}\n", "name: *a"]
    {
        assert_eq!(peek(text), None, "{text:?}");
    }
    assert_eq!(peek("anchor: &a x\n*a : y\nname: z\n"), Some("z".to_owned()));
}

#[test]
fn no_damage_to_a_contract_makes_the_reader_panic() {
    let contract =
        "name: &n NodeX\nversion: {major: 1}\ninputs:\n  - {type: str, text: \"é\\n\"}\n<<: {a: *n}\nd: |\n  t\n";
    for at in 0..contract.len() {
        let _ = parse("c", &contract.as_bytes()[..at]);
        for flip in [1_u8, 2, 4, 8, 16, 32, 64, 128, 255] {
            let mut bytes = contract.as_bytes().to_vec();
            bytes[at] ^= flip;
            let _ = (parse("c", &bytes), peek_name(&bytes));
        }
    }
}

#[test]
fn text_is_written_so_that_it_is_read_back_as_text() {
    let words = ["node_x", "a/b.c-d", "_x"];
    let others = [
        "",
        "yes",
        "Off",
        "null",
        "~",
        "1",
        "1e5",
        "0x1F",
        ".inf",
        "a: b",
        "- a",
        "#",
        "*a",
        "é\u{2028}\0\n\"\\",
        "💥",
    ];
    for text in words.into_iter().chain(others) {
        let scalar = text_scalar(text);
        assert_eq!(read(&format!("key: {scalar}")).map().unwrap()[0].value.value, Value::Text(text.to_owned()));
        assert_eq!(scalar == text, words.contains(&text), "{scalar}");
    }
}
