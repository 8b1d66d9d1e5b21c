"""DNS that does not know a name: Prometheus', then the API server's. Unknown, with its reason; then it goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import yaml

from tests.cluster import Cluster
from tests.e2e.test_faults import BUSY
from tests.support.names import API, PROMETHEUS, Names
from tests.support.operator import Operator
from tests.support.proxy import api_proxy, kubeconfig_through
from tests.support.waiting import eventually
from tests.support.world import World


def test_names_that_cannot_be_resolved_and_then_can(
    cluster: Cluster, world: World, new_operator: Callable[..., Operator], operator_identity: Path, tmp_path: Path
) -> None:
    """One policy's source is called by a name, another's by its address; the API server by a name too."""
    names = Names(tmp_path, API)
    config = tmp_path / "config.yaml"
    named = f"http://{PROMETHEUS}:{cluster.settings.ports.prometheus}"
    config.write_text(yaml.safe_dump({"sources": [{"name": "named", "url": named}]}))
    with api_proxy(cluster, tmp_path) as api:
        kubeconfig = kubeconfig_through(api, operator_identity, tmp_path, API)
        operator = new_operator("--config", str(config), kubeconfig=kubeconfig, environment=names.environment).start()
        for name, source in (("by-name", "named"), ("by-address", "default")):
            world.deployment(name)
            world.load.workload(world.namespace, name, cpu_utilisation=2.0)
            policy = {"rules": [BUSY], "replicas": {"min": 3, "max": 6}, "scaleDown": {"enabled": False}}
            world.policy(name, targetRef={"name": name}, metricSource={"name": source}, **policy)

        world.until(lambda: "NameNotResolved" in why(world), "the reason is the name", "by-name")
        world.until(lambda: world.replicas("by-address") == 5, "the other is scaled", "by-address")
        assert world.replicas("by-name") == 3
        assert world.actions("by-name") == []
        assert operator.metric("resilience_retries_total", dependency="prometheus/named", reason="dns") > 0

        names.know(PROMETHEUS)
        world.until(lambda: world.replicas("by-name") == 5, "it is measured and scaled", "by-name")

        names.forget(API)
        lost = {"name": "resilience_retries_total", "dependency": "kubernetes", "reason": "dns"}
        before = operator.metric(**lost)

        def looked_for_again() -> bool:
            api.cut_all()  # what is connected asks no DNS
            return operator.metric(**lost) > before + 10

        eventually(looked_for_again, "the API server's name is looked up again and again", last=operator.tail)
        world.change_policy("by-name", rules=[{**BUSY, "then": [{"scaleUp": {"pods": 1, "cooldown": "0s"}}]}])
        assert operator.get("/healthz")[0] == 200
        assert world.replicas("by-name") == 5
        names.know(API)
        world.until(lambda: world.replicas("by-name") == 6, "it goes on", "by-name")


def why(world: World) -> str:
    """Why there are no metrics: the reason, or what an open breaker says of it."""
    found = world.condition("MetricsAvailable", "by-name")
    return f"{found.get('reason')} {found.get('message')}" if found.get("status") == "False" else ""
