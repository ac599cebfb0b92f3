use super::*;

fn file(path: &str, content: &str) -> File {
    File { path: path.to_owned(), content: content.to_owned() }
}

/// `path:line:column message` of every fault.
fn told(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<_> = files.iter().map(|(path, content)| file(path, content)).collect();
    let faults = check(&files).err().unwrap_or_default();
    assert!(faults.iter().all(|fault| !fault.help.is_empty()), "{faults:?}");
    let line = |fault: &Diagnostic| {
        let Some(place) = fault.place else { return format!("{} {}", fault.file, fault.message) };
        format!("{}:{}:{} {}", fault.file, place.line, place.column, fault.message)
    };
    faults.iter().map(line).collect()
}

fn module(content: &str) -> Vec<String> {
    told(&[("m.py", content)]).into_iter().map(|line| line.trim_start_matches("m.py:").to_owned()).collect()
}

const SOUND: &str = r#"
from __future__ import annotations

import os.path
import os.environ
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field as F

if TYPE_CHECKING:
    from collections.abc import Sequence

try:
    import fast as impl
except ImportError:
    import slow as impl

__all__ = ["Node", "make"]
__all__ += ["T"]
type T[X] = list[X] | Later


class Node(BaseModel):
    """Doc."""

    kind: Literal["not a name"] = "x"
    size: Annotated[int, F(ge=0, description="not code")] = F(default=0)
    other: "Later | None" = None
    inner = [kind for _ in range(3)]

    def go[U](self, *args: U, items: Sequence[Later] = (), **kwargs: Any) -> Node:
        total = sum(item.x for item in items if item)
        if (n := len(args)) > 1:
            total += n
        with open(os.path.join("a", f"{total:>{n}}")) as handle:
            handle.read()
        for index, _value in enumerate(kwargs):
            print(index, __class__, impl)
        match args:
            case [first, *rest]:
                return first(rest)
            case {"k": value, **more}:
                return value(more)
        try:
            pass
        except (OSError, ValueError) as error:
            raise RuntimeError from error
        return (lambda x, *, y=total: x + y + later_defined())(1)


def make():
    global counter
    counter = 1

    def nested():
        nonlocal_free = 1
        return nonlocal_free + counter

    return nested, {k: v for k, v in {}.items()}, [a for b in [] for a in b], __name__


def later_defined() -> Later: ...


class Later: ...


unused_at_module_level = 1
"#;

#[test]
fn sound_python_has_no_fault() {
    assert_eq!(module(SOUND), [""; 0]);
}

#[test]
fn names_that_lead_nowhere_are_told_with_their_places() {
    let cases = [
        ("x = nope\n", "1:5 `nope` is not defined"),
        ("def f():\n    return nope\n", "2:12 `nope` is not defined"),
        ("def f(a: Nope): ...\n", "1:10 `Nope` is not defined"),
        ("def f(a: 'list[Nope]'): ...\n", "1:16 `Nope` is not defined"),
        ("x: 'a b' = 1\n", "1:4 this annotation is no Python"),
        ("class A(B): ...\nclass B: ...\n", "1:9 `B` is not defined"),
        ("class A:\n    def f(self) -> A: ...\n", "2:20 `A` is not defined"),
        ("class A:\n    x = 1\n    def f(self): return x\n", "3:25 `x` is not defined"),
        ("[y for x in []]\nx\n", "1:2 `y` is not defined|2:1 `x` is not defined"),
        ("import os\n", "1:8 `os` is imported and not used"),
        ("from a import b, c\nb\n", "1:18 `c` is imported and not used"),
        ("def f():\n    import os\n", "2:12 `os` is imported and not used"),
        ("import os\nimport os\nos\n", "2:8 `os` is imported twice"),
        ("from a import b\nfrom c import b\nb\n", "2:15 `b` is imported twice"),
        ("from a import *\nanything\n", "1:15 `import *` hides which names there are"),
        ("__all__ = ['nope']\n", "1:12 `__all__` names `nope`, which is not defined"),
        ("def f():\n    x = 1\n", "2:5 `x` is assigned and not used"),
        (
            "def f():\n    try: ...\n    except E as e: ...\n",
            "3:12 `E` is not defined|3:17 `e` is assigned and not used",
        ),
        ("x = f'plain'\n", "1:5 an f-string that fills nothing in"),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from a import B\nx: 'B' = B()\n",
            "4:10 `B` is imported only for type checkers and used at run time",
        ),
    ];
    for (source, want) in cases {
        assert_eq!(module(source).join("|"), want, "{source}");
    }
}

