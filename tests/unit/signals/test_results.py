"""Bare numbers tell what observations tell, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resilience_operator.decision.model.observation import Observation
from resilience_operator.signals.model import Signal, SignalRequest
from resilience_operator.signals.presets import aggregate as join
from resilience_operator.signals.presets.models import Join, Quantile, Quotient, Ratio
from resilience_operator.signals.query.planner import QueryGroup
from resilience_operator.signals.results import SignalResults

NOW = 1_000_000_000.0
RATIO = Ratio.model_construct(kind="ratio")
QUOTIENT = Quotient.model_construct(kind="quotient", missing="no requests")
QUANTILE = Quantile.model_construct(kind="quantile", quantile=0.99, scale=0.001)
PARTS = {RATIO: ("events", "samples"), QUOTIENT: ("numerator", "denominator"), QUANTILE: ("value", "samples")}
VALUES = st.none() | st.floats() | st.sampled_from([0.0, -0.0, -1.0, 1.0, 600.0, 5e-324, 1e308])
OWNERS = ("a-1", "a-2")


def findings(
    preset: Ratio | Quotient | Quantile,
    first: Mapping[str, float | None],
    second: Mapping[str, float | None],
    owners: int,
    fault: bool = False,
) -> SignalResults:
    request = SignalRequest("ns", "a", "Deployment", {o: f"r{o}" for o in OWNERS[:owners]}, Signal("signal", "preset"))
    answers: dict[str, Any] = {
        part: {("ns", o): found for o, found in zip(OWNERS, values, strict=True) if found is not None}
        for part, values in zip(PARTS[preset], zip(first.values(), second.values(), strict=True), strict=True)
    }
    group = QueryGroup(preset, {}, answers, NOW, ("SourceTimedOut", "it is slow") if fault else None)
    return SignalResults([(join.series_keys(request, Join(by="owner", name="owner")), group)], NOW)


def parts() -> st.SearchStrategy[Mapping[str, float | None]]:
    return st.fixed_dictionaries({"one": VALUES, "other": VALUES})


@given(st.sampled_from(list(PARTS)), parts(), parts(), st.sampled_from([0, 1, 1, 1, 2]), st.booleans())
@example(RATIO, {"one": 2.0, "other": 600.0}, {"one": None, "other": None}, 1, False)
@example(RATIO, {"one": 700.0, "other": 600.0}, {"one": None, "other": None}, 1, False)
def test_numbers_are_those_of_the_observations(
    preset: Ratio | Quotient | Quantile,
    first: Mapping[str, float | None],
    second: Mapping[str, float | None],
    owners: int,
    fault: bool,
) -> None:
    found = findings(preset, first, second, owners, fault)
    numbers, (observation,) = found.scalars(), found.observations()
    if numbers is None:
        return
    assert observation.measured is not None
    told = (observation.at, observation.measured.value, observation.measured.samples)
    assert numbers == {"signal": told}
    assert not fault and owners == 1


@pytest.mark.parametrize("preset", PARTS)
def test_usual_measurements_come_as_numbers(preset: Ratio | Quotient | Quantile) -> None:
    usual = {"one": 2.0, "other": 600.0}
    missing: Mapping[str, float | None] = {"one": None, "other": None}
    assert findings(preset, usual, missing, 1).scalars() is not None
    assert findings(preset, usual, missing, 1, fault=True).scalars() is None
    assert findings(preset, usual, usual, 2).scalars() is None
    assert findings(preset, missing, missing, 1).scalars() is None


def test_one_that_could_not_be_asked_leaves_no_numbers() -> None:
    found = SignalResults([Observation.unknown(NOW, "SourceNotFound", "there is none")], NOW)
    assert found.scalars() is None
    assert [o.reason for o in found.observations()] == ["SourceNotFound"]


def test_answers_that_are_not_whole_are_told_as_observations() -> None:
    found = findings(RATIO, {"one": 2.0, "other": 600.0}, {"one": None, "other": None}, 1)
    found._plans[0][1].answers.clear()  # type: ignore[index]
    assert found.scalars() is None
    assert [o.reason for o in found.observations()] == ["InternalError"]
