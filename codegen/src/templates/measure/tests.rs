//! Chains and nesting of every kind, in a thread with a stack as large as that of an Arbiter: an overflow would end the
//! whole test run.

use super::{ELIFS_MAX, NESTING_MAX, TAG_WORDS_MAX};
use crate::diagnostic::{Diagnostic, Place};
use crate::pack::Pack;
use crate::templates::{SOURCE_BYTES_MAX, Templates};

/// What `std` gives a thread, and so what an Arbiter has.
const STACK: usize = 2 << 20;

/// What the turn of an actor may have used of it before it comes to a template.
const TURN: usize = 256 << 10;

fn on_a_stack_of<T: Send + 'static>(bytes: usize, test: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(bytes).spawn(test).unwrap().join().unwrap()
}

/// Begin, link and end of each kind of chain of an expression, and how many words and operators a link is.
const LINKS: [(&str, &str, &str, usize); 20] = [
    ("a", "~a", "", 2),
    ("a", "+a", "", 2),
    ("a", "-1", "", 1),
    ("a", "*a", "", 2),
    ("a", "**a", "", 2),
    ("a", " and a", "", 2),
    ("a", " or a", "", 2),
    ("a", "==a", "", 2),
    ("a", " not in a", "", 3),
    ("", "not ", "a", 1),
    ("", "-", "a", 1),
    ("a", ".b", "", 2),
    ("a", ".1", "", 1),
    ("a", "[1]", "", 1),
    ("a", "[:1]", "", 1),
    ("a", "()", "", 1),
    ("a", "|trim", "", 2),
    ("a", " is odd", "", 2),
    ("a", " if a", "", 2),
    ("a", " if 1 else 1", "", 2),
];

fn compiled(source: &str) -> Result<(), Diagnostic> {
    Templates::empty().with("t.j2", source).map(drop)
}

fn is_refused(result: Result<(), Diagnostic>, what: &str) {
    let fault = result.expect_err(what);
    assert!(fault.message.contains("too "), "{what}: {fault}");
    assert!(fault.place.is_some() && fault.expected.contains("at most"), "{what}: {fault}");
}

#[test]
fn a_chain_of_any_kind_is_compiled_up_to_its_limit_and_refused_beyond() {
    for (begin, link, end, weight) in LINKS {
        let tag = move |links: usize| format!("line\n{{{{ {begin}{}{end} }}}}", link.repeat(links));
        on_a_stack_of(STACK / 2, move || {
            let longest = (TAG_WORDS_MAX - 1) / weight;
            let error = compiled(&tag(longest)).err();
            assert!(error.is_none_or(|fault| fault.message.contains("not in the template language")), "{link}");
            is_refused(compiled(&tag(longest + 2)), link);
            is_refused(compiled(&tag((SOURCE_BYTES_MAX - 20) / link.len())), link);
            // Neither a string nor a mapping that holds the end of a tag hides it.
            let hidden = format!("{{{{ '}}}}' ~ {{'x': {{}}}} ~ {begin}{}{end} }}}}", link.repeat(longest + 1));
            is_refused(compiled(&hidden), link);
        });
    }
    let fault = compiled(&format!("a\n  {{{{ {}a }}}}", "a~".repeat(200))).unwrap_err();
    assert_eq!((fault.place, fault.message.as_str()), (Some(Place::new(2, 306)), "the tag is too long"));
}

