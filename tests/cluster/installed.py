"""kubectl and helm of this machine, where their versions fit: they need not be built then."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.cluster.build import SOURCES, required_version

CLIENTS = ("kubectl", "helm")
PATIENCE = 30
"""Seconds that a program may take to say its version."""


def installed(name: str) -> Path | None:
    """The program on the PATH if its version fits; None if it has to be built."""
    found = shutil.which(name)
    return Path(found) if found and _FITS[name](found) else None


def _version(command: list[str]) -> tuple[int, ...]:
    """The first version in a command's output, like (1, 37, 2); empty if it prints none or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.search(r"v(\d+)\.(\d+)(?:\.(\d+))?", done.stdout)
    return tuple(int(part) for part in match.groups() if part) if match and done.returncode == 0 else ()


def _wanted(module: str) -> tuple[int, int]:
    """Major and minor version of a module that the tests build."""
    text = (SOURCES["clients"].module / "go.mod").read_text()
    major, minor, *_ = required_version(text, module).removeprefix("v").split(".")
    return int(major), int(minor)


def _kubectl_fits(program: str) -> bool:
    """Within one minor version of the API server. The Go module v0.37.2 is version 1.37.2."""
    found = _version([program, "version", "--client"])
    return len(found) >= 2 and found[0] == 1 and abs(found[1] - _wanted("k8s.io/kubectl")[1]) <= 1


def _helm_fits(program: str) -> bool:
    """Of the same major version as the one that is built, and not older."""
    major, minor = _wanted("helm.sh/helm/v4")
    found = _version([program, "version", "--short"])
    return len(found) >= 2 and found[0] == major and found[1] >= minor


_FITS: dict[str, Callable[[str], bool]] = {"kubectl": _kubectl_fits, "helm": _helm_fits}
