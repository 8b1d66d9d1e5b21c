"""A full list and the watch run side by side: whichever is older, nothing is lost and nothing comes back."""

from __future__ import annotations

from typing import Any

from resilience_operator.api.v1alpha1 import API_VERSION, KIND
from resilience_operator.decision.decide import decide
from resilience_operator.decision.model.memory import Memory, Verdict
from resilience_operator.decision.model.memory_codec import dump_memory
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.target import TargetState
from resilience_operator.kube.client.decoding import Unreadable
from resilience_operator.runtime.cache.policies import PolicyCache

SPEC: dict[str, Any] = {
    "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
    "rules": [{"name": "busy", "when": {"signal": "cpu", "above": "70%"}, "then": [{"alert": {}}]}],
}


def policy(name: str, version: int, generation: int = 1, hold: str = "0s", **status: Any) -> dict[str, Any]:
    meta = {
        "name": name,
        "namespace": "shop",
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "generation": generation,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    rule = {**SPEC["rules"][0], "when": {**SPEC["rules"][0]["when"], "for": hold}}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": meta,
        "spec": {**SPEC, "rules": [rule]},
        "status": status,
    }


def known(store: PolicyCache) -> list[str]:
    return sorted(entry.name for entry in store)


def test_windows_of_presets_are_those_that_are_shared() -> None:
    body = policy("a", 1)
    windows = {"p1": "1s", "p2": "10s", "p3": "45s", "p4": "10m", "q": "45s"}
    body["spec"]["signals"] = [
        {"name": name, "window": window, **({"query": "up"} if name == "q" else {"preset": "cpu"})}
        for name, window in windows.items()
    ]
    body["spec"]["rules"] = [
        {"name": name, "when": {"signal": name, "above": 1}, "then": [{"alert": {}}]} for name in windows
    ]
    body["spec"]["signals"] = [{**signal, "unit": "number"} for signal in body["spec"]["signals"]]
    store = PolicyCache()
    store.upsert(body)
    (entry,) = store
    assert entry.compiled.problem is None
    signals = entry.compiled.signals
    assert {s.name: s.window_seconds for s in signals} == {
        "p1": 10,
        "p2": 10,
        "p3": 60,
        "p4": 600,
        "q": 45,
    }
    assert entry.policy is not None
    # What is decided, like the evidence for a release, is decided on what was asked.
    assert entry.policy.signals["p3"].window == 60


def test_a_policy_with_a_long_window_is_evaluated_on_its_own() -> None:
    store = PolicyCache()
    store.upsert(policy("short", 1))
    body = policy("long", 2)
    body["spec"]["signals"] = [{"name": "cpu", "preset": "cpu", "window": "11m"}]
    store.upsert(body)
    assert {entry.name: entry.compiled.shared_queries_only for entry in store} == {"short": True, "long": False}


def test_a_policy_made_while_the_list_was_on_its_way_stays() -> None:
    store = PolicyCache()
    store.upsert(policy("old", 5))
    store.upsert(policy("new", 12))
    assert store.prune({"uid-old"}, "10") == []
    assert known(store) == ["new", "old"]


def test_a_policy_that_the_list_no_longer_has_goes() -> None:
    store = PolicyCache()
    store.upsert(policy("old", 5))
    assert [entry.name for entry in store.prune(set(), "10")] == ["old"]
    assert known(store) == []


def test_a_policy_deleted_while_the_list_was_on_its_way_does_not_come_back() -> None:
    store = PolicyCache()
    store.upsert(policy("old", 5))
    store.remove("uid-old")
    _, anew = store.upsert(policy("old", 5))
    assert (anew, known(store)) == (False, [])
    assert store.policies_on(("Deployment", "shop", "checkout")) == []


