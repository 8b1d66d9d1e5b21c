"""The queue of one notifier: fair to the namespaces, bounded, and never a decision dropped for a notice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from resilience_operator.plugins.protocols import Notification
from resilience_operator.plugins.queues import FairQueue

NOTICE = Notification("", "notice", 0.0, "", "p", "Deployment", "t", "Alert", "")
DECISION = replace(NOTICE, kind="decision", reason="RuleBreached")


async def test_namespaces_take_turns_and_decisions_go_first() -> None:
    queue = FairQueue()
    for namespace in ("a", "a", "a", "b"):
        queue.put(replace(NOTICE, namespace=namespace))
    for namespace in ("a", "a", "c"):
        queue.put(replace(DECISION, namespace=namespace))
    taken = [(n.kind, n.namespace) for n in queue.take_all()]
    assert taken[:3] == [("decision", "a"), ("decision", "c"), ("decision", "a")]
    assert [namespace for _, namespace in taken[3:]] == ["a", "b", "a", "a"]


async def test_decisions_do_not_starve_notices() -> None:
    queue = FairQueue()
    queue.put(replace(NOTICE, namespace="quiet"))
    for _ in range(100):
        queue.put(replace(DECISION, namespace="busy"))
    first = [(await queue.get()).namespace for _ in range(5)]
    assert "quiet" in first


async def test_it_is_idle_once_all_is_done() -> None:
    queue = FairQueue(most=1)
    queue.put(replace(NOTICE, namespace="a"))
    queue.put(replace(NOTICE, namespace="a"))
    await queue.get()
    queue.done(1)
    await queue.join()


SENT = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans()), max_size=200)


@given(SENT, st.integers(1, 12), st.integers(1, 8))
def test_what_is_dropped_is_of_the_longest_share_and_notices_first(
    sent: list[tuple[str, bool]], most: int, most_of_one: int
) -> None:
    queue = FairQueue(most, most_of_one)
    waiting: list[Notification] = []
    for number, (namespace, decides) in enumerate(sent):
        one = replace(DECISION if decides else NOTICE, key=str(number), namespace=namespace)
        waiting.append(one)
        lengths = Counter(n.namespace for n in waiting)
        dropped = queue.put(one)
        if dropped is None:
            assert len(waiting) <= most
            assert lengths[namespace] <= most_of_one
            continue
        assert lengths[dropped.namespace] == max(lengths.values())
        own = [n for n in waiting if n.namespace == dropped.namespace]
        notices = [n for n in own if n.kind == "notice"]
        assert dropped == (notices or own)[0]
        waiting.remove(dropped)
    assert len(queue) == len(waiting)
    assert sorted(n.key for n in queue.take_all()) == sorted(n.key for n in waiting)
    assert len(queue) == 0
