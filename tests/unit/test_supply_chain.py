"""What goes into the image is pinned, and the workflows hold no more rights than their jobs need."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from resilience_operator import __version__
from tests.support.install import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
PINNED = sorted((ROOT / "requirements").glob("*.txt"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
WRITES = {
    ("docs", "deploy"): {"pages", "id-token"},
    ("release", "build"): {"id-token", "attestations"},
    ("release", "image"): {"packages", "id-token", "attestations"},
    ("release", "chart"): {"packages", "id-token"},
    ("release", "pypi"): {"id-token"},
    ("release", "github"): {"contents"},
}
"""Every right to write that a job of a workflow has; a job that is not listed may only read the repository."""


def pins(file: Path) -> dict[str, tuple[str, int]]:
    """Version and number of hashes of each requirement in a compiled file."""
    found = {}
    for block in re.split(r"\n(?=[^\s#])", file.read_text()):
        if match := re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)", block):
            found[canonicalize_name(match[1])] = (match[2], block.count("--hash=sha256:"))
    return found


def closure(package: str) -> set[str]:
    """A package and what it needs, directly or not, on the oldest Python that is supported."""
    known, waiting = set[str](), [package]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in known:
            known.add(name)
            needed = [Requirement(line) for line in requires(name) or ()]
            applies = {"python_version": "3.11", "python_full_version": "3.11.0", "extra": ""}
            waiting += [each.name for each in needed if each.marker is None or each.marker.evaluate(applies)]
    return known


def load(workflow: Path) -> dict[str, Any]:
    """A workflow; YAML 1.1 reads its `on` as true."""
    read = yaml.safe_load(workflow.read_text())
    return {("on" if key is True else key): value for key, value in read.items()}


def test_the_base_image_is_pinned_by_digest() -> None:
    (base,) = re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"docker\.io/library/python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", base)
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"${BASE}"}


def test_the_image_is_built_with_the_build_backend_alone() -> None:
    assert set(re.findall(r"requirements/(\w+\.txt)", DOCKERFILE)) == {"build.txt", "runtime.txt"}
    build = pins(ROOT / "requirements" / "build.txt")
    assert set(build) == closure("hatchling")
    # The same backend that the tests and an editable install run with.
    development = pins(ROOT / "requirements" / "dev.txt")
    assert build == {name: development[name] for name in build}


@pytest.mark.parametrize("file", PINNED, ids=lambda file: file.name)
def test_every_requirement_is_pinned_with_hashes(file: Path) -> None:
    lines = [line for line in file.read_text().splitlines() if line and line[0] not in " #"]
    assert lines
    assert [line for line in lines if canonicalize_name(re.split(r"[=\[]", line)[0]) not in pins(file)] == []
    assert [name for name, (_, hashes) in pins(file).items() if hashes == 0] == []
    assert (file.with_suffix(".in")).exists() or file.stem == "runtime"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_every_job_has_only_the_rights_it_needs(workflow: Path) -> None:
    read = load(workflow)
    assert read["permissions"] == {}
    assert "pull_request_target" not in read["on"]
    for name, job in read["jobs"].items():
        rights = job["permissions"]
        assert {right for right, level in rights.items() if level == "write"} == WRITES.get(
            (workflow.stem, name), set()
        )
        assert {right for right, level in rights.items() if level != "write"} <= {"contents"}
        assert job["timeout-minutes"] <= 120


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_actions_are_pinned_by_commit_and_leave_no_credentials(workflow: Path) -> None:
    used = re.findall(r"uses: (.+)", workflow.read_text())
    assert [each for each in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)] == []
    steps = [step for job in load(workflow)["jobs"].values() for step in job["steps"]]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"] == {"persist-credentials": False} for step in checkouts)
    # An expression in a script is pasted into it unquoted. Values reach scripts through the environment.
    assert [step["run"] for step in steps if "${{" in step.get("run", "")] == []


def test_two_workflows_pin_an_action_to_the_same_commit() -> None:
    used = {line for workflow in WORKFLOWS for line in re.findall(r"uses: (\S+)", workflow.read_text())}
    assert len(used) == len({line.partition("@")[0] for line in used})


def test_a_release_starts_from_a_version_tag_and_checks_it() -> None:
    release = load(ROOT / ".github" / "workflows" / "release.yaml")
    assert release["on"] == {"push": {"tags": ["v[0-9]+.[0-9]+.[0-9]+"]}}
    (script,) = [step["run"] for step in release["jobs"]["test"]["steps"] if step.get("id") == "version"]
    checked = re.findall(r'^grep -qx "(.+)" (\S+)$', script, re.MULTILINE)
    assert len(checked) == 3
    for line, file in checked:
        expected = line.replace('\\"', '"').replace("$version", __version__)
        assert expected in (ROOT / file).read_text().splitlines()


def test_an_advisory_service_that_cannot_be_reached_is_no_pass() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens
        done = subprocess.run(
            [sys.executable, str(ROOT / "tests" / "advisories.py"), "requirements/runtime.txt"],
            env={**os.environ, "https_proxy": f"http://127.0.0.1:{closed.getsockname()[1]}", "no_proxy": ""},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("NOT AUDITED: https://pypi.org/")
