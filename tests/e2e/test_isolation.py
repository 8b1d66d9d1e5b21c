"""Bad neighbours: a crowd of policies, an endpoint that hangs and a metric source that raises. The rest goes on.

How much later evaluations begin is measured by `tests.bench.isolation`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from tests.cluster import Cluster
from tests.e2e.test_faults import BUSY
from tests.e2e.test_scaling import evaluations
from tests.support.install import ROOT
from tests.support.operator import Operator
from tests.support.plugins import install_plugins
from tests.support.proxy import faults, prometheus_proxy
from tests.support.world import World

CROWD = 200
SIGNAL = [{"name": "cpu", "query": "vector(1)", "unit": "ratio"}]


def test_bad_neighbours_hold_nobody_up(
    cluster: Cluster, world: World, new_operator: Callable[..., Operator], tmp_path: Path
) -> None:
    install_plugins(tmp_path / "site")
    config = tmp_path / "config.yaml"
    path = os.pathsep.join(map(str, (ROOT / "operator", tmp_path / "site")))
    with prometheus_proxy(cluster) as hanging, ThreadPoolExecutor(8) as at_once:
        hanging.add(faults.hang())
        raising = {"name": "raising", "type": "rogue", "options": {"how": "raise"}}
        config.write_text(yaml.safe_dump({"sources": [{"name": "hanging", "url": hanging.url}, raising]}))
        operator = new_operator("--config", str(config), environment={"PYTHONPATH": path}).start()
        crowd = [f"app-{number:03d}" for number in range(CROWD)]
        list(at_once.map(lambda name: neighbour(world, name), crowd))
        for name, source in (("hanging", {"name": "hanging"}), ("raising", {"type": "rogue", "name": "raising"})):
            neighbour(world, name, metricSource=source, signals=SIGNAL)
        for name in ("checkout", "other"):
            world.deployment(name)
            world.policy(name, targetRef={"name": name}, rules=[BUSY], scaleDown={"enabled": False})
            world.until_verdict("cpu", "Ok", name)
        world.until(lambda: evaluations(operator) > 2 * CROWD, "the whole crowd is evaluated again and again")
        for name, reason in (("hanging", "SourceTimedOut"), ("raising", "BadAnswer")):
            world.until(lambda n=name, r=reason: why(world, n) == r, f"{name}: {reason}", name)  # type: ignore[misc]
        for name in ("checkout", "other"):
            world.load.workload(world.namespace, name, cpu_utilisation=2.0)
        for name in ("checkout", "other"):
            world.until(lambda n=name: world.actions(n) == ["scaleUp"], f"{name} is scaled", name)  # type: ignore[misc]
        assert world.verdict("cpu", "hanging") == world.verdict("cpu", "raising") == "Unknown"
        assert operator.metric("resilience_evaluations_total", result="error") == 0


def neighbour(world: World, name: str, **spec: object) -> None:
    """A policy whose Deployment has no pods, so that a crowd of them costs the cluster little."""
    body = {
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": world.template(name, "1.0"),
        },
    }
    world.apps.create_namespaced_deployment(world.namespace, body, field_manager="test")
    world.policy(name, targetRef={"name": name}, **{"rules": [BUSY], **spec})


def why(world: World, name: str) -> str:
    """Why it is not measured."""
    return str(world.condition("MetricsAvailable", name).get("reason"))
