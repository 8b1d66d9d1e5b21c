"""Which Debian this machine has, and where its packages come from."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.cluster.failure import ClusterError


def mirror() -> tuple[str, str]:
    """The address that apt uses for this machine's own release, and the release's name."""
    release = ""
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            release = line.partition("=")[2]
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)"]
    try:
        listed = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    except FileNotFoundError:
        listed = ""
    for line in listed.splitlines():
        uri, _, codename = line.partition(" ")
        if codename == release:
            return uri, release
    raise ClusterError("debootstrap needs a mirror, and apt names none for this machine: is this Debian?")
