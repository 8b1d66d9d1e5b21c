"""The wheel, as pipx and krew install it: programs, data files and completion, without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import yaml

from tests.support.install import ROOT
from tests.unit.cli.support import policy

SITE = sysconfig.get_path("purelib")
"""Where the dependencies are. Nothing is downloaded here."""
PATIENCE = 120


def run(*command: str | Path, cwd: Path, text: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**environment, **variables},
        input=text,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    assert built.returncode == 0, built.stderr
    [found] = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the installed programs."""
    home = tmp_path_factory.mktemp("pipx")
    venv.create(home, with_pip=False)
    pip = (sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"))
    done = run(*pip, "install", "--no-deps", "--no-index", "--disable-pip-version-check", wheel, cwd=home)
    assert done.returncode == 0, done.stderr
    [site] = home.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(f"{SITE}\n")
    return home / "bin"


def test_the_programs_start_and_find_their_data(programs: Path, tmp_path: Path) -> None:
    for program in ("kubectl-resilience", "resilience-operator"):
        version = run(programs / program, "--version", cwd=tmp_path)
        assert version.returncode == 0, version.stderr
        assert version.stdout.strip()
    where = run(programs / "python", "-c", "import resilience_operator as r; print(r.__file__)", cwd=tmp_path).stdout
    assert where.startswith(str(programs.parent))
    linted = run(programs / "kubectl-resilience", "lint", "-", cwd=tmp_path, text=yaml.safe_dump(policy()))
    assert (linted.returncode, linted.stdout) == (0, ""), linted.stderr
    unknown = policy(metricSource={"preset": "nosuch"})
    linted = run(programs / "kubectl-resilience", "lint", "-", cwd=tmp_path, text=yaml.safe_dump(unknown))
    assert "http-generic" in linted.stdout, "the preset families are in the wheel"


def test_completion_answers_as_kubectl_asks_for_it(programs: Path, tmp_path: Path) -> None:
    for words, some in ((["sta"], "status"), (["status", "--wa"], "--watch"), (["status", "-o", "js"], "jsonpath=")):
        found = run(programs / "kubectl_complete-resilience", *words, cwd=tmp_path).stdout.splitlines()
        assert some in [line.partition("\t")[0] for line in found]
        assert found[-1] == ":4"


def test_the_archive_of_krew_installs_itself_once(wheel: Path, tmp_path: Path) -> None:
    """Its requirements are those of this environment, in place of a download."""
    plugin = tmp_path / "store"
    plugin.mkdir()
    (plugin / "kubectl-resilience").write_bytes((ROOT / ".krew" / "kubectl-resilience").read_bytes())
    (plugin / "kubectl-resilience").chmod(0o755)
    (plugin / wheel.name).write_bytes(wheel.read_bytes())
    (plugin / "runtime.txt").write_text("")
    (tmp_path / "bin").mkdir()
    link = tmp_path / "bin" / "kubectl-resilience"
    link.symlink_to(plugin / "kubectl-resilience")
    settings = {
        "KUBECTL_RESILIENCE_HOME": str(tmp_path / "cache"),
        "KUBECTL_RESILIENCE_PYTHON": sys.executable,
        "PYTHONPATH": SITE,
    }

    first = run(link, "version", cwd=tmp_path, **settings)
    assert first.returncode == 0, first.stderr
    assert "the first call installs" in first.stderr
    second = run(link, "version", cwd=tmp_path, **settings)
    assert (second.stdout, second.stderr) == (first.stdout, "")
    assert [one.name for one in (tmp_path / "cache").iterdir()] == [wheel.name.removesuffix(".whl")]
    old = run(link, "version", cwd=tmp_path, **{**settings, "KUBECTL_RESILIENCE_HOME": "/nowhere", "KUBECTL_RESILIENCE_PYTHON": "false"})  # fmt: skip # noqa: E501
    assert (old.returncode, "Python 3.11 or later is needed" in old.stderr) == (2, True)


def test_the_manifest_of_krew_is_one() -> None:
    text = (ROOT / ".krew.yaml").read_text()
    filled = "\n".join(line for line in text.splitlines() if "addURIAndSha" not in line)
    manifest = yaml.safe_load(filled.replace("{{ .TagName }}", "v0.1.0"))

    assert manifest["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2"
    assert manifest["metadata"]["name"] == "resilience"
    [platform] = manifest["spec"]["platforms"]
    assert platform["bin"] == "kubectl-resilience"
    assert len(manifest["spec"]["shortDescription"]) <= 50
