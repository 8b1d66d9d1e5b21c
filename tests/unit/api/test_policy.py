"""What is made of a policy: defaults, base units, several problems at once, speed."""

import time

import pytest

from resilience_operator.api.quantities import Threshold, Unit
from resilience_operator.api.spec import Mode, interval_of
from resilience_operator.api.v1alpha1 import InvalidPolicy, parse_policy
from tests.unit.api.test_cases import policy


def test_defaults() -> None:
    spec = parse_policy(policy({"replicas.min": 1})).spec
    assert (spec.mode, interval_of(spec)) == (Mode.ENFORCE, 5.0)
    assert (spec.metric_source.type, spec.metric_source.name, spec.metric_source.preset) == (
        "prometheus",
        None,
        "http-generic",
    )
    assert (spec.scale_down.enabled, spec.scale_down.after, spec.scale_down.pods) == (True, 300.0, None)
    assert (spec.release.bake.at_most, spec.release.compare, spec.release.resume) == (600.0, "Revisions", True)
    assert (spec.fallback.after, spec.fallback.replicas) == (180.0, None)


def test_base_units() -> None:
    busy, slow, failing = parse_policy(policy({})).spec.rules
    assert (busy.when.above, busy.when.for_) == (Threshold(0.7, Unit.RATIO), 120.0)
    assert slow.when.above == Threshold(1.0, Unit.SECONDS)
    assert failing.then[1].rollback is not None
    assert (failing.then[1].rollback.after, failing.then[1].rollback.limit) == (30.0, 1)
    assert busy.then[0].scale_up is not None
    assert (busy.then[0].scale_up.pods, busy.then[0].scale_up.cooldown) == (2, 60.0)


def test_conditions_are_read_alike_one_or_many() -> None:
    one = parse_policy(policy({})).spec.rules[0].when
    many = (
        parse_policy(policy({"rules.0.when": {"all": [{"signal": "cpu", "above": "70%", "for": "2m"}]}}))
        .spec.rules[0]
        .when
    )
    assert one.conditions == many.conditions


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(InvalidPolicy) as refusal:
        parse_policy(policy({"interval": "1s", "rules.0.when.above": "banana", "foo": 1}))
    assert [problem.path for problem in refusal.value.problems] == [
        "spec.interval",
        "spec.rules[0].when.above",
        "spec.foo",
    ]
    assert "spec.rules[0].when.above: 'banana' is not a threshold: write a ratio like 70% or 0.7" in str(refusal.value)


@pytest.mark.parametrize("document", [{}, {"spec": 3}, {"kind": "Pod"}, {"spec": {"rules": 1}}])
def test_no_policy_at_all(document: dict[str, object]) -> None:
    with pytest.raises(InvalidPolicy):
        parse_policy(document)


def test_a_status_of_another_version_is_read() -> None:
    document = policy({})
    document["status"] = {
        "observedGeneration": 3,
        "somethingNew": {"a": 1},
        "target": {"replicas": 4, "phase": "Baking", "colour": "blue"},
        "lastDecision": {
            "at": "2026-01-31T10:15:00.250Z",
            "action": "scaleUp",
            "from": "3",
            "to": "5",
            "reason": "RuleBreached",
            "traceID": "4bf92f3577b34da6a3ce929d0e0e4736",
        },
    }
    status = parse_policy(document).status
    assert status.target is not None
    assert status.target.replicas == 4
    assert status.last_decision is not None
    assert (status.last_decision.from_, status.last_decision.to) == ("3", "5")
    written = status.model_dump(mode="json", exclude_none=True)["lastDecision"]
    assert (written["at"], written["from"]) == ("2026-01-31T10:15:00.250Z", "3")
    assert written["traceID"] == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_ten_thousand_policies_are_read_in_seconds() -> None:
    document = policy({})
    started = time.perf_counter()
    for _ in range(1_000):
        parse_policy(document)
    assert time.perf_counter() - started < 2.0, "0.1 s is usual"
