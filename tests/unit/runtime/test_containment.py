"""What one policy contains stays with that policy: the others of its batch are evaluated, and nothing stays locked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest

from resilience_operator.api.pause import UNTIL, Pause
from resilience_operator.kube.client.decoding import Unreadable
from resilience_operator.runtime.cache.packed_status import EMPTY
from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.runtime.evaluation.reconciler import STATUS_PROBLEM_SHOWN
from resilience_operator.runtime.scheduling import scheduler as scheduling
from resilience_operator.runtime.scheduling.work_queue import Trigger
from resilience_operator.runtime.telemetry.metrics import CONTAINED_ERRORS
from tests.unit.runtime.parts import RULES, Parts, operator_parts

TENANTS = ("a", "b", "c", "d")


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    async with operator_parts(tmp_path) as found:
        yield found


def errors(stage: str) -> float:
    return float(CONTAINED_ERRORS.labels(stage)._value.get())


def unharmed(parts: Parts, victims: Sequence[PolicyEntry]) -> None:
    """They were evaluated and are free."""
    assert [parts.api.ready(v) for v in victims] == [("True", "Accepted")] * len(victims)
    assert not parts.work.processing


@pytest.mark.parametrize(
    "end", ["9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+23:59"]
)
async def test_a_pause_whose_end_cannot_be_printed_stops_nobody_else(parts: Parts, end: str) -> None:
    poison = parts.policy("tenant", annotations={UNTIL: end})
    victims = [parts.policy(tenant) for tenant in TENANTS]
    await parts.evaluate()
    unharmed(parts, victims)
    assert parts.api.ready(poison) == ("False", "PauseUnreadable")


async def test_a_spec_that_changes_while_its_signals_are_collected_locks_nobody(parts: Parts) -> None:
    victims = [parts.policy(tenant) for tenant in TENANTS]
    edited = parts.policy("tenant")
    more = [*RULES, {"name": "slow", "when": {"signal": "latency-p99", "above": "1s"}, "then": [{"alert": {}}]}]
    parts.source.go.clear()
    evaluating = asyncio.create_task(parts.evaluate_batch(tuple(parts.store)))
    await parts.source.asked.wait()
    parts.put("tenant", version=2, generation=2, rules=more)
    parts.source.go.set()
    await evaluating
    assert not parts.work.processing
    await parts.written()
    unharmed(parts, victims)
    assert parts.work.due(edited.uid) < inf, "it is evaluated again, with what it asks for now"
    await parts.evaluate()
    assert parts.api.ready(edited) == ("True", "Accepted")
    assert {s["name"] for s in parts.api.statuses[edited.key]["signals"]} == {"cpu", "latency-p99"}


async def test_a_policy_paused_while_its_signals_are_collected_is_not_acted_on(parts: Parts) -> None:
    entry = parts.policy("tenant")
    parts.source.go.clear()
    evaluating = asyncio.create_task(parts.evaluate_batch((entry,)))
    await parts.source.asked.wait()
    parts.put("tenant", version=2, annotations={UNTIL: "2999-01-01T00:00:00Z"})
    parts.source.go.set()
    await evaluating
    await parts.written()
    assert parts.api.ready(entry) == ("", "")
    await parts.evaluate()
    assert parts.api.ready(entry) == ("True", "PausedByHand")


async def test_a_turn_that_is_cancelled_before_its_first_step_is_unlocked(parts: Parts) -> None:
    entry = parts.policy("tenant")
    reconciler: set[asyncio.Task[Any]] = set()

    async def turn() -> None:
        raise AssertionError("it never begins")

    parts.work.start(entry, "its batch")
    parts.evaluator._start(entry, turn, reconciler)
    (task,) = reconciler
    assert parts.work.is_processing(entry.uid)
    task.cancel()
    await asyncio.wait((task,))
    assert (task.cancelled(), parts.work.is_processing(entry.uid), reconciler) == (True, False, set())


@pytest.mark.parametrize("collecting", [True, False])
async def test_an_evaluation_that_is_cancelled_leaves_nothing_locked(parts: Parts, collecting: bool) -> None:
    for tenant in TENANTS:
        parts.policy(tenant)
    if collecting:
        parts.source.go.clear()
    stop = asyncio.Event()
    running = asyncio.create_task(parts.scheduler.run(parts.evaluator.evaluate, stop))
    async with asyncio.timeout(20):
        await parts.source.asked.wait()
        while not collecting and not any("ErrorIsolation.run" in repr(task) for task in asyncio.all_tasks()):
            await asyncio.sleep(0)
    assert parts.work.processing
    stop.set()
    await running
    assert not parts.work.processing


class UnreadablePause(Pause):
    """A pause that fails when it is looked at."""

    def over(self, now: float) -> bool:
        raise ValueError("what the object contains")


class Untracked:
    """A history that takes in nothing."""

    names: tuple[str, ...] = ()

    def again(self, at: float, values: object) -> None:
        raise OverflowError("what the object contains")


def in_looking(entry: PolicyEntry) -> None:
    entry.pause = UnreadablePause()


def in_collecting(entry: PolicyEntry) -> None:
    # What a request is grouped by cannot be hashed: planning fails for the whole batch.
    unhashable: Any = []
    entry.compiled = replace(entry.compiled, preset_family=unhashable)


def in_comparing(entry: PolicyEntry) -> None:
    unreadable: Any = object()
    entry.reported.steady_state = unreadable


def in_passing(entry: PolicyEntry) -> None:
    untracked: Any = Untracked()
    entry.evaluation_history = untracked


@pytest.mark.parametrize(
    ("poisoned", "stage"),
    [(in_looking, "resolve"), (in_collecting, "collect"), (in_comparing, "compare"), (in_passing, "compare")],
)
async def test_an_error_of_one_policy_is_counted_shown_and_harms_no_other(
    parts: Parts, poisoned: Callable[[PolicyEntry], None], stage: str, caplog: pytest.LogCaptureFixture
) -> None:
    poison = parts.policy("tenant")
    victims = [parts.policy(tenant) for tenant in TENANTS]
    await parts.evaluate()
    await parts.evaluate()
    before = errors(stage)
    poisoned(poison)
    poison.requests_for = None
    for victim in victims:
        parts.api.statuses.pop(victim.key)
        victim.packed_status, victim.reported.digest = EMPTY, None
        victim.reported.invalidate()
    await parts.evaluate()
    unharmed(parts, victims)
    assert errors(stage) == before + 1
    assert parts.api.ready(poison) == ("False", "EvaluationFailed")
    assert "tenant/checkout: unexpected error" in caplog.text
    # The cause goes: it recovers by itself.
    poison.pause, poison.evaluation_history = None, None
    poison.compiled = replace(poison.compiled, preset_family="http-generic")
    parts.store.restore_from_status(poison)
    poison.requests_for = None
    await parts.evaluate()
    assert parts.api.ready(poison) == ("True", "Accepted")


async def test_an_error_that_repeats_is_logged_once_and_counted_each_time(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    poison = parts.policy("tenant")
    in_looking(poison)
    before = errors("resolve")
    for _ in range(5):
        await parts.evaluate()
    assert errors("resolve") == before + 5
    assert caplog.text.count("Traceback") == 1


async def test_a_batch_that_fails_as_a_whole_is_scheduled_again(parts: Parts) -> None:
    entry = parts.policy("tenant")
    stop, done = asyncio.Event(), 0

    async def evaluate(entries: Sequence[PolicyEntry], trigger: Trigger) -> None:
        nonlocal done
        done += 1
        if done == 3:
            stop.set()
        raise RuntimeError("a fault of the operator")

    before = errors("schedule")
    async with asyncio.timeout(30):
        await parts.scheduler.run(evaluate, stop)
    assert (done, parts.work.is_processing(entry.uid)) == (3, False)
    assert errors("schedule") >= before + 2


async def test_a_scheduler_that_does_not_start_what_is_due_is_stalled(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts.policy("tenant")
    assert parts.scheduler.stalled() == ""
    stop = asyncio.Event()
    hung = asyncio.Event()

    async def evaluate(entries: Sequence[PolicyEntry], trigger: Trigger) -> None:
        hung.set()
        await asyncio.sleep(3600)

    running = asyncio.create_task(parts.scheduler.run(evaluate, stop))
    await hung.wait()
    assert parts.scheduler.stalled() == ""
    now = scheduling._now()
    monkeypatch.setattr(scheduling, "_now", lambda: now + scheduling.HUNG + 1)
    assert "none has ended for" in parts.scheduler.stalled()
    parts.policy("other")
    monkeypatch.setattr(scheduling, "_now", lambda: now + 2 * scheduling.HUNG)
    assert "does not start them" in parts.scheduler.stalled()
    monkeypatch.undo()
    stop.set()
    await running
    assert parts.scheduler.stalled() == ""


def nested(levels: int) -> Any:
    found: Any = 1
    for _ in range(levels):
        found = [found]
    return found


INTENT = {"at": 1.0, "commands": [{"verb": "resumeRollout", "reason": "r", "message": "m"}]}

FORGED: dict[str, dict[str, Any]] = {
    "deep": {"memory": {"x": nested(300)}},
    "shallow enough for JSON, too deep for a memory": {"memory": {"x": nested(200)}},
    "an integer of 65 bits": {"memory": {"x": 2**65}},
    "a large number": {"memory": {"scaling": {"baseline": 1e300}}},
    "the year 10000": {"memory": {"metricsGone": 253402300800.0}},
    "before the year 1": {"memory": {"rules": {"busy": {"called": {"0-x": -1e12}}}}},
    "an intent without a release": {"memory": {"targetUid": "d/tenant/checkout", "intent": INTENT}},
    "no memory at all": {"memory": {"rules": 7}},
    "conditions of another shape": {"conditions": [{"type": "Ready"}]},
    "a moment that is none": {"history": [{"at": "now", "action": "a", "reason": "r"}]},
}


@pytest.mark.parametrize("what", FORGED)
async def test_a_forged_status_is_told_and_written_anew(parts: Parts, what: str) -> None:
    parts.api.statuses["tenant", "checkout"] = {"forged": True, **FORGED[what]}
    poison = parts.policy("tenant", status=FORGED[what])
    victims = [parts.policy(tenant) for tenant in TENANTS]
    await parts.evaluate()
    await parts.evaluate()
    unharmed(parts, victims)
    assert parts.api.ready(poison) == ("False", "StatusUnreadable")
    assert "forged" not in parts.api.statuses[poison.key], "the whole of it was replaced"
    assert poison.memory.release is not None, "it is guarded all the same"
    # It is told for a while, and then it is ready.
    assert poison.reported.status_problem is not None
    poison.reported.status_problem.written -= STATUS_PROBLEM_SHOWN
    await parts.evaluate()
    assert parts.api.ready(poison) == ("True", "Accepted")


async def test_a_status_forged_while_the_policy_is_evaluated(parts: Parts) -> None:
    entry = parts.policy("tenant")
    await parts.evaluate()
    assert parts.api.ready(entry) == ("True", "Accepted")
    parts.put("tenant", version=9000, status={"memory": {"x": nested(300)}})
    await parts.evaluate()
    assert parts.api.ready(entry) == ("False", "StatusUnreadable")


async def test_a_status_that_cannot_be_decoded_is_replaced_too(parts: Parts) -> None:
    """Deeper than any decoder reads: what arrives is the policy without the damaged field."""
    entry = parts.policy("tenant")
    await parts.evaluate()
    parts.api.statuses[entry.key] = {"forged": True}
    partial = {**parts.document("tenant", version=9000), "status": {"history": []}}
    found = Unreadable("too deep", "tenant", "checkout", entry.uid, "9000", damaged=("status.memory",), partial=partial)
    assert parts.store.put_unreadable(found) == (entry, True)
    assert parts.store.put_unreadable(found) == (entry, False)
    await parts.evaluate()
    assert parts.api.ready(entry) == ("False", "StatusUnreadable")
    assert "forged" not in parts.api.statuses[entry.key]


async def test_timestamps_that_utc_cannot_hold_are_shown_within_its_bounds(parts: Parts) -> None:
    at = "9999-12-31T23:59:59-23:59"
    ready = {"type": "Ready", "status": "True", "reason": "Accepted", "message": "", "lastTransitionTime": at}
    entry = parts.policy(
        "tenant", status={"conditions": [ready], "history": [{"at": at, "action": "a", "reason": "r"}]}
    )
    await parts.evaluate()
    assert parts.api.statuses[entry.key]["history"][0]["at"] == "9999-12-31T23:59:59.999Z"
    assert parts.api.ready(entry) == ("True", "Accepted")
