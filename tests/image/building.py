"""Images built by buildah, and no registry asked: a base with Python from Debian's packages, and what stands on it.

All of it is kept below the checkout. Needs root, buildah and debootstrap; no container engine has to be there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.cluster.debian import mirror
from tests.cluster.failure import ClusterError
from tests.cluster.settings import LOCAL

HOME = LOCAL / "images"
BASE = "localhost/python:debian"

_PACKAGES = "python3,python3-venv,python3-pip,python3-prometheus-client,ca-certificates"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_PIP = (Path.home() / ".config" / "pip" / "pip.conf", Path("/etc/pip.conf"))
Say = Callable[[str], None]


def lacking() -> list[str]:
    """What building needs and this machine does not have, in words; empty when all is there."""
    found = [] if os.geteuid() == 0 else ["root (sudo -E)"]
    missing = [tool for tool in ("buildah", "debootstrap") if shutil.which(tool) is None]
    return found + ([f"apt-get install {' '.join(missing)}"] if missing else [])


def base(say: Say) -> str:
    """The base's name, which is built unless it is there."""
    if buildah("images", "--quiet", "--filter", f"reference={BASE}").strip():
        return BASE
    uri, release = mirror()
    say(f"installing Debian {release} with Python into a folder; the first time this takes a minute")
    with tempfile.TemporaryDirectory(dir=HOME) as folder:
        _run(["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", release, folder, uri])
        for waste in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man"):
            shutil.rmtree(Path(folder) / waste, ignore_errors=True)
        container = buildah("from", "scratch").strip()
        buildah("add", container, folder, "/")
        buildah("commit", "--rm", "--quiet", container, BASE)
    return BASE


def build(image: str, context: Path, arguments: Mapping[str, str]) -> None:
    """Build the Dockerfile in `context`, with these build arguments; what did not change is not built anew."""
    given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    # Whom this machine trusts, and where its packages come from: in no layer.
    given += [f"--volume={_CERTIFICATES}:{_CERTIFICATES}:ro"] if _CERTIFICATES.exists() else []
    given += [f"--secret=id=pip.conf,src={file}" for file in _PIP if file.exists()][:1]
    buildah("build", "--isolation=chroot", "--layers", "--quiet", f"--tag={image}", *given, str(context))


def identity(image: str) -> str:
    """Twelve characters that change with the image."""
    return buildah("images", "--quiet", "--no-trunc", image).split()[0][-12:]


def save(image: str) -> Path:
    """An archive of the image, under a name that changes with it; those of its earlier builds are removed."""
    name = image.replace("/", "_").replace(":", "_").removesuffix(identity(image))
    archive = HOME / f"{name}-{identity(image)}.tar"
    if not archive.exists():
        for old in HOME.glob(f"{name}-*.tar"):
            old.unlink()
        buildah("push", "--quiet", image, f"docker-archive:{archive}:{image}")
    return archive


def buildah(command: str, *arguments: str) -> str:
    """Call buildah on a storage of our own, and return what it prints."""
    HOME.mkdir(parents=True, exist_ok=True)
    where = ["--root", str(HOME / "storage"), "--runroot", str(HOME / "run")]
    return _run(["buildah", *where, command, *arguments])


def _run(command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise ClusterError(f"{command[0]} failed: {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout
