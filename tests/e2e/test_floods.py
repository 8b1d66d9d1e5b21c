"""A policy that changes at every evaluation: what it may write, and what it must not hide."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from resilience_operator.runtime.reporting.event_limit import NOTICE_SECONDS, NOTICES
from tests.support.operator import Operator
from tests.support.world import World

FLAPPING = "vector(time() % 10 > bool 5)"
RULES = 60


def rules() -> list[dict[str, Any]]:
    """So many alerts at once, and a scale-up that waits for a signal of its own."""
    alerts = [
        {"name": f"alert-{n}", "when": {"signal": "flapping", "above": 0.5}, "then": [{"alert": {}}]}
        for n in range(RULES)
    ]
    return [*alerts, {"name": "busy", "when": {"signal": "load", "above": 10}, "then": [{"scaleUp": {"pods": 1}}]}]


def signals(load: int) -> list[dict[str, str]]:
    return [{"name": "flapping", "query": FLAPPING}, {"name": "load", "query": f"vector({load})"}]


def test_notices_are_limited_and_a_change_is_told_all_the_same(world: World, operator: Operator) -> None:
    world.deployment()
    began = time.monotonic()
    world.policy(interval="5s", signals=signals(1), rules=rules())
    suppressed = 3 * RULES
    world.until(
        lambda: operator.metric("resilience_events_suppressed_total") >= suppressed, "most notices are suppressed"
    )
    written = len(world.events("ResiliencePolicy"))
    assert written <= NOTICES + 1 + (time.monotonic() - began) // NOTICE_SECONDS
    world.change_policy(signals=signals(20))
    (scaled,) = world.until(lambda: world.told("ScaledUp"), "the change is told")
    assert "earlier events of this policy were suppressed" in scaled["note"]


def test_a_field_managers_name_forges_nothing(world: World, new_operator: Callable[..., Operator]) -> None:
    operator = new_operator("--log-format", "console").start()
    world.deployment()
    world.policy()
    world.until_phase("Stable")
    pause = {"spec": {"paused": True}}
    manager = "https://login.evil.example/reset"
    world.apps.patch_namespaced_deployment("checkout", world.namespace, pause, field_manager=manager)
    world.release("2.0")
    (told,) = world.until(
        lambda: [e for e in world.events("ResiliencePolicy") if manager in e["note"]][:1], "it is told"
    )
    assert f"`{manager}`" in told["note"], "quoted as code"
    assert operator.log.read_text()