#[test]
fn what_its_author_excuses_or_exports_is_no_fault() {
    let sound = [
        "import os  # noqa: F401\n",
        "import os as os\n",
        "from a import b as b\n",
        "from a import b\n__all__ = ('b',)\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from a import B\nelse:\n    B = object\nx = B()\n",
        "import a.b\nimport a.c\na.b.c\n",
        "from a import B\ndef f(x: 'B'): ...\n",
        "def f():\n    a, b = 1, 2\n    _c = 3\n",
        "def f(x):\n    x = 1\n    x += 1\n",
        "def f():\n    x = 1\n    return locals()\n",
        "from a import B\nfrom typing import cast\nx = cast('list[B]', 1)\n",
        "from a import *  # NoQA\n",
        "while True:\n    n = 1\n    print(n)\n",
    ];
    for source in sound {
        assert_eq!(module(source), [""; 0], "{source}");
    }
}

#[test]
fn python_that_does_not_parse_is_told_with_every_error() {
    let faults = module("x = (1\ny = = 2\ndef f(:\n    pass\n");
    assert!(faults.len() >= 2, "{faults:?}");
    assert!(faults[0].contains("this is no Python: "), "{faults:?}");
    assert_eq!(module("é = 1; x = $\n")[0].split(' ').next(), Some("1:12"));
}

#[test]
fn a_relative_import_must_find_its_name() {
    let files = |import: &str| -> Vec<String> {
        let node = format!("{import}\n");
        told(&[
            ("__init__.py", "from .node import *  # noqa\n"),
            ("node.py", ""),
            ("models/__init__.py", "from .order import Order as Order\n"),
            ("models/order.py", "class Order: ...\n"),
            ("broken.py", "(\n"),
            ("handlers/a.py", &node),
            ("handlers/__init__.py", "__all__ = ['a']\n"),
        ])
        .into_iter()
        .filter(|line| !line.starts_with("broken.py") && !line.starts_with("__init__.py"))
        .collect()
    };
    for import in [
        "from ..models import Order as Order",
        "from ..models.order import Order as Order",
        "from .. import models as models",
        "from . import a as a",
        "from ..broken import Anything as Anything",
        "from .. import whatever as whatever",
    ] {
        assert_eq!(files(import), [""; 0], "{import}");
    }
    let at = |message: &str| vec![format!("handlers/a.py:1:{message}")];
    assert_eq!(files("from ..models import Nope as Nope"), at("22 `..models` does not define `Nope`"));
    assert_eq!(files("from ..nope import x as x"), at("20 the package has no module `..nope`"));
    assert_eq!(files("from ... import x as x"), at("17 this import leaves the package"));
}

#[test]
fn yaml_and_json_are_read_back() {
    let faults =
        told(&[("a.yaml", "a: [1\n"), ("b.yml", "a: 1\n"), ("c.json", "{\"a\": 1,}"), ("d.json", "[]"), ("e.md", "{")]);
    assert_eq!(faults, ["a.yaml:1:4 this `[` is never closed", "c.json:1:9 this is no JSON: key must be a string"]);
}

#[test]
fn deep_python_does_not_overflow_the_stack() {
    let deep = |source: String| module(&source).iter().any(|fault| fault.contains("nested too deep"));
    for source in [
        format!("x = {}1{}\n", "(".repeat(20_000), ")".repeat(20_000)),
        format!("x = {}1{}\n", "[1, ".repeat(20_000), "]".repeat(20_000)),
        format!("x = 1{}\n", " + 1".repeat(100_000)),
        format!("x = y{}\n", ".a".repeat(100_000)),
        format!("x = y{}\n", "(1, 2)".repeat(100_000)),
        format!("x = {}1\n", "-".repeat(50_000)),
        format!("x = {}1\n", "not ".repeat(50_000)),
        format!("x = {}1\n", "lambda a, b: ".repeat(20_000)),
        format!("x = 1{}\n", " if 1 else 1".repeat(20_000)),
        format!("x = f\"{{1{}}}\"\n", " + 1".repeat(20_000)),
        (0..5_000).map(|depth| format!("{}if x:\n", " ".repeat(depth))).collect::<String>(),
    ] {
        assert!(deep(source));
    }
    let flat = [
        format!("x = [{}]\n", "-a.b(1), ".repeat(1_000)),
        "x = a.b.c(1 + 2)\n".repeat(1_000),
        format!("x = (\n{})\n", "    'a.b'\n".repeat(1_000)),
        format!("x: '{}' = 1\n", "a.".repeat(1_000)),
    ];
    assert!(!flat.into_iter().any(deep));
    assert!(!deep(format!("x = 1{}\n", " + 1".repeat(nesting::NESTING_MAX))));
}
