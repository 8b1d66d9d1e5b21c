"""The plugins that the tests bring along, installed as people would install theirs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.install import ROOT

PACKAGES = ROOT / "tests" / "e2e" / "plugins"


def install_plugins(folder: Path) -> None:
    """The example and the rogue, into a folder that has to be on the operator's path."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    packages = [str(PACKAGES / name) for name in ("example", "rogue")]
    subprocess.run([*command, "--target", str(folder), *packages], check=True, capture_output=True, text=True)
