"""Under tenancy and leader election: queries that are hard to parse cost neither the Lease nor a neighbour's turn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import yaml

from tests.e2e.test_faults import BUSY
from tests.e2e.test_isolation import neighbour
from tests.e2e.test_scaling import evaluations
from tests.support.install import grant_lease
from tests.support.operator import Operator
from tests.support.waiting import eventually
from tests.support.world import World

HELD = {"name": "held"}
PLUS = "+".join(["1"] * 299)

ATTACKS = {
    "comment": (["up #\r" + "+up " * 1020] * 3, "at most 300"),
    "operators": ([PLUS] * 64, "3000 operators, brackets and matchers together"),
    "strings": (['"' + '\\"' * 2040] * 16, "not closed"),
    "panic": (["up @ -1.5"] * 64, "the parser failed on it"),
    "allowed": ([PLUS] * 10, ""),
}
"""Queries of one policy, and what its signals say. The last are within all bounds."""


def test_queries_that_are_hard_to_parse_stop_nobody(
    world: World, new_operator: Callable[..., Operator], tmp_path: Path
) -> None:
    grant_lease(world.cluster, world.namespace)
    config = tmp_path / "config.yaml"
    source = {"name": "held", "url": world.cluster.prometheus_url, "tenancy": {"label": "namespace"}}
    config.write_text(yaml.safe_dump({"sources": [source]}))
    operator = new_operator(
        "--leader-election", "--config", str(config), environment={"RESILIENCE_LEASE_NAMESPACE": world.namespace}
    ).start()
    eventually(lambda: operator.leads, "it leads")
    world.deployment("checkout")
    world.policy(
        "checkout", targetRef={"name": "checkout"}, rules=[BUSY], scaleDown={"enabled": False}, metricSource=HELD
    )
    world.until_verdict("cpu", "Ok", "checkout")
    process = operator.process
    assert process is not None
    for name, (queries, _) in ATTACKS.items():
        neighbour(
            world,
            name,
            signals=[{"name": f"s{number}", "query": f"{query} # {number}"} for number, query in enumerate(queries)],
            interval="5s",
            metricSource=HELD,
            rules=[
                {"name": f"r{number}", "when": {"signal": f"s{number}", "above": 1e9}, "then": [{"alert": {}}]}
                for number in range(len(queries))
            ],
        )

    def told(name: str) -> list[str]:
        return [f"{s.get('reason')}: {s.get('message')}" for s in world.status(name).get("signals", ())]

    for name, (queries, says) in ATTACKS.items():
        world.until(lambda n=name, q=queries: len(told(n)) == len(q), f"{name} is evaluated", name)  # type: ignore[misc]
        if says:
            assert all("BadQuery" in one for one in told(name)), told(name)[:2]
    before = evaluations(operator)
    world.until(lambda: evaluations(operator) > before + 5 * len(ATTACKS), "all are evaluated again and again")
    world.load.workload(world.namespace, "checkout", cpu_utilisation=2.0)
    world.until(lambda: world.actions("checkout") == ["scaleUp"], "the neighbour is scaled", "checkout")
    assert operator.process is process
    assert process.poll() is None, operator.tail()
    assert operator.leads
    assert operator.metric("resilience_evaluations_total", result="error") == 0
    # What the parser prints when it panics is not in the log, which is JSON line by line.
    assert "panicked" not in operator.log.read_text(errors="replace")
