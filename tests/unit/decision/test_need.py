"""The need in numbers, and what limits the size."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resilience_operator.decision.model.memory import (
    LoadMemory,
    Memory,
    Phase,
    ReleaseMemory,
    RuleMemory,
    ScalingMemory,
)
from resilience_operator.decision.model.policy import Condition, Policy, Rule, ScaleUp, Signal
from resilience_operator.decision.model.target import HorizontalPodAutoscaler
from resilience_operator.decision.scaling.need import need_of

AHEAD = Rule("busy", (Condition("cpu", 0.8),), scale_up=ScaleUp(to_target=True))
POLICY = Policy(
    uid="u", namespace="shop", name="checkout", generation=1, rules=(AHEAD,),
    signals={"cpu": Signal("cpu", unit="ratio"), "latency-p99": Signal("latency-p99", unit="seconds")},
    min_replicas=3, max_replicas=10,
)  # fmt: skip
LEARNED = Memory(scaling=ScalingMemory(load=LoadMemory(margin=0.25, start_up=40.0, cost=0.01)))


def test_the_need_has_the_learned_margin_and_capacity() -> None:
    found = need_of(POLICY, LEARNED, {"cpu": 0.4}, 8)
    assert found is not None
    assert (found.load, found.pods, found.rule, found.margin) == (4.0, 5, "busy", 0.25)
    assert (found.requests, found.start_up, found.learned) == (80.0, 40.0, True)


@pytest.mark.parametrize("values", [{}, {"latency-p99": 2.0}])
def test_what_is_not_measured_has_no_need(values: dict[str, float]) -> None:
    assert need_of(POLICY, LEARNED, values, 8) is None


HPA = HorizontalPodAutoscaler("web", "1", 5, 8)


@pytest.mark.parametrize(
    ("cpu", "replicas", "hpa", "changes", "limit"),
    [
        (1.0, 10, None, {}, "replicas.max (10)"),
        (1.0, 8, HPA, {}, "maxReplicas of HorizontalPodAutoscaler web (8)"),
        (0.1, 3, None, {}, "replicas.min (3)"),
        (0.1, 5, HPA, {}, "minReplicas of HorizontalPodAutoscaler web (5)"),
        (0.2, 8, None, {}, "a scale-down waits until the need has been lower for scaleDown.after"),
        (0.64, 8, None, {}, ""),
        (
            0.2, 8, None, {"release": ReleaseMemory(phase=Phase.PROGRESSING, revision="b", since=0.0)},
            "a release is in progress",
        ),
        (1.0, 6, None, {"rules": {"busy": RuleMemory(ineffective=2)}}, "more pods did not help busy"),
        (0.1, 6, None, {"scaling": ScalingMemory(manual_floor=6)}, "a person scaled it to 6"),
    ],
)  # fmt: skip
def test_what_limits_the_size_is_named(
    cpu: float, replicas: int, hpa: HorizontalPodAutoscaler | None, changes: dict[str, object], limit: str
) -> None:
    memory = replace(Memory(), **changes)  # type: ignore[arg-type]
    found = need_of(POLICY, memory, {"cpu": cpu}, replicas, hpa)
    assert found is not None
    assert found.limit == limit
