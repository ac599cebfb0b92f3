"""The peer of the bench `jinja`: the templates of a pack rendered by Jinja2, from plans that omninode made.

    peer.py PLANS PACK_FOLDER

PLANS has a line of JSON for each package: its contract's path, the context of its templates, the files that omninode
made. The first line printed says which versions these are and how many files came out the same. Then each line read is
an order, `render DIR`, `c DIR` or `pure DIR`, answered with its seconds: rendering only; or reading the contracts with
PyYAML's C loader or with its pure one, rendering, and writing the packages into DIR.
"""

import json
import platform
import sys
import time
from pathlib import Path

import jinja2
import yaml

from filters import FILTERS


class Pack:
    """What `pack.yaml` says, compiled once."""

    def __init__(self, folder: Path) -> None:
        self.env = jinja2.Environment(
            loader=jinja2.FileSystemLoader(folder),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            auto_reload=False,
            cache_size=-1,
        )
        self.env.filters.update(FILTERS)
        manifest = yaml.safe_load((folder / "pack.yaml").read_text(encoding="utf-8"))
        self.rules = [self.rule(rule) for rule in manifest["files"]]

    def rule(self, rule: dict):
        def expression(key):
            return self.env.compile_expression(rule[key], undefined_to_none=False) if key in rule else None

        path = self.env.from_string(rule["path"]) if "{" in rule["path"] else None
        return rule["path"], path, self.env.get_template(rule["template"]), expression("each"), expression("when")

    def render(self, context: dict) -> dict[str, str]:
        files = {}
        for fixed_path, path, template, each, when in self.rules:
            contexts = [context] if each is None else [{**context, "item": item} for item in each(context)]
            for own in contexts:
                if when is None or when(own):
                    files[fixed_path if path is None else path.render(own)] = template.render(own)
        return files


def write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir()
    made = set()
    for name, content in files.items():
        path = folder / name
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(content)


def compare(pack: Pack, plans: list[dict]) -> str:
    """What is the same, in words; the first difference goes to standard error."""
    same = total = 0
    told = False
    for plan in plans:
        ours, theirs = plan["files"], pack.render(plan["context"])
        total += len(ours.keys() | theirs.keys())
        for name in sorted(ours.keys() | theirs.keys()):
            if ours.get(name) == theirs.get(name):
                same += 1
            elif not told:
                told = True
                print(f"{plan['package']}/{name} differs:\n{ours.get(name)}\n--- Jinja2:\n{theirs.get(name)}", file=sys.stderr)
    versions = f"Python {platform.python_version()}, Jinja2 {jinja2.__version__}, PyYAML {yaml.__version__}"
    return f"{versions}; {same} of {total} files came out the same as ours, to the byte."


def main() -> None:
    plans_file, folder = sys.argv[1:]
    with open(plans_file, encoding="utf-8") as lines:
        plans = [json.loads(line) for line in lines]
    pack = Pack(Path(folder))
    print(compare(pack, plans), flush=True)
    loaders = {"c": getattr(yaml, "CSafeLoader", None), "pure": yaml.SafeLoader}
    for line in sys.stdin:
        order, out = line.rstrip("\n").split(" ", 1)
        started = time.perf_counter()
        if order == "render":
            for plan in plans:
                pack.render(plan["context"])
        else:
            loader = loaders[order]
            if loader is None:
                sys.exit("this PyYAML was built without libyaml: it has no C loader")
            for plan in plans:
                with open(plan["contract"], "rb") as contract:
                    yaml.load(contract, Loader=loader)
                write(Path(out) / plan["package"], pack.render(plan["context"]))
        print(time.perf_counter() - started, flush=True)


main()
