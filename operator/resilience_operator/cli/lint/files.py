"""The files that `lint` reads: those given, and the YAML files below folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from resilience_operator.cli.common.documents import STDIN
from resilience_operator.cli.common.errors import UsageError

SUFFIXES = (".yaml", ".yml", ".json")


def expand(files: Iterable[str]) -> Iterator[str | tuple[str, UsageError]]:
    """Each file once. For a folder that cannot be read or has no such file: its name and the error."""
    seen: set[str] = set()
    for file in files:
        if file == STDIN or not Path(file).is_dir():
            below: list[str | tuple[str, UsageError]] = [file]
        else:
            below = _below(file)
        for one in below:
            if str(one) not in seen:
                seen.add(str(one))
                yield one


def _below(folder: str) -> list[str | tuple[str, UsageError]]:
    """Files below a folder, without hidden folders and the templates of Helm charts, which are no YAML.

    Does not follow links to folders, which may never end.
    """
    found: list[str | tuple[str, UsageError]] = []
    errors: list[OSError] = []
    for directory, names, files in os.walk(folder, onerror=errors.append):
        of_chart = "Chart.yaml" in files
        names[:] = sorted(n for n in names if not n.startswith(".") and not (of_chart and n == "templates"))
        found += [str(Path(directory, name)) for name in sorted(files) if name.endswith(SUFFIXES)]
    found += [(str(e.filename), UsageError(f"cannot read {e.filename}: {e.strerror}")) for e in errors]
    if not found:
        found.append((folder, UsageError(f"cannot read {folder}: it contains no {', '.join(SUFFIXES)} file")))
    return found
