"""A lost zone, on real nodes: the others get what it carried, and give it back when it is there again.

The nodes are the test's own: in zones of their own, tainted against everybody else's pods, and selected by its target.
A node that KWOK no longer manages (its annotation is taken away) stays as its status says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.operator import Operator
from tests.support.waiting import eventually, throughout
from tests.support.world import World

MANAGED = "kwok.x-k8s.io/node"
TAINT = "resilience-test/zones"
RULE = {"name": "zone", "when": {"signal": "zone-lost", "above": 0}, "then": [{"scaleUp": {"toTarget": True}}]}


class Nodes:
    """Two nodes in each of three zones, for the pods of one namespace."""

    def __init__(self, world: World) -> None:
        self._core, self.pool = world.core, world.namespace
        self.zones = [f"{self.pool}-{letter}" for letter in "abc"]

    def create(self) -> Nodes:
        for zone in self.zones:
            for number in (1, 2):
                labels = {"topology.kubernetes.io/zone": zone, "pool": self.pool}
                metadata = {"name": f"{zone}-{number}", "labels": labels, "annotations": {MANAGED: "fake"}}
                taint = {"key": TAINT, "value": self.pool, "effect": "NoSchedule"}
                self._core.create_node({"metadata": metadata, "spec": {"taints": [taint]}})
        for zone in self.zones:
            eventually(lambda zone=zone: self._ready(zone) == ["True"] * 2, f"{zone} is ready")  # type: ignore[misc]
        return self

    def remove(self) -> None:
        for node in self._of(f"pool={self.pool}"):
            self._core.delete_node(node.metadata.name)

    def lose(self, zone: str, *, only: int | None = None) -> None:
        """Its nodes (or only one of them) stop being ready."""
        for number in (1, 2) if only is None else (only,):
            self._core.patch_node(f"{zone}-{number}", {"metadata": {"annotations": {MANAGED: None}}})
            condition = {"type": "Ready", "status": "False", "reason": "KubeletNotReady"}
            self._core.patch_node_status(f"{zone}-{number}", {"status": {"conditions": [condition]}})

    def bring_back(self, zone: str) -> None:
        for number in (1, 2):
            self._core.patch_node(f"{zone}-{number}", {"metadata": {"annotations": {MANAGED: "fake"}}})
        eventually(lambda: self._ready(zone) == ["True"] * 2, f"{zone} is ready again")

    def _ready(self, zone: str) -> list[str]:
        nodes = self._of(f"topology.kubernetes.io/zone={zone}")
        return [c.status for node in nodes for c in node.status.conditions or () if c.type == "Ready"]

    def _of(self, selector: str) -> list[Any]:
        return list(self._core.list_node(label_selector=selector).items)


@pytest.fixture
def nodes(world: World) -> Iterator[Nodes]:
    """Nodes of this test's own."""
    found = Nodes(world)
    try:
        yield found.create()
    finally:
        found.remove()


def deployment(world: World, nodes: Nodes, replicas: int) -> None:
    """A Deployment on those nodes alone."""
    template = world.template("checkout", "1.0")
    template["spec"]["nodeSelector"] = {"pool": nodes.pool}
    template["spec"]["tolerations"] = [{"key": TAINT, "operator": "Exists"}]
    world.deployment(replicas=replicas, template=template)


def evaluations(operator: Operator) -> float:
    return operator.metric("resilience_evaluations_total", result="evaluated")


def test_the_other_zones_carry_what_the_lost_one_did_until_it_is_back(
    world: World, nodes: Nodes, new_operator: Callable[..., Operator]
) -> None:
    operator = new_operator(environment={"RESILIENCE_WATCH_NODES": "true"}).start()
    deployment(world, nodes, 4)
    world.policy(rules=[RULE], signals=None, replicas={"min": 3, "max": 20})
    world.until_verdict("zone-lost", "Ok")

    nodes.lose(nodes.zones[1], only=1)
    after = evaluations(operator) + 2
    throughout(lambda: world.replicas() == 4, "a node is no zone", until=lambda: evaluations(operator) >= after)

    nodes.lose(nodes.zones[1], only=2)
    world.until(lambda: world.replicas() == 6, "4 pods on 3 zones are 6 on 2")
    world.until(lambda: world.actions() == ["scaleUp"], "it is recorded")
    assert f"zone-lost is 1, {nodes.zones[1]} of 3 zones (above 0): 4 → 6 pods" in world.told("ScaledUp")[0]["note"]
    assert world.verdict("zone-lost") == "Breach"
    after = evaluations(operator) + 3
    throughout(lambda: world.replicas() == 6, "it asks once", until=lambda: evaluations(operator) >= after)

    nodes.bring_back(nodes.zones[1])
    world.until_verdict("zone-lost", "Ok")
    world.until(lambda: world.replicas() == 4, "the step back is 2 pods, after calm")
    world.until(lambda: world.replicas() == 3, "and the next goes to the minimum")


def test_an_operator_of_single_namespaces_says_that_it_sees_no_nodes(world: World, operator: Operator) -> None:
    world.deployment()
    world.policy(rules=[RULE], signals=None)
    world.until(lambda: world.condition("MetricsAvailable").get("reason") == "NodesNotWatched", "it is told")
    assert world.verdict("zone-lost") == "Unknown"
    assert world.replicas() == 3
