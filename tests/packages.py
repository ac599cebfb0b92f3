#!/usr/bin/env python3
"""Checks what omninode generates against the real omnibase-core.

usage: packages.py --python PYTHON --binary OMNINODE [--mypy] [CONTRACTS]

Generates packages from CONTRACTS (default: examples/ and tests/contracts/), then with PYTHON (3.12 or newer), in a virtual
environment kept under target/: every module imports, ruff finds nothing (E9, F, I), ruff format would change nothing, the
generated tests pass, and with --mypy every package type-checks. Exits 1 on any failure.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PINS = ["omnibase-core==0.47.57", "pytest==9.2.0", "ruff==0.17.6", "mypy==2.4.1", "types-PyYAML"]


def environment(python: str) -> pathlib.Path:
    """The virtual environment with the pinned tools; made on the first run."""
    home = ROOT / "target" / "packages-environment"
    stamp = home / "pins"
    wanted = "\n".join([python, *PINS])
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([python, "-m", "venv", str(home)], check=True)
        subprocess.run([str(home / "bin" / "pip"), "install", "--quiet", *PINS], check=True)
        stamp.write_text(wanted)
    return home / "bin"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", required=True)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--mypy", action="store_true")
    parser.add_argument("contracts", nargs="*", default=[ROOT / "examples", ROOT / "tests" / "contracts"])
    arguments = parser.parse_args()
    tools = environment(arguments.python)
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(scratch) / "packages"
        database = f"sqlite://{scratch}/omninode.db"
        generate = [arguments.binary, "generate", *map(str, arguments.contracts), "--out", str(out), "--database", database]
        subprocess.run(generate, check=True)
        names = sorted(path.name for path in out.iterdir() if path.is_dir() and not path.name.startswith("."))
        if not names:
            print("packages: nothing was generated")
            return 1
        checks = {
            "ruff check": [str(tools / "ruff"), "check", "--isolated", "--select", "E9,F,I", str(out)],
            "ruff format": [str(tools / "ruff"), "format", "--isolated", "--check", str(out)],
            "pytest": [str(tools / "python"), "-m", "pytest", "-q", "--import-mode=importlib", "-p", "no:cacheprovider", str(out)],
        }
        if arguments.mypy:
            checks["mypy"] = [str(tools / "mypy"), "--strict", "--allow-any-generics", "--cache-dir", str(ROOT / "target" / "mypy")]
            checks["mypy"] += [word for name in names for word in ("-p", name)]
        failed = []
        for name, command in checks.items():
            done = subprocess.run(command, cwd=out, env={**os.environ, "PYTHONPATH": str(out), "PYTHONDONTWRITEBYTECODE": "1"})
            print(f"packages: {name} {'ok' if done.returncode == 0 else 'FAILED'}", flush=True)
            failed += [name] if done.returncode else []
        print(f"packages: {len(names)} checked, {len(failed)} checks failed")
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
