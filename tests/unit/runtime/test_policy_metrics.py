"""What the policies' statuses come to as metrics, and that it stays small whatever is wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from resilience_operator.api.conditions import ConditionStatus
from resilience_operator.api.status import Condition, DecisionStatus, PolicyStatus
from resilience_operator.decision.decide import decide
from resilience_operator.decision.model.memory import Memory
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.policy import Mode, Policy
from resilience_operator.runtime.cache.policy_entry import CompiledPolicy, PolicyEntry
from resilience_operator.runtime.telemetry.history import append_to
from resilience_operator.runtime.telemetry.policy_metrics import MAX_SERIES, RECENT_SECONDS, PolicyMetricsCollector
from resilience_operator.simulation.workload import steady_workload
from resilience_operator.status.history import DecisionHistory
from tests.unit.decision.builders import policy

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def entry(
    name: str, *conditions: tuple[str, ConditionStatus, str], mode: Mode = Mode.ENFORCE, age: float = 60.0
) -> PolicyEntry:
    """A policy with these conditions, `age` seconds old."""
    at = NOW - timedelta(seconds=age)
    found: Policy = replace(policy(), mode=mode)
    made = tuple(
        Condition(type=t, status=status, reason=reason, message="", last_transition_time=at)
        for t, status, reason in conditions
    )
    return PolicyEntry(
        uid=name, namespace="shop", name=name, resource_version="1", created=0.0, status=PolicyStatus(conditions=made),
            compiled=CompiledPolicy(("Deployment", "shop", name), 1, policy=found),
    )  # fmt: skip


def series(name: str, *entries: PolicyEntry, owns: bool = True) -> dict[tuple[str, ...], float]:
    """The samples of one metric, by their labels' values."""
    census = PolicyMetricsCollector(entries, lambda _: owns, clock=NOW.timestamp)
    (family,) = (f for f in census.collect() if f.name == name)
    return {tuple(s.labels.values()): s.value for s in family.samples}


UNWELL = "resilience_policy_unwell_since_timestamp_seconds"
ROLLED_BACK = "resilience_policy_rolled_back_timestamp_seconds"


def test_what_is_well_is_counted_and_what_is_not_is_listed() -> None:
    fine = entry("fine", ("Ready", "True", "Accepted"), ("Scaling", "True", "WithinBounds"))
    blind = entry("blind", ("Ready", "True", "Accepted"), ("MetricsAvailable", "False", "NoData"), age=900)
    held = entry("held", ("ReleaseHealthy", "Unknown", "NotMeasured"))
    counts = series("resilience_policies_by_condition", fine, blind, held)
    assert counts[("Ready", "True", "Accepted")] == 2
    assert counts[("MetricsAvailable", "False", "NoData")] == 1
    assert series(UNWELL, fine, blind, held) == {
        ("shop", "blind", "MetricsAvailable", "NoData"): NOW.timestamp() - 900,
        ("shop", "held", "ReleaseHealthy", "NotMeasured"): NOW.timestamp() - 60,
    }
    assert series(UNWELL, blind, owns=False) == {}


def test_what_is_only_rehearsed_is_not_listed() -> None:
    conditions = (("ReleaseHealthy", "False", "HeldPaused"), ("MetricsAvailable", "False", "NoData"))
    found = series(UNWELL, entry("dry", *conditions, mode=Mode.DRY_RUN))
    assert list(found) == [("shop", "dry", "MetricsAvailable", "NoData")]


def test_the_list_is_bounded_and_keeps_what_is_oldest() -> None:
    many = [entry(f"p{n}", ("MetricsAvailable", "False", "CircuitOpen"), age=n) for n in range(MAX_SERIES + 7)]
    found = series(UNWELL, *many)
    assert len(found) == MAX_SERIES
    assert ("shop", f"p{MAX_SERIES + 6}", "MetricsAvailable", "CircuitOpen") in found
    assert ("shop", "p0", "MetricsAvailable", "CircuitOpen") not in found
    assert series("resilience_policies_unwell_unlisted", *many) == {(): 7}


def test_a_rollback_is_listed_for_an_hour() -> None:
    def decided(action: str, ago: float, *, dry_run: bool = False) -> DecisionStatus:
        return DecisionStatus(at=NOW - timedelta(seconds=ago), action=action, reason="RuleBreached", dry_run=dry_run)

    cases = {
        "recent": (decided("scaleDown", 10), decided("rollback", 60), decided("rollback", 600)),
        "old": (decided("rollback", RECENT_SECONDS + 1),),
        "dry": (decided("rollback", 60, dry_run=True),),
        "none": (decided("scaleUp", 60),),
    }
    found = series(ROLLED_BACK, *(replace(entry(n), history=DecisionHistory(journal)) for n, journal in cases.items()))
    assert found == {("shop", "recent"): NOW.timestamp() - 60}


def test_load_and_capacity_are_those_of_the_last_evaluation() -> None:
    found = entry("busy")
    assert series("resilience_policy_needed_pods", found) == {}
    observed = {name: Observation(1e9, Measured(value)) for name, value in {"cpu": 0.35, "latency-p99": 0.2}.items()}
    target = steady_workload(4, "a", 1e9).state(1e9)
    assert found.policy is not None
    found.evaluation_history = append_to(None, decide(found.policy, observed, target, Memory(), 1e9), target)
    assert series("resilience_policy_load_pods", found)["shop", "busy"] == pytest.approx(2.0)
    assert series("resilience_policy_needed_pods", found) == {("shop", "busy"): 3}
    assert series("resilience_policy_ready_pods", found) == {("shop", "busy"): 4}
    assert series("resilience_policy_start_up_seconds", found) == {("shop", "busy"): 30}
    many = [replace(found, name=f"busy-{i}") for i in range(MAX_SERIES + 10)]
    assert len(series("resilience_policy_needed_pods", *many)) == MAX_SERIES
