"""When policies are due: crowds that share their questions, and policies with queries of their own."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from resilience_operator.runtime.cache.policies import PolicyCache
from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.runtime.scheduling.phase import TICK, PhaseSchedule
from resilience_operator.signals.query.cohorts import COHORTS, LARGE, MAX_NAMESPACES, SMALL, Cohorts
from resilience_operator.signals.query.scope import QueryScope
from tests.unit.runtime.test_policies import policy


def body(number: int, namespace: str, **spec: Any) -> dict[str, Any]:
    made = policy(f"p{number}", number + 1)
    made["metadata"]["namespace"] = namespace
    made["spec"] |= spec
    return made


def own(number: int, namespace: str = "shop") -> dict[str, Any]:
    return body(
        number,
        namespace,
        signals=[{"name": "queue", "query": "queue_length"}],
        rules=[{"name": "q", "when": {"signal": "queue", "above": "7"}, "then": [{"alert": {}}]}],
    )


def crowd(size: int, namespaces: int) -> tuple[PolicyCache, Cohorts]:
    cohorts = Cohorts()
    store = PolicyCache(cohorts=cohorts)
    for number in range(size):
        store.upsert(body(number, f"ns-{number % namespaces}"))
    return store, cohorts


def offsets(store: PolicyCache, cohorts: Cohorts) -> Counter[float]:
    phases = PhaseSchedule(cohorts)
    return Counter(phases.offset(entry) for entry in store)


def test_a_small_crowd_has_one_beat() -> None:
    assert len(offsets(*crowd(LARGE - 1, 20))) == 1


def test_a_large_crowd_is_divided_and_takes_turns_within_an_interval() -> None:
    store, cohorts = crowd(LARGE, 50)
    found = offsets(store, cohorts)
    assert len(found) == COHORTS
    first, apart = min(found), 5 / COHORTS
    assert sorted(found) == pytest.approx([first + number * apart for number in range(COHORTS)])
    assert min(found.values()) > LARGE / COHORTS / 2
    for entry in store:
        assert PhaseSchedule(cohorts).offset(entry) - first == pytest.approx(apart * cohorts.index_of(entry.namespace))


def test_a_namespace_is_never_divided() -> None:
    assert len(offsets(*crowd(LARGE, 1))) == 1


def test_with_many_namespaces_a_question_is_about_all_and_there_is_one_beat() -> None:
    assert len(offsets(*crowd(LARGE, MAX_NAMESPACES))) == COHORTS
    assert len(offsets(*crowd(LARGE, MAX_NAMESPACES + 1))) == 1


def test_one_policy_more_or_less_does_not_divide_each_time() -> None:
    store, cohorts = crowd(LARGE, 50)
    for number in range(LARGE - SMALL):
        assert cohorts.count == COHORTS
        store.remove(f"uid-p{number}")
    assert cohorts.count == COHORTS
    store.remove(f"uid-p{LARGE - 1}")
    assert cohorts.count == 1
    store.upsert(body(LARGE, "ns-1"))
    assert cohorts.count == 1


def test_a_scope_is_divided_as_the_crowds_are() -> None:
    cohorts = Cohorts()
    scope: QueryScope[str] = QueryScope(lambda values: (",".join(values), ""), cohorts, str)
    names = [f"ns-{n}" for n in range(20)]
    scope.add(names, 0)
    assert {scope.chunk_of(name) for name in names} == {0}
    cohorts.resize(LARGE, 20)
    assert {name: scope.chunk_of(name) for name in names} == {name: cohorts.index_of(name) for name in names}
    asked = [scope.text("{{scope}}", 60, number).split(",") for number in range(COHORTS)]
    assert sorted(name for some in asked for name in some) == sorted(names)
    cohorts.resize(1, 20)
    assert {scope.chunk_of(name) for name in names} == {0}


def test_policies_with_queries_of_their_own_are_due_on_ticks_and_together() -> None:
    cohorts = Cohorts()
    store, phases = PolicyCache(cohorts=cohorts), PhaseSchedule(cohorts)
    entries: list[PolicyEntry] = [store.upsert(own(number))[0] for number in range(300)]
    due = Counter(phases.offset(entry) for entry in entries)
    assert all(offset % TICK == 0 and 0 <= offset < 5 for offset in due)
    assert len(due) == 10
    assert max(due.values()) < 300 / 5, "spread over the interval"
    assert {phases.batch_key(entry) for entry in entries} == {"default/own"}
    assert {phases.batch_key(entry) for entry in crowd(3, 1)[0]} == {"default"}
