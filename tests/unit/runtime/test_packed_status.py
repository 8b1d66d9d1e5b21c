"""Statuses are kept compressed."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_operator.runtime.cache.packed_status import EMPTY, pack, unpack

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(st.dictionaries(st.text(), _JSON))
def test_a_status_comes_back_as_it_was(status: dict[str, object]) -> None:
    assert unpack(pack(status)) == status


def test_equal_statuses_have_equal_packs() -> None:
    assert pack({"a": [1, "x"]}) == pack({"a": [1, "x"]}) != pack({"a": [1, "y"]})
    assert pack({}) == EMPTY


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError):
        pack({"a": object()})


def test_a_usual_status_is_a_third_of_its_text() -> None:
    at = "2026-11-30T10:12:27.540Z"
    status = {
        "conditions": [
            {"type": kind, "status": "True", "reason": "Accepted", "lastTransitionTime": at}
            for kind in ("Ready", "MetricsAvailable", "ReleaseHealthy", "Scaling")
        ],
        "signals": [{"name": name, "value": "47.8%", "verdict": "Ok", "since": at} for name in ("cpu", "error-rate")],
    }
    assert len(pack(status)) < len(orjson.dumps(status)) / 3
