use minijinja::context;

use super::*;

fn rendered(source: &str, context: minijinja::Value) -> Result<String, Diagnostic> {
    let templates = Templates::empty().with("t.j2", source)?;
    let template = templates.environment().get_template("t.j2").unwrap();
    template.render(context).map_err(|error| diagnostic(&error, "t.j2", None))
}

fn fault(source: &str, context: minijinja::Value) -> String {
    let fault = rendered(source, context).expect_err("should fail");
    assert!(!fault.help.is_empty());
    let place = fault.place.map(|place| format!("{}:{}", place.line, place.column)).unwrap_or_default();
    format!("{}:{place} {}", fault.file, fault.message)
}

#[test]
fn a_set_of_templates_never_changes_under_its_readers() {
    let one = Templates::empty().with("a", "1").unwrap();
    let two = one.with("a", "2").unwrap().with("b", "{% include 'a' %}").unwrap();
    let text =
        |templates: &Templates, name: &str| templates.environment().get_template(name).unwrap().render(()).unwrap();
    assert_eq!((text(&one, "a"), text(&two, "a"), text(&two, "b")), ("1".into(), "2".into(), "2".into()));
    let mut three = two.clone();
    three.remove(["b", "nosuch"]);
    three.add("c", "3").unwrap();
    assert!(!one.contains("b") && two.contains("b") && !two.contains("c"));
    assert!(three.contains("c") && !three.contains("b"));
    let all = one.with_all([("c", "3"), ("d", "4")]).unwrap();
    assert!(all.contains("a") && all.contains("d"));
}

#[test]
fn a_template_that_does_not_compile_is_told_with_its_place() {
    assert_eq!(
        fault("line\n  {{ é + }}", context! {}),
        "t.j2:2:10 this is not in the template language: unexpected end of variable block"
    );
    let faults = Templates::empty().with_all([("a", "{% if %}"), ("b", "fine"), ("c", "{% endfor %}")]).unwrap_err();
    assert_eq!(faults.iter().map(|fault| fault.file.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    let large = "x".repeat(SOURCE_BYTES_MAX + 1);
    assert!(Templates::empty().with("large", &large).unwrap_err().message.contains("too large"));
}

#[test]
fn an_undefined_value_is_told_by_name_and_place_and_never_with_the_values() {
    let secret = || context! { node => context! { name => "s3cret" } };
    assert_eq!(fault("a\nb {{ node.nmae }}", secret()), "t.j2:2:6 `node.nmae` is undefined");
    assert_eq!(fault("{% for x in nodes %}{% endfor %}", secret()), "t.j2:1:13 `nodes` is undefined");
    assert_eq!(fault("{{ node.name | nosuch }}", secret()), "t.j2:1:16 filter nosuch is unknown");
    assert_eq!(fault("{% include 'gone' %}", secret()), "t.j2:1:4 tried to include non-existing template 'gone'");
    let templates = Templates::empty().with_all([("in", "\n{{ x.y }}"), ("out", "{% include 'in' %}")]).unwrap();
    let error = templates.environment().get_template("out").unwrap().render(context! { x => "s3cret" }).unwrap_err();
    let fault = diagnostic(&error, "out", None);
    assert_eq!((fault.file.as_str(), fault.place.unwrap().line), ("in", 2));
    assert!(!format!("{fault:?}").contains("s3cret"));
}

#[test]
fn blocks_on_their_own_line_leave_no_trace_and_the_last_line_break_stays() {
    let source = "a\n    {% if true %}\nb\n    {% endif %}\n<{{ x }}>\n";
    assert_eq!(rendered(source, context! { x => "<&>" }).unwrap(), "a\nb\n<<&>>\n");
}

#[test]
fn the_filters_give_literals_and_escaped_text() {
    let text = |source: &str| rendered(source, context! { x => "a\"b\n", n => 5, l => [1, 2], none => () }).unwrap();
    assert_eq!(text("{{ x | py_str }}"), "'a\"b\\n'");
    assert_eq!(text("{{ x | docstring(4) }}|{{ x | docstring }}"), "a\"b|a\"b");
    assert_eq!(text("{{ x | comment }}"), "a\"b");
    assert_eq!(text("{{ l | literal }} {{ none | literal }}"), "[1, 2] None");
    assert_eq!(text("{{ x | yaml_str }} {{ 'w' | yaml_str }}"), "\"a\\\"b\\n\" w");
    assert_eq!(text("{{ '# a_b *c* <d> _e_ | 1. f' | markdown }}"), "\\# a_b \\*c\\* \\<d\\> \\_e\\_ \\| 1. f");
    assert_eq!(text("{{ '1. x\n- y' | markdown }}"), "1\\. x\n\\- y");
}

#[test]
fn a_filter_for_text_takes_nothing_else() {
    let values = || context! { n => 5, none => () };
    assert_eq!(fault("{{ n | py_str }}", values()), "t.j2:1:8 text is expected here, this is of type number");
    assert_eq!(fault("{{ none | docstring }}", values()), "t.j2:1:11 text is expected here, this is of type none");
    assert_eq!(fault("{{ nosuch | comment }}", values()), "t.j2:1:13 a value is undefined");
    assert!(fault("{{ 'x' | docstring(999999999) }}", values()).contains("at most 80"));
}

#[test]
fn nothing_is_printed_that_no_file_means_to_hold() {
    let values = || context! { none => (), list => [1], map => context! { a => 1 } };
    for name in ["none", "list", "map", "range(3)"] {
        assert!(fault(&format!("{{{{ {name} }}}}"), values()).contains("print"), "{name}");
    }
    assert_eq!(
        rendered("{{ 1 }} {{ 'a' }} {{ true }} {{ 1.5 }} {{ list | join(',') }}", values()).unwrap(),
        "1 a True 1.5 1"
    );
    for function in ["debug", "namespace"] {
        assert!(fault(&format!("{{{{ {function}() }}}}"), values()).contains("is unknown"));
    }
}

#[test]
fn the_cost_of_a_template_is_its_source_and_its_instructions() {
    let text = "x".repeat(1_000);
    assert_eq!(cost(&text) - cost(""), text.len());
    // As much as a counting allocator found.
    let condition = format!("{{% if {} %}}x{{% endif %}}", vec!["a.b == 'c'"; 60].join(" and "));
    let list = |value: &str, count: usize| format!("{{% set a = [{}] %}}", value.repeat(count));
    let blocks = (0..1_000).map(|number| format!("{{% block b{number} %}}{{% endblock %}}")).collect();
    let mapping: String = (0..20_000).map(|number| format!("{number}:1,")).collect();
    for (source, taken) in [
        (condition, 24_672),
        ("{{ a.b|upper }}".repeat(1_000), 229_540),
        ("{{ a.b.c.d.e.f.g.h.i }}".repeat(1_000), 876_516),
        ("{{a}}x".repeat(5_000), 883_516),
        (list("\"\",", 20_000), 858_788),
        (list("1,", 20_000), 838_788),
        (list(&format!("'{}',", "x".repeat(40)), 3_000), 407_660),
        (list("[],", 190).repeat(100), 1_871_284),
        (list("{1:1},", 190).repeat(100), 4_892_284),
        (format!("{{% set a = {{{mapping}}} %}}"), 2_061_854),
        ("{% set a = 'x'*1024 %}".repeat(300), 355_476),
        (blocks, 12_065_854),
    ] {
        Templates::empty().with("t", &source).unwrap();
        let (cost, begin) = (cost(&source), &source[..30]);
        assert!((taken..taken * 3).contains(&cost), "{begin}: {taken} bytes, reckoned as {cost}");
    }
}
