"""The workflows under the real actionlint, and the SBOM that `make sbom` writes."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from packaging.markers import Marker
from packaging.utils import canonicalize_name

from resilience_operator import __version__
from tests.cluster import build
from tests.support.install import ROOT

VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read())
sys.exit(error and str(error))
"""


def test_actionlint_finds_nothing_in_the_workflows() -> None:
    binary = build.ensure(["actionlint"], print)["actionlint"]
    workflows = sorted(map(str, (ROOT / ".github" / "workflows").glob("*.yaml")))
    done = subprocess.run([str(binary), *workflows], capture_output=True, text=True, check=False)
    assert workflows
    assert (done.returncode, done.stdout) == (0, "")
    # It does look: the same workflow with a job that needs one that does not exist.
    broken = (ROOT / ".github" / "workflows" / "release.yaml").read_text().replace("needs: test", "needs: tests")
    done = subprocess.run([str(binary), "-"], input=broken, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "tests" in done.stdout


@pytest.mark.long
def test_the_sbom_lists_exactly_what_the_image_installs() -> None:
    made = subprocess.run(
        ["make", "--no-print-directory", "sbom"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    file = ROOT / made.stdout.splitlines()[-1]
    python = ROOT / ".local" / "audit" / "bin" / "python"
    valid = subprocess.run(
        [python, "-c", VALIDATE], input=file.read_text(), capture_output=True, text=True, check=False
    )
    assert (valid.returncode, valid.stderr.strip()) == (0, "")

    sbom = json.loads(file.read_text())
    root = sbom["metadata"]["component"]
    assert (root["name"], root["version"]) == ("resilience-operator", __version__)
    pinned = {}
    lines = (ROOT / "requirements" / "runtime.txt").read_text()
    for name, version, marker in re.findall(r"^([\w.-]+)(?:\[.*\])?==([^\s;]+)(?: ; ([^\\]+))?", lines, re.MULTILINE):
        if not marker or Marker(marker.strip()).evaluate():
            pinned[canonicalize_name(name)] = version
    assert {canonicalize_name(each["name"]): each["version"] for each in sbom["components"]} == pinned
    assert all(each["purl"].startswith("pkg:pypi/") for each in sbom["components"])
    needed = {each["ref"]: each.get("dependsOn", []) for each in sbom["dependencies"]}
    assert any(ref.startswith("kopf==") for ref in needed[root["bom-ref"]])
