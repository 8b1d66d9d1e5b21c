"""Writes a file that is generated from the models, or checks that it is up to date."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path


def main(path: Path, render: Callable[[], str], *, about: str, arguments: list[str] | None = None) -> int:
    """Run the command of one generated file. Returns its exit code: 1 if --check finds it outdated.

    `path` is relative to the root of the checkout.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 when out of step")
    parser.add_argument("--file", type=Path, default=path, help="default: %(default)s")
    options = parser.parse_args(arguments)
    file: Path = options.file
    wanted = render()
    if options.check:
        if file.exists() and file.read_text(encoding="utf-8") == wanted:
            return 0
        print(f"{file} is out of step with the models: run `make generate` and commit it", file=sys.stderr)
        return 1
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(wanted, encoding="utf-8")
    print(f"wrote {file}")
    return 0
