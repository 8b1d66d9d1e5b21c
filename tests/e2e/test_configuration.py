"""Configuration belongs to the revision: it is kept, judged and restored together with the pod template."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster import Cluster
from tests.e2e.test_release import bad, guard
from tests.support.configuration import config_map, copies, data_of, grant, reading
from tests.support.operator import Operator
from tests.support.world import World

pytestmark = pytest.mark.long

NAME = "checkout"
RULES = guard({"pauseRollout": {}}, {"rollback": {"after": "3s"}})


@pytest.fixture(scope="module", autouse=True)
def role(cluster: Cluster) -> None:
    """The rights of the component."""
    grant(cluster)


def settle(world: World, *, rules: object = RULES, env: dict[str, str] | None = None, **policy: Any) -> None:
    """A Deployment that reads ConfigMap `settings`, whose revision was watched and found good."""
    config_map(world, "settings", level="1")
    template = reading(world.template(NAME, "1.0"), "settings", env=env)
    world.deployment(replicas=4, template=template)
    world.load.workload(world.namespace, NAME, rps=120, cpu_utilisation=0.3, latency_p99_seconds=0.2)
    release = {"bake": "10s", "configuration": {"include": "Referenced"}, **policy.pop("release", {})}
    world.policy(replicas={"min": 4}, rules=rules, release=release, **policy)
    world.until(lambda: bool(copies(world)), "what the good revision reads is kept")
    world.until_phase("Stable")
    world.until_verdict("error-rate", "Ok")


def broken(world: World, tag: str = "1.0", ratio: float = 0.3) -> None:
    """Let the pods of an image fail, as they do with bad configuration."""
    world.load.image(world.image(tag), error_ratio=ratio)


def test_bad_configuration_alone_is_paused_and_rolled_back(world: World, operator: Operator) -> None:
    settle(world)
    good = world.status()["target"]["lastGoodRevision"]
    broken(world)
    config_map(world, "settings", level="broken")
    world.until(lambda: "pauseRollout" in world.actions(), "it is paused")
    world.until(lambda: data_of(world, "settings") == {"level": "1"}, "the content is restored")
    broken(world, ratio=0.0)
    world.until_phase("RolledBack")
    decision = world.status()["lastDecision"]
    assert decision["to"] == good == world.status()["target"]["revision"]
    assert "ConfigMap/settings" in decision["message"]
    world.until_phase("Stable")
    assert world.actions().count("rollback") == 1


def test_content_and_template_are_restored_together(world: World, operator: Operator) -> None:
    settle(world)
    bad(world)
    config_map(world, "settings", level="2")
    world.release("2.0")
    world.until(lambda: world.running() == "1.0", "the good template is back")
    assert data_of(world, "settings") == {"level": "1"}
    world.until_phase("RolledBack")
    assert world.actions().count("rollback") == 1