def test_a_change_of_for_alone_keeps_the_timer_that_runs() -> None:
    """What a changed rule remembers is settled in one place, by the decision."""
    store = PolicyCache()
    entry, _ = store.upsert(policy("slow", 1, hold="1m"))
    target = TargetState("Deployment", "shop", "checkout", "u", "1", 1, 1, True, None)
    busy = {"cpu": Observation(100.0, Measured(0.9))}
    assert entry.policy is not None
    entry.memory = decide(entry.policy, busy, target, Memory(), 100.0).memory
    assert entry.memory.rules["busy"].timers[0].verdict is Verdict.PENDING
    entry, anew = store.upsert(policy("slow", 2, generation=2, hold="30s", memory=dump_memory(entry.memory)))
    assert anew
    assert entry.policy is not None
    assert decide(entry.policy, busy, target, entry.memory, 129.0).memory.rules["busy"].timers[0].crossed == 100.0
    assert decide(entry.policy, busy, target, entry.memory, 130.0).rules[0].verdict is Verdict.BREACH


def test_what_another_process_wrote_is_taken_up_and_what_was_written_here_is_not_read_again() -> None:
    store = PolicyCache()
    entry, _ = store.upsert(policy("one", 1, memory={"targetUid": "a"}))
    known = entry.memory
    assert known.target_uid == "a"
    store.upsert(policy("one", 2, memory={"targetUid": "a"}, observedGeneration=1))
    assert entry.memory is known
    store.upsert(policy("one", 3, memory={"targetUid": "b"}))
    assert entry.memory.target_uid == "b"


def unreadable(name: str, version: int, *damaged: str, partial: dict[str, Any] | None = None) -> Unreadable:
    return Unreadable(
        "spec.rules is nested more than 100 levels deep",
        namespace="shop",
        name=name,
        uid=f"uid-{name}",
        resource_version=str(version),
        damaged=damaged,
        partial=partial,
    )


def test_a_policy_that_cannot_be_read_is_not_evaluated_on_what_is_left_of_it() -> None:
    """Although that would be a valid policy."""
    store = PolicyCache()
    entry, anew = store.put_unreadable(unreadable("a", 5, "spec.rules", partial=policy("a", 5)))
    assert entry is not None
    assert anew
    assert (entry.policy, entry.compiled.unreadable) == (None, True)
    assert str(entry.compiled.problem) == "the policy cannot be read: spec.rules is nested more than 100 levels deep"
    assert entry.target == ("Deployment", "shop", "checkout")
    assert store.put_unreadable(unreadable("a", 5, "spec.rules", partial=policy("a", 5)))[1] is False
    mended, anew = store.upsert(policy("a", 6, generation=2))
    assert mended is entry
    assert anew
    assert (entry.policy is not None, entry.compiled.unreadable, entry.compiled.problem) == (True, False, None)


def test_what_a_policy_said_before_no_longer_counts() -> None:
    store = PolicyCache()
    entry, _ = store.upsert(policy("a", 5))
    memory = entry.memory
    found, anew = store.put_unreadable(unreadable("a", 6))
    assert found is entry
    assert anew
    assert (entry.policy, entry.compiled.unreadable, entry.resource_version) == (None, True, "6")
    assert entry.memory is memory
    assert [e.name for e in store.policies_on(("Deployment", "shop", "checkout"))] == ["a"], (
        "what is paused stays paused"
    )
    assert store.put_unreadable(unreadable("a", 4))[1] is False
    store.remove("uid-a")
    assert store.policies_on(("Deployment", "shop", "checkout")) == []
    assert store.put_unreadable(unreadable("a", 4))[1] is False, "an older list does not bring it back"


def test_a_status_that_cannot_be_read_does_not_take_the_policy_along() -> None:
    store = PolicyCache()
    entry, anew = store.put_unreadable(unreadable("a", 5, "status.memory", partial=policy("a", 5)))
    assert entry is not None
    assert anew
    assert entry.policy is not None


def test_a_policy_without_a_name_is_nobody() -> None:
    assert PolicyCache().put_unreadable(Unreadable("no JSON")) == (None, False)
