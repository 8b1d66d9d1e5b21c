"""`convert` on the real API server: what it writes is accepted, and `lint` agrees."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from kubernetes.client import ApiException

from tests.e2e.test_cli import Call, resilience
from tests.support.install import ROOT
from tests.support.world import GROUP, PLURAL, VERSION, World

__all__ = ["resilience"]


def test_the_api_server_takes_what_convert_writes(world: World, resilience: Call, tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "migration.md").read_text(), re.DOTALL)[0::2]
    file = tmp_path / "sources.yaml"
    file.write_text("---\n".join(blocks))

    run = resilience("convert", str(file), namespaced=False)
    assert (run.returncode, run.stderr) == (0, "")
    policies = list(yaml.safe_load_all(run.stdout))
    for number, policy in enumerate(policies):  # each in a file of its own: two of the examples have the same target
        (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump(policy))
        linted = resilience("lint", str(tmp_path / f"{number}.yaml"), namespaced=False)
        assert linted.returncode == 0, linted.stdout
    assert len(policies) == len(blocks)
    for policy in policies:
        policy["metadata"]["namespace"] = world.namespace
        world.custom.create_namespaced_custom_object(GROUP, VERSION, world.namespace, PLURAL, policy, dry_run="All")
    policies[0]["spec"]["mode"] = "Sometimes"
    with pytest.raises(ApiException):
        world.custom.create_namespaced_custom_object(
            GROUP, VERSION, world.namespace, PLURAL, policies[0], dry_run="All"
        )
