"""The Dockerfile, built by buildah, and what comes of it run as the cluster would: as a user without a name, on a root
that cannot be written. Where that cannot be, the test is skipped and says what is missing.

The base is an image, BASE=python:3.13-slim, where a registry is reached; else one made from Debian's packages.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from resilience_operator import __version__
from tests.image import building
from tests.support.install import ROOT

IMAGE = f"localhost/resilience-operator:{__version__}"
USER = 65532


def sh(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command; its output is in the failure."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done


@pytest.fixture(scope="module")
def base() -> str:
    """The base image's name: the one that is given, or one of our own."""
    if wanted := building.lacking():
        pytest.skip(f"building an image needs {'; '.join(wanted)}")
    return os.environ.get("BASE") or building.base(print)


@pytest.fixture(scope="module")
def image(base: str) -> str:
    """The image's name, built from the checkout as it is."""
    building.build(IMAGE, ROOT, {"BASE": base})
    return IMAGE


@pytest.fixture(scope="module")
def root(image: str) -> Iterator[Path]:
    """The image's file system, mounted to be read only, with a /tmp as the pod has one."""
    container = building.buildah("from", "--pull-never", image).strip()
    try:
        yield Path(building.buildah("mount", container).strip())
    finally:
        building.buildah("rm", container)


def run(root: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A command in the image: root read only, a user without a name, no way to gain a capability."""
    script = (
        'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && mount -t tmpfs tmp "$0/tmp" && '
        'mount -t proc proc "$0/proc" && '
        'exec setpriv --no-new-privs chroot --userspec="$1" --groups= "$0" /usr/bin/env -i '
        'PATH=/opt/resilience-operator/bin:/usr/bin:/bin HOME=/ LOGNAME=x PYTHONDONTWRITEBYTECODE=1 "${@:2}"'
    )
    return sh("unshare", "--mount", "bash", "-c", script, str(root), f"{USER}:{USER}", *command, check=check)


def test_says_how_it_is_to_be_run(image: str) -> None:
    form = "{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}} {{.OCIv1.Config.Cmd}} {{.OCIv1.Config.ExposedPorts}}"
    told = building.buildah("inspect", "--type", "image", "--format", form, image).strip()
    assert told == f"{USER}:{USER} [resilience-operator] [run] map[8080/tcp:{{}} 8081/tcp:{{}}]"


def test_its_entry_point_runs_without_a_name_on_a_root_that_cannot_be_written(root: Path) -> None:
    status = run(root, "cat", "/proc/self/status").stdout
    for line in (f"Uid:\t{USER}\t{USER}\t{USER}\t{USER}", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"):
        assert line in status
    assert "Read-only file system" in run(root, "touch", "/x", check=False).stderr
    assert "leader_election" in run(root, "resilience-operator", "config").stdout
    # Without a cluster it ends and says what is missing, rather than with a traceback.
    done = run(root, "resilience-operator", "run", check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_its_user_owns_nothing_in_it_and_could_write_nothing(root: Path) -> None:
    """Even were the root not read only. /tmp and the like are for everybody, and empty."""
    files = ["-xdev", "-type", "f", "(", "-uid", str(USER), "-o", "-perm", "-o+w", ")"]
    assert sh("find", str(root), *files).stdout == ""
    assert sh("find", str(root / "opt"), "-xdev", "-type", "d", "-perm", "-o+w").stdout == ""


def test_holds_nothing_that_the_build_needed(root: Path) -> None:
    installed = root / "opt" / "resilience-operator"
    assert not (installed / "bin" / "pip").exists()
    names = {path.name for path in installed.glob("lib/python3.*/site-packages/*")}
    assert "resilience_operator" in names
    assert not names & {"pytest", "mypy", "hatchling", "ruff"}
    assert not list(root.glob("etc/pip.conf"))
    # Compiled: nothing can be, later.
    assert list(installed.glob("lib/python3.*/site-packages/resilience_operator/__pycache__/*.pyc"))


def test_its_size_is_as_told(root: Path, base: str) -> None:
    """The figure in docs/install.md: what the operator adds to its base. It grows unseen otherwise."""
    size = int(sh("du", "-sm", str(root / "opt" / "resilience-operator")).stdout.split()[0])
    whole = int(sh("du", "-smx", str(root)).stdout.split()[0])
    print(f"{size} MiB on {base}, {whole} MiB in all")
    (told,) = re.findall(r"adds (\d+) MiB to its base", (ROOT / "docs" / "install.md").read_text())
    assert abs(size - int(told)) <= 10


def test_has_of_the_kubernetes_client_what_the_operator_uses(root: Path) -> None:
    """The models and API methods are left out, and everything that the operator and its CLI import is there."""
    installed = root / "opt" / "resilience-operator"
    left = {path.name for path in installed.glob("lib/python3.*/site-packages/kubernetes/**/client/models/*.py")}
    assert left == {"__init__.py", "v1_object_meta.py", "v1_owner_reference.py", "v1_managed_fields_entry.py"}
    modules = sorted(
        ".".join(file.relative_to(installed).with_suffix("").parts[3:])
        for file in installed.glob("lib/python3.*/site-packages/resilience_operator/**/*.py")
        if file.name not in ("__main__.py", "test_plugin.py")
    )
    assert len(modules) > 200
    # matplotlib and pytest are optional, and not in the image.
    script = (
        "import importlib, sys\nfor name in sys.argv[1:]:\n    try: importlib.import_module(name)\n"
        "    except ModuleNotFoundError as error:\n        if error.name not in ('matplotlib', 'pytest'): raise\n"
        "import kopf"
    )
    run(root, "python3", "-c", script, *modules)
