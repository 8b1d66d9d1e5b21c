"""Breaches of several workloads at the same time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resilience_operator.decision.model.memory import Memory, Phase, ReleaseMemory, RuleMemory, Timer, Verdict
from resilience_operator.decision.model.policy import Condition, Policy, Rule, Signal
from resilience_operator.runtime.evaluation.concurrent_breaches import KEPT_STEPS, STEP, ConcurrentBreaches

SIGNAL = Signal("error-rate", window=120.0, min_samples=20.0, unit="ratio")
RULE = Rule("failing-release", (Condition("error-rate", 0.01),), pause=True)
NOW = 1_000_000.0


def policy(name: str, rule: Rule = RULE) -> Policy:
    return Policy(name, "shop", name, 1, (rule,), {"error-rate": SIGNAL})


def memory(crossed: float | None, phase: Phase = Phase.BAKING) -> Memory:
    timers = (Timer(Verdict.OK if crossed is None else Verdict.BREACH, NOW, crossed),)
    return Memory(release=ReleaseMemory(phase, 0.0, "b"), rules={RULE.name: RuleMemory(timers=timers)})


def known(*began: float | None) -> ConcurrentBreaches:
    found = ConcurrentBreaches()
    for number, crossed in enumerate(began):
        found.record(policy(f"other-{number}"), memory(crossed, Phase.STABLE))
    return found


@pytest.mark.parametrize(
    ("others", "shared"),
    [((), False), ((None,), False), ((NOW,), True), ((NOW + 100,), True), ((NOW - 100,), True), ((NOW - 400,), False)],
)
def test_another_workload_in_breach_since_the_same_time(others: tuple[float | None, ...], shared: bool) -> None:
    breaches = known(*others)
    assert breaches.shared(policy("mine"), memory(NOW)) is shared
    breaches.record(policy("mine"), memory(NOW))
    assert breaches.shared(policy("mine"), memory(NOW)) is shared, "its own breach is not another one"


def test_nothing_is_shared_without_a_release_or_a_breach() -> None:
    breaches = known(NOW, NOW)
    assert not breaches.shared(policy("mine"), memory(NOW, Phase.STABLE))
    assert not breaches.shared(policy("mine"), memory(None))
    assert not breaches.shared(policy("mine", replace(RULE, pause=False)), memory(NOW))


def test_a_breach_that_ended_is_forgotten() -> None:
    breaches = known(NOW)
    breaches.record(policy("other-0"), memory(None))
    assert not breaches.shared(policy("mine"), memory(NOW))


def test_a_policy_that_was_deleted_in_breach_is_forgotten_after_an_hour() -> None:
    breaches = known(NOW)
    later = NOW + 3 * KEPT_STEPS * STEP
    breaches.record(policy("later"), memory(later))
    assert not breaches.shared(policy("mine"), memory(NOW))
