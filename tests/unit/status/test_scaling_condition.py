"""What the condition and `explain` promise of scaling down is what the decision does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resilience_operator.api.conditions import ConditionType
from resilience_operator.api.status import PolicyStatus
from resilience_operator.decision.model.policy import Policy, ScaleDown
from resilience_operator.decision.model.target import HorizontalPodAutoscaler
from resilience_operator.explain.context import ExplainContext
from resilience_operator.explain.scale_down import scale_down
from resilience_operator.status.conditions import conditions_of
from tests.unit.decision.builders import CPU, Run, policy, target, verbs

HPA = HorizontalPodAutoscaler("checkout", "1", min_replicas=5, max_replicas=20)
RAISED = replace(HPA, min_replicas=7, original_min=5)


def scaling_condition(run: Run) -> tuple[str, str]:
    decision = run.look()
    found = next(c for c in conditions_of(decision, run.memory, ()) if c.type == ConditionType.SCALING)
    return found.reason, found.message


def steps_down(run: Run) -> int:
    return sum(verbs(run.look()).count("scaleDown") for _ in range(100))


@pytest.mark.parametrize(
    ("of", "hpa", "replicas", "reason", "message", "steps"),
    [
        pytest.param(policy(CPU), None, 3, "WithinBounds", "3 pods", 0, id="at the minimum"),
        pytest.param(
            policy(CPU), None, 5, "ScaledUp", "5 pods; scales down to 3 when signals are stable", 2, id="above it"
        ),
        pytest.param(policy(CPU), HPA, 5, "WithinBounds", "5 pods", 0, id="at the minimum of the HPA"),
        pytest.param(policy(CPU), HPA, 8, "WithinBounds", "8 pods", 0, id="what the HPA added is the HPA's"),
        pytest.param(
            policy(CPU),
            RAISED,
            7,
            "ScaledUp",
            "7 pods; minReplicas of checkout returns to 5 when signals are stable",
            1,
            id="raised",
        ),
        pytest.param(
            policy(CPU, scale_down=ScaleDown(enabled=False)),
            None,
            5,
            "ScaledUp",
            "5 pods; not scaled down because scaleDown.enabled is false",
            0,
            id="no scale-down",
        ),
    ],
)
def test_the_condition_promises_what_is_done(
    of: Policy, hpa: HorizontalPodAutoscaler | None, replicas: int, reason: str, message: str, steps: int
) -> None:
    run = Run(of, target=target(replicas=replicas, ready=replicas, hpa=hpa))
    assert scaling_condition(run) == (reason, message)
    assert steps_down(run) == steps


def test_explain_has_the_same_floor() -> None:
    run = Run(policy(CPU), target=target(replicas=5, ready=5, hpa=HPA))
    run.look()
    facts = ExplainContext(run.policy, PolicyStatus(), run.memory, run.target, run.now)
    assert list(scale_down(facts)) == ["nothing to scale down: 5 now, minimum 5"]
