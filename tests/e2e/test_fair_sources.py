"""Custom queries that are slow: reported on their own policy as what they are, while a neighbour is scaled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import Cluster
from tests.e2e.test_faults import BUSY
from tests.e2e.test_isolation import neighbour
from tests.support.operator import Operator
from tests.support.proxy import faults, prometheus_proxy
from tests.support.world import World

SLOW = b"slow"
"""Occurs in each of the slow queries, and in no other."""

CASES: dict[str, tuple[float, dict[str, Any]]] = {
    "SourceBusy": (3.0, {"query_seconds_per_minute": 3840}),
    "QueryBudgetSpent": (1.0, {"query_seconds_per_minute": 2}),
}
"""Seconds that each slow query takes, and the configuration of the source."""


@pytest.mark.parametrize("reason", CASES)
def test_slow_queries_are_told_and_hold_nobody_up(
    cluster: Cluster, world: World, new_operator: Callable[..., Operator], tmp_path: Path, reason: str
) -> None:
    seconds, source = CASES[reason]
    with prometheus_proxy(cluster) as proxy:
        slow = proxy.add(
            faults.delay(seconds), where=lambda asked: SLOW in asked.body or SLOW in str(asked.query).encode()
        )
        config = tmp_path / "config.yaml"
        config.write_text(
            yaml.safe_dump({"sources": [{"name": "shared", "url": proxy.url, "concurrency": 2, **source}]})
        )
        new_operator("--config", str(config)).start()
        world.deployment("checkout")
        world.policy(
            "checkout",
            targetRef={"name": "checkout"},
            rules=[BUSY],
            scaleDown={"enabled": False},
            metricSource={"name": "shared"},
        )
        world.until_verdict("cpu", "Ok", "checkout")
        count = range(12)
        neighbour(
            world,
            "greedy",
            metricSource={"name": "shared"},
            interval="5s",
            signals=[{"name": f"s{n}", "query": f"count(slow_{n}) + {n}"} for n in count],
            rules=[
                {"name": f"r{n}", "when": {"signal": f"s{n}", "above": 1e9}, "then": [{"alert": {}}]} for n in count
            ],
        )

        def reasons() -> set[str]:
            return {signal.get("reason", "") for signal in world.status("greedy").get("signals", ())}

        world.until(lambda: reason in reasons(), f"{reason} is reported", "greedy")
        assert slow.used >= 1
        assert world.condition("MetricsAvailable", "greedy")["status"] != "True"
        world.load.workload(world.namespace, "checkout", cpu_utilisation=2.0)
        world.until(lambda: world.actions("checkout") == ["scaleUp"], "the neighbour is scaled", "checkout")
