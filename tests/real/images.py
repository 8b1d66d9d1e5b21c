"""The images that run on a real node, built here: no registry of images is asked.

A base with Python from Debian's packages; the operator's own, from the Dockerfile that is shipped, on that base; and
the guarded service in its versions. Needs buildah and debootstrap, and root.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.cluster.failure import ClusterError
from tests.cluster.locking import exclusive
from tests.cluster.settings import LOCAL, ROOT

HOME = LOCAL / "images"
BASE = "localhost/python:debian"
OPERATOR = "localhost/resilience-operator"
SHOP = "localhost/shop"
VERSIONS: Mapping[str, Mapping[str, str]] = {
    "1.0": {},
    "1.1": {},
    "2.0": {"FAILING": "0.3"},
    "3.0": {"DELAY": "1.5"},
}
"""What is wrong with each version of the service; nothing with 1.0 and 1.1."""

_PACKAGES = "python3,python3-venv,python3-pip,python3-prometheus-client,ca-certificates"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_PIP = Path("/etc/pip.conf")
Say = Callable[[str], None]


def lacking() -> list[str]:
    """What building needs and this machine does not have; empty when all is there."""
    missing = [tool for tool in ("buildah", "debootstrap") if shutil.which(tool) is None]
    return [f"apt-get install {' '.join(missing)}"] if missing else []


def archives(say: Say) -> list[Path]:
    """Build what is not there yet, and return archives of the operator's image and of all versions of the service."""
    if wanted := lacking():
        raise ClusterError(f"images need: {'; '.join(wanted)}")
    HOME.mkdir(parents=True, exist_ok=True)
    with exclusive(HOME):
        _base(say)
        began = time.monotonic()
        _build(OPERATOR, ROOT, {"BASE": BASE})
        _buildah("tag", OPERATOR, operator_image())
        found = [_save(operator_image())]
        shop = Path(__file__).with_name("shop")
        for version, faults in VERSIONS.items():
            _build(f"{SHOP}:{version}", shop, {"BASE": BASE, "VERSION": version, **faults})
            found.append(_save(f"{SHOP}:{version}"))
        say(f"built {len(found)} images in {time.monotonic() - began:.0f} s")
    return found


def operator_image() -> str:
    """The operator's image as it was built last, under a tag that changes with it, so that pods do."""
    return f"{OPERATOR}:{_id(OPERATOR)}"


def _id(image: str) -> str:
    return _buildah("images", "--quiet", "--no-trunc", image).split()[0][-12:]


def _base(say: Say) -> None:
    if _buildah("images", "--quiet", "--filter", f"reference={BASE}").strip():
        return
    mirror, release = _mirror()
    say(f"installing Debian {release} with Python into a folder; the first time this takes a minute")
    with tempfile.TemporaryDirectory(dir=HOME) as folder:
        command = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", release, folder, mirror]
        _run(command)
        for waste in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man"):
            shutil.rmtree(Path(folder) / waste, ignore_errors=True)
        container = _buildah("from", "scratch").strip()
        _buildah("add", container, folder, "/")
        _buildah("commit", "--rm", "--quiet", container, BASE)


def _mirror() -> tuple[str, str]:
    """Where this machine's own packages come from, and its release."""
    release = ""
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            release = line.partition("=")[2]
    listed = _run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)"]).splitlines()
    for line in listed:
        uri, _, codename = line.partition(" ")
        if codename == release:
            return uri, release
    raise ClusterError("which mirror apt uses could not be told: is this Debian?")


def _build(image: str, context: Path, arguments: Mapping[str, str]) -> None:
    given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    # Whom this machine trusts, and where its packages come from: in no layer.
    given += [f"--volume={_CERTIFICATES}:{_CERTIFICATES}:ro"] if _CERTIFICATES.exists() else []
    given += [f"--secret=id=pip.conf,src={_PIP}"] if _PIP.exists() else []
    _buildah("build", "--isolation=chroot", "--layers", "--quiet", f"--tag={image}", *given, str(context))


def _save(image: str) -> Path:
    """An archive of the image, under a name that changes with it; those of its earlier builds are removed."""
    name = image.replace("/", "_").replace(":", "_").removesuffix(_id(image))
    archive = HOME / f"{name}-{_id(image)}.tar"
    if not archive.exists():
        for old in HOME.glob(f"{name}-*.tar"):
            old.unlink()
        _buildah("push", "--quiet", image, f"docker-archive:{archive}:{image}")
    return archive


def _buildah(command: str, *arguments: str) -> str:
    # A storage of its own, so that nothing of this stays among the machine's images.
    where = ["--root", str(HOME / "storage"), "--runroot", str(HOME / "run")]
    return _run(["buildah", *where, command, *arguments])


def _run(command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(command[:1])} failed: {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout
