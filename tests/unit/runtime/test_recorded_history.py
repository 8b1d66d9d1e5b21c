"""What the dashboard shows of the time before this process: which points, and where they end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_operator.decision.decide import decide
from resilience_operator.decision.model.memory import Memory
from resilience_operator.resilience.errors import TryAgain
from resilience_operator.runtime.cache.policies import PolicyCache
from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.runtime.dashboard.policy_detail import PolicyDetail, span_of
from resilience_operator.runtime.telemetry import recorded_history
from resilience_operator.runtime.telemetry.history import SPAN, append_to
from resilience_operator.runtime.telemetry.recorded_history import MAX_WAITING, RETRY, SPANS, RecordedHistory
from resilience_operator.signals.prometheus import response
from resilience_operator.signals.recorded import RecordedSignals
from resilience_operator.signals.sources.protocol import TimeRange
from tests.unit.decision.builders import T0, policy, target
from tests.unit.runtime.test_dashboard import accepted, body


class Source:
    """Answers each read with a ramp of CPU from an hour before T0 on, or with a fault."""

    def __init__(self, fault: str = "") -> None:
        self.fault, self.reads, self.running, self.most = fault, 0, 0, 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, requests: Any, times: TimeRange, *, deadline: Any) -> RecordedSignals:
        self.reads += 1
        self.running += 1
        self.most = max(self.most, self.running)
        await self.gate.wait()
        self.running -= 1
        none: list[float | None] = [None] * times.count
        if self.fault:
            return RecordedSignals(times, {}, none, none, self.fault)
        cpu = [n / times.count if times.at(n) >= T0 - 3600 else None for n in range(times.count)]
        return RecordedSignals(times, {"cpu": cpu}, none, none)


def evaluated(entry: PolicyEntry, *times: float) -> PolicyEntry:
    """The policy after evaluations at these times after T0."""
    step = decide(policy(), {}, target(), Memory(), T0)
    for at in times:
        entry.evaluation_history = append_to(entry.evaluation_history, replace(step, at=T0 + at), target())
    return entry


@pytest.fixture
def entries() -> list[PolicyEntry]:
    store = PolicyCache()
    for number in range(MAX_WAITING + 5):
        store.upsert(body(number, **accepted()))
    for entry in store:
        entry.compiled = replace(entry.compiled, policy=policy())
    return list(store)


def page(entry: PolicyEntry, recorded: RecordedHistory, now: float, span: float = SPAN) -> Any:
    detail = PolicyDetail([entry], lambda _: True, lambda _: target(), lambda: T0 + now, recorded)  # type: ignore[arg-type]
    return detail.document(entry, span)["track"]


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class TestReading:
    async def test_the_source_fills_what_this_process_lacks_and_is_asked_once(self, entries: list[PolicyEntry]) -> None:
        source = Source()
        recorded = RecordedHistory(source, lambda _: target(), lambda: T0 + 60)
        entry = evaluated(entries[0], 10.0, 60.0)
        assert page(entry, recorded, 60)["recorded"]["state"] == "reading"
        await settled()
        track = page(entry, recorded, 60)
        count = track["recorded"]["count"]
        assert track["recorded"]["state"] == "ready"
        assert track["at"][count:] == [T0 + 10.0, T0 + 60.0]
        assert track["at"] == sorted(track["at"])
        assert T0 + 10 - 15 <= track["at"][count - 1] < T0 + 10
        assert track["at"][0] >= T0 + 60 - SPAN
        assert {len(column) for column in (track["replicas"], track["ready"], track["phase"], track["rehearsed"])} == {
            len(track["at"])
        }
        for signal in track["signals"].values():
            assert len(signal["values"]) == len(signal["verdicts"]) == len(track["at"])
        assert None not in track["signals"]["cpu"]["values"][:count]
        assert source.reads == 1

    async def test_a_process_that_has_the_whole_hour_asks_for_nothing(self, entries: list[PolicyEntry]) -> None:
        source = Source()
        entry = evaluated(entries[0], *(15.0 * n for n in range(300)))
        recorded = RecordedHistory(source, lambda _: target(), lambda: T0 + 15 * 299)
        assert page(entry, recorded, 15 * 299)["recorded"] is None
        assert recorded.get(entry, 6 * SPAN) is not None
        assert recorded.get(evaluated(entries[1]), SPAN) is None, "it was not evaluated yet"

    async def test_a_failure_is_shown_and_repeated_later_only(self, entries: list[PolicyEntry]) -> None:
        now = T0 + 60
        source = Source("no answer")
        recorded = RecordedHistory(source, lambda _: target(), lambda: now)
        entry = evaluated(entries[0], 10.0)
        for _ in range(3):
            page(entry, recorded, 60)
            await settled()
        track = page(entry, recorded, 60)
        assert (track["recorded"]["state"], track["recorded"]["fault"]) == ("failed", "no answer")
        assert track["at"] == [T0 + 10.0]
        assert source.reads == 1
        now += RETRY + 1
        source.fault = ""
        page(entry, recorded, RETRY + 61)
        await settled()
        assert page(entry, recorded, RETRY + 61)["recorded"]["state"] == "ready"

    async def test_one_policy_is_read_at_a_time_and_few_wait(self, entries: list[PolicyEntry]) -> None:
        source = Source()
        source.gate.clear()
        recorded = RecordedHistory(source, lambda _: target(), lambda: T0 + 60)
        states = [recorded.get(evaluated(entry, 10.0), SPAN) for entry in entries]
        await settled()
        assert sum(state is not None for state in states) == MAX_WAITING
        assert source.running == 1
        source.gate.set()
        for _ in range(MAX_WAITING):
            await settled()
        assert source.most == 1
        assert source.reads == MAX_WAITING
        await recorded.close()

    async def test_an_unexpected_error_is_shown_and_ends_nothing(self, entries: list[PolicyEntry]) -> None:
        async def broken(requests: Any, times: TimeRange, *, deadline: Any) -> RecordedSignals:
            raise ZeroDivisionError

        recorded = RecordedHistory(broken, lambda _: target(), lambda: T0 + 60)
        entry = evaluated(entries[0], 10.0)
        page(entry, recorded, 60)
        await settled()
        assert "ZeroDivisionError" in page(entry, recorded, 60)["recorded"]["fault"]

    async def test_what_is_kept_is_bounded(self, entries: list[PolicyEntry], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(recorded_history, "MAX_KEPT", 3)
        source = Source()
        recorded = RecordedHistory(source, lambda _: target(), lambda: T0 + 60)
        for entry in entries[:5]:
            recorded.get(evaluated(entry, 10.0), SPAN)
            await settled()
        recorded.get(entries[4], SPAN)
        assert source.reads == 5
        recorded.get(entries[0], SPAN)
        await settled()
        assert source.reads == 6


@given(end=st.floats(1e9, 2e9), span=st.sampled_from(sorted(SPANS)), step=st.sampled_from([15.0, 60.0]))
def test_the_times_before_a_moment_are_multiples_of_the_step(end: float, span: float, step: float) -> None:
    times = TimeRange.before(end, span, step)
    assert times.end <= end < times.end + step
    assert times.end - times.start == span - step
    assert all(times.at(n) % step == 0 and times.index(times.at(n)) == n for n in (0, 1, times.count - 1))


@pytest.mark.parametrize("text", ["", "0", "-1", "2", "1e9", "six", "6.0", "²"])
def test_a_span_that_cannot_be_shown_is_an_hour(text: str) -> None:
    assert span_of(text) == SPAN
    assert span_of("6") == 6 * SPAN


def test_each_point_of_a_range_is_a_series() -> None:
    histogram = {"count": "3", "sum": "1", "buckets": [[0, "0", "0.5", "3"]]}
    result = [
        {"metric": {"pod": "a"}, "values": [[10, "1"], [25, "NaN"]]},
        {"metric": {"pod": "b"}, "histograms": [[10, histogram]]},
    ]
    answer = response.matrix(
        {"status": "success", "data": {"resultType": "matrix", "result": result}, "warnings": ["a store is down"]}, "x"
    )
    assert [(s.labels["pod"], s.at) for s in answer.series[:2]] == [("a", 10.0), ("a", 25.0)]
    assert {s.labels["le"] for s in answer.series if s.labels["pod"] == "b"} == {"0", "0.5", "inf"}
    assert answer.warnings == ("a store is down",)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"resultType": "vector", "result": []},
        {"resultType": "matrix", "result": [7]},
        {"resultType": "matrix", "result": [{"values": [[1, "2"]]}]},
        {"resultType": "matrix", "result": [{"metric": {}, "values": [["x", "2"]]}]},
        {"resultType": "matrix", "result": [{"metric": {}, "values": [[1]]}]},
        {"resultType": "matrix", "result": [{"metric": {}, "histograms": [[1, {}]]}]},
        {"resultType": "matrix", "result": 7},
    ],
)
def test_a_range_that_cannot_be_read_is_a_bad_answer(data: object) -> None:
    with pytest.raises(TryAgain) as caught:
        response.matrix({"status": "success", "data": data}, "x")
    assert caught.value.reason == "bad_answer"
