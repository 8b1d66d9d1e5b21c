"""When policies are due: crowds that share their questions, and policies with queries of their own."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from resilience_operator.runtime.beats import TICK, Beats
from resilience_operator.runtime.entry import Entry
from resilience_operator.runtime.store import PolicyStore
from resilience_operator.signals.crowds import DIVIDED, LARGE, MOST_NAMESPACES, SMALL, Crowds
from resilience_operator.signals.scope import Scope
from tests.unit.test_policy_store import policy


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


def crowd(size: int, namespaces: int) -> tuple[PolicyStore, Crowds]:
    crowds = Crowds()
    store = PolicyStore(crowds=crowds)
    for number in range(size):
        store.put(body(number, f"ns-{number % namespaces}"))
    return store, crowds


def offsets(store: PolicyStore, crowds: Crowds) -> Counter[float]:
    beats = Beats(crowds)
    return Counter(beats.offset(entry) for entry in store)


def test_a_small_crowd_has_one_beat() -> None:
    assert len(offsets(*crowd(LARGE - 1, 20))) == 1


def test_a_large_crowd_is_divided_and_takes_turns_within_an_interval() -> None:
    store, crowds = crowd(LARGE, 50)
    found = offsets(store, crowds)
    assert len(found) == DIVIDED
    first, apart = min(found), 5 / DIVIDED
    assert sorted(found) == pytest.approx([first + number * apart for number in range(DIVIDED)])
    assert min(found.values()) > LARGE / DIVIDED / 2
    for entry in store:
        assert Beats(crowds).offset(entry) - first == pytest.approx(apart * crowds.of(entry.namespace))


def test_a_namespace_is_never_divided() -> None:
    assert len(offsets(*crowd(LARGE, 1))) == 1


def test_with_many_namespaces_a_question_is_about_all_and_there_is_one_beat() -> None:
    assert len(offsets(*crowd(LARGE, MOST_NAMESPACES))) == DIVIDED
    assert len(offsets(*crowd(LARGE, MOST_NAMESPACES + 1))) == 1


def test_one_policy_more_or_less_does_not_divide_each_time() -> None:
    store, crowds = crowd(LARGE, 50)
    for number in range(LARGE - SMALL):
        assert crowds.count == DIVIDED
        store.drop(f"uid-p{number}")
    assert crowds.count == DIVIDED
    store.drop(f"uid-p{LARGE - 1}")
    assert crowds.count == 1
    store.put(body(LARGE, "ns-1"))
    assert crowds.count == 1


def test_a_scope_is_divided_as_the_crowds_are() -> None:
    crowds = Crowds()
    scope: Scope[str] = Scope(lambda values: (",".join(values), ""), crowds, str)
    names = [f"ns-{n}" for n in range(20)]
    scope.add(names, 0)
    assert {scope.chunk_of(name) for name in names} == {0}
    crowds.settle(LARGE, 20)
    assert {name: scope.chunk_of(name) for name in names} == {name: crowds.of(name) for name in names}
    asked = [scope.text("{{scope}}", 60, number).split(",") for number in range(DIVIDED)]
    assert sorted(name for some in asked for name in some) == sorted(names)
    crowds.settle(1, 20)
    assert {scope.chunk_of(name) for name in names} == {0}


def test_policies_with_queries_of_their_own_are_due_on_ticks_and_together() -> None:
    crowds = Crowds()
    store, beats = PolicyStore(crowds=crowds), Beats(crowds)
    entries: list[Entry] = [store.put(own(number))[0] for number in range(300)]
    due = Counter(beats.offset(entry) for entry in entries)
    assert all(offset % TICK == 0 and 0 <= offset < 15 for offset in due)
    assert len(due) == 30
    assert max(due.values()) < 300 / 5, "spread over the interval"
    assert {beats.group(entry) for entry in entries} == {"default/own"}
    assert {beats.group(entry) for entry in crowd(3, 1)[0]} == {"default"}
