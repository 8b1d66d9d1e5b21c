"""`replace` copies a record as `dataclasses.replace` does."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from resilience_operator.decision.decide import decide
from resilience_operator.decision.model import memory, score
from resilience_operator.decision.model.memory import Memory, Phase, ReleaseMemory
from resilience_operator.decision.model.policy import ScaleUp
from resilience_operator.decision.model.record import replace
from tests.unit.decision.builders import T0, policy, target

RECORDS = [
    kind
    for module in (memory, score)
    for kind in vars(module).values()
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
]


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_a_copy_differs_in_the_changed_field_alone(kind: Any) -> None:
    known = kind(**{field.name: field.name for field in dataclasses.fields(kind)})
    for field in dataclasses.fields(kind):
        changed, expected = replace(known, **{field.name: "new"}), dataclasses.replace(known, **{field.name: "new"})
        values = {f.name: getattr(changed, f.name) for f in dataclasses.fields(kind)}
        assert values == {f.name: getattr(expected, f.name) for f in dataclasses.fields(kind)}
        assert type(changed) is kind
    assert all(getattr(known, field.name) == field.name for field in dataclasses.fields(kind))


def test_an_unknown_field_is_an_error() -> None:
    with pytest.raises(AttributeError):
        replace(ReleaseMemory(Phase.STABLE, T0, "a"), revison="b")  # type: ignore[call-arg]


def test_another_data_class_is_copied_too() -> None:
    assert replace(ScaleUp(pods=2), pods=3) == ScaleUp(pods=3)


def test_a_copy_of_a_decision_reports_its_own_signals() -> None:
    decision = decide(policy(), {}, target(), Memory(), T0)
    assert len(decision.signals) == 3
    assert decision.signals is decision.signals
    assert len(replace(decision, rules=decision.rules[:1]).signals) == 1
