"""Metric sources that fail in every way there is: always Unknown, with the reason; nothing is done; then it goes on.

One operator has a source for each way to fail, all of them the real Prometheus behind a proxy of its own, and one that
stays well. So the same run shows that a source which hangs holds up nobody else's policies.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.cluster import Cluster
from tests.e2e.test_scaling import evaluations
from tests.support.operator import Operator
from tests.support.proxy import Proxy, faults, prometheus_proxy
from tests.support.proxy.prometheus import clock, data, values
from tests.support.proxy.rules import Fault
from tests.support.waiting import eventually, throughout
from tests.support.world import World

pytestmark = pytest.mark.long

WAYS: dict[str, tuple[Fault, str]] = {
    "500": (faults.answer(500, "oh no", content_type="text/plain"), "SourceUnreachable"),
    "429": (faults.answer(429, "slow down", content_type="text/plain", retry_after=1), "SourceUnreachable"),
    "403": (faults.answer(403, "not you", content_type="text/plain"), "SourceRefused"),
    "reset": (faults.reset(), "SourceUnreachable"),
    "hang": (faults.hang(), "SourceTimedOut"),
    "half": (faults.half(), "BadAnswer"),
    "not-json": (faults.answer(200, '{"status": "succ'), "BadAnswer"),
    "html": (faults.answer(200, "<h1>Welcome</h1>", content_type="text/html"), "BadAnswer"),
    "matrix": (data(lambda d: d.update(resultType="matrix")), "BadQuery"),
    "other-type": (data(lambda d: d.update(resultType="poem")), "BadAnswer"),
    "50-mb": (faults.big(50 << 20), "BadAnswer or SourceTimedOut"),
    "empty": (data(lambda d: d.update(result=[])), "NoData"),
    "nan": (values("NaN"), "NotANumber"),
    "infinite": (values("+Inf"), "NotANumber"),
    "ahead": (clock(600), "Stale"),
    "behind": (clock(-600), "Stale"),
}
WELL = "well"
RULES = [
    {
        "name": "busy",
        "when": {"signal": "cpu", "above": "70%"},
        "then": [{"scaleUp": {"pods": 1, "cooldown": "1h"}}],
    },
    {
        "name": "failing",
        "when": {"signal": "error-rate", "above": "1%"},
        "then": [{"pauseRollout": {}}, {"rollback": {"after": "0s"}}],
    },
]


@dataclass
class Sources:
    """An operator whose sources fail one by one, and their proxies by name."""

    operator: Operator
    proxies: dict[str, Proxy]


@pytest.fixture
def sources(cluster: Cluster, new_operator: Callable[..., Operator], tmp_path: Path) -> Iterator[Sources]:
    """All of them well, at first."""
    with ExitStack() as stack:
        proxies = {name: stack.enter_context(prometheus_proxy(cluster)) for name in (*WAYS, WELL)}
        config = tmp_path / "config.yaml"
        configured = [{"name": name, "url": proxy.url} for name, proxy in proxies.items()]
        config.write_text(yaml.safe_dump({"sources": configured}))
        yield Sources(new_operator("--config", str(config)).start(), proxies)


def test_every_way_to_fail_is_told_by_its_reason(world: World, sources: Sources) -> None:
    """With one signal, so that a source has not failed often enough yet for its breaker to open."""
    for name, (fault, _) in WAYS.items():
        sources.proxies[name].add(fault)
        target(world, name)
    for name in WAYS:
        world.rolled_out(name)
        world.policy(
            name,
            targetRef={"name": name},
            interval="30s",
            metricSource={"name": name},
            replicas={"min": 2, "max": 6},
            rules=RULES[:1],
        )
    missing = {name: reason for name, (_, reason) in WAYS.items()}

    def all_told() -> bool:
        for name, reason in list(missing.items()):
            if world.condition("MetricsAvailable", name).get("reason") in reason.split(" or "):
                del missing[name]
        return not missing

    eventually(all_told, "each is told by its reason", last=lambda: str(missing))
    assert all(world.replicas(name) == 3 for name in WAYS)


def test_every_way_to_fail_changes_nothing_and_harms_nobody_else(world: World, sources: Sources) -> None:
    operator = sources.operator
    for name in sources.proxies:
        target(world, name)
    for name in sources.proxies:
        world.rolled_out(name)
        world.policy(
            name,
            targetRef={"name": name},
            metricSource={"name": name},
            replicas={"min": 2, "max": 6},
            rules=RULES,
            scaleDown={"after": "5s", "pods": 1},
        )
    for name in sources.proxies:
        world.until_phase("Stable", name)
        world.until_verdict("error-rate", "Ok", name)
    for name, (fault, _) in WAYS.items():
        sources.proxies[name].add(fault)

    # All are now calm enough to give pods back, and get a release that is bad.
    for name in sources.proxies:
        world.load.workload(world.namespace, name, cpu_total_cores=0.015)
    for name, (_, reason) in WAYS.items():
        right = {*reason.split(" or "), "CircuitOpen"}
        world.until(lambda n=name, r=right: reasons(world, n) & r, f"{name} is told: {reason}", name)
    assert operator.metric("resilience_evaluations_total", result="error") == 0
    assert operator.metric("resilience_evaluations_skipped_total") > 0, "a source that hangs lets evaluations be missed"
    for name in sources.proxies:
        world.load.image(world.image("2.0", name), error_ratio=0.5)
        world.release("2.0", name)
    asked = {name: len(proxy.seen()) for name, proxy in sources.proxies.items()}
    late = lateness(operator)
    world.until(lambda: world.actions(WELL).count("rollback") == 1, "the one that is measured is rolled back", WELL)
    throughout(
        lambda: all(untouched(world, name) for name in WAYS),
        "nothing is scaled, paused or rolled back",
        until=seen_by(operator, 5 * len(sources.proxies)),
    )
    assert lateness(operator) == late, "an evaluation began more than an interval late"
    assert len(sources.proxies[WELL].seen()) > asked[WELL]
    world.until(lambda: left_alone(world, "500"), "it is told why the source is left alone", "500")

    for proxy in sources.proxies.values():
        proxy.clear()
    for name in WAYS:
        world.load.workload(world.namespace, name, cpu_total_cores=1.0)
    for name in WAYS:
        world.until(lambda n=name: world.condition("MetricsAvailable", n)["status"] == "True", "it is measured", name)
        world.until(lambda n=name: "scaleUp" in world.actions(n), "and is scaled again", name)


def target(world: World, name: str) -> None:
    """A Deployment of three pods that is asked enough to be judged."""
    body = {
        "metadata": {"name": name},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": name}},
            "template": world.template(name, "1.0"),
        },
    }
    world.apps.create_namespaced_deployment(world.namespace, body, field_manager="test")
    # Two thirds of the threshold: too much to give a pod back.
    world.load.workload(world.namespace, name, rps=120, cpu_total_cores=0.19)


def reasons(world: World, name: str) -> set[str]:
    """Why signals of this policy have no value, where all of them have none."""
    signals = world.status(name).get("signals", ())
    return {s.get("reason", "") for s in signals} if all(s["verdict"] == "Unknown" for s in signals) else set()


def left_alone(world: World, name: str) -> bool:
    """Whether the breaker is open, and the policy says what the source failed with."""
    found = world.condition("MetricsAvailable", name)
    return found["reason"] == "CircuitOpen" and "SourceUnreachable (HTTP 500" in found["message"]


def untouched(world: World, name: str) -> bool:
    """Whether the target is as people left it."""
    return (
        world.replicas(name) == 3
        and world.running(name) == "2.0"
        and not world.paused(name)
        and world.actions(name) == []
    )


def seen_by(operator: Operator, count: int) -> Callable[[], bool]:
    """A state: so many evaluations further on."""
    wanted = evaluations(operator) + count
    return lambda: evaluations(operator) >= wanted


def lateness(operator: Operator) -> float:
    """How many evaluations began more than an interval late."""
    page = operator.get("/metrics")[1]
    lag = "resilience_evaluation_lag_seconds"
    found = dict(re.findall(rf'^{lag}_(count|bucket{{le="5.0"}}) (\S+)$', page, re.MULTILINE))
    return float(found["count"]) - float(found['bucket{le="5.0"}'])