#[test]
fn blocks_that_follow_or_hold_each_other_never_overflow_the_stack() {
    let elifs = |count: usize| format!("{{% if a %}}{}{{% endif %}}", "{% elif a %}x".repeat(count));
    on_a_stack_of(STACK / 2, move || {
        compiled(&elifs(ELIFS_MAX)).unwrap();
        is_refused(compiled(&elifs(ELIFS_MAX + 1)), "elif");
        is_refused(compiled(&elifs((SOURCE_BYTES_MAX - 40) / 13)), "elif");
    });
    for (before, open, inside, close, after) in [
        ("", "{% if a %}", "", "{% endif %}", ""),
        ("", "{% if a %}{% else %}", "", "{% endif %}", ""),
        ("", "{% for x in a %}", "", "{% endfor %}", ""),
        ("", "{% call a() %}", "", "{% endcall %}", ""),
        ("", "{% filter trim %}", "", "{% endfilter %}", ""),
        ("", "{% set x %}", "", "{% endset %}", ""),
        ("", "{% with %}", "", "{% endwith %}", ""),
        ("", "{% autoescape true %}", "", "{% endautoescape %}", ""),
        ("", "{% macro m() %}", "", "{% endmacro %}", ""),
        ("{{ ", "[", "1", "]", " }}"),
        ("{{ ", "(", "1", ")", " }}"),
        ("{{ ", "{1:", "1", "}", " }}"),
        ("{{ ", "a(", "1", ")", " }}"),
        ("{{ ", "a[", "1", "]", " }}"),
        ("{{ ", "a|f(", "1", ")", " }}"),
        ("{% set ", "(", "a", ")", " = 1 %}"),
    ] {
        on_a_stack_of(STACK - TURN, move || {
            for times in [NESTING_MAX / 2, NESTING_MAX, NESTING_MAX + 1, 5_000] {
                let source = format!("{before}{}{inside}{}{after}", open.repeat(times), close.repeat(times));
                let result = compiled(&source);
                if times > NESTING_MAX {
                    is_refused(result, open);
                } else {
                    assert!(result.is_ok(), "{open} {times} times: {result:?}");
                }
            }
        });
    }
}

/// The deepest that the limits allow together: blocks in blocks, all `elif`s, and at the bottom brackets and a chain.
#[test]
fn all_limits_at_once_leave_room_on_the_stack() {
    for (begin, link, end, weight) in LINKS {
        for (open, close) in [("[", "]"), ("a(", ")"), ("a|f(", ")"), ("{1:", "}")] {
            let links = (TAG_WORDS_MAX - 1 - NESTING_MAX * open.len()) / weight;
            let chain = format!("{begin}{}{end}", link.repeat(links));
            let expression =
                format!("{{{{ {}{chain}{} }}}}", open.repeat(NESTING_MAX - 1), close.repeat(NESTING_MAX - 1));
            let source = format!(
                "{}{{% if a %}}{}{expression}{{% endif %}}{}",
                "{% for x in a %}".repeat(NESTING_MAX - 1),
                "{% elif a %}".repeat(ELIFS_MAX),
                "{% endfor %}".repeat(NESTING_MAX - 1)
            );
            on_a_stack_of(STACK - TURN, move || {
                let error = compiled(&source).err();
                let told = error.as_ref().map(|fault| fault.message.as_str()).unwrap_or_default();
                assert!(told.is_empty() || told.contains("not in the template language"), "{open} {link}: {error:?}");
            });
        }
    }
}

#[test]
fn a_long_chain_in_a_manifest_is_refused_with_its_place() {
    for (begin, link, end, weight) in LINKS {
        for key in ["path", "each", "when"] {
            on_a_stack_of(STACK, move || {
                let parse = |links: usize| {
                    let chain = format!("{begin}{}{end}", link.repeat(links));
                    let (path, rule) = if key == "path" {
                        (format!("{{{{ {chain} }}}}"), String::new())
                    } else {
                        ("a".to_owned(), format!(", {key}: \"{chain}\""))
                    };
                    let text = format!("name: p\nversion: '1'\nfiles:\n  - {{template: t, path: \"{path}\"{rule}}}\n");
                    Pack::parse("pack.yaml", text.as_bytes())
                };
                let _ = parse((TAG_WORDS_MAX - 1) / weight);
                for links in [TAG_WORDS_MAX / weight + 2, 100_000] {
                    let faults = parse(links).expect_err(link);
                    is_refused(Err(faults.into_iter().next().unwrap()), link);
                }
            });
        }
    }
}

#[test]
fn text_comments_lists_and_strings_are_no_chains() {
    let words = "a b ~ | elif {# a ~ b #} ".repeat(1_000);
    let list = format!("{{% set l = [{}] %}}", "'a ~ b',1,".repeat(2_000));
    let comment =
        format!("{{# {} #}}{{% raw %}}{{{{ {} }}}}{{% endraw %}}", "a ~ ".repeat(1_000), "a ~ ".repeat(1_000));
    for source in [words, list, comment, "{{ a ~ b }}{% if a %}{% elif b %}{% endif %}".repeat(100)] {
        compiled(&source).unwrap();
    }
}
