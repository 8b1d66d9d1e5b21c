"""Chromium for the tests of the dashboard: found where it is, installed where this machine lets us.

`python -m tests.browser install` is quick when there is one already. Without root or apt it says what to do; where CI
is set, that is an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome")
PACKAGES = ("chromium", "fonts-dejavu-core")
"""Debian's. Without a font there is nothing to read."""


def find() -> str | None:
    """The browser's path."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def install() -> int:
    """Have a browser; the exit code."""
    if find() is not None:
        return 0
    if os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        get = ("apt-get", "-qq", "-o", "Acquire::Retries=3")
        for command in ((*get, "update"), (*get, "install", "-y", "--no-install-recommends", *PACKAGES)):
            subprocess.run(command, env=environment, check=False, stdout=sys.stderr)
    if find() is not None:
        return 0
    print("Chromium is not installed: the dashboard is not tested (apt-get install chromium)", file=sys.stderr)
    return 1 if os.environ.get("CI") else 0


if __name__ == "__main__":
    if sys.argv[1:] != ["install"]:
        sys.exit(f"usage: python -m {__spec__.name} install")
    sys.exit(install())
