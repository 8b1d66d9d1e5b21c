"""What the dashboard keeps and lists: bounded points that lose nothing of weight, and pages of many policies."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_operator.decision.analysis.verdicts import ConditionResult
from resilience_operator.decision.decide import decide
from resilience_operator.decision.model.memory import Memory, Verdict
from resilience_operator.decision.model.observation import Measured
from resilience_operator.decision.model.policy import Mode
from resilience_operator.runtime.cache.policies import PolicyCache
from resilience_operator.runtime.dashboard.policy_list import PAGE, PolicyList, Search
from resilience_operator.runtime.dashboard.routes import STATIC
from resilience_operator.runtime.telemetry.history import (
    MAX_POINTS,
    SPACING,
    SPAN,
    EvaluationHistory,
    Marker,
    append_to,
)
from tests.unit.decision.builders import T0, policy, target
from tests.unit.runtime.test_policies import SPEC

STEADY = decide(policy(), {}, target(), Memory(), T0)


def decision(at: float, cpu: float | None = 0.4, verdict: Verdict = Verdict.OK, **changes: Any) -> Any:
    rules = tuple(replace(r, results=tuple(_measured(one, cpu, verdict) for one in r.results)) for r in STEADY.rules)
    return replace(STEADY, at=T0 + at, rules=rules, **changes)


def _measured(result: ConditionResult, value: float | None, verdict: Verdict) -> ConditionResult:
    timer = replace(result.timer, verdict=verdict)
    return replace(result, judgement=replace(result.judgement, value=value), timer=timer)


def track_of(*decisions: Any) -> EvaluationHistory:
    track = None
    for one in decisions:
        track = append_to(track, one, target())
    assert track is not None
    return track


def test_an_hour_is_kept_and_no_more() -> None:
    track = track_of(*(decision(15.0 * n) for n in range(500)))
    points = track.points()
    assert points[-1].at == T0 + 15.0 * 499
    assert points[-1].at - points[0].at == pytest.approx(SPAN, abs=SPACING + 15.0)
    assert len(points) <= MAX_POINTS
    assert track.began == T0


def test_points_that_tell_nothing_new_stand_apart_and_changes_are_all_kept() -> None:
    quick = track_of(*(decision(1.0 * n) for n in range(101)))
    gaps = [b.at - a.at for a, b in zip(quick.points(), quick.points()[1:], strict=False)]
    assert min(gaps[:-1]) >= SPACING - 1.0
    assert quick.points()[-1].at == T0 + 100.0
    verdicts = [Verdict.BREACH if n % 7 == 3 else Verdict.OK for n in range(60)]
    points = track_of(*(decision(1.0 * n, verdict=v) for n, v in enumerate(verdicts))).points()
    seen = {p.at - T0: p.verdicts[0] for p in points}
    assert all(seen[n] is Verdict.BREACH for n, v in enumerate(verdicts) if v is Verdict.BREACH)
    assert all(seen[n + 1] is Verdict.OK for n, v in enumerate(verdicts[:-1]) if v is Verdict.BREACH)


def test_however_much_changes_it_is_bounded() -> None:
    flapping = (decision(0.5 * n, verdict=Verdict.BREACH if n % 2 else Verdict.OK) for n in range(2000))
    assert len(track_of(*flapping).points()) == MAX_POINTS


@given(st.none() | st.floats(allow_nan=True, allow_infinity=True), st.integers(-5, 10**9))
def test_no_measurement_makes_it_fail(value: float | None, replicas: int) -> None:
    track = append_to(None, decision(0.0, cpu=value), target(replicas=replicas))
    (point,) = track.points()
    assert point.values[0] is None or math.isfinite(point.values[0])
    assert (point.values[0] is None) == (value is None or not math.isfinite(value))


def test_other_signals_begin_a_new_track_and_new_specs_and_revisions_are_marked() -> None:
    track = track_of(decision(0.0), decision(15.0, policy=policy(generation=2)))
    track = append_to(track, decision(30.0, policy=policy(generation=2)), target(revision="b"))
    assert list(track.marks) == [Marker(T0 + 15.0, "spec", "2"), Marker(T0 + 30.0, "revision", "b")]
    fewer = replace(decision(45.0), rules=STEADY.rules[:1])
    assert append_to(track, fewer, target()).began == T0 + 45.0


def test_a_rehearsal_stands_beside_the_real_replicas() -> None:
    memory = replace(STEADY.memory, scaling=replace(STEADY.memory.scaling, last_replicas=9))
    (point,) = track_of(decision(0.0, policy=policy(mode=Mode.DRY_RUN), memory=memory)).points()
    assert (point.replicas, point.dry_run_replicas) == (4, 9)
    assert track_of(decision(0.0, memory=memory)).points()[0].dry_run_replicas is None


def body(number: int, **status: Any) -> dict[str, Any]:
    meta = {"name": f"p-{number:05}", "namespace": f"team-{number % 100}", "uid": f"uid-{number}", "generation": 1}
    return {"metadata": {**meta, "resourceVersion": str(number + 1)}, "spec": SPEC, "status": status}


def accepted(reason: str = "Accepted", status: str = "True") -> dict[str, Any]:
    at = "2026-01-01T00:00:00Z"
    return {
        "observedGeneration": 1,
        "conditions": [{"type": "Ready", "status": status, "reason": reason, "lastTransitionTime": at}],
    }


class TestFleet:
    @pytest.fixture
    def store(self) -> PolicyCache:
        store = PolicyCache()
        for number in range(1000):
            store.upsert(body(number, **accepted()))
        store.upsert(
            body(700, **accepted("TargetNotFound", "False")) | {"metadata": body(700)["metadata"] | {"uid": "x"}}
        )
        return store

    async def test_the_worst_come_first_in_pages(self, store: PolicyCache) -> None:
        fleet = PolicyList(store, lambda _: True)
        first = await fleet.page(Search())
        assert (first["all"], first["total"], first["pages"]) == (1001, 1001, math.ceil(1001 / PAGE))
        assert first["policies"][0]["state"] == "TargetNotFound"
        assert [(s["state"], s["count"]) for s in first["states"]] == [("TargetNotFound", 1), ("Ok", 1000)]
        last = await fleet.page(Search(page=99999))
        assert (last["page"], len(last["policies"])) == (first["pages"], 1001 % PAGE)

    async def test_words_and_states_narrow_it(self, store: PolicyCache) -> None:
        fleet = PolicyList(store, lambda namespace: namespace == "team-0")
        found = await fleet.page(Search.of("TEAM-1/ ok", "", "1"))
        assert found["total"] == 10
        assert not any(p["acting"] for p in found["policies"])
        assert (await fleet.page(Search.of("", "TargetNotFound", "1")))["total"] == 1
        assert (await fleet.page(Search.of("nobody", "", "1")))["policies"] == []

    async def test_what_changed_is_told_by_the_next_list(
        self, store: PolicyCache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("resilience_operator.runtime.dashboard.policy_list.FRESH", 0.0)
        fleet = PolicyList(store, lambda _: False)
        await fleet.page(Search())
        changed = body(3, **accepted("InvalidSpec", "False"))
        changed["metadata"]["resourceVersion"] = "5000"
        store.upsert(changed)
        store.remove("uid-4")
        found = await fleet.page(Search())
        assert found["all"] == 1000
        assert [p["state"] for p in found["policies"][:3]] == ["TargetNotFound", "InvalidSpec", "Ok"]

    @pytest.mark.parametrize("page", ["", "0", "-1", "x", "²", "9" * 50, "1e9"])
    def test_a_page_that_is_none_is_the_first(self, page: str) -> None:
        assert Search.of("", "", page).page == 1


def test_what_is_vendored_is_what_it_says() -> None:
    told = re.findall(r"\| (\S+) \| ([0-9a-f]{64}) \|", (STATIC / "vendor" / "README.md").read_text())
    assert len(told) == 2
    for name, digest in told:
        assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == digest


def test_pages_have_no_inline_scripts_or_styles() -> None:
    for page in STATIC.glob("*.html"):
        text = page.read_text()
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|https?://", text), page.name
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text)), page.name
    for script in STATIC.glob("*.js"):
        assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\b", script.read_text()), script.name


def test_an_evaluation_that_only_found_other_values_is_a_point_like_any_other() -> None:
    whole = track_of(*(decision(5.0 * n, cpu=0.4 + n / 100) for n in range(20)))
    quick = track_of(decision(0.0, cpu=0.4))
    names = [s.name for s in STEADY.signals]
    for n in range(1, 20):
        quick.add_unchanged(T0 + 5.0 * n, dict.fromkeys(names, Measured(0.4 + n / 100)))
    assert quick.points() == whole.points()
    assert quick.newest == whole.newest
    unknown = track_of(decision(0.0, cpu=None))
    unknown.add_unchanged(T0 + 5.0, {})
    assert unknown.points()[-1].values == unknown.points()[0].values
