"""Check pinned requirements for known vulnerabilities with pip-audit (`make audit`).

Exit code 0: none is known. 1: at least one is known. 2: nothing was checked, because PyPI's advisories cannot be read.
pip-audit alone reports an unreachable service as a missing package, so the service is asked first.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

SERVICE = "https://pypi.org/pypi/pip/24.0/json"
TIMEOUT_SECONDS = 20


def unreachable() -> str:
    """Why PyPI's advisories cannot be read; empty if they can be."""
    try:
        with urllib.request.urlopen(SERVICE, timeout=TIMEOUT_SECONDS) as response:
            answer = json.load(response)
    except (OSError, ValueError) as error:
        return f"{SERVICE}: {error}"
    return "" if "vulnerabilities" in answer else f"{SERVICE} has no list of vulnerabilities"


def main(files: list[str]) -> int:
    """Audit each file, and return the exit code."""
    if problem := unreachable():
        print(f"NOT AUDITED: {problem}. `make audit` needs access to pypi.org.", file=sys.stderr)
        return 2
    pip_audit = Path(sys.executable).with_name("pip-audit")
    options = ("--strict", "--require-hashes", "--disable-pip", "--progress-spinner=off")
    vulnerable = False
    for file in files:
        print(f"{file}:", flush=True)
        vulnerable |= subprocess.run([pip_audit, *options, "-r", file], check=False).returncode != 0
    return int(vulnerable)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
