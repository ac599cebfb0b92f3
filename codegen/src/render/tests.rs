use super::*;

const PACK: &str = "\
name: test
version: '1'
partials: [m.j2]
files:
  - {path: z.py, template: z.j2}
  - {path: 'h/{{ item.file }}.py', template: h.j2, each: handlers, when: item.wanted}
";

fn pack(files: &str) -> Pack {
    Pack::parse("pack.yaml", format!("name: test\nversion: '1'\nfiles:\n{files}").as_bytes()).unwrap()
}

fn one(source: &str) -> Result<Vec<File>, Failure> {
    let templates = Templates::empty().with("t.j2", source).unwrap();
    let pack = pack("  - {path: a.py, template: t.j2}\n");
    render(&context! { x => 1, big => vec![1; 1000] }, &pack, &templates, &Limits::without_deadline())
}

fn paths(files: &str, context: &Value) -> Result<Vec<String>, Vec<String>> {
    let templates = Templates::empty().with("t.j2", "").unwrap();
    let rendered = render(context, &pack(files), &templates, &Limits::without_deadline());
    let told = |failure: Failure| failure.diagnostics().iter().map(ToString::to_string).collect();
    rendered.map(|files| files.into_iter().map(|file| file.path).collect()).map_err(told)
}

#[test]
fn every_rule_gives_its_files_sorted_by_path() {
    let sources = [
        ("m.j2", "{% macro m(x) %}<{{ x }}>{% endmacro %}"),
        ("z.j2", "{{ name }}\n"),
        ("h.j2", "{% import 'm.j2' as m %}{{ m.m(item.file) }} {{ name }}\n"),
    ];
    let templates = Templates::empty().with_all(sources).unwrap();
    let pack = Pack::parse("pack.yaml", PACK.as_bytes()).unwrap();
    let handler = |file: &str, wanted: bool| context! { file => file, wanted => wanted };
    let handlers = vec![handler("b", true), handler("a", true), handler("c", false)];
    let context = context! { name => "n", handlers => handlers };
    let files = render(&context, &pack, &templates, &Limits::without_deadline()).unwrap();
    let file = |path: &str, content: &str| File { path: path.to_owned(), content: content.to_owned() };
    assert_eq!(files, [file("h/a.py", "<a> n\n"), file("h/b.py", "<b> n\n"), file("z.py", "n\n")]);
    assert_eq!(render(&context, &pack, &templates, &Limits::without_deadline()).unwrap(), files);
}

#[test]
fn all_faults_of_all_templates_are_told() {
    let templates = Templates::empty().with_all([("a.j2", "{{ no }}"), ("b.j2", "\n{{ item.no }}")]).unwrap();
    let rules = "  - {path: a, template: a.j2}
  - {path: 'b{{ item }}', template: b.j2, each: items}
  - {path: c, template: gone.j2}
  - {path: d, template: a.j2, each: x}
  - {path: 'e{{ no }}', template: a.j2, when: nosuch}
";
    let context = context! { items => [1, 2], x => 7 };
    let failure = render(&context, &pack(rules), &templates, &Limits::without_deadline()).unwrap_err();
    let told: Vec<_> = failure
        .diagnostics()
        .iter()
        .map(|f| format!("{}:{} {}", f.file, f.place.map_or(0, |p| p.line), f.message))
        .collect();
    let want = [
        "a.j2:1 `no` is undefined",
        "b.j2:2 `item.no` is undefined",
        "gone.j2:0 template \"gone.j2\" does not exist",
        "pack.yaml:7 `each` gives number, not a list",
        "pack.yaml:8 `nosuch` is undefined",
    ];
    assert_eq!((told, failure.cause()), (want.map(str::to_owned).to_vec(), "template"));
}

