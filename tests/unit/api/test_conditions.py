"""How conditions are merged, and their catalogue."""

import re
from datetime import UTC, datetime

from resilience_operator.api.conditions import (
    REASONS,
    ConditionStatus,
    ConditionType,
    condition,
    find_condition,
    merge_condition,
)
from resilience_operator.api.status import Condition

BEFORE, NOW = datetime(2026, 1, 31, 10, 0, tzinfo=UTC), datetime(2026, 1, 31, 10, 15, tzinfo=UTC)


def ready(status: ConditionStatus, reason: str, at: datetime) -> Condition:
    return condition(ConditionType.READY, status, reason, "", now=at, generation=7)


METRICS = condition(ConditionType.METRICS_AVAILABLE, "True", "AllSignalsMeasured", "fine", now=BEFORE)


def test_the_first_is_added() -> None:
    assert merge_condition([METRICS], ready("True", "Accepted", NOW)) == (METRICS, ready("True", "Accepted", NOW))


def test_another_status_is_a_transition() -> None:
    old, new = ready("True", "Accepted", BEFORE), ready("False", "TargetNotFound", NOW)
    assert merge_condition([old, METRICS], new) == (new, METRICS)


def test_another_reason_is_none() -> None:
    old, new = ready("False", "TargetNotFound", BEFORE), ready("False", "InvalidSpec", NOW)
    (merged,) = merge_condition([old], new)
    assert (merged.reason, merged.last_transition_time) == ("InvalidSpec", BEFORE)


def test_doubles_become_one() -> None:
    old = ready("True", "Accepted", BEFORE)
    assert merge_condition([old, old], ready("True", "Accepted", NOW)) == (old,)


def test_find() -> None:
    assert find_condition([METRICS], "MetricsAvailable") == METRICS
    assert find_condition([METRICS], "Ready") is None


def test_a_reason_brings_its_sentence() -> None:
    assert ready("False", "TargetNotFound", NOW).message == "The target does not exist in the policy's namespace."
    assert METRICS.message == "fine"


def test_reasons_are_camel_case_and_explained() -> None:
    assert set(REASONS) == set(ConditionType)
    for reasons in REASONS.values():
        for reason, sentence in reasons.items():
            assert re.fullmatch(r"[A-Z][A-Za-z]+", reason)
            assert sentence.endswith(".")