#[test]
fn no_path_leaves_the_package_or_meets_another() {
    let each = "  - {path: '{{ item }}', template: t.j2, each: items}\n";
    let names = |names: &[&'static str]| context! { items => names.to_vec() };
    assert_eq!(paths(each, &names(&["b/x", "a"])), Ok(vec!["a".to_owned(), "b/x".to_owned()]));
    for bad in ["../x", "/x", "a//b", "", "a\\b", "C:x", "nul.py", ".omninode.json", ".omninode/y", "a\nb", "x."] {
        assert!(paths(each, &names(&[bad])).unwrap_err()[0].starts_with("pack.yaml:4:12: "), "{bad}");
    }
    for [one, other] in [["a", "A"], ["a", "a/b"], ["a/b", "a"], ["a", "a"]] {
        let told = paths(each, &names(&[one, other])).unwrap_err();
        assert!(told[0].contains("cannot both be in one package"), "{told:?}");
    }
}

#[test]
fn a_template_that_never_ends_is_stopped() {
    let forever = "{% for a in range(10000) %}{% for b in range(10000) %}{{ a }}{% endfor %}{% endfor %}";
    let bombs = [
        forever,
        "{{ 'x' * 1000000000 }}",
        "{{ 'x' * 10000000 }}{{ 'y' * 10000000 }}",
        "{% set s = 'xxxxxxxxxx' * 1000 %}{% set s = s * 1000 %}{% set s = s ~ s ~ s %}{{ s }}",
        "{{ range(1000000000) | list | length }}",
        "{% for a in big %}{% for b in big %}{% for c in big %}{% endfor %}{% endfor %}{% endfor %}",
        "{{ ('\n' * 1000000) | docstring(80) }}",
        "{{ 'x\nx' | indent(1000000000) }}",
        "{{ '%1000000000d' | format(1) }}",
        "{% macro m(n) %}{{ m(n) }}{{ m(n) }}{% endmacro %}{{ m(1) }}",
    ];
    for source in bombs {
        let failure = one(source).expect_err(source);
        let told = failure.to_string();
        assert!(matches!(failure, Failure::Limit(_) | Failure::Template(_)), "{source}: {told}");
    }
    let Err(Failure::Limit(fault)) = one(forever) else { panic!() };
    assert_eq!((fault.file.as_str(), fault.message.as_str()), ("t.j2", "the template does too much work"));
}

#[test]
fn no_template_overflows_the_stack() {
    let shared = "{% set a = [] %}".to_owned() + &"{% set a = [a, a] %}".repeat(60);
    let sources = [
        "{% set a = [] %}".to_owned() + &"{% set a = [a] %}".repeat(1_000),
        "{% macro m(x) %}{{ m([x]) }}{% endmacro %}{{ m(1) }}".to_owned(),
        "{% include 't.j2' %}".to_owned(),
        "{% extends 't.j2' %}".to_owned(),
        "{% for x in big recursive %}{{ loop(big) }}{% endfor %}".to_owned(),
        shared.clone() + "{{ a | literal }}",
        shared + "{{ a }}",
    ];
    for source in sources {
        let _ = one(&source);
    }
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000));
    assert!(Templates::empty().with("deep", &deep).is_err());
}

#[test]
fn the_limits_of_a_job_hold() {
    let templates = Templates::empty().with("t.j2", "0123456789").unwrap();
    let rules = pack("  - {path: '{{ item }}', template: t.j2, each: range(10)}\n");
    let limits = Limits::without_deadline();
    let cause =
        |limits: &Limits<'_>| render(&context! {}, &rules, &templates, limits).map_err(|failure| failure.cause());
    assert_eq!(cause(&limits).unwrap().len(), 10);
    assert_eq!(cause(&Limits { files_max: 9, ..limits }), Err("limit"));
    assert_eq!(cause(&Limits { output_bytes_max: 99, ..limits }), Err("limit"));
    let asked = std::cell::Cell::new(0);
    let expired = || asked.replace(asked.get() + 1) >= 3;
    assert_eq!(cause(&Limits::with_deadline(&expired)), Err("timeout"));
    assert_eq!(asked.get(), 4);
}
